"""Accusations, juries and verdicts under roundwork-1: who is found guilty, and whom it costs what."""

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from roundwork.protocol.params import NodeKey
from roundwork.protocol.records import Trial
from roundwork.protocol.tasks.draw import Ballot
from roundwork.protocol.tasks.trials import Tally, compute_jury_seed
from roundwork.protocol.tasks.verdicts import Outcome

from .hardened import AUDIT_END, MINIMUM, NODES, RECEIPT, STAKES, VOTES, Hardened, eighth, name_proof
from .registry import shows

DUTY, LAPSE = MINIMUM // 100, MINIMUM // 10
BOND = {"n01": 2000, "n04": 5000}
"""A tenth of the accused's stake, at least M/10, at most M/2."""


@shows("18.1")
def _unaccused() -> None:
    world = Hardened().submitted().checked()
    world.expect("ok", "n02", world.accuse("n02", "n01"), slots=0)
    world.expect("AlreadyAccused", "n03", world.accuse("n03", "n01"), slots=0)


@shows("18.2")
def _posted() -> None:
    world = Hardened().submitted({"n01": name_proof(b"the proof")}).checked()
    world.expect("ProofMissing", "n02", world.accuse("n02", "n01"), slots=0)
    world.expect("ok", "n03", world.answer("n03", "n01", 0, b"the proof"), slots=0)
    world.expect("ok", "n02", world.accuse("n02", "n01"), slots=0)


@shows("18.3")
def _bond() -> None:
    world = Hardened().submitted().checked()
    stakes, key = world.state.get_stakes(world.task), world.key("n00")
    for amount, expected in ((BOND["n04"] - 1, "InsufficientFunds"), (BOND["n04"], "ok")):
        world.supply += amount - stakes.rows[key].amount
        stakes.rows[key] = msgspec.structs.replace(stakes.rows[key], amount=amount)
        world.expect(expected, "n00", world.accuse("n00", "n04"), slots=0)


def test_an_accusation_asks_for_its_window_and_whom_it_names() -> None:
    world = Hardened().submitted()
    world.go(1, eighth(4) - 1).expect("WrongPhase", "n00", world.accuse("n00", "n01"))
    world.expect("OwnSubmission", "n00", world.accuse("n00", "n00"))
    world.expect("UnknownSubmission", "n00", world.accuse("n00", "manager"))
    world.go(1, eighth(5)).expect("WrongPhase", "n00", world.accuse("n00", "n01"))


@pytest.mark.parametrize(("accused", "bond"), BOND.items())
def test_a_bond_is_a_tenth_of_the_accused_stake_within_bounds(accused: str, bond: int) -> None:
    world = Hardened().submitted().checked().accused("n03", accused)

    assert STAKES["n03"] - bond == world.stake_of("n03")


def test_who_does_all_its_duties_in_a_round_without_fault_pays_nothing() -> None:
    world = Hardened().submitted().judged()

    assert STAKES == {name: world.stake_of(name) for name in NODES}
    assert [("UNTRIED", 1)] * 5 == [world.verdict(name) for name in NODES]
    assert 100_000 == world.bounty


def test_a_convicted_node_is_slashed_and_its_finders_and_jurors_share() -> None:
    guilty = {"n01": False}
    world = Hardened().submitted()
    finders = world.checkers("n01")
    world.judged(guilty, guilty, "n02", ("n01",))

    taken = STAKES["n01"] * 70 // 100
    jurors = {name: STAKES[name] for name in ("n00", "n03", "n04")}  # neither party is a juror
    assert ("CONVICTED", -1) == world.verdict("n01")
    assert STAKES["n01"] - taken == world.stake_of("n01")
    assert STAKES["n02"] == world.stake_of("n02")  # its bond is back
    for name in NODES:
        share = taken // 4 // len(finders) if name in finders else 0
        share += LAPSE * jurors.get(name, 0) // sum(jurors.values())
        assert share == world.available_of(name)
    assert 100_000 + taken == world.bounty + sum(map(world.available_of, NODES))


def test_without_a_receipt_against_it_the_accuser_gets_the_quarter_and_the_checkers_lapse() -> None:
    world = Hardened().submitted()
    checkers = world.checkers("n01")
    world.judged({}, {"n01": False}, "n02", ("n01",))

    taken = STAKES["n01"] * 70 // 100
    assert taken // 4 == world.available_of("n02")
    for name in NODES:
        if name != "n01":
            assert STAKES[name] - (LAPSE if name in checkers else 0) == world.stake_of(name)


