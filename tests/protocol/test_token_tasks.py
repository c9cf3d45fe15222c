"""Tasks that pay in a token: their rules, and what happens to the tokens."""

from typing import Any

import msgspec
import pytest
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from roundwork.protocol.addresses import compute_pot_seed, find_authority
from roundwork.protocol.books import compute_owed, find_token_faults
from roundwork.protocol.params import KPL_PROGRAM, TASK_PROGRAM, TOKEN_PROGRAM, WRAPPED_MINT
from roundwork.protocol.programs.token import RESERVE
from roundwork.protocol.programs.token_checks import get_account, get_mint
from roundwork.protocol.programs.token_records import ACCOUNT_BYTES, TokenAccount, encode_account
from roundwork.protocol.records import Account
from roundwork.protocol.tasks import instructions as ins

from .registry import rejected, shows
from .stage import AW, STAKE, SW, Stage
from .token_world import TokenStage, TokenWorld
from .world import START, World, keypair_of, task_instruction

BOUNTY, PER_ROUND = 1000, 100


def change(ask: ins.Instruction, **changes: Any) -> ins.Instruction:
    return msgspec.structs.replace(ask, **changes)


def creation(world: TokenWorld, **changes: Any) -> ins.Instruction:
    """What founds a task at `other`, with a pot at `pot2`."""
    fields = {
        "payer": world.key("manager"), "task": world.key("other"), "pot": world.key("pot2"), "name": b"other",
        "description": b"", "audit_program": b"", "executable_network": b"", "total_bounty": BOUNTY,
        "bounty_per_round": PER_ROUND, "round_time": 10, "audit_window": 4, "submission_window": 4,
        "minimum_stake": 1000, "metadata": b"", "locals": b"", "allowed_failed_distributions": 2,
    }  # fmt: skip
    return world.ask_create(**{**fields, **changes})


def refuse_creation(world: TokenWorld, expected: str, ask: ins.Instruction, pot: str = "pot2") -> None:
    made = world.create_account("manager", "other", 0, 0)
    rejected(world, expected, ("manager", "other", pot), made, world.instruct(ask))


def successor(world: TokenWorld, **changes: Any) -> ins.Instruction:
    windows: dict[str, Any] = {"round_time": 10, "audit_window": 4, "submission_window": 4}
    return world.ask_update(
        world.task, "other", bounty_per_round=PER_ROUND, minimum_stake=1000, **{**windows, **changes}
    )


def migrate(world: TokenStage, expected: str = "ok", **changes: Any) -> None:
    made = world.create_account("manager", "other", 0, 0)
    receipt = world.run(("manager", "other", "pot2"), made, world.instruct(successor(world, **changes)))
    assert expected == (receipt.name or "ok"), receipt


def freeze(world: TokenWorld, name: str) -> None:
    world.run("manager", world.token(b"\x0a", name, "mint", "manager", signer="manager"), slots=0)


# Rules


@shows("13.1")
def _own_program() -> None:
    world = TokenStage()
    pot = world.key("pot")
    native = ins.Stake(world.task, world.key("n00"), pot, 5000)
    rejected(world, "WrongOwner", "n00", task_instruction(native))
    native_world = Stage()
    tokens = ins.Withdraw(native_world.task, native_world.key("n00"))
    rejected(native_world, "WrongOwner", "n00", task_instruction(tokens, KPL_PROGRAM))


def test_tokens_are_never_claimed_as_native_money() -> None:
    world = TokenStage()
    world.run("n00", world.instruct(world.withdraw("n00")))
    native = ins.Claim(world.task, world.key("n00"), world.key("pot"), world.key("n00"))

    receipt = world.run("n00", task_instruction(native, TASK_PROGRAM))

    assert receipt.name == "WrongOwner"


@shows("13.2")
def _derived_pot() -> None:
    world = TokenStage()
    refuse_creation(world, "SeedMismatch", creation(world, seed=compute_pot_seed(world.key("pot"))))
    refuse_creation(world, "SeedMismatch", creation(world, authority=find_authority(world.key("pot"))))


@shows("13.3")
def _vacant_pot() -> None:
    world = TokenStage()
    pot = world.key("mint")
    taken = creation(world, pot=pot, seed=compute_pot_seed(pot), authority=find_authority(pot))
    refuse_creation(world, "AccountInUse", taken, pot="mint")


