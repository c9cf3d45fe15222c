"""The system program makes accounts, sizes them and gives them away."""

from hashlib import sha256

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import (
    AllocateParams,
    AllocateWithSeedParams,
    AssignParams,
    AssignWithSeedParams,
    CreateAccountParams,
    CreateAccountWithSeedParams,
    TransferWithSeedParams,
    allocate,
    allocate_with_seed,
    assign,
    assign_with_seed,
    create_account,
    create_account_with_seed,
    transfer_with_seed,
)  # fmt: skip

from roundwork.protocol.money import debit
from roundwork.protocol.params import SPACE_MAX, SYSTEM_PROGRAM, TASK_PROGRAM, TASK_SPACE_MAX
from roundwork.protocol.records import Account

from .registry import rejected, shows
from .test_nonces import create_nonce
from .world import World, move, unsigned

OWNER = Pubkey(TASK_PROGRAM)


def test_an_account_is_created_with_money_size_and_owner() -> None:
    world = World()

    assert world.run(("n00", "new"), world.create_account("n00", "new", 500, 10)).kind == 0

    assert Account(500, TASK_PROGRAM, 10) == world.state.accounts.rows[world.key("new")]


def test_an_account_with_a_seed_needs_no_key_of_its_own() -> None:
    world = World()
    base = Pubkey(world.key("n00"))
    address = Pubkey(sha256(bytes(base) + b"seed" + SYSTEM_PROGRAM).digest())
    create = create_account_with_seed(
        CreateAccountWithSeedParams(
            from_pubkey=base, to_pubkey=address, base=base, seed="seed", lamports=50, space=0,
            owner=Pubkey(SYSTEM_PROGRAM),
        )
    )  # fmt: skip
    pay = transfer_with_seed(
        TransferWithSeedParams(
            from_pubkey=address, from_base=base, from_seed="seed", from_owner=Pubkey(SYSTEM_PROGRAM),
            to_pubkey=Pubkey(world.key("n01")), lamports=20,
        )
    )  # fmt: skip

    assert [world.run("n00", create).kind, world.run("n00", pay).kind] == [0, 0]
    assert world.state.accounts.rows[bytes(address)].balance == 30


def test_accounts_are_sized_and_assigned_once() -> None:
    world = World()
    world.run("n00", move(world, "n00", "one", 5))
    world.run("n00", move(world, "n00", "two", 5))

    sized = allocate(AllocateParams(pubkey=Pubkey(world.key("one")), space=12))
    given = assign(AssignParams(pubkey=Pubkey(world.key("two")), owner=OWNER))
    same = assign(AssignParams(pubkey=Pubkey(world.key("n01")), owner=Pubkey(SYSTEM_PROGRAM)))
    assert world.run(("n00", "one", "two", "n01"), sized, given, same).kind == 0

    rows = world.state.accounts.rows
    assert (rows[world.key("one")].space, rows[world.key("one")].owner) == (12, SYSTEM_PROGRAM)
    assert rows[world.key("two")].owner == TASK_PROGRAM
    assert rows[world.key("n01")].owner == SYSTEM_PROGRAM


def test_accounts_with_a_seed_are_sized_and_assigned() -> None:
    world = World()
    base = Pubkey(world.key("n00"))
    address = Pubkey(sha256(bytes(base) + b"a" + TASK_PROGRAM).digest())
    other = Pubkey(sha256(bytes(base) + b"b" + TASK_PROGRAM).digest())
    sized = allocate_with_seed(
        AllocateWithSeedParams(address=address, base=base, seed="a", space=7, owner=OWNER)
    )
    given = assign_with_seed(AssignWithSeedParams(address=other, base=base, seed="b", owner=OWNER))

    assert world.run("n00", sized, given).kind == 0

    rows = world.state.accounts.rows
    assert (rows[bytes(address)].space, rows[bytes(address)].owner) == (7, TASK_PROGRAM)
    assert rows[bytes(other)].owner == TASK_PROGRAM


def test_a_seed_that_claims_to_be_longer_than_the_data_is_refused() -> None:
    world = World()
    data = b"\x0b\0\0\0" + bytes(8) + (2**64 - 1).to_bytes(8, "little")
    metas = [AccountMeta(Pubkey(world.key(name)), False, True) for name in ("n00", "n01", "n02")]

    receipt = world.run("n00", Instruction(Pubkey(SYSTEM_PROGRAM), data, metas))

    assert receipt.name == "BadInstruction"


def test_moving_nothing_is_fine() -> None:
    world = World()

    assert world.run("n00", move(world, "n00", "nobody", 0)).kind == 0
    assert world.key("nobody") not in world.state.accounts.rows