def test_a_slash_is_the_part_that_the_task_says() -> None:
    guilty = {"n01": False}
    world = Hardened({"locals": b"rules:roundwork-1 slash:25"}).submitted()
    world.judged(guilty, guilty, "n02", ("n01",))

    assert STAKES["n01"] * 75 // 100 == world.stake_of("n01")


def test_the_bond_over_who_is_acquitted_goes_to_the_jurors_who_voted_valid() -> None:
    world = Hardened().submitted().judged(accuser="n02", accused=("n01",))

    jurors = {name: STAKES[name] for name in ("n00", "n03", "n04")}
    assert ("ACQUITTED", 1) == world.verdict("n01")
    assert STAKES["n02"] - BOND["n01"] == world.stake_of("n02")
    for name, seats in jurors.items():
        assert BOND["n01"] * seats // 100_000 == world.available_of(name)
    assert not world.cursor().bonds.rows


def test_a_receipt_against_who_is_acquitted_or_untried_costs_a_duty() -> None:
    world = Hardened().submitted()
    checkers = world.checkers("n01") + world.checkers("n03")
    world.judged({"n01": False, "n03": False}, {}, "n02", ("n01",))

    for name in NODES:
        fined = checkers.count(name) * DUTY + (BOND["n01"] if name == "n02" else 0)
        assert STAKES[name] - fined == world.stake_of(name)


def test_a_trial_without_votes_is_inconclusive_and_silence_costs_a_duty() -> None:
    world = Hardened().submitted().checked().accused("n02", "n01").disclosed()
    world.go(1, AUDIT_END).block()

    assert ("INCONCLUSIVE", 1) == world.verdict("n01")  # all of its receipts clear it
    assert STAKES["n02"] == world.stake_of("n02")
    for name in ("n00", "n03", "n04"):
        assert STAKES[name] - DUTY == world.stake_of(name)


def test_an_inconclusive_submission_is_unpaid_if_a_receipt_is_against_it_or_none_is_there() -> None:
    against = Hardened().submitted().checked({"n01": False}).accused("n02", "n01").disclosed()
    unseen = Hardened().submitted().go(1, eighth(4))
    unseen.block()
    unseen.accused("n02", "n01")

    for world in (against, unseen):
        world.go(1, AUDIT_END).block()
        assert ("INCONCLUSIVE", 0) == world.verdict("n01")


def test_a_vote_against_the_majority_of_the_seats_cast_costs_a_duty() -> None:
    world = Hardened().submitted().checked().accused("n02", "n01").go(1, eighth(5))
    world.block()
    for name, bit in (("n00", b"\0"), ("n03", b"\1"), ("n04", b"\1")):
        world.bits[name, VOTES, 0] = bit
        world.expect("ok", name, world.commit(name, VOTES, bit), slots=0)
    world.disclosed().go(1, AUDIT_END).block()

    assert ("ACQUITTED", 1) == world.verdict("n01")
    assert STAKES["n00"] - DUTY == world.stake_of("n00")
    assert STAKES["n03"] == world.stake_of("n03")


