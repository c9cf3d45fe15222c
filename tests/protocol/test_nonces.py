"""A durable nonce lets a transaction wait as long as it likes, and run once."""

import struct

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    AuthorizeNonceAccountParams,
    InitializeNonceAccountParams,
    WithdrawNonceAccountParams,
    advance_nonce_account,
    authorize_nonce_account,
    create_nonce_account,
    initialize_nonce_account,
    withdraw_nonce_account,
)  # fmt: skip
from solders.transaction import Transaction

from roundwork.protocol.execute import simulate
from roundwork.protocol.params import SYSTEM_PROGRAM, TICKS
from roundwork.protocol.programs.nonces import NONCE_BYTES, compute_value, get_nonce
from roundwork.protocol.records import Account
from roundwork.protocol.ticks import get_newest_tick
from roundwork.protocol.transaction import decode_transaction

from .registry import rejected, shows
from .world import World, move

MONEY = 10**6


class Safe(World):
    """A world with a nonce that n01 may use, a slot old."""

    def __init__(self, **changes: object) -> None:
        super().__init__(("manager", "n00", "n01", "n02"), **changes)
        self.block(slots=1)
        assert not self.run(("n00", "nonce"), *create_nonce(self)).kind
        self.block(slots=1)

    @property
    def value(self) -> bytes:
        nonce = get_nonce(self.state, self.key("nonce"))
        assert nonce is not None
        return nonce.value

    def advance(self, authority: str = "n01", name: str = "nonce") -> Instruction:
        return advance_nonce_account(
            AdvanceNonceAccountParams(
                nonce_pubkey=Pubkey(self.key(name)), authorized_pubkey=Pubkey(self.key(authority))
            )
        )

    def withdraw(self, amount: int, authority: str = "n01", name: str = "nonce") -> Instruction:
        return withdraw_nonce_account(
            WithdrawNonceAccountParams(
                nonce_pubkey=Pubkey(self.key(name)), authorized_pubkey=Pubkey(self.key(authority)),
                to_pubkey=Pubkey(self.key("n02")), lamports=amount,
            )
        )  # fmt: skip

    def authorize(self, to: str, authority: str = "n01", name: str = "nonce") -> Instruction:
        return authorize_nonce_account(
            AuthorizeNonceAccountParams(
                nonce_pubkey=Pubkey(self.key(name)), authorized_pubkey=Pubkey(self.key(authority)),
                new_authority=Pubkey(self.key(to)),
            )
        )  # fmt: skip

    def later(self, *asked: Instruction, signers: tuple[str, ...] = ("n01",)) -> bytes:
        """A transaction that names the nonce's value."""
        return self.wire(signers, self.advance(), *asked, tick=self.value)


def create_nonce(world: World, name: str = "nonce") -> list[Instruction]:
    return list(
        create_nonce_account(
            Pubkey(world.key("n00")), Pubkey(world.key(name)), Pubkey(world.key("n01")), MONEY
        )
    )


def no_instructions(world: World) -> bytes:
    """A transaction that asks for nothing and names no tick."""
    pair = world.keys["n00"]
    message = Message.new_with_blockhash([], pair.pubkey(), Hash(bytes(32)))
    return bytes(Transaction([pair], message, Hash(bytes(32))))


def initialize(world: World, name: str) -> Instruction:
    return initialize_nonce_account(
        InitializeNonceAccountParams(nonce_pubkey=Pubkey(world.key(name)), authority=Pubkey(world.key("n01")))
    )


def voided(world: World, wire: bytes, expected: str = "BlockhashNotFound") -> None:
    receipt = world.block(wire).receipts[0]
    assert (2, expected) == (receipt.kind, receipt.name), receipt


def test_the_bytes_of_a_nonce_are_those_that_clients_decode() -> None:
    world = Safe(fee_per_signature=5000)

    account = world.state.accounts.rows[world.key("nonce")]

    version, state, authority, value, fee = struct.unpack("<II32s32sQ", account.data)
    assert (NONCE_BYTES, SYSTEM_PROGRAM, MONEY) == (account.space, account.owner, account.balance)
    assert (1, 1, world.key("n01"), world.value, 5000) == (version, state, authority, value, fee)