def test_an_account_is_assigned_to_its_present_owner_whoever_signs() -> None:
    world = World()
    world.run(("n00", "owned"), world.create_account("n00", "owned", 500, 10))
    before = world.state.accounts.rows[world.key("owned")]
    base = Pubkey(world.key("n01"))
    seeded = Pubkey(sha256(bytes(base) + b"a" + SYSTEM_PROGRAM).digest())
    asked = [
        assign(AssignParams(pubkey=Pubkey(world.key("owned")), owner=OWNER)),
        assign(AssignParams(pubkey=Pubkey(world.key("n02")), owner=Pubkey(SYSTEM_PROGRAM))),
        assign_with_seed(
            AssignWithSeedParams(address=seeded, base=base, seed="a", owner=Pubkey(SYSTEM_PROGRAM))
        ),
    ]

    receipt = world.run("n00", *map(unsigned, asked))

    assert receipt.kind == 0, receipt
    assert before == world.state.accounts.rows[world.key("owned")]


def test_accounts_behind_the_one_that_is_assigned_change_nothing() -> None:
    world = World()
    given = assign(AssignParams(pubkey=Pubkey(world.key("n01")), owner=OWNER))
    owned = AccountMeta(Pubkey(world.key("owned")), False, False)
    assert not world.run(("n00", "owned"), world.create_account("n00", "owned", 500, 10)).kind

    asked = Instruction(given.program_id, given.data, [*given.accounts, owned])

    assert not world.run(("n00", "n01"), asked).kind
    assert bytes(OWNER) == world.state.accounts.rows[world.key("n01")].owner


def test_an_account_that_was_allocated_is_assigned_and_keeps_its_size() -> None:
    world = World()
    world.run("n00", move(world, "n00", "new", 5))
    sized = allocate(AllocateParams(pubkey=Pubkey(world.key("new")), space=12))
    given = assign(AssignParams(pubkey=Pubkey(world.key("new")), owner=OWNER))

    assert world.run(("n00", "new"), sized, given).kind == 0

    assert Account(5, TASK_PROGRAM, 12) == world.state.accounts.rows[world.key("new")]


def test_an_address_that_holds_nothing_is_assigned() -> None:
    world = World()
    given = assign(AssignParams(pubkey=Pubkey(world.key("new")), owner=OWNER))

    assert world.run(("n00", "new"), given).kind == 0

    assert Account(0, TASK_PROGRAM) == world.state.accounts.rows[world.key("new")]


def test_of_two_faults_of_a_creation_solanas_first_is_told() -> None:
    world = World()
    taken = world.create_account("n00", "n01", 10**18, 0)  # n01 exists, and n00 has not so much
    large = world.create_account("n00", "new", 10**18, 2**60)

    assert "AccountInUse" == world.run(("n00", "n01"), taken).name
    assert "AccountInUse" == world.run("n00", unsigned(taken)).name
    assert "MissingSigner" == world.run("n00", unsigned(large)).name
    assert "BadSpace" == world.run(("n00", "new"), large).name


def test_what_is_assigned_is_the_first_account() -> None:
    world = World()
    world.run(("n00", "owned"), world.create_account("n00", "owned", 500, 10))
    given = assign(AssignParams(pubkey=Pubkey(world.key("owned")), owner=Pubkey(world.key("n01"))))
    more = Instruction(
        given.program_id, given.data, [*given.accounts, AccountMeta(Pubkey(world.key("n02")), False, True)]
    )

    assert "AccountInUse" == world.run(("n00", "owned"), more).name


def test_money_that_is_not_there_is_never_taken() -> None:
    world = World()
    balance = world.wallet("n00")

    with pytest.raises(AssertionError, match="below zero"):
        debit(world.state, world.key("n00"), balance + 1)


def test_an_instruction_without_a_number_is_told_so() -> None:
    world = World()

    assert "no instruction -1" in world.run("n00", Instruction(Pubkey(SYSTEM_PROGRAM), b"\2\0\0", [])).text


def test_what_is_assigned_with_a_seed_is_the_first_account() -> None:
    world = World()
    world.run(("n00", "owned"), world.create_account("n00", "owned", 500, 10))
    base = Pubkey(world.key("n00"))
    address = Pubkey(sha256(bytes(base) + b"b" + TASK_PROGRAM).digest())
    given = assign_with_seed(AssignWithSeedParams(address=address, base=base, seed="b", owner=OWNER))
    owned = AccountMeta(Pubkey(world.key("owned")), False, True)

    receipt = world.run("n00", Instruction(given.program_id, given.data, [*given.accounts, owned]))

    assert receipt.kind == 0
    assert TASK_PROGRAM == world.state.accounts.rows[bytes(address)].owner


# Rules


@shows("3.21")
def _system_signed() -> None:
    world = World()
    rejected(world, "MissingSigner", "n00", unsigned(move(world, "n01", "n00", 5)))


@shows("3.22")
def _system_spendable() -> None:
    world = World()
    world.run(("n00", "owned"), world.create_account("n00", "owned", 500, 10))
    rejected(world, "WrongOwner", ("n00", "owned"), move(world, "owned", "n01", 5))


