"""Draws by stake: the vector of the text, and what holds for every round."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from roundwork.protocol.params import NodeKey
from roundwork.protocol.tasks.draw import Ballot

SEED = bytes(32)


def make_ballot(*weights: int) -> Ballot:
    return Ballot({NodeKey(place.to_bytes(4, "big") * 8): weight for place, weight in enumerate(weights)})


def places(ballot: Ballot, drawn: list[NodeKey]) -> list[int]:
    return [ballot.nodes.index(node) for node in drawn]


def test_the_vector_of_the_text() -> None:
    ballot = Ballot({NodeKey(bytes([place]) * 32): 1000 * (place + 1) for place in range(6)})

    assert [5, 3, 4] == places(ballot, ballot.draw(SEED, 3, [ballot.nodes[2]]))
    assert [2, 0, 5] == places(ballot, ballot.draw(SEED, 3))
    assert [2, 5, 2, 5, 2, 4, 4, 4, 0, 0, 4, 3] == places(ballot, ballot.draw_seats(SEED, 51))[:12]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 2**63), min_size=3, max_size=500), st.binary(min_size=32, max_size=32))
def test_a_draw_without_replacement_picks_each_node_once_and_never_whom_it_is_without(
    weights: list[int], seed: bytes
) -> None:
    ballot = make_ballot(*weights)

    for node in ballot.nodes[:20]:
        drawn = ballot.draw(seed + node, 3, [node])

        assert min(3, len(weights) - 1) == len(drawn) == len(set(drawn))
        assert node not in drawn


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=12), st.binary(min_size=32, max_size=32))
def test_a_draw_without_some_nodes_is_the_draw_among_the_others(weights: list[int], seed: bytes) -> None:
    ballot = make_ballot(*weights)
    others = Ballot(dict(zip(ballot.nodes[1::2], ballot.weights[1::2], strict=True)))

    assert others.draw(seed, 3) == ballot.draw(seed, 3, ballot.nodes[::2])
    assert len(ballot.nodes) == len(ballot.draw(seed, 20))


def test_every_submission_of_3_to_500_has_three_checkers_and_never_its_own_node() -> None:
    for count in range(3, 501):
        ballot = make_ballot(*range(1, count + 1))
        for node in ballot.nodes:
            drawn = ballot.draw(SEED + node, 3, [node])

            assert min(3, count - 1) == len({*drawn} - {node})


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(501, 100_000), st.integers(0))
def test_so_has_every_submission_of_a_round_of_up_to_100_000(count: int, seed: int) -> None:
    random = Random(seed)
    ballot = make_ballot(*(random.randint(1, 2**40) for _ in range(count)))

    for node in random.sample(ballot.nodes, 300):
        assert 3 == len({*ballot.draw(SEED + node, 3, [node])} - {node})


def test_picks_follow_the_weights() -> None:
    ballot = make_ballot(100, 300, 600)

    seats = places(ballot, ballot.draw_seats(SEED, 10_000))
    first = [places(ballot, ballot.draw(SEED + i.to_bytes(4, "big"), 1))[0] for i in range(10_000)]

    for drawn in (seats, first):  # five standard deviations of a share of 10,000 picks are below 250
        assert all(
            abs(drawn.count(place) - expected) < 250 for place, expected in enumerate((1000, 3000, 6000))
        )


def test_checkers_and_ranks_after_the_first_follow_the_weights_of_those_that_are_left() -> None:
    ballot, count = make_ballot(500, 200, 300, 400), 10_000
    weights = {1: 200, 2: 300, 3: 400}  # node 0 has the submission that is checked
    total = sum(weights.values())
    second = {
        place: sum(weight * other / total / (total - other) for at, other in weights.items() if at != place)
        for place, weight in weights.items()
    }

    drawn = [
        places(ballot, ballot.draw(SEED + at.to_bytes(4, "big"), 3, [ballot.nodes[0]])) for at in range(count)
    ]

    for place, weight in weights.items():  # five standard deviations are below 250
        assert abs(sum(picks[0] == place for picks in drawn) - count * weight / total) < 250
        assert abs(sum(picks[1] == place for picks in drawn) - count * second[place]) < 250
