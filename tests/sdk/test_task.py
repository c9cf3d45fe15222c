"""The SDK, called in process as the simulator does."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import roundwork
from roundwork import (
    Candidate,
    Context,
    InvalidSubmission,
    Refused,
    Round,
    Submitter,
    Task,
    Unavailable,
    by_stake,
    equal_split,
    per_unit,
    proportional_split,
)
from roundwork.package.content import compute_content_id
from roundwork.protocol.tasks import commitments, instructions
from roundwork.sdk.saved import SavedCorrupt, SavedFile
from roundwork.sdk.task import PROOF_BYTES_MAX, VALUE_BYTES_MAX

SOURCE = Path(roundwork.__file__).parent.parent


class Desk:
    """Stands where the node's channel stands: remembers what was asked, gives prepared answers."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def request(self, method: str, params: dict[str, Any]) -> Any:
        self.requests.append((method, params))
        answer = self.answers[method.replace(".", "_")]
        if isinstance(answer, Exception):
            raise answer
        return answer


def build_context(desk: Desk | None = None, saved: SavedFile | None = None, **changes: Any) -> Context:
    given: dict[str, Any] = {
        "task": "task",
        "node": "me",
        "round": 3,
        "seed": b"seed",
        "random_seed": b"random",
        "seconds_left": lambda: 9.0,
        "params": {},
        "secrets": {},
        "files": "files",
        "saved": saved or SavedFile(":memory:"),
        "request": (desk or Desk()).request,
    }
    return Context(**{**given, **changes})


def build_candidate(value: str) -> Candidate:
    return Candidate("somebody", value, 3, b"their seed", 10)


def build_submitter(key: str, votes: int, stake: int, verdict: str | None = None) -> Submitter:
    return Submitter(key, "value", votes, verdict or ("convicted" if votes < 0 else "untried"), stake)


def test_the_sdk_imports_the_standard_library_only_and_little_of_it() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules);"
        "from roundwork import Task, equal_split; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(SOURCE)], capture_output=True, text=True, check=True
    )

    loaded = {name for name in done.stdout.split() if not name.startswith("roundwork")}

    assert loaded <= {"__future__", "binascii"}


def test_a_submission_may_be_as_long_as_the_law_says() -> None:
    assert instructions.VALUE_BYTES_MAX == VALUE_BYTES_MAX


def test_the_worker_imports_nothing_of_the_node() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import roundwork.sdk.worker, roundwork.sdk.routes, roundwork.sdk.saved;"
        "print(*[name for name in sys.modules if name.startswith('roundwork')]);"
        "print(*[name for name in sys.modules if name in ('msgspec', 'solders', 'yaml')])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(SOURCE)], capture_output=True, text=True, check=True
    )

    ours, others = done.stdout.splitlines()

    names = ("", ".sdk", ".sdk.routes", ".sdk.saved", ".sdk.splits", ".sdk.task", ".sdk.worker")
    assert {f"roundwork{name}" for name in names} == set(ours.split())
    assert others == ""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (True, ("valid", "")),
        (False, ("invalid", "")),
        ((False, "5 of 8 pages differ"), ("invalid", "5 of 8 pages differ")),
        (Unavailable("gone"), ("unavailable", "gone")),
        (Unavailable, ("unavailable", "")),
    ],
)
def test_an_audit_answers_true_false_or_unavailable(answer: object, expected: tuple[str, str]) -> None:
    task = Task("t")
    task.audit(lambda ctx, candidate: answer)

    assert expected == task.call("audit", build_context(), build_candidate("v"))


@pytest.mark.parametrize(
    "answer", [None, 1, 0, "True", [], (True,), (True, "good"), (False, 1), (False, "a", "b"), [False, "a"]]
)
def test_an_audit_that_answers_anything_else_is_the_tasks_error(answer: object) -> None:
    task = Task("t")
    task.audit(lambda ctx, candidate: answer)

    with pytest.raises(TypeError, match=r"must return True, False, \(False, reason\) or Unavailable"):
        task.call("audit", build_context(), build_candidate("v"))


def test_an_audit_that_raises_unavailable_is_no_vote() -> None:
    task = Task("t")
    task.audit(lambda ctx, candidate: ctx.storage.get("bafkrei"))
    desk = Desk(storage_get=Unavailable("nobody serves it"))

    answer = task.call("audit", build_context(desk), build_candidate("v"))

    assert answer == ("unavailable", "nobody serves it")