@shows("3.23")
def _system_balance() -> None:
    world = World()
    world.run("n00", move(world, "n00", "poor", 9))
    rejected(world, "BalanceTooLow", "poor", move(world, "poor", "n01", 10))


def create(world: World, name: str, balance: int, space: int) -> Instruction:
    return create_account(
        CreateAccountParams(
            from_pubkey=Pubkey(world.key("n00")),
            to_pubkey=Pubkey(world.key(name)),
            lamports=balance,
            space=space,
            owner=Pubkey(SYSTEM_PROGRAM),
        )
    )


@shows("3.24")
def _system_vacant() -> None:
    world = World()
    rejected(world, "AccountInUse", ("n00", "n01"), create(world, "n01", 5, 0))


@shows("3.25")
def _system_space() -> None:
    world = World()
    rejected(world, "BadSpace", ("n00", "new"), create(world, "new", 5, SPACE_MAX + 1))
    rejected(world, "BadSpace", ("n00", "new"), world.create_account("n00", "new", 5, TASK_SPACE_MAX + 1))
    sized = allocate(AllocateParams(pubkey=Pubkey(world.key("new")), space=SPACE_MAX + 1))
    rejected(world, "BadSpace", ("n00", "new"), sized)
    assert not world.run(("n00", "new"), create(world, "new", 5, SPACE_MAX)).kind
    made = world.create_account("n00", "other", 5, TASK_SPACE_MAX)
    assert not world.run(("n00", "other"), made).kind


@shows("3.26")
def _system_blank() -> None:
    world = World()
    world.run(("n00", "owned"), world.create_account("n00", "owned", 500, 10))
    key = Pubkey(world.key("owned"))
    rejected(world, "AccountInUse", ("n00", "owned"), allocate(AllocateParams(pubkey=key, space=5)))
    world.run(("n00", "sized"), create(world, "sized", 500, 10))
    key = Pubkey(world.key("sized"))
    rejected(world, "AccountInUse", ("n00", "sized"), allocate(AllocateParams(pubkey=key, space=5)))


@shows("3.27")
def _system_assignable() -> None:
    world = World()
    world.run(("n00", "owned"), world.create_account("n00", "owned", 500, 10))
    assert not world.run(("n00", "nonce"), *create_nonce(world)).kind
    owner = Pubkey(world.key("n01"))
    for name in ("owned", "nonce"):
        given = assign(AssignParams(pubkey=Pubkey(world.key(name)), owner=owner))
        rejected(world, "AccountInUse", ("n00", name), given)


def create_seeded(world: World, seed: bytes, address: Pubkey, base: str = "n00") -> Instruction:
    one = create_account_with_seed(
        CreateAccountWithSeedParams(
            from_pubkey=Pubkey(world.key("n00")),
            to_pubkey=address,
            base=Pubkey(world.key(base)),
            seed="s" * len(seed),
            lamports=5,
            space=0,
            owner=Pubkey(TASK_PROGRAM),
        )
    )
    return one


def derive(world: World, seed: bytes, base: str = "n00") -> Pubkey:
    from hashlib import sha256

    return Pubkey(sha256(world.key(base) + seed + TASK_PROGRAM).digest())


@shows("3.28")
def _seed_size() -> None:
    world = World()
    seed = b"s" * 33
    rejected(world, "SeedTooLong", "n00", create_seeded(world, seed, derive(world, seed)))


@shows("3.29")
def _seed_derived() -> None:
    world = World()
    rejected(world, "SeedMismatch", "n00", create_seeded(world, b"s", derive(world, b"ss")))


@shows("3.20")
def _system_known() -> None:
    world = World()
    program = Pubkey(SYSTEM_PROGRAM)
    whole = move(world, "n00", "n01", 5)
    rejected(world, "BadInstruction", "n00", Instruction(program, b"\x63\0\0\0", []))
    rejected(world, "BadInstruction", "n00", Instruction(program, b"\x02", []))
    rejected(world, "BadInstruction", "n00", Instruction(program, whole.data[:-1], whole.accounts))
    rejected(world, "BadInstruction", "n00", Instruction(program, whole.data, whole.accounts[:1]))


@shows("3.30")
def _seed_owner() -> None:
    from hashlib import sha256

    world = World()
    owner = b"x" * 11 + b"ProgramDerivedAddress"
    base = Pubkey(world.key("n00"))
    address = Pubkey(sha256(bytes(base) + b"s" + owner).digest())
    ask = CreateAccountWithSeedParams(
        from_pubkey=base, to_pubkey=address, base=base, seed="s", lamports=5, space=0, owner=Pubkey(owner)
    )
    rejected(world, "WrongOwner", "n00", create_account_with_seed(ask))


@shows("3.31")
def _seed_base() -> None:
    world = World()
    one = create_seeded(world, b"s", derive(world, b"s", "n01"), base="n01")
    rejected(world, "MissingSigner", "n00", Instruction(one.program_id, one.data, one.accounts[:2]))
