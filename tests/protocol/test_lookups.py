"""Address lookup tables: who may change one, and what messages may take from it and when."""

import pytest
from solders.address_lookup_table_account import AddressLookupTable, AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import (
    CloseLookupTableParams,
    CreateLookupTableParams,
    DeactivateLookupTableParams,
    ExtendLookupTableParams,
    FreezeLookupTableParams,
    close_lookup_table,
    create_lookup_table,
    deactivate_lookup_table,
    extend_lookup_table,
    freeze_lookup_table,
)  # fmt: skip
from solders.transaction import VersionedTransaction

from roundwork.errors import Undecodable
from roundwork.protocol.execute import Receipt, decode_landed
from roundwork.protocol.params import LOOKUP_PROGRAM, compute_rent
from roundwork.protocol.programs.lookups import COOLDOWN_SLOTS, LookupTable, decode_table, find_table
from roundwork.protocol.transaction import decode_transaction

from .registry import rejected, shows
from .world import World, move

Indexes = list[tuple[bytes, list[int], list[int]]]


class Library(World):
    """A world with a table of n00's that is still empty."""

    def __init__(self, **changes: object) -> None:
        super().__init__(("manager", "n00", "n01", "n02"), **{"gap_slots_max": 100, **changes})
        self.block(slots=1)
        self.recent = self.state.head.slot
        self.made, table = create_lookup_table(
            CreateLookupTableParams(
                authority_address=self.pubkey("n00"), payer_address=self.pubkey("n00"),
                recent_slot=self.recent,
            )
        )  # fmt: skip
        self.table = bytes(table)
        assert not self.run("n00", self.made).kind

    def pubkey(self, name: str) -> Pubkey:
        return Pubkey(self.key(name))

    def read_table(self) -> LookupTable:
        table = decode_table(self.state.accounts.rows[self.table])
        assert table is not None
        return table

    def extend(self, *keys: bytes, authority: str = "n00", payer: str | None = "n00") -> Instruction:
        return extend_lookup_table(
            ExtendLookupTableParams(
                payer_address=self.pubkey(payer) if payer else None,
                lookup_table_address=Pubkey(self.table),
                authority_address=self.pubkey(authority),
                new_addresses=[Pubkey(key) for key in keys],
            )
        )

    def freeze(self, authority: str = "n00") -> Instruction:
        return freeze_lookup_table(
            FreezeLookupTableParams(
                lookup_table_address=Pubkey(self.table), authority_address=self.pubkey(authority)
            )
        )

    def deactivate(self, authority: str = "n00") -> Instruction:
        return deactivate_lookup_table(
            DeactivateLookupTableParams(
                lookup_table_address=Pubkey(self.table), authority_address=self.pubkey(authority)
            )
        )

    def close(self, to: bytes, authority: str = "n00") -> Instruction:
        return close_lookup_table(
            CloseLookupTableParams(
                lookup_table_address=Pubkey(self.table), authority_address=self.pubkey(authority),
                recipient_address=Pubkey(to),
            )
        )  # fmt: skip

    def done(self, *asked: Instruction, slots: int = 1) -> None:
        receipt = self.run("n00", *asked, slots=slots)
        assert not receipt.kind, receipt

    def skip(self, slots: int) -> None:
        """Let slots go by, in as few blocks as may be."""
        while slots > 0:
            self.block(slots=min(slots, 100))
            slots -= 100

    def through(self, *asked: Instruction, keys: tuple[bytes, ...]) -> bytes:
        """A transaction of n00's that takes from the table what it can, which is said to hold `keys`."""
        table = AddressLookupTableAccount(Pubkey(self.table), [Pubkey(key) for key in keys])
        message = MessageV0.try_compile(self.pubkey("n00"), list(asked), [table], Hash(self.tick()))
        return bytes(VersionedTransaction(message, [self.keys["n00"]]))

    def send(self, *asked: Instruction, keys: tuple[bytes, ...], slots: int = 1) -> Receipt:
        return self.block(self.through(*asked, keys=keys), slots=slots).receipts[0]

    def take(self, *lookups: tuple[bytes, list[int], list[int]]) -> Receipt:
        """A transaction of n00's that takes these addresses from these tables and does nothing with them."""
        wire = self.through(move(self, "n00", "n01", 1), keys=())
        assert wire[-1] == 0
        tail = bytes([len(lookups)])
        for table, writable, readonly in lookups:
            tail += table + bytes([len(writable), *writable, len(readonly), *readonly])
        message = wire[65:-1] + tail
        signature = bytes(self.keys["n00"].sign_message(message))
        return self.block(b"\1" + signature + message).receipts[0]


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_the_bytes_of_a_table_are_those_that_clients_decode() -> None:
    world = Library()
    world.done(world.extend(key(7), key(8)))
    extended = world.state.head.slot

    account = world.state.accounts.rows[world.table]

    read = AddressLookupTable.deserialize(account.data)
    assert [Pubkey(key(7)), Pubkey(key(8))] == list(read.addresses)
    assert (extended, 0, 2**64 - 1) == (
        read.meta.last_extended_slot, read.meta.last_extended_slot_start_index, read.meta.deactivation_slot
    )  # fmt: skip
    assert read.meta.authority == world.pubkey("n00")
    assert (56 + 64, LOOKUP_PROGRAM) == (account.space, account.owner)
    assert account.balance == compute_rent(56 + 64)
    world.done(world.freeze())
    assert AddressLookupTable.deserialize(world.state.accounts.rows[world.table].data).meta.authority is None