@pytest.mark.parametrize(
    "value", ["nonsense", "{", "", "[" * 100_000, "1" * 5000, "[" * 129 + "]" * 129, '"\\ud800"']
)
def test_nonsense_where_json_should_be_counts_against_the_candidate(value: str) -> None:
    task = Task("t")
    task.audit(lambda ctx, candidate: candidate.json() == {})

    kind, reason = task.call("audit", build_context(), build_candidate(value))

    assert kind == "invalid"
    assert "is not JSON" in reason


def test_json_has_at_most_128_levels_wherever_its_brackets_stand() -> None:
    task = Task("t")
    task.audit(lambda ctx, candidate: candidate.json() is not None)
    deep, wide = "[" * 128 + "]" * 128, "[" + "[]," * 500 + "[]]"

    for value in (deep, wide, '{"a": "' + "[" * 500 + '"}', '["\\u00e9\\ud83d\\ude00"]'):
        assert ("valid", "") == task.call("audit", build_context(), build_candidate(value))


@pytest.mark.parametrize("error", [KeyError("x"), OSError("x"), Refused("x"), ZeroDivisionError()])
def test_any_other_exception_is_never_a_vote(error: Exception) -> None:
    def audit(ctx: Context, candidate: Candidate) -> bool:
        raise error

    task = Task("t")
    task.audit(audit)

    with pytest.raises(type(error)):
        task.call("audit", build_context(), build_candidate("v"))


@pytest.mark.parametrize(
    ("answer", "expected"), [("proof", "proof"), ("proof  ", "proof"), (None, None), ("ü" * 256, "ü" * 256)]
)
def test_a_submission_is_text_trimmed_or_nothing(answer: object, expected: str | None) -> None:
    task = Task("t")
    task.submission(lambda ctx: answer)

    assert expected == task.call("submission", build_context())


@pytest.mark.parametrize(
    ("answer", "error"), [("", ValueError), ("   ", ValueError), ("ü" * 257, ValueError), (7, TypeError)]
)
def test_a_submission_is_one_to_512_bytes(answer: object, error: type[Exception]) -> None:
    task = Task("t")
    task.submission(lambda ctx: answer)

    with pytest.raises(error, match="submission returned"):
        task.call("submission", build_context())


def test_functions_may_be_async_and_share_one_loop() -> None:
    import asyncio

    loops = []

    async def setup(ctx: Context) -> None:
        loops.append(asyncio.get_running_loop())

    async def submission(ctx: Context) -> str:
        loops.append(asyncio.get_running_loop())
        return "later"

    task = Task("t")
    task.setup(setup)
    task.submission(submission)

    task.call("setup", build_context())
    answer = task.call("submission", build_context())

    assert answer == "later"
    assert loops[0] is loops[1]


def test_the_default_lie_is_the_truth_with_one_character_changed() -> None:
    task = Task("t")
    task.submission(lambda ctx: "Hello, World!")

    lie = task.call("lie", build_context())

    assert lie != "Hello, World!"
    assert lie[:-1] == "Hello, World"


def test_a_lie_of_the_authors_own_is_used_instead() -> None:
    task = Task("t")
    task.submission(lambda ctx: "truth")
    task.lie(lambda ctx: "invented")

    assert task.call("lie", build_context()) == "invented"


def test_a_step_that_the_task_does_not_have_is_named() -> None:
    with pytest.raises(TypeError, match="has no @task"):
        Task("t").call("work", build_context())


@pytest.mark.parametrize(
    ("amounts", "error", "text"),
    [
        ([], TypeError, "must return a dict"),
        ({"a": 1.0}, TypeError, "must be an integer"),
        ({"a": True}, TypeError, "must be an integer"),
        ({"stranger": 1}, ValueError, "submitted nothing"),
    ],
)
def test_what_is_no_list_never_reaches_one(amounts: object, error: type[Exception], text: str) -> None:
    task = Task("t")
    task.distribution(lambda round: amounts)

    with pytest.raises(error, match=text):
        task.call("distribution", given=Round(0, 10, [build_submitter("a", 1, 5)]))


def test_equal_split_pays_the_cleared_alike_and_slashes_the_convicted() -> None:
    nodes = [build_submitter(key, votes, 1001) for key, votes in (("a", 1), ("b", 3), ("c", 0), ("d", -2))]

    amounts = equal_split(slash="70%")(Round(0, 101, nodes))

    assert amounts == {"a": 50, "b": 50, "d": -700}


