"""Run with `pytest`: a round of one node in this process, without a ledger and without waiting."""

from pathlib import Path

from roundwork.testing import run_round

FOLDER = Path(__file__).parent


def test_honest_work_passes_the_audit():
    played = run_round(FOLDER)

    assert played.opinion == "valid", played.reason


def test_a_copy_of_a_neighbours_proof_does_not():
    played = run_round(FOLDER)

    copied = played.audit(played.play_neighbour().value)
    assert (copied.opinion, copied.reason) == (
        "invalid",
        "the proof is not the message under this node's seed",
    )


def test_changed_submissions_do_not():
    played = run_round(FOLDER)

    assert "valid" not in {played.audit(text).opinion for text in played.mutations}


def test_another_message_does_not():
    played = run_round(FOLDER)
    other = run_round(FOLDER, params={"message": "Attack at noon."})

    assert played.audit(other.value).opinion != "valid"


def test_the_bounty_is_paid_by_stake():
    played = run_round(FOLDER)

    assert played.distribute(votes=(1, 1, -1), stakes=(1000, 3000, 1000), bounty=500) == [100, 300, -700]
