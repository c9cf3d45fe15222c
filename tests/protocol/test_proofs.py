"""Proofs under roundwork-1: challenges and answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundwork.protocol.tasks.commitments import read_content_id

from .hardened import FEE, MINIMUM, NODES, RECEIPT, STAKES, Hardened, eighth, name_proof
from .registry import shows
from .world import move

PROOF = bytes(range(256)) * 8
"""2048 bytes: three chunks."""

NAMED = {"n00": name_proof(PROOF), "n01": name_proof(PROOF, b"and a text")}


def post(world: Hardened, poster: str, of: str, proof: bytes = PROOF, slots: int = 0) -> None:
    for at in range(0, len(proof), 800):
        world.expect("ok", poster, world.answer(poster, of, at // 800, proof[at : at + 800]), slots=slots)


@shows("17.1")
def _not_missing() -> None:
    world = Hardened().submitted(NAMED)
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)
    world.go(1, eighth(4)).expect("SubmissionMissing", "n02", world.answer("n02", "n00", 0, PROOF[:800]))
    world.expect("SubmissionMissing", "n02", world.accuse("n02", "n00"))


@shows("17.2")
def _names_proof() -> None:
    world = Hardened().submitted(NAMED)
    world.expect("NamesNoProof", "n00", world.challenge("n00", "n02"), slots=0)
    world.expect("NamesNoProof", "n00", world.answer("n00", "n02", 0, b"x"), slots=0)


@shows("17.3")
def _unchallenged() -> None:
    world = Hardened().submitted(NAMED)
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)
    world.expect("AlreadyChallenged", "n03", world.challenge("n03", "n00"), slots=0)


@shows("17.4")
def _challenged() -> None:
    world = Hardened().submitted(NAMED)
    world.expect("NotChallenged", "n00", world.answer("n00", "n00", 0, PROOF[:800]), slots=0)
    world.go(1, eighth(4)).expect("ok", "n00", world.answer("n00", "n00", 0, PROOF[:800]))


@shows("17.5")
def _not_whole() -> None:
    world = Hardened().submitted(NAMED)
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)
    post(world, "n00", "n00")
    world.expect("ProofStands", "n03", world.answer("n03", "n00", 0, PROOF[:800]), slots=0)


@shows("17.6")
def _piece() -> None:
    world = Hardened().submitted(NAMED)
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)
    for chunk, data in ((20, b"x"), (0, b""), (0, bytes(801))):
        world.expect("BadUpload", "n00", world.answer("n00", "n00", chunk, data), slots=0)
    world.expect("ok", "n00", world.answer("n00", "n00", 19, b"x"), slots=0)


def test_a_challenge_sets_fees_aside_and_asks_who_may_challenge() -> None:
    world = Hardened().submitted(NAMED)
    before = world.wallet("n02")

    world.expect("OwnSubmission", "n00", world.challenge("n00", "n00"), slots=0)
    world.expect("UnknownSubmission", "n02", world.challenge("n02", "manager"), slots=0)
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)

    assert before - FEE - FEE - 20 * FEE == world.wallet("n02")
    world.go(1, eighth(2)).expect("WrongPhase", "n02", world.challenge("n02", "n01"))


def test_who_cannot_pay_for_a_challenge_makes_none() -> None:
    world = Hardened().submitted(NAMED)
    world.run("n02", move(world, "n02", "manager", world.wallet("n02") - 20 * FEE - 2 * FEE + 1), slots=0)

    world.expect("InsufficientFunds", "n02", world.challenge("n02", "n00"), slots=0)


def test_an_answer_is_paid_by_its_chunks_and_the_rest_returns() -> None:
    world = Hardened().submitted(NAMED)
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)
    challenger, poster = world.wallet("n02"), world.wallet("manager")

    post(world, "manager", "n00")  # anybody may

    assert poster == world.wallet("manager")  # three fees paid, three fees earned
    assert challenger + 17 * FEE == world.wallet("n02")
    world.go(1, eighth(3)).block()
    assert ("UNTRIED", 1) == world.verdict("n00")
    assert 3 == len(world.cursor().answers.rows)


def test_a_withholder_earns_nothing_by_answering_its_own_challenge() -> None:
    world = Hardened().submitted(NAMED)
    before = world.wallet("n00") + world.wallet("n02")  # the node and its friend
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)

    post(world, "n00", "n00")

    assert before - 4 * FEE == world.wallet("n00") + world.wallet("n02")


def test_chunks_of_each_poster_are_its_own_and_a_later_one_replaces_an_earlier_one() -> None:
    world = Hardened().submitted(NAMED)
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)
    world.expect("ok", "n03", world.answer("n03", "n00", 0, PROOF[:800]), slots=0)
    world.expect("ok", "n00", world.answer("n00", "n00", 0, b"wrong"), slots=0)
    world.expect("ok", "n00", world.answer("n00", "n00", 2, PROOF[1600:]), slots=0)
    world.expect("ok", "n00", world.answer("n00", "n00", 1, PROOF[800:1600]), slots=0)
    assert not world.cursor().proofs.rows

    world.expect("ok", "n00", world.answer("n00", "n00", 0, PROOF[:800]), slots=0)

    assert [world.key("n00")] == list(world.cursor().proofs.rows)
    world.go(1, eighth(3)).block()
    assert {world.key("n00")} == {key[32:64] for key in world.cursor().answers.rows}


@pytest.mark.parametrize("size", [1, 799, 800, 801, 1600, 16_000])
def test_a_proof_of_1_to_16000_bytes_can_be_posted(size: int) -> None:
    proof = b"p" * size
    world = Hardened().submitted({"n00": name_proof(proof)})
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)

    post(world, "n00", "n00", proof)

    assert -(-size // 800) == world.cursor().proofs.rows[world.key("n00")].chunks


def test_a_proof_of_16001_bytes_goes_missing_when_it_is_challenged() -> None:
    proof = b"p" * 16_001
    world = Hardened().submitted({"n00": name_proof(proof)})
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)
    for chunk in range(20):
        ask = world.answer("n00", "n00", chunk, proof[800 * chunk : 800 * chunk + 800])
        world.expect("ok", "n00", ask, slots=0)
    world.expect("BadUpload", "n00", world.answer("n00", "n00", 20, b"p"), slots=0)

    world.go(1, eighth(3)).block()

    assert ("MISSING", 0) == world.verdict("n00")


def test_a_submission_that_names_no_bytes_names_a_proof_that_nobody_can_post() -> None:
    world = Hardened().submitted({"n00": name_proof(b"")})
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)
    world.expect("ok", "n03", world.answer("n03", "n00", 1, b"x"), slots=0)

    world.go(1, eighth(3)).block()

    assert "MISSING" == world.verdict("n00")[0]


def test_who_does_not_answer_is_missing_pays_a_lapse_and_the_fees_return() -> None:
    world = Hardened().submitted(NAMED)
    before = world.wallet("n02")
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)
    world.expect("ok", "n00", world.answer("n00", "n00", 0, PROOF[:800]), slots=0)

    world.go(1, eighth(3)).block()

    assert before - FEE == world.wallet("n02")
    assert ("MISSING", 0) == world.verdict("n00")
    assert STAKES["n00"] - MINIMUM // 10 == world.stake_of("n00")
    assert {} == world.cursor().answers.rows  # what is not whole is dropped


def test_an_overrun_ledger_costs_nobody_a_lapse() -> None:
    named = {name: name_proof(PROOF + name.encode()) for name in NODES}
    world = Hardened().submitted(named)
    for of in ("n03", "n04"):  # 90,000 of 150,000
        world.expect("ok", "n02", world.challenge("n02", of), slots=0)

    world.go(1, eighth(3)).block()

    assert [("MISSING", 0)] * 2 == [world.verdict(name) for name in ("n03", "n04")]
    assert STAKES == {name: world.stake_of(name) for name in NODES}


def test_proofs_of_half_of_the_stake_that_are_missing_cost_their_lapses() -> None:
    named = {name: name_proof(PROOF + name.encode()) for name in NODES}
    world = Hardened().submitted(named)
    for of in ("n01", "n04"):  # 70,000 of 150,000
        world.expect("ok", "n02", world.challenge("n02", of), slots=0)

    world.go(1, eighth(3)).block()

    fined = {name: STAKES[name] - world.stake_of(name) for name in NODES}
    assert {**dict.fromkeys(NODES, 0), "n01": MINIMUM // 10, "n04": MINIMUM // 10} == fined


def test_unfinished_chunks_are_dropped_when_accusations_end_too() -> None:
    world = Hardened().submitted(NAMED)
    world.go(1, eighth(4)).block()
    world.expect("ok", "n02", world.answer("n02", "n00", 0, PROOF[:800]), slots=0)
    post(world, "n03", "n01")

    world.go(1, eighth(5)).block()

    assert {world.key("n01")} == {key[:32] for key in world.cursor().answers.rows}


def test_a_content_id_is_read_from_the_head_of_a_value() -> None:
    named = name_proof(b"x")

    assert 32 == len(read_content_id(named) or b"")
    assert read_content_id(named) == read_content_id(named + b" text")
    for wrong in (
        b"", named[:58], named + b"x", named.upper(), named[:20] + b" " + named[21:], b"c" + named[1:],
        named[:20] + b"1" + named[21:],
        named[:58] + bytes([named[58] + 1]), b"bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
    ):  # fmt: skip
        assert read_content_id(wrong) is None, wrong


@given(st.binary(max_size=70))
def test_any_value_is_read_or_not(value: bytes) -> None:
    digest: Any = read_content_id(value)

    assert digest is None or 32 == len(digest)


def test_a_receipt_has_no_bit_for_a_submission_that_is_missing() -> None:
    world = Hardened().submitted(NAMED)
    drawn = {name: world.duties(name, RECEIPT) for name in world.checkers("n00")}
    world.expect("ok", "n02", world.challenge("n02", "n00"), slots=0)
    world.go(1, eighth(3)).block()

    assert {"MISSING"} == {world.verdict("n00")[0]}
    left = {name: [of for of in duties if of != "n00"] for name, duties in drawn.items()}
    assert left == {name: world.duties(name, RECEIPT) for name in drawn}
