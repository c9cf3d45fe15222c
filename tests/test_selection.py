"""The published rule for the selected node, and who follows."""

import hashlib
import json

from roundwork.selection import rank_nodes, select_node


def submission(value: str, number: int = 5) -> dict[str, str | int]:
    return {"submission_value": value, "slot": 100, "round": number}


def score(node: str, submissions: dict) -> int:
    """The rule, written out by hand."""

    def sum_of(value: object) -> int:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return sum(ord(letter) for letter in hashlib.sha256(text.encode()).hexdigest())

    return abs(sum_of(list(submissions.values())) - sum_of({node: submissions[node]}))


ROUND = {name: submission(f"proof of {name}") for name in ("aaa", "bbb", "ccc", "ddd")}


def test_the_farthest_from_the_hash_of_all_is_selected():
    expected = max(ROUND, key=lambda node: score(node, ROUND))

    assert expected == select_node(ROUND, [])


def test_who_was_there_three_rounds_in_a_row_comes_first():
    before = [{"bbb": submission("x", 4), "ccc": submission("y", 4)}, {"ccc": submission("z", 3)}]

    assert "ccc" == select_node(ROUND, before)


def test_if_nobody_was_all_may_be_selected():
    assert select_node(ROUND, []) == select_node(ROUND, [{"zzz": submission("x")}, {}])


def test_whose_list_failed_is_not_selected_again():
    first = select_node(ROUND, [])
    assert first is not None

    second = select_node(ROUND, [], failed=[first])

    assert second not in (None, first)


def test_a_retry_selects_as_the_published_scan_does_or_nobody():
    scores = {node: score(node, ROUND) for node in ROUND}
    best = second = float("-inf")
    expected = None
    for node, one in scores.items():
        if one > best:
            second, best = best, one
        elif one > second:
            second, expected = one, node

    assert expected == select_node(ROUND, [], is_retry=True)
    assert select_node({"aaa": submission("x")}, [], is_retry=True) is None


def test_a_round_without_submissions_selects_nobody():
    assert select_node({}, []) is None


def test_the_selected_node_is_first_and_the_others_follow_in_an_order_of_the_attempt():
    nodes = [f"node{n}" for n in range(20)]

    orders = [rank_nodes(nodes, 7, attempt, "node3") for attempt in range(3)]

    assert all("node3" == order[0] and sorted(order) == sorted(nodes) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert sorted(nodes) == sorted(rank_nodes(nodes, 7, 0, None))