@shows("13.4")
def _pot() -> None:
    world = TokenStage()
    world.open_account("fake", "manager", "mint")
    fake = world.key("fake")
    for ask in (world.stake("n00", 5), world.ask_fund(world.task, "n00", 5)):
        rejected(world, "WrongPot", "n00", world.instruct(change(ask, pot=fake)))
    world.run("n00", world.instruct(world.withdraw("n00")))
    rejected(world, "WrongPot", "n00", world.instruct(change(world.claim("n00"), pot=fake)))
    rejected(world, "WrongPot", "manager", world.instruct(change(world.ask_close(world.task), pot=fake)))
    migrate(world, "WrongPot", pot=fake)


@shows("13.5")
def _authority_named() -> None:
    world = TokenStage()
    other = world.key("n01")
    rejected(
        world, "WrongPot", "manager", world.instruct(change(world.ask_close(world.task), authority=other))
    )
    migrate(world, "WrongPot", authority=other)
    world.run("n00", world.instruct(world.withdraw("n00")))
    rejected(world, "WrongPot", "n00", world.instruct(change(world.claim("n00"), authority=other)))


@shows("13.6")
def _stake_size() -> None:
    world = TokenStage()
    world.mint_to("n00.tokens", 2**63)
    rejected(world, "BadAmount", "n00", world.instruct(world.stake("n00", 2**63 - STAKE)))
    world.expect("ok", "n00", world.stake("n00", 2**63 - 1 - STAKE))


@shows("13.7")
def _not_into_pot() -> None:
    world = TokenStage().paid()
    into_pot = msgspec.structs.replace(world.claim("n00"), beneficiary=world.key("pot"))
    world.expect("WrongPot", "n00", into_pot)
    world.expect("ok", "n00", world.claim("n00"))


# What the token program refuses, of a task


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("TokenNotMint", {"mint": "n00"}),
        ("TokenMintMismatch", {"source": "b0"}),
        ("TokenNotEnough", {"total_bounty": START + 1}),
        ("TokenOwnerMismatch", {"source": "n00.tokens"}),
        ("TokenUninitialized", {"source": "n00"}),
        ("BadTask", {"bounty_per_round": BOUNTY + 1}),
        ("BadTask", {"minimum_stake": 999}),
    ],
)
def test_a_task_is_not_founded_without_its_tokens(expected: Any, changes: dict[str, Any]) -> None:
    world = TokenStage()
    world.make("other mint", 82, b"\x14\x06" + world.key("manager") + b"\0")
    world.open_account("b0", "manager", "other mint")
    named = {name: world.key(value) if isinstance(value, str) else value for name, value in changes.items()}

    refuse_creation(world, expected, creation(world, **named))


def test_a_task_is_not_founded_without_what_its_pot_costs() -> None:
    world = TokenStage()
    world.run("manager", transfer(TransferParams(
        from_pubkey=Pubkey(world.key("manager")), to_pubkey=Pubkey(world.key("n00")),
        lamports=world.state.accounts.rows[world.key("manager")].balance - RESERVE + 1,
    )))  # fmt: skip

    refuse_creation(world, "BalanceTooLow", creation(world))


def test_frozen_accounts_neither_pay_nor_are_paid() -> None:
    world = TokenStage()
    world.run("n00", world.instruct(world.withdraw("n00")))
    freeze(world, "n00.tokens")
    rejected(world, "TokenFrozen", "n00", world.instruct(world.stake("n00", 5)))
    rejected(world, "TokenFrozen", "n00", world.instruct(world.claim("n00")))
    freeze(world, "pot")
    for ask in (world.stake("n01", 5), world.ask_fund(world.task, "n01", 5)):
        rejected(world, "TokenFrozen", "n01", world.instruct(ask))
    migrate(world, "TokenFrozen")


def test_a_claim_is_paid_into_an_account_of_the_tasks_token() -> None:
    world = TokenStage()
    world.make("other mint", 82, b"\x14\x06" + world.key("manager") + b"\0")
    world.open_account("b0", "n00", "other mint")
    world.run("n00", world.instruct(world.withdraw("n00")))

    for name, expected in (("b0", "TokenMintMismatch"), ("n00", "TokenUninitialized")):
        ask = change(world.claim("n00"), beneficiary=world.key(name))
        rejected(world, expected, "n00", world.instruct(ask))


def test_an_update_keeps_the_token() -> None:
    world = TokenStage()

    migrate(world, "TokenMintMismatch", mint=WRAPPED_MINT)


