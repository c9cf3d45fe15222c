"""A whole task under roundwork-1: in a token too, in bytes that are kept, and by the vectors of the text."""

import json
from pathlib import Path

import pytest

from roundwork.protocol.execute import decode_block, encode_receipt, execute
from roundwork.protocol.genesis import create_state, decode_genesis
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.round import RoundState

from .hardened import AUDIT_END, NODES, RECEIPT, STAKES, SW, Hardened, HardenedTokens, eighth
from .make_hardened_journal import read
from .make_hardened_vectors import PATH, compute

TEXT = Path(__file__).parents[2] / "docs" / "PROTOCOL.md"


def play_to_the_end(world: Hardened) -> None:
    """A whole round; then everybody takes out what it has, and the task is closed."""
    world.play()
    assert RoundState.PAID == world.cursor().opened.state
    world.go(6, AUDIT_END).block()
    for name in NODES:
        if world.stake_of(name):
            world.expect("ok", name, ins.Withdraw(world.task, world.key(name)))
        world.expect("ok", name, world.ask_claim(world.task, name))
        assert (0, 0) == (world.stake_of(name), world.available_of(name))
    world.expect("ok", "manager", world.ask_close(world.task))


def test_a_round_with_all_its_messages_is_paid_and_everything_can_be_got_out() -> None:
    play_to_the_end(Hardened())


def test_so_does_a_task_that_pays_in_a_token() -> None:
    play_to_the_end(HardenedTokens())


def test_an_update_moves_a_token_task_to_roundwork_1() -> None:
    world = HardenedTokens()
    ask = world.ask_update(
        world.task, "next", ("pot", "pot2"), bounty_per_round=100, round_time=60, audit_window=48,
        submission_window=11, minimum_stake=10_000, locals=b"rules:roundwork-1",
    )  # fmt: skip

    made = world.create_account("manager", "next", 0, 100)
    receipt = world.run(world.get_founders("next", "pot2"), made, world.instruct(ask))

    assert not receipt.kind, receipt


def test_the_kept_vectors_are_those_of_the_law_and_of_the_text() -> None:
    kept, text = json.loads(PATH.read_text()), TEXT.read_text()

    assert compute() == kept
    for name in (
        "commitment",
        "beacon",
        "checkers_seed",
        "jury_seed",
        "ranks_seed",
        "content_id",
        "root",
        "head",
        "genesis_hash",
        "genesis_state_hash",
        "block_hash",
        "tick",
        "block_state_hash",
    ):
        assert kept[name] in text


@pytest.mark.parametrize("at", [0, 1])
def test_the_kept_journal_of_roundwork_1_leads_to_the_same_hashes_and_receipts(at: int) -> None:
    vector = read()[at]
    state = create_state(decode_genesis(vector.genesis, "vector"))

    assert len(vector.entries) > 300
    for entry in vector.entries:
        outcome = execute(state, decode_block(entry.block), list(map(bool, entry.verified)))
        assert entry.state_hash == outcome.state_hash
        assert entry.receipts == list(map(encode_receipt, outcome.receipts))


def test_at_the_least_windows_an_outage_anywhere_in_audit_fines_no_honest_node() -> None:
    for missed in range(SW + 1, AUDIT_END + 1):
        world = Hardened().submitted()
        play_past_an_outage(world, missed)

        assert STAKES == {name: world.stake_of(name) for name in NODES}, missed


def play_past_an_outage(world: Hardened, missed: int) -> None:
    """Every node does its duty in the first slot that it has for it, when no block falls into one of them."""
    start = world.start + 60
    committed = revealed = False
    while world.state.head.slot < start + AUDIT_END:
        offset = world.state.head.slot - start
        if eighth(3) <= offset < eighth(4) and not committed:
            world._commit_bits(RECEIPT, {}, (), 0)
            committed = True
        if eighth(7) <= offset < AUDIT_END and not revealed:
            world.disclosed()
            revealed = True
        world.block(slots=2 if offset + 1 == missed else 1)
    assert committed
    assert revealed