def test_who_commits_a_receipt_or_votes_and_does_not_reveal_pays_a_lapse_and_its_duties() -> None:
    world = Hardened().submitted().checked().accused("n02", "n01").voted()
    silent = next(name for name in ("n00", "n03", "n04") if world.duties(name, RECEIPT))
    checks = len(world.duties(silent, RECEIPT))
    world.disclosed(silent=(silent,)).go(1, AUDIT_END).block()

    duties = min((checks + 1) * DUTY, STAKES[silent] // 10)
    assert STAKES[silent] - 2 * LAPSE - duties == world.stake_of(silent)


def test_all_duties_of_a_node_cost_at_most_a_tenth_of_its_stake() -> None:
    world = Hardened().submitted()
    checks = len(world.duties("n00", RECEIPT))
    world.checked(silent=NODES).accused("n04", "n00", "n01", "n02", "n03").voted(silent=NODES)
    stakes = world.state.get_stakes(world.task)
    submission = world.cursor().submissions.rows[world.key("n00")]
    small = msgspec.structs.replace(submission, stake=2 * DUTY * 10)  # what it had at risk in this round
    world.cursor().submissions.rows[world.key("n00")] = small

    world.disclosed().go(1, AUDIT_END).block()

    assert checks + 3 > 2  # more duties than the cap allows
    assert STAKES["n00"] - 2 * DUTY == stakes.rows[world.key("n00")].amount
    assert STAKES["n02"] - (len(world.duties("n02", RECEIPT)) + 3) * DUTY == world.stake_of("n02")


def test_if_most_of_the_round_is_convicted_nobody_is() -> None:
    accused = ("n00", "n03", "n04")  # three of five with 100,000 of 150,000
    found = dict.fromkeys(accused, False)
    world = Hardened().submitted().checked(found).accused("n01", *accused).go(1, eighth(5))
    world.block()
    for name in NODES:
        if world.duties(name, VOTES):
            world.bits[name, VOTES, 0] = b"\0"
            world.expect("ok", name, world.commit(name, VOTES, b"\0"), slots=0)
    world.disclosed().go(1, AUDIT_END).block()

    assert [("INCONCLUSIVE", 0)] * 3 == [world.verdict(name) for name in accused]
    assert STAKES["n01"] == world.stake_of("n01")


def test_two_of_five_are_convicted() -> None:
    accused = ("n00", "n01")
    found = dict.fromkeys(accused, False)
    world = Hardened().submitted().judged(found, found, "n04", accused)

    assert [("CONVICTED", -1)] * 2 == [world.verdict(name) for name in accused]


def test_the_missing_cost_their_checkers_nothing() -> None:
    world = Hardened().submitted({"n01": name_proof(b"hidden")})
    world.expect("ok", "n02", world.challenge("n02", "n01"), slots=0)
    world.judged()

    assert ("MISSING", 0) == world.verdict("n01")
    assert {**STAKES, "n01": STAKES["n01"] - LAPSE} == {name: world.stake_of(name) for name in NODES}


def test_review_bonds_shelter_no_slash() -> None:
    """A node whose stake lies in a bond when it is convicted is slashed whole: bonds return first."""
    found = {"n00": False}
    world = Hardened().submitted().checked(found).accused("n04", "n00").accused("n00", "n02")
    world.go(1, eighth(5)).block()
    for name, bits in (("n01", b"\0"), ("n02", b"\0")):
        world.bits[name, VOTES, 0] = bits
        world.expect("ok", name, world.commit(name, VOTES, bits), slots=0)
    assert STAKES["n00"] - 3000 == world.stake_of("n00")  # a tenth of what the accused has

    world.disclosed().go(1, AUDIT_END).block()

    assert "CONVICTED" == world.verdict("n00")[0]  # 100,000 of 110,000 seats cast
    assert "INCONCLUSIVE" == world.verdict("n02")[0]  # 30,000 to 30,000
    assert STAKES["n00"] * 30 // 100 == world.stake_of("n00")


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_a_verdict_is_that_of_the_text(valid: int, invalid: int, absent: int) -> None:
    outcome = Tally(valid, invalid, valid + invalid + absent).judge()

    is_guilty = invalid * 3 >= (valid + invalid) * 2 and invalid * 2 > valid + invalid + absent
    assert is_guilty is (outcome is Outcome.CONVICTED)
    assert (not is_guilty and valid > invalid) is (outcome is Outcome.ACQUITTED)


def test_the_jury_of_a_large_round_has_51_seats_drawn_by_stake() -> None:
    world = Hardened().submitted()
    cursor = world.cursor()
    nodes = [NodeKey(bytes([1, place]) * 16) for place in range(60)]
    submission = next(iter(cursor.submissions.rows.values()))
    for node in nodes:
        cursor.submissions.rows[node] = msgspec.structs.replace(submission, stake=1000)
    cursor.trials.rows[nodes[0]] = Trial(nodes[1], 0, 0)
    parent = world.go(1, eighth(5)).state.head.block_hash
    world.state.take_changes()

    world.block()

    seats = dict(world.cursor().trials.rows[nodes[0]].seats)
    beacon = world.cursor().opened.beacon
    seed = blake3(b"roundwork/jury/1" + beacon + parent + nodes[0]).digest()
    ballot = Ballot({node: row.stake for node, row in cursor.submissions.rows.items()})
    drawn = ballot.draw_seats(seed, 51)
    assert seed == compute_jury_seed(beacon, parent, nodes[0])
    assert {node: drawn.count(node) for node in drawn} == seats
    assert seats.keys() - {nodes[0], nodes[1]} == world.cursor().jurors.rows.keys()