def test_a_message_moves_money_to_an_account_that_it_takes_from_a_table() -> None:
    world = Library()
    new = key(7)
    world.done(world.extend(key(6), new))
    pay = move(world, "n00", "n01", 5)
    pay = Instruction(pay.program_id, pay.data, [pay.accounts[0], AccountMeta(Pubkey(new), False, True)])

    receipt = world.send(pay, keys=(key(6), new))

    assert not receipt.kind, receipt
    assert (new,) == receipt.loaded
    assert (0, 5) == (receipt.pre[-1], receipt.post[-1])
    assert 5 == world.state.accounts.rows[new].balance
    wire = world.blocks[-1][0].transactions[0]
    assert decode_landed(wire, Receipt(0)) == decode_transaction(wire)
    landed = decode_landed(wire, receipt)
    assert new == landed.accounts[-1]
    assert new not in landed.keys
    assert landed.is_writable(len(landed.keys))


def test_writable_accounts_of_all_tables_come_before_the_others() -> None:
    world = Library()
    world.done(world.extend(key(1), key(2), key(3)))
    first = world.table
    made, other = create_lookup_table(
        CreateLookupTableParams(
            authority_address=world.pubkey("n01"), payer_address=world.pubkey("n00"), recent_slot=world.recent
        )
    )
    world.table = bytes(other)
    assert not world.run(("n00", "n01"), made, world.extend(key(4), key(5), authority="n01")).kind
    world.block(slots=1)

    receipt = world.take((first, [2, 0], [1]), (bytes(other), [1], [0]))

    assert (key(3), key(1), key(5), key(2), key(4)) == receipt.loaded
    assert len(receipt.pre) == len(receipt.post) == 3 + 5


def test_new_addresses_can_be_used_from_the_next_slot_on_and_older_ones_at_once() -> None:
    world = Library()
    world.done(world.extend(key(1)))
    world.done(world.extend(key(2)))
    world.done(world.extend(key(3)), slots=0)

    slot = world.state.head.slot
    assert world.read_table().count_usable(slot) == 1
    assert world.read_table().count_usable(slot + 1) == 3


def test_a_deactivated_table_is_good_for_512_slots_and_then_closed() -> None:
    world = Library()
    world.done(world.extend(key(1)))
    world.done(world.deactivate())
    deactivated = world.state.head.slot
    world.wait(deactivated + 1)
    world.skip(COOLDOWN_SLOTS - 2)
    assert not world.take((world.table, [0], [])).kind
    assert deactivated + COOLDOWN_SLOTS == world.state.head.slot
    world.block(slots=1)
    before = world.state.accounts.rows[world.key("n02")].balance

    world.done(world.close(world.key("n02")))

    assert world.table not in world.state.accounts.rows
    assert before + compute_rent(56 + 32) == world.state.accounts.rows[world.key("n02")].balance
    assert world.run("n00", world.made).name == "NotRecentSlot"


def test_a_table_may_lie_where_somebody_sent_money() -> None:
    world = Library()
    made, table = create_lookup_table(
        CreateLookupTableParams(
            authority_address=world.pubkey("n01"), payer_address=world.pubkey("n00"), recent_slot=world.recent
        )
    )
    world.keys["there"] = world.keys["n02"]
    pay = move(world, "n00", "n02", 1000)
    world.done(Instruction(pay.program_id, pay.data, [pay.accounts[0], AccountMeta(table, False, True)]))

    world.done(made)

    assert compute_rent(56) == world.state.accounts.rows[bytes(table)].balance


