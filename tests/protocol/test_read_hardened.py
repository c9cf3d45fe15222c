"""What readers see of a round under roundwork-1."""

import msgspec
import pytest

from roundwork.hardened_views import ChallengeView
from roundwork.protocol.params import base58_of, key_of
from roundwork.protocol.read import count_rows, list_frozen, read_part, view_head, view_own, view_round
from roundwork.protocol.read_hardened import view_assignments, view_posted_proof, view_round_proof
from roundwork.protocol.tasks.leaves import compute_root_of_path
from roundwork.views import (
    PART_ROWS,
    OwnRound,
    PartKey,
    PartKind,
    RaisedRow,
    RoundView,
    VerdictRow,
    join_rounds,
)

from .hardened import AUDIT_END, FEE, NODES, PROOF, RECEIPT, STAKES, SW, VOTES, Hardened, name_proof
from .stage import SW as STAGE_SW
from .stage import Stage
from .world import World


def address(world: Hardened, name: str) -> str:
    return base58_of(world.key(name))


def test_a_round_under_koii_1_has_nothing_of_it() -> None:
    world = Stage().submitted()

    assert view_round(world.state, world.task, 0).hardened is None
    assert view_round_proof(world.state, world.task, 0, world.key("n00")) is None
    assert [] == view_assignments(world.state, world.task, 0, world.key("n00")).checks


