"""What an operator agreed to: the task that was named, and successors that ask for the same."""

from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from roundwork.cli.node_view import Agreement, compose_standing
from roundwork.errors import BadConfig
from roundwork.package.folder import Package, load_package
from roundwork.views import TaskView

from ..package.test_folder import write_task

FIRST, SECOND, THIRD = (str(Keypair().pubkey()) for _ in range(3))
HOSTS = "roundwork: {hosts: [example.org]}"
MORE = "roundwork: {hosts: ['*']}"


def make(folder: Path, more: str) -> Package:
    folder.mkdir(exist_ok=True)
    return load_package(write_task(folder, more))


def of(address: str, predecessor: str | None = None) -> TaskView:
    fields: dict[str, Any] = dict.fromkeys(TaskView.__struct_fields__, 0)
    return TaskView(**{**fields, "address": address, "migrated_from": predecessor})


def test_yes_is_for_the_task_that_was_named_and_for_successors_that_ask_for_the_same(tmp_path: Path) -> None:
    asks, asks_for_more = make(tmp_path / "a", HOSTS), make(tmp_path / "b", MORE)
    agree = Agreement(tmp_path, FIRST, True)
    agree(asks, asks.hosts, of(FIRST))

    agree(asks, asks.hosts, of(SECOND, FIRST))
    with pytest.raises(BadConfig) as refused:
        agree(asks_for_more, asks_for_more.hosts, of(THIRD, SECOND))

    assert f"agree to it with `node run --task {THIRD} --yes`" in str(refused.value)
    Agreement(tmp_path, THIRD, True)(asks_for_more, asks_for_more.hosts, of(THIRD, SECOND))
    agree(asks_for_more, asks_for_more.hosts, of(THIRD, SECOND))


def test_what_was_agreed_to_for_one_task_is_not_for_a_strangers_task(tmp_path: Path) -> None:
    asks = make(tmp_path / "a", HOSTS)
    Agreement(tmp_path, FIRST, True)(asks, asks.hosts, of(FIRST))

    with pytest.raises(BadConfig, match="agree to it with --yes"):
        Agreement(tmp_path, SECOND, False)(asks, asks.hosts, of(SECOND))

    Agreement(tmp_path, FIRST, False)(asks, asks.hosts, of(FIRST))


@pytest.mark.parametrize("text", ["", "[]", "{", "5"])
def test_what_cannot_be_read_was_not_agreed_to(tmp_path: Path, text: str) -> None:
    asks = make(tmp_path / "a", HOSTS)
    (tmp_path / "agreed.json").write_text(text)

    with pytest.raises(BadConfig):
        Agreement(tmp_path, FIRST, False)(asks, asks.hosts, of(FIRST))


def test_a_successor_that_asks_for_less_than_everybody_has_needs_nobody(tmp_path: Path) -> None:
    asks, modest = make(tmp_path / "a", HOSTS), make(tmp_path / "b", "")
    agree = Agreement(tmp_path, FIRST, True)
    agree(asks, asks.hosts, of(FIRST))

    agree(modest, modest.hosts, of(SECOND, FIRST))


def make_standing(**changes: Any) -> dict[str, Any]:
    """The standing of a node under roundwork-1, as the ledger gives it."""
    part = {
        "is_over": True,
        "net": 0,
        "verdict": "untried",
        "checks_assigned": 3,
        "checks_done": 3,
        "challenges": 0,
        "accusations": 0,
        "reasons": [],
    }
    return {
        "node": FIRST,
        "main_key": SECOND,
        "is_closed": False,
        "migrated_to": None,
        "stake": 10 * 10**9,
        "available": 0,
        "endpoint": "http://127.0.0.1:1",
        "balance_of_main_key": 5 * 10**9,
        "first_round": 0,
        "submitted": 3,
        "paid": 2 * 10**9,
        "slashed": 0,
        "rounds": {1: {"reward": 2 * 10**9, "slash": 0}},
        "held_back": 10**9,
        "owed": [],
        "at_stake": {"bonds": 0, "challenge_fees": 0},
        "parts": {1: {**part, "net": 2 * 10**9}},
        **changes,
    }


def test_an_operator_reads_what_the_node_owes_and_has_at_stake() -> None:
    owed = [{"round": 7, "duty": "check 2 proofs and commit to a receipt", "until_slot": 1234}]
    at_stake = {"bonds": 5 * 10**8, "challenge_fees": 100_000}

    facts = compose_standing(make_standing(owed=owed, at_stake=at_stake))

    assert "check 2 proofs and commit to a receipt of round 7, until slot 1,234" == facts["owes now"]
    assert "0.5 KOII in bonds of accusations, 0.0001 KOII in fees of challenges" == facts["at stake"]
    assert "1 KOII" == facts["held back"]
    assert "nothing" == compose_standing(make_standing())["owes now"]
    assert "at stake" not in compose_standing(make_standing())


@pytest.mark.parametrize(
    ("paid", "changes", "expected"),
    [
        ((2, 0), {"net": 2}, "paid 2 KOII; untried; checked 3 of 3 proofs"),
        (
            (2, 0),
            {"net": 3, "accusations": 1, "challenges": 2},
            "paid 2 KOII; untried; checked 3 of 3 proofs; 2 challenges; 1 accusation;"
            " shares of slashes and bonds gave 1 KOII",
        ),
        (
            None,
            {"net": 1, "verdict": "missing", "reasons": ["its proof could not be had"]},
            "paid 0 KOII; missing; checked 3 of 3 proofs; shares of slashes and bonds gave 1 KOII more"
            " than it lost; its proof could not be had",
        ),
        (
            None,
            {"net": -1, "verdict": "missing", "reasons": ["its proof could not be had"]},
            "paid 0 KOII; missing; checked 3 of 3 proofs; lost 1 KOII; its proof could not be had",
        ),
        (
            (0, 7),
            {"net": -9, "verdict": "convicted", "checks_assigned": 0, "reasons": ["its proof was convicted"]},
            "paid 0 KOII, slashed 7 KOII; convicted; lost 2 KOII more; its proof was convicted",
        ),
        (None, {"net": -1, "is_over": False, "checks_done": 1}, "under way; untried; checked 1 of 3 proofs"),
    ],
)
def test_an_operator_reads_why_each_coin_came_or_went(
    paid: tuple[int, int] | None, changes: dict[str, Any], expected: str
) -> None:
    part = {**make_standing()["parts"][1], **changes}
    part["net"] *= 10**9
    payment = {1: {"reward": paid[0] * 10**9, "slash": paid[1] * 10**9}} if paid else {}

    facts = compose_standing(make_standing(rounds=payment, parts={1: part}))

    assert expected == facts["round 1"]


def test_an_operator_reads_what_a_running_node_claims_by_itself_and_what_fails() -> None:
    claims = {"least": 10**6, "to": SECOND}
    failures = {"sending the list of round 7": "ListOverBounty: it pays 2", "claiming": "no money"}

    facts = compose_standing(make_standing(claims=claims, failures=failures))

    assert f"by itself, from 0.001 KOII on, for {SECOND}" == facts["claims"]
    assert "sending the list of round 7: ListOverBounty: it pays 2; claiming: no money" == facts["fails now"]
    never = compose_standing(make_standing(claims={"least": 0, "to": ""}, failures={}))
    assert "nothing by itself: `node claim` pays out" == never["claims"]
    assert "fails now" not in never
