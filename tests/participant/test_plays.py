"""Ways to play, on the law in memory: what each does, and what becomes of it."""

import pytest

from roundwork.participant.plays import ACCUSER, COPYCAT, HONEST, LATE, LAZY, LIAR, PLAYS, SILENT, THIEF, Play

from ..town import BOUNTY, Town

ROUNDS = range(1, 4)


def play(play: Play, nodes: int = 4) -> Town:
    """A town of honest nodes and a last one that plays so, after some rounds."""
    town = Town(nodes)
    town.nodes[f"n{nodes - 1:02}"].play = play
    town.live_until(0, 7)
    return town


def get_payments(town: Town, round_number: int) -> dict[str, tuple[int, int]]:
    return {town.name(each.node): (each.reward, each.slash) for each in town.round(round_number).payments}


def count_submissions(town: Town, name: str) -> int:
    address = town.nodes[name].address
    return sum(
        each.node == address for round_number in ROUNDS for each in town.round(round_number).submissions
    )


def test_the_names_are_the_vocabulary() -> None:
    known = ["honest", "liar", "copycat", "late", "silent", "lazy", "accuser", "thief"]
    assert [*known, "mute", "slanderer", "withholder", "reluctant", "hider"] == list(PLAYS)
    assert all(play.name == name and play.doing for name, play in PLAYS.items())


def test_a_liar_is_slashed_and_earns_nothing() -> None:
    town = play(LIAR)

    for round_number in ROUNDS:
        paid = get_payments(town, round_number).get("n03")
        assert paid is None or (paid[0] == 0 < paid[1])
    assert 0 < count_submissions(town, "n03")


def test_a_copycat_submits_what_another_node_submitted_and_never_works() -> None:
    town = play(COPYCAT)

    copycat = town.nodes["n03"]
    assert frozenset() == copycat.memory.worked
    assert len(ROUNDS) == count_submissions(town, "n03")
    for round_number in ROUNDS:
        assert {"truth"} == {each.value for each in town.round(round_number).submissions}
        assert (BOUNTY // 4, 0) == get_payments(town, round_number)["n03"]  # nothing tells it apart here


@pytest.mark.parametrize(("way", "result"), [(LATE, "WrongPhase"), (SILENT, "ok")])
def test_a_late_or_silent_node_submits_nothing_and_is_neither_paid_nor_slashed(
    way: Play, result: str
) -> None:
    town = play(way)

    assert 0 == count_submissions(town, "n03")
    assert result in town.nodes["n03"].results
    for round_number in ROUNDS:
        assert dict.fromkeys(("n00", "n01", "n02"), (BOUNTY // 3, 0)) == get_payments(town, round_number)


def test_a_lazy_node_is_paid_and_gives_no_view() -> None:
    town = Town(5)
    town.nodes["n03"].play, town.nodes["n04"].play = LAZY, LIAR

    town.live_until(0, 7)

    lazy = town.nodes["n03"].address
    for round_number in ROUNDS:
        assert get_payments(town, round_number)["n03"][0] == BOUNTY // 4
        for each in town.round(round_number).submissions:
            assert lazy not in each.auditors


def test_an_accuser_finds_every_proof_invalid_once_and_the_others_acquit() -> None:
    town = play(ACCUSER)

    accuser = town.nodes["n03"]
    for round_number in ROUNDS:
        one = town.round(round_number)
        assert "PayoutSuccessful" == one.status
        others = [each for each in one.submissions if each.node != accuser.address]
        assert 3 == len(others)
        assert all(each.auditors[accuser.address] is False for each in others)
        assert {"acquitted"} == {each.verdict for each in others}
    assert {"ok"} == set(accuser.results)


def test_the_list_of_a_thief_does_not_stand() -> None:
    town = Town(4)
    for node in town.nodes.values():
        node.play = THIEF if node.name == "n03" else HONEST

    town.live_until(0, 9)

    thief = town.nodes["n03"].address
    stolen = [
        listed
        for round_number in range(6)
        for listed in town.round(round_number).lists
        if listed.submitter == thief
    ]
    assert stolen
    assert all({thief: BOUNTY} == listed.amounts for listed in stolen)
    for round_number in range(5):
        assert get_payments(town, round_number)["n03"][0] <= BOUNTY // 4
