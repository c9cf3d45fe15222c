"""What the operator of a node reads of a round under roundwork-1: what it owes, and why it lost something."""

from typing import Any

import pytest

from roundwork.client.sealed_standing import (
    describe_part,
    describe_stakes,
    explain_losses,
    list_owed,
    takes_part,
)
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import view_round
from roundwork.protocol.read_hardened import view_assignments
from roundwork.views import RoundView

from ..protocol.hardened import (
    AUDIT_END,
    AW,
    MINIMUM,
    NODES,
    PROOF,
    RECEIPT,
    SUBMISSION,
    SW,
    VOTES,
    Hardened,
    eighth,
    make_bits,
    name_proof,
)

LAPSE = MINIMUM // 10
BAD = {"n01": False}
"""What honest nodes find of a wrong submission."""


def see(world: Hardened) -> RoundView:
    return view_round(world.state, world.task, 0)


def owed(world: Hardened, name: str) -> list[str]:
    own = view_assignments(world.state, world.task, 0, world.key(name))
    found = list_owed(see(world), own)
    assert all(each["round"] == 0 and each["until_slot"] >= world.state.head.slot for each in found)
    return [each["duty"] for each in found]


def losses(world: Hardened, name: str) -> list[str]:
    return explain_losses(see(world), base58_of(world.key(name)))


def part(world: Hardened, name: str) -> dict[str, Any]:
    return describe_part(see(world), base58_of(world.key(name)))