def test_a_transaction_that_names_a_nonce_runs_long_after_every_tick_is_forgotten_and_once() -> None:
    world = Safe(gap_slots_max=50)
    wire = world.later(move(world, "n01", "n02", 5))
    for _ in range(TICKS // 50 + 2):
        world.block(slots=50)
    before = world.value

    assert not world.block(wire).receipts[0].kind

    assert before != world.value
    for slots in (0, 1, 1):
        assert "BlockhashNotFound" == world.block(wire, slots=slots).receipts[0].name


def test_a_rejected_transaction_moves_its_nonce_on_and_pays_its_fee() -> None:
    world = Safe(fee_per_signature=7)
    wire = world.later(move(world, "n01", "n02", 10**16))
    before, paid = world.value, world.state.accounts.rows[world.key("n01")].balance

    receipt = world.block(wire).receipts[0]

    assert ("BalanceTooLow", 7) == (receipt.name, receipt.fee)
    assert before != world.value
    assert paid - 7 == world.state.accounts.rows[world.key("n01")].balance
    voided(world, wire)


def test_a_nonce_that_pays_the_fee_of_its_own_transaction_keeps_its_bytes() -> None:
    world = Safe(fee_per_signature=7)
    world.run("n01", world.authorize("nonce"))
    bad = move(world, "nonce", "n02", 5)
    wire = world.wire(["nonce"], world.advance("nonce"), bad, tick=world.value)

    receipt = world.block(wire).receipts[0]

    assert "WrongOwner" == receipt.name
    assert MONEY - 7 == world.state.accounts.rows[world.key("nonce")].balance
    assert compute_value(world.state, world.state.head.slot) == world.value


def test_of_two_transactions_that_name_one_value_one_runs() -> None:
    world = Safe()
    wires = [world.later(move(world, "n01", "n02", amount)) for amount in (5, 6)]

    receipts = world.block(*wires).receipts

    assert ["", "BlockhashNotFound"] == [one.name for one in receipts]


def test_a_nonce_is_moved_on_by_a_transaction_with_a_tick_too() -> None:
    world = Safe()
    before = world.value

    assert not world.run("n01", world.advance()).kind
    assert before != world.value


def test_a_void_transaction_leaves_its_nonce_as_it_is() -> None:
    world = Safe(fee_per_signature=7)
    world.run("n01", world.authorize("poor"))
    before = world.value
    wire = world.wire(["poor"], world.advance("poor"), tick=world.value)

    voided(world, wire, "AccountNotFound")
    assert before == world.value


def test_a_simulation_of_a_nonce_moves_nothing() -> None:
    world = Safe()
    before = world.dump()
    wire = world.later(move(world, "n01", "n02", 5))

    receipt = simulate(world.state, decode_transaction(wire), world.state.head.slot + 1)

    assert not receipt.kind
    assert before == world.dump()


def test_money_is_taken_off_a_nonce_and_all_of_it_ends_the_nonce() -> None:
    world = Safe()

    assert not world.run("n01", world.withdraw(400)).kind
    assert MONEY - 400 == world.state.accounts.rows[world.key("nonce")].balance
    old = world.later(move(world, "n01", "n02", 5))
    assert not world.run("n01", world.withdraw(MONEY - 400)).kind

    assert world.key("nonce") not in world.state.accounts.rows
    voided(world, old)
    assert not world.run(("n00", "nonce"), *create_nonce(world)).kind
    for slots in (0, 1):
        assert "BlockhashNotFound" == world.block(old, slots=slots).receipts[0].name


def test_a_nonce_is_given_to_another_authority_and_keeps_its_value() -> None:
    world = Safe()
    before = world.value

    assert not world.run("n01", world.authorize("n02")).kind

    assert before == world.value
    assert not world.run("n02", world.advance("n02")).kind


def test_what_is_no_nonce_yet_gives_its_money_back_to_its_own_key() -> None:
    world = Safe()
    made, _ = create_nonce(world, "blank")
    world.run(("n00", "blank"), made)

    assert not world.run(("n00", "blank"), world.withdraw(MONEY, "blank", "blank")).kind
    assert world.key("blank") not in world.state.accounts.rows


@shows("3.6")
def _named_nonce() -> None:
    world = Safe()
    pay = move(world, "n00", "n02", 5)
    voided(world, world.wire(["n00"], pay, tick=world.value))  # moves no nonce on
    voided(world, no_instructions(world))
    voided(world, world.wire(["n01"], world.advance(), tick=bytes(32)))
    voided(world, world.wire(["n01"], world.advance(name="n02"), tick=world.value))  # no nonce
    voided(world, world.wire(["n00"], world.advance("n00"), tick=world.value))  # not the authority
    whole = world.advance()
    readonly = [AccountMeta(one.pubkey, one.is_signer, False) for one in whole.accounts]
    still = Instruction(whole.program_id, whole.data, readonly)
    voided(world, world.wire(["n01"], still, tick=world.value))
    unnamed = Instruction(whole.program_id, whole.data, [])
    voided(world, world.wire(["n01"], unnamed, tick=world.value))
    world.run("n01", world.advance(), slots=1)
    assert "BlockhashNotFound" == world.block(world.later(), slots=0).receipts[0].name  # in its own slot
    assert not world.block(world.later(), slots=1).receipts[0].kind


@shows("3.36")
def _is_nonce() -> None:
    world = Safe()
    for key in ("n00", "nobody"):
        rejected(world, "NotANonce", "n01", world.advance(name=key))
        rejected(world, "NotANonce", "n01", world.authorize("n02", name=key))


@shows("3.37")
def _is_blank() -> None:
    world = Safe()
    rejected(world, "NotANonce", "n01", initialize(world, "nonce"))
    rejected(world, "NotANonce", "n01", initialize(world, "n00"))
    rejected(world, "NotANonce", "n01", initialize(world, "nobody"))
    rejected(world, "NotANonce", "n01", world.withdraw(5, "n01", "n01"))


@shows("3.38")
def _nonce_authority() -> None:
    world = Safe()
    rejected(world, "MissingSigner", "n00", world.advance("n00"))
    rejected(world, "MissingSigner", "n00", world.authorize("n00", "n00"))
    rejected(world, "MissingSigner", "n00", world.withdraw(5, "n00"))
    made, _ = create_nonce(world, "blank")
    world.run(("n00", "blank"), made)
    rejected(world, "MissingSigner", "n00", world.withdraw(5, "n00", "blank"))


@shows("3.39")
def _nonce_expired() -> None:
    world = Safe()
    rejected(world, "NonceNotExpired", "n01", world.advance(), world.advance())
    rejected(world, "NonceNotExpired", "n01", world.advance(), world.withdraw(MONEY))


@shows("3.40")
def _sysvars() -> None:
    world = Safe()
    made, begin = create_nonce(world, "blank")
    world.run(("n00", "blank"), made)
    for whole in (world.advance(), world.withdraw(5), begin):
        for at, one in enumerate(whole.accounts):
            if str(one.pubkey).startswith("Sysvar"):
                accounts = list(whole.accounts)
                accounts[at] = AccountMeta(Pubkey(world.key("n02")), False, False)
                short = Instruction(whole.program_id, whole.data, accounts)
                rejected(world, "BadInstruction", "n01", short)


def test_a_nonce_takes_on_another_value_in_every_slot() -> None:
    world = Safe()
    values = []
    for _ in range(3):
        world.run("n01", world.advance())
        values.append(world.value)
        world.block(slots=0)
        assert compute_value(world.state, world.state.head.slot) == world.value

    assert len(set(values)) == 3
    assert Hash(values[-1]) != Hash(get_newest_tick(world.state, world.state.head.slot)[0])
    assert isinstance(world.state.accounts.rows[world.key("nonce")], Account)
