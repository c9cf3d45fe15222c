"""Blocks, slots, ticks, fees, simulation: the frame that every instruction runs in."""

from typing import Any

import msgspec
import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from roundwork.protocol.execute import (
    compute_slot,
    decode_block,
    encode_block,
    execute,
    next_block,
    simulate,
)  # fmt: skip
from roundwork.protocol.params import TICKS
from roundwork.protocol.state import u64
from roundwork.protocol.ticks import compute_closing_ticks, compute_tick, get_newest_tick
from roundwork.protocol.transaction import decode_transaction

from .world import SLOT_MS, World, keypair_of, move

PRODUCER = bytes(keypair_of("producer").pubkey())


@pytest.mark.parametrize(
    ("passed_ms", "slots", "began_ms"),
    [
        (0, 0, 0),
        (SLOT_MS - 1, 0, 0),
        (SLOT_MS, 1, SLOT_MS),
        (2 * SLOT_MS + 7, 2, 2 * SLOT_MS),
        (3 * SLOT_MS, 2, 3 * SLOT_MS),  # a gap: the slot begins now
        (10**7, 2, 10**7),
    ],
)
def test_a_slot_follows_from_the_time_and_an_outage_pauses_the_slots(
    passed_ms: int, slots: int, began_ms: int
) -> None:
    world = World()
    head = world.state.head

    slot, began = compute_slot(world.state.genesis, head, head.began_ms + passed_ms)

    assert (head.slot + slots, head.began_ms + began_ms) == (slot, began)


def test_time_never_runs_backwards() -> None:
    world = World()
    world.block(slots=2)

    block = next_block(world.state, 0, [], PRODUCER)

    assert world.state.head.time_ms == block.time_ms


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1}, {"genesis_hash": bytes(32)}, {"height": 5}, {"parent_hash": bytes(32)}, {"slot": 9},
        {"time_ms": 1},
    ],
)  # fmt: skip
def test_a_block_that_does_not_follow_is_never_executed(change: dict[str, Any]) -> None:
    world = World()
    world.block()
    block = msgspec.structs.replace(next_block(world.state, world.state.head.time_ms, [], PRODUCER), **change)
    before = world.dump()

    with pytest.raises(ValueError, match="block"):
        execute(world.state, block, [])

    assert before == world.dump()


def test_a_block_is_never_dated_before_its_parent() -> None:
    world = World()
    world.block(time_ms=world.state.head.began_ms + SLOT_MS + 50)
    block = next_block(world.state, world.state.head.time_ms, [], PRODUCER)

    with pytest.raises(ValueError, match="before its parent"):
        execute(world.state, msgspec.structs.replace(block, time_ms=block.time_ms - 1), [])


def test_a_block_survives_its_bytes() -> None:
    world = World()
    block = next_block(world.state, world.state.head.time_ms, [b"x"], PRODUCER, b"evidence")

    assert block == decode_block(encode_block(block))


def test_a_tick_is_good_for_300_slots_and_then_it_and_its_signatures_are_forgotten() -> None:
    world = World()
    world.wait(1)
    first, slot = get_newest_tick(world.state, 1)
    assert slot == 0
    early = world.wire(["n00"], move(world, "n00", "n01", 1), tick=first)
    late = world.wire(["n00"], move(world, "n00", "n01", 2), tick=first)

    world.wait(TICKS - 1)
    assert [one.kind for one in world.block(early).receipts] == [0]
    world.block(slots=1)
    receipt = world.block(late, slots=0).receipts[0]

    assert receipt.name == "BlockhashNotFound"
    assert b"X" + u64(0) not in world.state.tables
    assert len(world.state.ticks.rows) == TICKS


def test_ticks_change_in_every_slot_of_an_idle_ledger() -> None:
    world = World()
    world.block(slots=2)
    head = world.state.head

    ticks = {get_newest_tick(world.state, slot)[0] for slot in range(head.slot + 1, head.slot + 4)}

    assert len(ticks) == 3
    assert compute_tick(head.block_hash, head.slot) in ticks