def test_equal_split_of_nobody_pays_nobody() -> None:
    assert equal_split()(Round(0, 100, [])) == {}


def test_proportional_split_pays_by_stake_and_splitting_a_stake_earns_no_more() -> None:
    whole = proportional_split()(Round(0, 1000, [build_submitter("a", 1, 60), build_submitter("b", 1, 40)]))
    parts = [build_submitter(f"a{part}", 1, 20) for part in range(3)]
    split = proportional_split()(Round(0, 1000, [*parts, build_submitter("b", 1, 40)]))

    assert whole == {"a": 600, "b": 400}
    assert sum(split[f"a{part}"] for part in range(3)) <= whole["a"]


def test_stake_above_the_cap_counts_no_more() -> None:
    nodes = [build_submitter("whale", 1, 10**12), build_submitter("mouse", 1, 100)]

    assert proportional_split(cap=100)(Round(0, 1000, nodes)) == {"whale": 500, "mouse": 500}


@pytest.mark.parametrize(
    ("share", "stake", "slashed"),
    [
        ("70%", 10, 7),
        ("70%", 3, 2),
        ("12.5%", 1000, 125),
        ("7/10", 10, 7),
        ("0.7", 10, 7),
        (Fraction(1, 3), 10, 3),
        ("100%", 10**18 + 1, 10**18 + 1),
        (0, 10, 0),
    ],
)
def test_percentages_are_exact(share: Any, stake: int, slashed: int) -> None:
    amounts = equal_split(slash=share)(Round(0, 0, [build_submitter("a", -1, stake)]))

    assert amounts == {"a": -slashed}


