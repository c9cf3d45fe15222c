"""What readers see of a round under roundwork-1."""

import msgspec

from roundwork.hardened_views import ChallengeView
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import view_round
from roundwork.protocol.read_hardened import view_assignments, view_posted_proof, view_round_proof
from roundwork.protocol.tasks.leaves import compute_root_of_path
from roundwork.views import RoundView

from .hardened import AUDIT_END, FEE, NODES, PROOF, RECEIPT, STAKES, SW, VOTES, Hardened, name_proof
from .stage import Stage


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
