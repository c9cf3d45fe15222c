"""Who hands in a list: what the published JavaScript selected, run over the same submissions."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundwork.participant.selection import Submissions, rank_nodes, select_node

from ..node.javascript.mainjs import require_node

VALUES = {"Ann": "bafyone", "Bob": "bafytwo", "Cid": 'grüße "☃"\n', "Dan": "bafyfour"}
EARLIER = {"Ann": "a", "Bob": "b", "Cid": "c"}


def show(values: dict[str, str], slots: list[int], number: int) -> Submissions:
    return {
        node: {"submission_value": value, "slot": slot, "round": number}
        for (node, value), slot in zip(sorted(values.items()), slots, strict=True)
    }


ROUND_2 = show(VALUES, [31, 32, 33, 34], 2)
ROUND_1 = show(EARLIER, [21, 22, 22], 1)
ROUND_0 = show({**EARLIER, "Dan": "d"}, [11, 12, 11, 11], 0)


@pytest.mark.parametrize(
    ("before", "failed", "expected"),
    [
        ([ROUND_1, ROUND_0], [], "Ann"),  # of Ann, Bob and Cid, who were there in all three rounds
        ([{}, {}], [], "Ann"),  # nobody was: of all four
        ([ROUND_1, ROUND_0], ["Ann"], "Cid"),
        ([ROUND_1, ROUND_0], ["Ann", "Bob", "Cid"], None),  # Dan was not there before
    ],
)
def test_the_farthest_hash_is_selected(
    before: list[Submissions], failed: list[str], expected: str | None
) -> None:
    assert expected == select_node(ROUND_2, before, failed)


def test_rounds_below_zero_are_left_out() -> None:
    first = show(VALUES, [31, 32, 33, 34], 0)

    assert select_node(first, []) == "Cid"


@pytest.mark.parametrize(
    ("before", "failed", "expected"),
    [
        ([ROUND_1, ROUND_0], [], "Cid"),
        ([ROUND_1, ROUND_0], ["Ann"], None),  # Bob 55, Cid 215: each is the best when it comes
        ([ROUND_1, ROUND_0], ["Bob"], "Cid"),
        ([ROUND_1, ROUND_0], ["Cid"], None),
        ([ROUND_1, ROUND_0], ["Ann", "Bob"], None),
        ([{}, {}], [], "Cid"),
    ],
)
def test_a_retry_selects_as_published_which_may_be_nobody(
    before: list[Submissions], failed: list[str], expected: str | None
) -> None:
    assert expected == select_node(ROUND_2, before, failed, is_retry=True)


def test_a_round_without_submissions_selects_nobody() -> None:
    assert select_node({}, [ROUND_1, ROUND_0]) is None


JAVASCRIPT = """
const hash = text => require("crypto").createHash("sha256").update(text).digest("hex");
const sum = text => text.split("").reduce((total, one) => total + one.charCodeAt(0), 0);
for (const values of JSON.parse(require("fs").readFileSync(0))) {
  let keys = Object.keys(values), whole = sum(hash(JSON.stringify(Object.values(values))));
  let best = -1, selected = null;
  for (const key of keys) {
    const score = Math.abs(whole - sum(hash(JSON.stringify({[key]: values[key]}))));
    if (score > best) { best = score; selected = key; }
  }
  console.log(JSON.stringify(selected));
}
"""


def test_any_text_is_hashed_as_javascript_hashes_it(tmp_path: Path) -> None:
    require_node()
    texts = ["", " ", "\u2028", "\x00\x1f\x7f", '\\"/', "é\U0001f600", '{"a": 1}', "\t\r\n\b\f"]
    rounds = [show(dict.fromkeys(VALUES, text), [at, at + 1, 7, 8], 3) for at, text in enumerate(texts)]

    answered = subprocess.run(
        ["node", "-e", JAVASCRIPT], input=json.dumps(rounds), capture_output=True, text=True, check=True
    )

    expected = [json.loads(line) for line in answered.stdout.splitlines()]
    assert expected == [select_node(each, []) for each in rounds]


@given(st.lists(st.text("abcdef", min_size=1), unique=True), st.integers(0), st.integers(0))
def test_everybody_has_one_place_in_the_order_and_the_selected_the_first(
    nodes: list[str], number: int, attempt: int
) -> None:
    for selected in (None, *nodes[:1]):
        order = rank_nodes(nodes, number, attempt, selected)

        assert sorted(nodes) == sorted(order)
        assert selected in (None, order[0] if order else None)


def test_who_is_selected_but_has_no_stake_any_more_is_waited_for() -> None:
    assert rank_nodes(["b", "c"], 0, 0, "a")[0] == "a"