def test_a_table_that_has_the_money_needs_no_payer() -> None:
    world = Library()
    pay = move(world, "n00", "n02", 10**7)
    there = AccountMeta(Pubkey(world.table), False, True)
    world.done(Instruction(pay.program_id, pay.data, [pay.accounts[0], there]))

    world.done(world.extend(key(1), payer=None))

    assert world.read_table().count() == 1


def test_a_rejected_transaction_shows_what_it_took() -> None:
    world = Library()
    world.done(world.extend(key(7)))
    pay = move(world, "n00", "n01", 10**16)
    pay = Instruction(pay.program_id, pay.data, [pay.accounts[0], AccountMeta(Pubkey(key(7)), False, True)])

    receipt = world.send(pay, keys=(key(7),))

    assert ("BalanceTooLow", (key(7),)) == (receipt.name, receipt.loaded)


def test_a_message_that_takes_nothing_from_a_table_that_it_names_is_no_transaction() -> None:
    world = Library()

    assert "Undecodable" == world.take((world.table, [], [])).name
    with pytest.raises(Undecodable, match="nothing"):
        decode_transaction(world.blocks[-1][0].transactions[0])


# What a message takes


def voided(receipt: Receipt, expected: str) -> None:
    assert (2, expected, 0) == (receipt.kind, receipt.name, receipt.fee)


@shows("3.11")
def _table_account() -> None:
    world = Library()
    voided(world.take((key(9), [0], [])), "AddressLookupTableNotFound")
    voided(world.take((world.key("n01"), [0], [])), "InvalidAddressLookupTableOwner")


@shows("3.12")
def _table_data() -> None:
    world = Library()
    for name, space in (("blank", 56), ("short", 55)):
        made = world.create_account("n00", name, 5, space)
        data = bytes(made.data[:20]) + LOOKUP_PROGRAM
        world.run(("n00", name), Instruction(made.program_id, data, made.accounts))
        voided(world.take((world.key(name), [0], [])), "InvalidAddressLookupTableData")


@shows("3.13")
def _table_usable() -> None:
    world = Library()
    world.done(world.extend(key(1)))
    world.done(world.deactivate())
    world.skip(COOLDOWN_SLOTS)
    voided(world.take((world.table, [0], [])), "AddressLookupTableNotFound")


@shows("3.14")
def _indexes() -> None:
    world = Library()
    voided(world.take((world.table, [0], [])), "InvalidAddressLookupTableIndex")
    world.done(world.extend(key(1)))
    voided(world.take((world.table, [], [1])), "InvalidAddressLookupTableIndex")
    world.run("n00", world.extend(key(2)))
    wire = world.through(move(world, "n00", "n01", 1), keys=())
    message = wire[65:-1] + b"\1" + world.table + b"\1\1\0"
    signature = bytes(world.keys["n00"].sign_message(message))
    voided(world.block(b"\1" + signature + message, slots=0).receipts[0], "InvalidAddressLookupTableIndex")
    assert not world.block(b"\1" + signature + message, slots=1).receipts[0].kind


@shows("3.15")
def _loaded_once() -> None:
    world = Library()
    world.done(world.extend(key(1), world.key("n01")))
    world.block(slots=1)
    voided(world.take((world.table, [0, 0], [])), "AccountLoadedTwice")
    voided(world.take((world.table, [0], [0])), "AccountLoadedTwice")
    voided(world.take((world.table, [1], [])), "AccountLoadedTwice")


# The program


@shows("3.41")
def _known() -> None:
    world = Library()
    program = Pubkey(LOOKUP_PROGRAM)
    whole = world.extend(key(1))
    for data, accounts in (
        (b"", []),
        (b"\5\0\0\0", whole.accounts),
        (whole.data, whole.accounts[:1]),
        (whole.data[:-1], whole.accounts),
        (whole.data + b"\0", whole.accounts),
        (b"\2\0\0\0" + bytes(8), whole.accounts),
        (b"\1\0\0\0\0", whole.accounts),
    ):
        rejected(world, "BadInstruction", "n00", Instruction(program, data, accounts))


@shows("3.42")
def _signed() -> None:
    world = Library()
    for whole in (world.made, world.extend(key(1)), world.freeze(), world.close(key(1))):
        unsigned = [AccountMeta(one.pubkey, False, one.is_writable) for one in whole.accounts]
        bad = Instruction(whole.program_id, whole.data, unsigned)
        if whole is world.made:
            bad = Instruction(whole.program_id, *elsewhere(world, whole))
        rejected(world, "MissingSigner", "n01", bad)
    unpaid = world.extend(key(1), payer="n02")
    accounts = [*unpaid.accounts[:2], AccountMeta(world.pubkey("n02"), False, True)]
    rejected(world, "MissingSigner", "n00", Instruction(unpaid.program_id, unpaid.data, accounts))