def test_a_node_owes_what_it_has_not_sent_and_nothing_after_that() -> None:
    world = Hardened()
    world.go(1).block()
    assert ["commit to its proof"] == owed(world, "n00")
    world.expect("ok", "n00", world.commit("n00", SUBMISSION, b"the work"), slots=0)
    assert [] == owed(world, "n00")

    world.go(1, SW // 2 + 1).block()
    assert ["reveal its proof"] == owed(world, "n00")
    assert [] == owed(world, "n01")  # which committed nothing
    world.expect("ok", "n00", world.reveal("n00", SUBMISSION, b"the work"), slots=0)
    assert [] == owed(world, "n00")


def test_a_challenged_node_owes_its_proof_until_it_is_posted() -> None:
    world = Hardened().submitted({"n01": name_proof(PROOF)})
    assert [] == owed(world, "n01")

    world.expect("ok", "n03", world.challenge("n03", "n01"), slots=0)
    assert ["post its proof, which was challenged"] == owed(world, "n01")
    assert 0 < describe_stakes([see(world)], base58_of(world.key("n03")))["challenge_fees"]

    for chunk, data in enumerate((PROOF[:800], PROOF[800:])):
        world.expect("ok", "n01", world.answer("n01", "n01", chunk, data), slots=0)
    assert [] == owed(world, "n01")
    assert 1 == part(world, "n03")["challenges"]


def test_checks_votes_and_their_reveals_are_owed_in_their_windows() -> None:
    world = Hardened().submitted({"n01": b"garbage"})
    checker = world.checkers("n01")[0]
    world.go(1, eighth(3)).block()
    count = len(world.duties(checker, RECEIPT))
    assert [f"check {count} proof{'s' * (count > 1)} and commit to a receipt"] == owed(world, checker)

    world.checked(BAD).accused(checker, "n01")
    assert {"bonds": world.cursor().trials.rows[world.key("n01")].bond, "challenge_fees": 0} == (
        describe_stakes([see(world)], base58_of(world.key(checker)))
    )
    world.go(1, eighth(5)).block()
    juror = next(name for name in NODES if name not in (checker, "n01"))
    assert ["judge 1 accused proof and commit to votes"] == owed(world, juror)

    world.voted(BAD).go(1, eighth(7)).block()
    assert ["reveal its receipt", "reveal its votes"] == owed(world, juror)
    world.disclosed()
    assert [] == owed(world, juror)


def test_the_first_rank_owes_the_list_and_others_their_votes_when_it_is_accused() -> None:
    world = Hardened().submitted().judged()
    world.go(2).block()
    first, second, *_ = world.ranks()
    assert ["hand in the list, as rank 1"] == owed(world, first)
    assert ["hand in the list, as rank 2"] == owed(world, second)

    world.hand_in_whole(first, {"n00": 100}, slots=0)
    assert [] == owed(world, second)
    accuser, voter, *_ = [name for name in NODES if name != first]
    world.go(2, SW + 1).expect("ok", accuser, world.audit_list(accuser, first))
    world.go(2, SW + AW // 2 + 1).block()
    assert ["vote on the list, which was accused"] == owed(world, voter)
    assert [] == owed(world, first)
    assert [] == owed(world, accuser)
    world.expect("ok", voter, world.audit_list(voter, first, 1), slots=0)
    assert [] == owed(world, voter)


def test_an_honest_node_that_did_all_of_its_duties_lost_nothing() -> None:
    world = Hardened().submitted({"n01": b"garbage"})
    world.judged(BAD, BAD, world.checkers("n01")[0], ("n01",))

    for name in NODES:
        assert ([] if name != "n01" else ["its proof was convicted"]) == losses(world, name)
        shown = part(world, name)
        assert shown["checks_assigned"] == shown["checks_done"] > 0


def test_each_way_to_lose_something_has_its_reason() -> None:
    world = Hardened().submitted({"n01": b"garbage"})
    careless = world.checkers("n01")[0]
    accuser = world.checkers("n01")[1]
    receipt = make_bits([True] * len(world.duties(careless, RECEIPT)))
    world.go(1, eighth(3)).block()
    world.expect("ok", careless, world.commit(careless, RECEIPT, receipt), slots=0)
    world.bits[careless, RECEIPT, 0] = receipt
    silent = next(name for name in NODES if name not in (careless, accuser, "n01"))
    world.checked(BAD, silent=(careless, silent)).accused(accuser, "n01")
    world.voted(BAD, silent=(silent,)).disclosed().go(1, AUDIT_END).block()

    assert "CONVICTED" == world.verdict("n01")[0]
    assert ["it found 1 proof valid that a jury convicted"] == losses(world, careless)
    unchecked = len(world.duties(silent, RECEIPT))
    assert [
        f"it revealed no receipt over {unchecked} proof{'s' * (unchecked > 1)}",
        "it revealed no vote on 1 accused proof",
    ] == losses(world, silent)
    assert [] == losses(world, accuser)


def test_who_accuses_an_honest_proof_reads_why_the_bond_is_gone() -> None:
    world = Hardened().submitted()
    accuser = world.checkers("n01")[0]
    world.checked().accused(accuser, "n01").voted().disclosed().go(1, AUDIT_END).block()

    assert "ACQUITTED" == world.verdict("n01")[0]
    assert ["it accused a proof that was acquitted"] == losses(world, accuser)
    assert 1 == part(world, accuser)["accusations"]
    assert {"bonds": 0, "challenge_fees": 0} == describe_stakes([see(world)], base58_of(world.key(accuser)))


def test_a_juror_reads_that_it_voted_against_the_majority() -> None:
    world = Hardened().submitted({"n01": b"garbage"})
    accuser = world.checkers("n01")[0]
    world.checked(BAD).accused(accuser, "n01")
    odd = next(name for name in NODES if name not in (accuser, "n01"))
    world.go(1, eighth(5)).block()
    vote = make_bits([True])
    world.expect("ok", odd, world.commit(odd, VOTES, vote), slots=0)
    world.bits[odd, VOTES, 0] = vote
    world.voted(BAD, silent=(odd,)).disclosed().go(1, AUDIT_END).block()

    assert "it voted against the majority on 1 accused proof" in losses(world, odd)


def test_a_commitment_that_is_not_revealed_and_a_proof_that_is_missing_have_their_reasons() -> None:
    world = Hardened().submitted({"n01": name_proof(PROOF)}, silent=("n02",))
    world.expect("ok", "n03", world.challenge("n03", "n01"), slots=0)
    world.judged()

    assert ["it committed a proof and did not reveal it"] == losses(world, "n02")
    assert ["its proof could not be had when it was challenged"] == losses(world, "n01")
    assert ("no submission", -LAPSE) == (part(world, "n02")["verdict"], part(world, "n02")["net"])
    assert takes_part(see(world), base58_of(world.key("n02")))


@pytest.mark.parametrize("is_right", [True, False])
def test_the_end_of_an_accused_list_is_explained_to_its_accuser_and_to_its_author(is_right: bool) -> None:
    world = Hardened().submitted().judged()
    world.listed({"n00": 100}).go(2, SW + 1)
    lister = world.ranks()[0]
    accuser, *voters = [name for name in NODES if name != lister]
    world.expect("ok", accuser, world.audit_list(accuser, lister))
    world.go(2, SW + AW // 2 + 1).block()
    for voter in voters:
        world.expect("ok", voter, world.audit_list(voter, lister, int(is_right)), slots=0)
    world.go(2, AUDIT_END).block()
    if not is_right:
        world.go(3, AUDIT_END).block()  # the last attempt ends without a list: the ledger splits

    assert "PayoutSuccessful" == see(world).status
    assert (["it accused a list that stood"] if is_right else []) == losses(world, accuser)
    assert ([] if is_right else ["its list was rejected"]) == losses(world, lister)