@pytest.mark.parametrize(
    "share",
    [
        0.7,
        None,
        "70",
        "seventy",
        "-1%",
        "101%",
        "1/0",
        "1/",
        "%",
        2,
        "0,7",
        "7.%",
        ".7",
        "٧٠%",
        "1_0%",
        "1.2.3%",
    ],
)
def test_a_share_that_is_not_exact_or_not_a_share_is_refused(share: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        equal_split(slash=share)


@pytest.mark.parametrize(
    "change",
    ["UPDATE saved SET value = '6'", "DELETE FROM saved", "UPDATE saved SET round = 4", "DELETE FROM total"],
)
def test_saved_values_that_changed_on_disk_are_refused_by_name(tmp_path: Path, change: str) -> None:
    path = str(tmp_path / "state.sqlite")
    with closing(SavedFile(path)) as saved:
        saved.of_round(3)["a"] = 5
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(change)

    with pytest.raises(SavedCorrupt, match=r"state\.sqlite: values are not as they were saved; delete it"):
        SavedFile(path)


def test_a_file_of_saved_values_without_a_total_gets_one(tmp_path: Path) -> None:
    path = str(tmp_path / "state.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(
            "CREATE TABLE saved"
            " (round INTEGER, key TEXT, value TEXT NOT NULL, PRIMARY KEY (round, key)) WITHOUT ROWID"
        )
        database.execute("INSERT INTO saved VALUES (3, 'a', '5')")

    with closing(SavedFile(path)) as saved:
        state = saved.of_round(3)
        state["b"] = 6
        del state["a"]
        state["b"] = 7
    with closing(SavedFile(path)) as saved:
        found = dict(saved.of_round(3))
        saved.forget(4)
    with closing(SavedFile(path)) as saved:
        left = dict(saved.of_round(3))

    assert ({"b": 7}, {}) == (found, left)


def test_an_empty_file_of_saved_values_is_no_new_one(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").touch()

    with pytest.raises(SavedCorrupt, match=r"state\.sqlite is empty; delete it"):
        SavedFile(str(tmp_path / "state.sqlite"))


def test_state_belongs_to_a_round_and_store_to_all(tmp_path: Path) -> None:
    saved = SavedFile(str(tmp_path / "state.sqlite"))
    ctx = build_context(saved=saved, round=3)
    later = build_context(saved=SavedFile(str(tmp_path / "state.sqlite")), round=4)

    ctx.state["value"] = {"list": [1, None, "ü"]}
    ctx.store["count"] = 1

    assert later.state == {}
    assert later.store == {"count": 1}
    assert later.state_of(3) == {"value": {"list": [1, None, "ü"]}}
    saved.forget(4)
    assert later.state_of(3) == {}
    assert later.store == {"count": 1}


def test_saved_values_are_a_dict_of_json() -> None:
    state = SavedFile(":memory:").of_round(0)
    state["b"] = 1
    state["a"] = [1]
    state.update(c=3)

    state["a"].append(2)
    del state["c"]

    assert dict(state) == {"a": [1], "b": 1}
    assert len(state) == 2
    assert "c" not in state
    with pytest.raises(KeyError):
        del state["c"]
    with pytest.raises(TypeError):
        state["bytes"] = b"x"
    with pytest.raises(TypeError, match="keys are text"):
        state[1] = 1  # type: ignore[index]


def test_chance_is_the_same_after_a_crash() -> None:
    first = [build_context().random.random() for _ in range(2)]

    assert first[0] == first[1]
    assert first[0] != build_context(random_seed=b"other").random.random()


def test_an_http_answer_is_read_as_text_and_json() -> None:
    answer = {"url": "http://x/", "status": 200, "headers": {"a": "b"}, "body": "eyJ4IjogMX0="}
    desk = Desk(http_request=answer)

    response = build_context(desk).http.get("http://x/", headers={"Accept": "*/*"})

    assert (response.status, response.text, response.json(), response.headers["a"]) == (
        200,
        '{"x": 1}',
        {"x": 1},
        "b",
    )
    sent = {"method": "GET", "url": "http://x/", "headers": {"Accept": "*/*"}, "body": ""}
    assert desk.requests == [("http.request", sent)]


def test_what_a_peer_answers_may_be_nonsense() -> None:
    answer = {"url": "http://x/", "status": 200, "headers": {}, "body": "e30h"}
    ctx = build_context(Desk(peers_get=answer, peers_list=["a", "b"]))

    assert list(ctx.peers) == ["a", "b"]
    assert len(ctx.peers) == 2
    with pytest.raises(InvalidSubmission):
        ctx.peers["a"].get("/proof").json()


def test_in_an_audit_the_candidate_is_asked_first_for_a_blob() -> None:
    desk = Desk(storage_get="aGk=")

    data = build_context(desk, submitter="somebody").storage.get("bafkrei")

    assert data == b"hi"
    assert desk.requests == [("storage.get", {"content_id": "bafkrei", "node": "somebody", "round": 3})]


def test_equal_values_are_stored_under_one_content_id() -> None:
    desk = Desk(storage_put="id")
    storage = build_context(desk).storage

    storage.put_json({"a": 1, "b": "ü"})
    storage.put_json({"b": "ü", "a": 1})

    assert desk.requests[0] == desk.requests[1]


# Proofs


PROOF_ID = compute_content_id(b"a proof")


def test_a_proof_is_stored_and_named_by_its_content_id() -> None:
    desk = Desk(storage_put=PROOF_ID)

    named = build_context(desk).proof("a proof")

    assert PROOF_ID == named
    assert [("storage.put", {"data": "YSBwcm9vZg==", "round": 3})] == desk.requests


def test_a_proof_has_as_many_bytes_as_the_law_takes_and_a_larger_one_is_told_of_manifests() -> None:
    assert PROOF_BYTES_MAX == commitments.PIECES_MAX * commitments.PIECE_BYTES
    ctx = build_context(Desk(storage_put=PROOF_ID))

    assert [PROOF_ID] * 3 == [
        ctx.proof(b"x"),
        ctx.proof(b"x" * PROOF_BYTES_MAX),
        ctx.proof("\u00fc" * (PROOF_BYTES_MAX // 2)),
    ]
    for data in (b"", "", b"x" * (PROOF_BYTES_MAX + 1), "\u00fc" * (PROOF_BYTES_MAX // 2 + 1)):
        with pytest.raises(ValueError, match="make the proof a manifest"):
            ctx.proof(data)


SPARE = PROOF_ID[:-1] + chr(ord(PROOF_ID[-1]) + 1)
"""The same bytes, with a spare bit that is not zero."""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (PROOF_ID, ""),
        (f"{PROOF_ID} 12", "12"),
        (f"{PROOF_ID}  12", " 12"),
        (f"{PROOF_ID} ", ""),
        (f"{PROOF_ID}12", None),
        (f"{PROOF_ID}\t12", None),
        (f" {PROOF_ID}", None),
        (PROOF_ID[:-1], None),
        (PROOF_ID.upper(), None),
        (SPARE, None),
        ("b" + "a" * 58, None),
        ("z" + PROOF_ID[1:], None),
        (PROOF_ID[:9] + "\u0131" + PROOF_ID[10:], None),
        (PROOF_ID[:9] + "1" + PROOF_ID[10:], None),
        ("12", None),
        ("", None),
    ],
)
def test_a_value_names_a_proof_where_the_law_says_so(value: str, text: str | None) -> None:
    candidate, submitter = build_candidate(value), Submitter("a", value, 1, "untried", 5)

    by_law = commitments.read_content_id(value.encode())
    assert (text is not None) == (by_law is not None)
    expected = (None, value) if text is None else (PROOF_ID, text)
    assert expected == (candidate.content_id, candidate.text)
    assert expected == (submitter.content_id, submitter.text)


def test_a_value_that_differs_in_a_character_names_a_proof_where_the_law_says_so() -> None:
    for at in range(len(PROOF_ID)):
        for character in "abcdefghijklmnopqrstuvwxyz0123456789AZ= .-":
            value = PROOF_ID[:at] + character + PROOF_ID[at + 1 :]

            names_one = build_candidate(value).content_id is not None

            assert names_one == (commitments.read_content_id(value.encode()) is not None), value


def build_counted(key: str, text: str, votes: int = 1, stake: int = 1000) -> Submitter:
    return Submitter(key, text, votes, "convicted" if votes < 0 else "untried", stake)


def test_a_price_a_unit_is_paid_for_the_number_behind_the_content_id() -> None:
    nodes = [
        build_counted("a", f"{PROOF_ID} 3"),
        build_counted("b", "4"),
        build_counted("c", f"{PROOF_ID} 9", -1),
        build_counted("d", f"{PROOF_ID} 9", 0),
        *(
            build_counted(f"e{index}", f"{PROOF_ID}{text}")
            for index, text in enumerate(("", " x", " -1", " 1_0", " \u0663", " 1.5", " " + "9" * 19))
        ),
    ]

    amounts = per_unit(10)(Round(0, 1000, nodes))

    assert {"a": 30, "b": 40, "c": -700} == {key: amount for key, amount in amounts.items() if amount}


def test_prices_are_lowered_alike_where_the_bounty_does_not_reach() -> None:
    nodes = [build_counted("a", "3"), build_counted("b", "4")]

    assert {"a": 42, "b": 56} == per_unit(20)(Round(0, 100, nodes))
    assert {} == per_unit(20)(Round(0, 100, []))


def test_the_authors_own_count_reads_the_text_and_what_it_cannot_read_is_nothing() -> None:
    nodes = [build_counted("a", f'{PROOF_ID} {{"pages": 5}}'), build_counted("b", f"{PROOF_ID} []")]

    amounts = per_unit(10, lambda text: json.loads(text)["pages"])(Round(0, 1000, nodes))

    assert {"a": 50, "b": 0} == amounts


def test_with_a_stake_the_price_is_in_proportion_to_stakes_so_that_splitting_one_earns_nothing() -> None:
    whole, other = build_counted("a", "3", stake=3000), build_counted("b", "3")
    parts = [build_counted(name, "3") for name in "cde"]
    pay = per_unit(10, stake=1000)

    assert {"a": 90, "b": 30} == pay(Round(0, 1000, [whole, other]))
    assert {"c": 30, "d": 30, "e": 30, "b": 30} == pay(Round(0, 1000, [*parts, other]))
    assert {"a": 75, "b": 25} == pay(Round(0, 100, [whole, other]))
    assert {"a": 75, "b": 25} == per_unit(1, stake=1)(Round(0, 100, [whole, other]))  # numbers may be small
    assert {} == pay(Round(0, 100, []))


@pytest.mark.parametrize("stake", [1.5, 0, "10", True])
def test_the_stake_of_a_price_is_a_whole_number_of_roe(stake: Any) -> None:
    with pytest.raises(ValueError, match="is not a stake"):
        per_unit(10, stake=stake)


@pytest.mark.parametrize("price", [1.5, -1, "10", True])
def test_a_price_is_a_whole_number_of_roe(price: Any) -> None:
    with pytest.raises(ValueError, match="is not a price"):
        per_unit(price)


def test_by_stake_is_the_split_in_proportion() -> None:
    nodes = [build_submitter("a", 1, 600), build_submitter("b", -1, 400), build_submitter("c", 0, 10**9)]

    assert {"a": 375, "b": -200} == by_stake(cap=600, slash="50%")(Round(0, 1000, nodes))
    assert by_stake(cap=7)(Round(0, 1000, nodes)) == proportional_split(cap=7)(Round(0, 1000, nodes))
