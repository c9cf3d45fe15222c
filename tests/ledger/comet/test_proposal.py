"""What a block is proposed with, and which proposals are refused."""

import asyncio
from collections.abc import Sequence

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import Instruction
from solders.system_program import TransferParams, transfer

from roundwork.errors import EngineFailed, PoolFull
from roundwork.ledger.comet import proposal
from roundwork.ledger.comet.proposal import (
    Candidate,
    Known,
    Waiting,
    check_proposal,
    choose,
    compute_room,
)
from roundwork.protocol.transaction import Transaction, is_signed

from ...protocol.stage import NODES, Stage
from ...protocol.test_nonces import Safe
from ...protocol.world import World, compact_submission, keypair_of, move


async def verify(transactions: list[Transaction]) -> list[bool]:
    return [is_signed(transaction) for transaction in transactions]


def look_at(*wires: bytes) -> list[Candidate]:
    return asyncio.run(Known(verify).look_at(wires))


def pay(world: World, payer: str, amount: int = 1) -> bytes:
    source, target = keypair_of(payer).pubkey(), keypair_of("somebody").pubkey()
    world.keys.setdefault(payer, keypair_of(payer))
    asked = transfer(TransferParams(from_pubkey=source, to_pubkey=target, lamports=amount))
    return world.wire([payer], asked)


def spoil(wire: bytes) -> bytes:
    """The same transaction with one bit of its signature changed."""
    return wire[:5] + bytes([wire[5] ^ 1]) + wire[6:]


@pytest.fixture
def world() -> World:
    world = World(("manager", "n00", "n01"), fee_per_signature=5000)
    world.wait(3)
    return world


def propose(world: World, wires: Sequence[bytes], bytes_max: int = 2**20) -> list[bytes]:
    return choose(world.state, world.state.head.slot + 1, look_at(*wires), bytes_max)


def test_what_will_run_is_proposed_in_its_order(world: World) -> None:
    wires = [pay(world, "manager"), pay(world, "n00"), pay(world, "manager")]

    assert wires == propose(world, wires)


def test_a_nonce_is_named_once_in_a_proposal() -> None:
    world = Safe()
    wires = [world.later(transfer_to_somebody(world, amount)) for amount in (1, 2)]

    assert wires[:1] == propose(world, [*wires, *wires])


def transfer_to_somebody(world: World, amount: int) -> Instruction:
    target = keypair_of("somebody").pubkey()
    return transfer(TransferParams(from_pubkey=world.keys["n01"].pubkey(), to_pubkey=target, lamports=amount))


def test_what_would_be_void_is_left_out(world: World) -> None:
    good, spent = pay(world, "manager"), pay(world, "n00")
    world.block(spent)
    bad = [b"nonsense", spoil(good), spent, good[:-1], pay(world, "nobody")]
    stale = world.wire(["n00"], tick=bytes(32))

    assert [good] == propose(world, [*bad, good, stale, good])


def test_a_payer_owes_no_more_fees_than_it_holds(world: World) -> None:
    target = keypair_of("poor").pubkey()
    source = keypair_of("manager").pubkey()
    world.run("manager", transfer(TransferParams(from_pubkey=source, to_pubkey=target, lamports=12_000)))
    wires = [pay(world, "poor") for _ in range(5)]

    assert wires[:2] == propose(world, wires)


def test_a_proposal_keeps_within_its_bytes(world: World) -> None:
    wires = [pay(world, "manager") for _ in range(5)]
    room = sum(compute_room(wire) for wire in wires[:3])

    assert wires[:3] == propose(world, wires, room)
    assert wires[:2] == propose(world, wires, room - 1)


def test_a_proposal_keeps_within_its_count(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal, "TRANSACTIONS_MAX", 3)
    wires = [pay(world, "manager") for _ in range(5)]

    assert wires[:3] == propose(world, wires)


def offer(world: World, payer: str, price: int) -> bytes:
    """A payment that offers a price, in roe."""
    asked = [set_compute_unit_limit(1_000_000), set_compute_unit_price(price)]
    return world.wire([payer], *asked, move(world, payer, "manager", 1))


def test_the_price_decides_and_then_the_order_of_the_pool(world: World) -> None:
    cheap, dear, free = offer(world, "n00", 1), offer(world, "n01", 9), pay(world, "n00")

    assert [dear, cheap, free] == propose(world, [free, cheap, dear])