def test_the_tick_that_is_handed_out_can_be_named_in_the_block_that_comes() -> None:
    world = World()
    world.block(slots=2)
    slot = world.state.head.slot + 2
    tick, _ = get_newest_tick(world.state, slot)

    receipt = world.block(world.wire(["n00"], move(world, "n00", "n01", 1), tick=tick), slots=2).receipts[0]

    assert receipt.kind == 0


def test_the_ticks_that_a_block_will_close_are_known_before_it() -> None:
    world = World()
    world.block(slots=2)
    slot = world.state.head.slot + 2

    closing = compute_closing_ticks(world.state, slot)
    world.block(slots=2)

    assert [slot - 2, slot - 1] == [world.state.tick_slots[tick] for tick in closing]


def test_fees_go_to_the_producer_also_for_what_is_rejected() -> None:
    world = World(fee_per_signature=7)
    poor = move(world, "n00", "n01", 10**16)

    outcome = world.block(world.wire(["n00"], poor), world.wire(["n00"], move(world, "n00", "n01", 1)))

    assert [one.name for one in outcome.receipts] == ["BalanceTooLow", ""]
    assert world.state.accounts.rows[PRODUCER].balance == 14


def test_a_transaction_takes_effect_as_a_whole_or_not_at_all() -> None:
    world = World(fee_per_signature=7)
    before = world.dump()

    receipt = world.run("n00", move(world, "n00", "n01", 5), move(world, "n00", "n02", 10**16))

    assert (receipt.instruction, receipt.name) == (1, "BalanceTooLow")
    accounts = world.dump()[b"A"]
    changed = {key for key in accounts if accounts[key] != before[b"A"].get(key)}
    assert {world.key("n00"), PRODUCER} == changed


def test_balances_before_and_after_are_on_the_receipt() -> None:
    world = World(fee_per_signature=7)

    receipt = world.run("n00", move(world, "n00", "new", 5))

    assert receipt.pre[0] - 12 == receipt.post[0]
    assert 5 in receipt.post
    assert sum(receipt.pre) - 7 == sum(receipt.post)


def test_a_simulation_says_what_would_happen_and_changes_nothing() -> None:
    world = World(fee_per_signature=7)
    world.block(slots=2)
    slot = world.state.head.slot + 1
    tick, _ = get_newest_tick(world.state, slot)
    good = decode_transaction(world.wire(["n00"], move(world, "n00", "n01", 5), tick=tick))
    bad = decode_transaction(world.wire(["n00"], move(world, "n00", "n01", 10**16), tick=tick))
    before, ticks = world.dump(), dict(world.state.tick_slots)

    receipts = [simulate(world.state, one, slot) for one in (good, bad)]

    assert [one.name for one in receipts] == ["", "BalanceTooLow"]
    assert simulate(world.state, good, slot, is_verified=False).name == "SignatureFailure"
    assert (before, ticks) == (world.dump(), world.state.tick_slots)


def test_an_account_without_money_and_data_ceases_to_exist() -> None:
    world = World()
    world.run("n00", move(world, "n00", "brief", 5))
    assert world.key("brief") in world.state.accounts.rows

    receipt = world.block(world.wire(["n01", "brief"], move(world, "brief", "n01", 5))).receipts[0]

    assert receipt.kind == 0
    assert world.key("brief") not in world.state.accounts.rows


def test_a_block_may_share_its_slot_with_others() -> None:
    world = World()
    world.block(slots=1)
    slot = world.state.head.slot

    hashes = {world.block(slots=0).block_hash for _ in range(3)}

    assert len(hashes) == 3
    assert slot == world.state.head.slot


def test_a_payer_that_is_only_marked_read_only_elsewhere_still_pays() -> None:
    world = World(fee_per_signature=7)
    metas = [AccountMeta(Pubkey(world.key("n00")), True, False)]
    program = Pubkey.from_string("ComputeBudget111111111111111111111111111111")

    receipt = world.run("n00", Instruction(program, b"\x02\0\0\0\0", metas))

    assert receipt.pre[0] - receipt.post[0] == 7