def elsewhere(world: Library, made: Instruction) -> tuple[bytes, list[AccountMeta]]:
    """Data and accounts that create the next table of n00's, whose payer does not sign."""
    again, table = create_lookup_table(
        CreateLookupTableParams(
            authority_address=world.pubkey("n00"), payer_address=world.pubkey("n00"),
            recent_slot=world.state.head.slot,
        )
    )  # fmt: skip
    metas = [AccountMeta(one.pubkey, False, one.is_writable) for one in again.accounts]
    assert bytes(table) != world.table
    assert made.data != again.data
    return again.data, metas


@shows("3.43")
def _recent() -> None:
    world = Library()
    for recent in (world.state.head.slot + 2, 10**6):
        made, _ = create_lookup_table(
            CreateLookupTableParams(
                authority_address=world.pubkey("n01"), payer_address=world.pubkey("n00"), recent_slot=recent
            )
        )
        rejected(world, "NotRecentSlot", "n00", made)
    old, _ = create_lookup_table(
        CreateLookupTableParams(
            authority_address=world.pubkey("n01"), payer_address=world.pubkey("n00"), recent_slot=0
        )
    )
    world.skip(COOLDOWN_SLOTS)
    rejected(world, "NotRecentSlot", "n00", old)


@shows("3.44")
def _address() -> None:
    world = Library()
    data = world.made.data[:-1]
    for bump in range(256):
        if find_table(world.key("n00"), world.recent, bump) is None:
            break
    wrong = AccountMeta(Pubkey(key(3)), False, True)
    accounts = [wrong, *world.made.accounts[1:]]
    for last in (bump, world.made.data[-1]):
        rejected(
            world, "SeedMismatch", "n00", Instruction(Pubkey(LOOKUP_PROGRAM), data + bytes([last]), accounts)
        )


@shows("3.45")
def _vacant() -> None:
    world = Library()
    rejected(world, "AccountInUse", "n00", world.made)


@shows("3.46")
def _is_table() -> None:
    world = Library()
    for name in ("n01", "nobody"):
        world.table = world.key(name)
        rejected(world, "NotATable", "n00", world.extend(key(1)))


@shows("3.47")
def _frozen() -> None:
    world = Library()
    world.done(world.extend(key(1)), world.freeze())
    for ask in (world.extend(key(2)), world.freeze(), world.deactivate(), world.close(key(1))):
        rejected(world, "TableFrozen", "n00", ask)


@shows("3.48")
def _authority() -> None:
    world = Library()
    for ask in (world.extend(key(2), authority="n01"), world.deactivate("n01"), world.close(key(1), "n01")):
        rejected(world, "NotTableAuthority", ("n00", "n01"), ask)


@shows("3.49")
def _active() -> None:
    world = Library()
    world.done(world.extend(key(1)), world.deactivate())
    for ask in (world.extend(key(2)), world.freeze(), world.deactivate()):
        rejected(world, "TableDeactivated", "n00", ask)


@shows("3.50")
def _room() -> None:
    world = Library()
    for at in range(0, 240, 20):
        world.done(world.extend(*[key(at + one) for one in range(20)]))
    rejected(world, "TableFull", "n00", world.extend(*[key(1000 + one) for one in range(17)]))
    world.done(world.extend(*[key(1000 + one) for one in range(16)]))
    assert not world.take((world.table, [255], [])).kind


@shows("3.51")
def _filled() -> None:
    world = Library()
    rejected(world, "TableEmpty", "n00", world.freeze())


@shows("3.52")
def _over() -> None:
    world = Library()
    rejected(world, "TableActive", "n00", world.close(key(1)))
    world.done(world.deactivate())
    world.skip(COOLDOWN_SLOTS - 1)
    rejected(world, "TableActive", "n00", world.close(key(1)))


@shows("3.53")
def _heir() -> None:
    world = Library()
    world.done(world.deactivate())
    world.skip(COOLDOWN_SLOTS)
    rejected(world, "BadInstruction", "n00", world.close(world.table))


@shows("3.54")
def _payer_named() -> None:
    world = Library()
    rejected(world, "BadInstruction", "n00", world.extend(key(1), payer=None))