# Where the tokens are


def test_a_task_keeps_its_tokens_in_a_pot_that_nobody_signs_for() -> None:
    world = TokenStage()

    held = get_account(world.state, world.key("pot"))

    assert (world.key("mint"), find_authority(world.key("pot"))) == (held.mint, held.owner)
    assert BOUNTY + 3 * STAKE == held.amount == compute_owed(world.state, world.task)
    assert not Pubkey(held.owner).is_on_curve()
    assert START - STAKE == world.wallet("n00")
    assert RESERVE == world.state.accounts.rows[world.key("pot")].balance


def test_a_delegate_stakes_the_tokens_that_were_approved() -> None:
    world = TokenStage()
    world.run(
        "n01", world.token(b"\x04" + (70).to_bytes(8, "little"), "n01.tokens", "n00", "n01", signer="n01")
    )
    ask = change(world.stake("n00", 70), source=world.key("n01.tokens"))

    world.expect("ok", "n00", ask)

    assert STAKE + 70 == world.state.get_stakes(world.task).rows[world.key("n00")].amount
    assert START - STAKE - 70 == world.wallet("n01")


def test_a_round_is_paid_and_slashed_in_tokens_and_claimed() -> None:
    world = TokenStage()
    world.submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n01"))
    world.go(2)
    world.expect_list("ok", "n00", 0, {"n00": 40, "n01": -300, "n02": 60})
    native = {name: World.wallet(world, name) for name in ("n00", "n01", "n02")}
    world.go(2, 10)
    world.block()

    for name in ("n00", "n02"):
        world.expect("ok", name, world.claim(name))

    assert (START - STAKE + 40, START - STAKE + 60) == (world.wallet("n00"), world.wallet("n02"))
    stakes = world.state.get_stakes(world.task).rows
    assert STAKE - 300 == stakes[world.key("n01")].amount
    assert BOUNTY - 100 + 300 == world.state.tasks.rows[world.task].bounty
    assert world.in_pot(world.task) == compute_owed(world.state, world.task)
    assert native == {name: World.wallet(world, name) for name in native}  # fees are 0 here


def test_funding_adds_tokens_to_the_bounty() -> None:
    world = TokenStage()

    world.expect("ok", "n00", world.ask_fund(world.task, "n00", 70))

    assert BOUNTY + 70 == world.state.tasks.rows[world.task].bounty
    assert BOUNTY + 70 + 3 * STAKE == world.in_pot(world.task)


def test_a_deleted_task_leaves_its_bounty_to_its_manager_and_stakes_to_their_nodes() -> None:
    world = TokenStage()
    world.expect("ok", "manager", world.ask_close(world.task))
    world.expect("ok", "manager", world.claim("manager"))
    assert START == world.wallet("manager")
    world.expect("TaskClosed", "n00", world.stake("n00", 5))
    world.expect("ok", "n00", world.withdraw("n00"))
    world.expect("ok", "n00", world.claim("n00"))

    assert START == world.wallet("n00")
    assert 2 * STAKE == world.in_pot(world.task)


def test_a_task_is_deleted_by_its_manager_without_open_rounds_and_in_its_token() -> None:
    world = TokenStage()
    ask = world.ask_close(world.task)
    rejected(world, "NotManager", "n00", world.instruct(change(ask, manager=world.key("n00"))))
    rejected(world, "TokenMintMismatch", "manager", world.instruct(change(ask, mint=WRAPPED_MINT)))
    world.submitted()
    rejected(world, "OpenRounds", "manager", world.instruct(ask))


def test_a_successor_takes_over_tokens_in_a_pot_of_its_own_and_what_comes_back_follows() -> None:
    world = TokenStage().submitted()
    migrate(world)
    other = world.key("other")
    assert (PER_ROUND, BOUNTY - PER_ROUND) == tuple(
        world.state.tasks.rows[key].bounty for key in (world.task, other)
    )
    assert BOUNTY - PER_ROUND == world.in_pot(other)
    world.go(2)
    world.expect_list("ok", "n00", 0, {"n00": 40})
    world.go(2, 10)
    world.block()

    assert BOUNTY - 40 == world.state.tasks.rows[other].bounty == world.in_pot(other)
    assert 3 * STAKE + 40 == world.in_pot(world.task)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_what_comes_back_when_the_successor_is_deleted_is_the_managers(is_frozen: bool) -> None:
    world = TokenStage().submitted()
    migrate(world)
    world.expect("ok", "manager", world.ask_close(world.key("other")))
    if is_frozen:
        freeze(world, "pot")
    world.go(2)
    world.expect_list("ok", "n00", 0, {"n00": 40})
    world.go(2, 10)
    world.block()

    claimable = world.state.get_stakes(world.task).rows[world.key("manager")].available
    assert PER_ROUND - 40 == claimable
    assert world.in_pot(world.task) == compute_owed(world.state, world.task)