def test_a_round_that_nobody_opened_has_its_windows_only() -> None:
    world = Hardened()

    seen = view_round(world.state, world.task, 3).hardened

    assert seen is not None
    windows = {window.activity: (window.first, window.last) for window in seen.windows}
    start = world.start + 4 * 60
    assert (start, start + SW // 2) == windows["commit"]
    assert ([], [], [], {}, "") == (seen.committed, seen.submissions, seen.ranks, seen.nets, seen.head)


def test_what_was_found_and_said_of_a_submission_is_seen() -> None:
    world = Hardened().submitted({"n01": name_proof(PROOF)})
    world.expect("ok", "n03", world.challenge("n03", "n01"), slots=0)
    seen = view_round(world.state, world.task, 0)
    assert seen.hardened is not None
    challenged = next(each for each in seen.hardened.submissions if each.challenge)
    challenge = ChallengeView(address(world, "n03"), world.state.head.slot, 20 * FEE)
    assert (address(world, "n01"), challenge, False) == (
        challenged.node,
        challenged.challenge,
        challenged.is_posted,
    )
    for chunk, data in enumerate((PROOF[:800], PROOF[800:])):
        world.expect("ok", "n01", world.answer("n01", "n01", chunk, data), slots=0)
    assert PROOF.hex() == view_posted_proof(world.state, world.task, 0, world.key("n01"))
    assert view_posted_proof(world.state, world.task, 0, world.key("n02")) is None
    guilty = {"n01": False}
    world.judged(guilty, guilty, "n00", ("n01",))

    seen = view_round(world.state, world.task, 0)

    assert seen.hardened is not None
    by_node = {each.node: each for each in seen.hardened.submissions}
    convicted = by_node[address(world, "n01")]
    assert ("convicted", -1, True) == (convicted.verdict, convicted.votes, convicted.is_posted)
    assert {address(world, name): False for name in world.checkers("n01")} == convicted.receipts
    assert convicted.trial is not None
    assert {address(world, name): stake for name, stake in STAKES.items()} == convicted.trial.seats
    assert {address(world, name): False for name in ("n02", "n03", "n04")} == convicted.trial.votes
    assert [(-1, "convicted")] == [(row.votes, row.verdict) for row in seen.submissions if row.trigger_by]
    for name in NODES:
        checks = len(world.duties(name, RECEIPT))
        row = by_node[address(world, name)]
        assert (checks, checks) == (row.audits_assigned, row.audits_done)
        given = next(each for each in seen.submissions if each.node == row.node)
        assert (checks, checks) == (given.audits_assigned, given.audits_done)
    assert seen == msgspec.json.decode(msgspec.json.encode(seen), type=RoundView)


def test_a_node_sees_what_it_was_drawn_for_in_the_order_of_its_bits() -> None:
    world = Hardened().submitted().checked().accused("n02", "n01").voted()

    for name in NODES:
        seen = view_assignments(world.state, world.task, 0, world.key(name))
        assert [address(world, of) for of in world.duties(name, RECEIPT)] == seen.checks
        assert [address(world, of) for of in world.duties(name, VOTES)] == seen.trials


def test_a_proof_of_a_round_that_is_over_leads_from_leaf_to_head() -> None:
    world = Hardened()
    world.play()
    proof = None

    for name in NODES:
        proof = view_round_proof(world.state, world.task, 0, world.key(name))
        assert proof is not None
        path = [bytes.fromhex(beside) for beside in proof.path]
        root = compute_root_of_path(bytes.fromhex(proof.leaf), proof.place, proof.leaves, path)
        assert bytes.fromhex(proof.root) == root
        assert world.net_of(name) == proof.net
    seen = view_round(world.state, world.task, 0).hardened
    assert seen is not None
    assert proof is not None
    assert proof.head == seen.head
    assert view_round_proof(world.state, world.task, 0, world.key("manager")) is None


def test_who_committed_and_submitted_nothing_has_a_leaf_too() -> None:
    world = Hardened().submitted(names=("n00", "n01"), silent=("n01",))

    proof = view_round_proof(world.state, world.task, 0, world.key("n01"))

    assert proof is not None
    assert ("no submission", 0, -1000) == (proof.verdict, proof.votes, proof.net)


def test_the_ledgers_own_split_is_among_the_lists() -> None:
    world = Hardened().submitted().judged().go(3, AUDIT_END)
    world.block()

    split = view_round(world.state, world.task, 0).lists[-1]

    assert (255, base58_of(world.task), 1000) == (split.attempt, split.submitter, sum(split.amounts.values()))


# Parts


def read_raised(world: Hardened, kind: PartKind, since_slot: int = 0) -> list[tuple[str, str]]:
    """By whom something was done about a candidate, by their names; the newest last."""
    rows = read_part(world.state, world.task, PartKey(0, kind), since_slot)
    assert len(rows) == count_rows(world.cursor(), PartKey(0, kind)) or since_slot
    raised = [row for row in rows if isinstance(row, RaisedRow)]
    names = {address(world, name): name for name in NODES}
    return [(names[row.candidate], names[row.trigger_by]) for row in raised]


def test_challenges_posted_proofs_and_accusations_are_read_from_a_slot_on() -> None:
    world = Hardened().submitted({"n01": name_proof(PROOF), "n02": name_proof(PROOF)})
    world.expect("ok", "n03", world.challenge("n03", "n01"), slots=0)
    world.expect("ok", "n00", world.challenge("n00", "n02"))
    later = world.state.head.slot
    for chunk, data in enumerate((PROOF[:800], PROOF[800:])):
        world.expect("ok", "n04", world.answer("n04", "n01", chunk, data), slots=0)
    world.checked().accused("n04", "n03")

    head = next(each for each in view_head(world.state, world.task).rounds if each.round == 0)

    assert head.hardened is not None
    assert (2, 1, 1) == (head.hardened.challenged, head.hardened.posted, head.raised)
    assert [("n01", "n03"), ("n02", "n00")] == read_raised(world, PartKind.CHALLENGED)
    assert [("n02", "n00")] == read_raised(world, PartKind.CHALLENGED, later)
    assert [("n01", "n04")] == read_raised(world, PartKind.POSTED)
    assert [("n03", "n04")] == read_raised(world, PartKind.RAISED)
    assert [] == read_raised(world, PartKind.RAISED, world.state.head.slot + 1)


def test_verdicts_are_frozen_when_audit_ends_and_are_those_of_the_round() -> None:
    guilty = {"n01": False}
    world = Hardened().submitted().judged(guilty, guilty, "n00", ("n01",))
    part = PartKey(0, PartKind.VERDICTS)
    frozen = list_frozen(world.cursor())

    rows = read_part(world.state, world.task, part)

    assert [PartKey(0, PartKind.SUBMISSIONS), part] == frozen
    assert PART_ROWS[part.kind] is VerdictRow
    assert len(NODES) == len(rows) == count_rows(world.cursor(), part)
    shown = view_round(world.state, world.task, 0).submissions
    assert [
        (each.node, each.verdict, each.votes, each.trigger_by, each.audits_assigned, each.audits_done)
        for each in shown
    ] == [
        (
            base58_of(row.node),
            row.verdict,
            row.votes,
            base58_of(row.accuser) if row.accuser else None,
            row.audits_assigned,
            row.audits_done,
        )
        for row in rows
        if isinstance(row, VerdictRow)
    ]


def test_own_records_have_what_the_node_was_drawn_for_once_it_has_committed() -> None:
    world = Hardened().submitted()

    for name in (*NODES, "manager"):
        own = view_own(world.state, world.task, world.key(name))
        drawn = view_assignments(world.state, world.task, 0, world.key(name))
        assert [drawn if name in NODES else None] == [each.assignments for each in own.rounds or [OWN]]


OWN = OwnRound(round=0)


# Pages


def read_pages(world: World, limit: int) -> list[RoundView]:
    """Round 0, page by page."""
    pages = [view_round(world.state, world.task, 0, limit=limit)]
    while (after := pages[-1].next_after) is not None:
        pages.append(view_round(world.state, world.task, 0, key_of(after), limit))
    return pages


def check_pages(world: World, limit: int) -> None:
    pages = read_pages(world, limit)

    assert view_round(world.state, world.task, 0) == join_rounds(pages)
    assert max(len(page.submissions) for page in pages) <= limit
    assert len(pages) > 1 or limit > 2


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 100])
def test_pages_put_together_are_the_round(limit: int) -> None:
    world = Hardened()

    world.play(lambda: check_pages(world, limit))


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_put_together_are_the_round_under_koii_1(limit: int) -> None:
    world = Stage().submitted().go(1, STAGE_SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n02"))
    world.expect("ok", "n01", world.audit("n01", 0, "n02"), slots=0)
    world.go(2).expect_list("ok", "n01", 0, {"n00": 60, "n01": 40, "n02": -700})
    world.go(2, STAGE_SW + 1).expect("ok", "n02", world.audit_list("n02", 0, "n01"))
    world.expect("ok", "n00", world.audit_list("n00", 0, "n01", 1), slots=0)
    check_pages(world, limit)

    world.go(3)

    check_pages(world, limit)