def test_half_of_a_proposal_is_kept_for_work() -> None:
    stage = Stage()
    stage.go(0, 1)
    work = [stage.wire([name], compact_submission(stage.submit(name, 0))) for name in NODES]
    flood = [offer(stage, "manager", 10) for _ in range(20)]
    room = 8 * max(compute_room(wire) for wire in [*work, *flood])

    chosen = propose(stage, [*flood, *work], room)

    assert work == chosen[:3]
    assert flood[: len(chosen) - 3] == chosen[3:]
    assert sum(compute_room(wire) for wire in chosen) <= room
    assert propose(stage, flood, room) == flood[: room // compute_room(flood[0])]
    check_proposal(look_at(*chosen))


def test_what_waits_for_cometbft_has_a_half_for_work() -> None:
    stage, waiting = Stage(), Waiting(8)
    stage.go(0, 1)
    flood = look_at(*[offer(stage, "manager", 10) for _ in range(5)])
    work = look_at(*[stage.wire([name], stage.instruct(stage.submit(name, 0))) for name in NODES])

    assert [False] * 4 == [waiting.enter(stage.state, candidate) for candidate in flood[:4]]
    with pytest.raises(PoolFull, match="4 transactions wait for CometBFT"):
        waiting.enter(stage.state, flood[4])
    assert [True] * 3 == [waiting.enter(stage.state, candidate) for candidate in work]
    assert not waiting.enter(stage.state, flood[0])  # once more is not twice
    waiting.leave([flood[0].wire])
    assert not waiting.enter(stage.state, flood[4])


def test_a_place_is_kept_while_cometbft_checks_its_transaction_after_each_block() -> None:
    stage, waiting = Stage(), Waiting(2)
    first, second = look_at(offer(stage, "manager", 1), offer(stage, "manager", 2))
    waiting.enter(stage.state, first)
    waiting.see(first.wire, 5)
    for height in (6, 7):
        waiting.see(first.wire, height)
        waiting.forget_unseen(height + 1)
        with pytest.raises(PoolFull):
            waiting.enter(stage.state, second)

    waiting.forget_unseen(9)  # it has left the pool

    assert not waiting.enter(stage.state, second)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 1232, 16_383, 16_384])
def test_room_is_what_protobuf_takes(size: int) -> None:
    from roundwork.ledger.comet.schema import get_message

    response = get_message("ResponsePrepareProposal")(txs=[b"x" * size])

    assert response.ByteSize() == compute_room(b"x" * size)


def test_only_what_a_correct_proposer_never_sends_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, other = pay(world, "manager"), pay(world, "n00")
    stale = world.wire(["n00"], tick=bytes(32))
    poor = pay(world, "nobody")

    check_proposal(look_at(good, stale, poor, other))
    for wires, text in [
        ((good, b"nonsense"), "transaction 1 is undecodable: the transaction ends too early"),
        ((good, b"x" * 1233), "transaction 1 is undecodable: the transaction has 1233 bytes"),
        ((spoil(good),), "transaction 0 has a signature that does not verify"),
        ((good, other, good), "transaction 2 stands twice in the block"),
    ]:
        with pytest.raises(EngineFailed, match=text):
            check_proposal(look_at(*wires))
    with pytest.raises(EngineFailed, match=r"\d+ bytes of transactions in a block; 1048576 are allowed"):
        check_proposal(look_at(*[pay(world, "manager") for _ in range(2**20 // compute_room(good) + 1)]))
    monkeypatch.setattr(proposal, "TRANSACTIONS_MAX", 1)
    with pytest.raises(EngineFailed, match="2 transactions in a block; 1 are allowed"):
        check_proposal(look_at(good, other))


def test_a_signature_is_verified_once(world: World) -> None:
    asked: list[int] = []

    async def count(transactions: list[Transaction]) -> list[bool]:
        asked.append(len(transactions))
        return await verify(transactions)

    async def run() -> None:
        known = Known(count)
        wires = [pay(world, "manager") for _ in range(3)]
        await known.look_at(wires[:2])
        await known.look_at([*wires, b"nonsense"])
        again = await known.look_at([*wires, b"nonsense"])
        assert [candidate.is_verified for candidate in again] == [True, True, True, False]
        known.forget(wires)
        await known.look_at(wires[:1])

    asyncio.run(run())

    assert [count for count in asked if count] == [2, 1, 1]


def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal, "KNOWN_MAX", 2)
    known = Known(verify)

    asyncio.run(known.look_at([b"a", b"b", b"c"]))

    assert known.find(b"a") is None
    assert known.find(b"c") is not None