def test_a_frozen_pot_does_not_hold_up_what_is_due() -> None:
    world = TokenStage().submitted()
    migrate(world)
    freeze(world, "pot")
    world.go(2)
    world.expect_list("ok", "n00", 0, {"n00": 40})
    world.go(2, 10)
    world.block()

    assert BOUNTY - 40 == world.in_pot(world.key("other"))


def test_tokens_sent_straight_to_a_pot_are_nobodys() -> None:
    world = TokenStage()
    gift = world.token(b"\x03" + (70).to_bytes(8, "little"), "n00.tokens", "pot", "n00", signer="n00")

    world.run("n00", gift)

    assert compute_owed(world.state, world.task) + 70 == world.in_pot(world.task)


def test_a_task_pays_in_wrapped_native_money_too() -> None:
    world = TokenWorld()
    for name in ("manager", "n00"):
        data = b"\x12" + world.key(name)
        world.make(f"{name}.wrapped", ACCOUNT_BYTES, data, "wrapped", balance=RESERVE + 10_000)
    wrapped: dict[str, Any] = {"mint": WRAPPED_MINT, "source": world.key("manager.wrapped")}
    receipt = world.create_task(**wrapped)
    assert receipt.kind == 0, receipt
    stake = ins.StakeTokens(world.task, world.key("n00"), world.key("n00.wrapped"), world.key("pot"), STAKE)
    world.run("n00", world.instruct(stake))

    held = get_account(world.state, world.key("pot"))
    assert BOUNTY + STAKE == held.amount == compute_owed(world.state, world.task)
    assert RESERVE + BOUNTY + STAKE == world.state.accounts.rows[world.key("pot")].balance

    world.run("n00", world.instruct(ins.Withdraw(world.task, world.key("n00"))))
    claim = ins.ClaimTokens(
        world.task, world.key("n00"), world.key("pot"), world.key("n00.wrapped"),
        find_authority(world.key("pot")),
    )  # fmt: skip
    assert 0 == world.run("n00", world.instruct(claim)).kind
    assert BOUNTY == get_account(world.state, world.key("pot")).amount


# The books


def test_a_book_that_does_not_add_up_is_told() -> None:
    world = TokenStage()
    rows = world.state.accounts.rows
    short = msgspec.structs.replace(get_account(world.state, world.key("pot")), amount=5)

    rows[world.key("pot")] = Account(RESERVE, TOKEN_PROGRAM, ACCOUNT_BYTES, encode_account(short))
    wrapped = encode_account(TokenAccount(WRAPPED_MINT, world.key("n00"), 7, reserve=RESERVE))
    rows[world.key("w0")] = Account(RESERVE + 6, TOKEN_PROGRAM, ACCOUNT_BYTES, wrapped)

    wraps, mint, pot = find_token_faults(world.state)
    assert f"holds {RESERVE + 6} roe and wraps 7" in wraps
    supply = get_mint(world.state, world.key("mint")).supply
    assert f"has a supply of {supply}, its accounts hold {supply - BOUNTY - 3 * STAKE + 5}" in mint
    assert f"holds 5, the task owes {BOUNTY + 3 * STAKE}" in pot


def test_a_list_of_a_token_task_is_audited_and_its_payout_may_be_asked_for() -> None:
    world = TokenStage().listed()
    world.go(2, SW + 1).expect("ok", "n01", world.audit_list("n01", 0, "n00"))
    world.expect("ok", "n02", world.audit_list("n02", 0, "n00", valid=1))
    world.go(2, SW + AW + 2).expect("ok", "n01", ins.Payout(world.task, 0))


def test_a_token_task_is_allow_listed_by_whom_genesis_names() -> None:
    world = TokenStage(allowlister=str(keypair_of("lister").pubkey()))
    ask = world.instruct(ins.Whitelist(world.task, world.key("lister"), 0))

    assert not world.run(("n00", "lister", "task"), ask).kind

    assert not world.state.tasks.rows[world.task].is_allowlisted
