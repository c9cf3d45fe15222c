"""`roundwork.testing`: a round in this process, with a network, peers and a seed that the test chooses."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from roundwork import Task, Unavailable, proportional_split
from roundwork.errors import BadArgument, BadConfig, BadTaskFile, TaskFailed
from roundwork.package.scaffold import Answers, write_scaffold
from roundwork.testing import STAKE, open_network, run_round

from .package.test_folder import write_task

EXAMPLES = Path(__file__).parents[1] / "examples"

FETCH = """
from roundwork import Task

task = Task("fetch")

@task.work
def work(ctx):
    ctx.state["text"] = ctx.http.get("http://" + ctx.params["host"] + "/a").text

@task.submission
def submission(ctx):
    return ctx.state["text"]

@task.audit
def audit(ctx, candidate):
    return candidate.value == ctx.http.get("http://" + ctx.params["host"] + "/a").text
"""


def make_task(**functions: Any) -> Task:
    task = Task("test")
    task.work(functions.get("work", lambda ctx: ctx.state.update(seed=ctx.seed.hex())))
    task.submission(functions.get("submission", lambda ctx: ctx.state["seed"]))
    task.audit(functions.get("audit", lambda ctx, candidate: candidate.value == candidate.seed.hex()))
    if "distribution" in functions:
        task.distribution(functions["distribution"])
    return task


def answer(request: httpx2.Request) -> httpx2.Response:
    if request.url.path == "/a" and request.url.host == "moved.example":
        return httpx2.Response(302, headers={"location": "http://example.org/a"})
    return httpx2.Response(200, text=f"{request.method} {request.url}")


def fetch(tmp_path: Path, network: Any, host: str = "example.org") -> Any:
    folder = tmp_path / "task"
    folder.mkdir(exist_ok=True)
    write_task(
        folder, "roundwork: {hosts: [example.org, moved.example], params: {host: example.org, pages: 8}}"
    )
    (folder / "task.py").write_text(FETCH)
    return run_round(folder, params={"host": host}, network=network)


def test_a_round_has_value_opinion_state_and_timings() -> None:
    played = run_round(make_task())

    assert ("valid", "") == (played.opinion, played.reason)
    assert {"seed": played.value} == played.state
    assert ["work", "submission", "audit"] == list(played.seconds)


def test_the_same_seed_round_and_node_give_the_same_and_others_do_not() -> None:
    chosen = ((1, 0, 1), (1, 0, 1), (2, 0, 1), (1, 1, 1), (1, 0, 2))
    values = [run_round(make_task(), seed=seed, round=at, node=node).value for seed, at, node in chosen]

    assert values[0] == values[1]
    assert 4 == len(set(values))


def test_another_nodes_proof_and_changed_ones_are_audited() -> None:
    played, other = run_round(make_task()), run_round(make_task(), node=2)

    assert "invalid" == played.audit(other.value).opinion
    assert "valid" == played.audit(other.value, other.node).opinion
    assert played.mutations
    assert {"invalid"} == {played.audit(text).opinion for text in played.mutations}


def test_amounts_are_those_of_the_authors_function() -> None:
    played = run_round(make_task(distribution=proportional_split("50%")))

    assert [250, 500, -STAKE // 2] == played.distribute((1, 1, -1), (STAKE, 2 * STAKE, STAKE), 1000)


def test_requests_go_through_the_transport_to_permitted_hosts(tmp_path: Path) -> None:
    played = fetch(tmp_path, httpx2.MockTransport(answer))

    assert ("GET http://example.org/a", "valid") == (played.value, played.opinion)
    assert [("GET", "http://example.org/a")] * 2 == played.requests
    assert "GET http://example.org/a" == fetch(tmp_path, httpx2.MockTransport(answer), "moved.example").value
    with pytest.raises(TaskFailed, match=r"Refused: other\.example:80 is not among the permitted hosts"):
        fetch(tmp_path, httpx2.MockTransport(answer), "other.example")


def test_text_that_is_not_utf_8_is_no_submission() -> None:
    with pytest.raises(TaskFailed, match=r"submission returned '\\udc80', which is not text of UTF-8"):
        run_round(make_task(submission=lambda ctx: "\udc80"))


def test_a_file_that_ends_the_process_is_a_failure_of_the_task(tmp_path: Path) -> None:
    (tmp_path / "config-task.yml").write_bytes((EXAMPLES / "hello" / "config-task.yml").read_bytes())
    (tmp_path / "task.py").write_text("import sys\n\nsys.exit(3)\n")

    with pytest.raises(BadTaskFile, match=r"task\.py cannot be run: SystemExit: 3 \(task\.py, line 3\)"):
        run_round(tmp_path)


def test_a_ledger_that_does_not_run_is_named() -> None:
    task = make_task(work=lambda ctx: ctx.ledger.call("getSlot"))

    with pytest.raises(TaskFailed, match=r"so nothing answers ledger\.call getSlot; `roundwork up` runs one"):
        run_round(task)


def test_without_a_network_every_host_is_unavailable() -> None:
    task = make_task(work=lambda ctx: ctx.http.get("http://example.org/"))

    with pytest.raises(TaskFailed, match=r"Unavailable: GET http://example\.org/"):
        run_round(task)


def test_recorded_answers_are_given_without_the_network(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    recorded = {"url": "http://example.org/a", "status": 200, "headers": {}, "body": "aGVsbG8="}
    path.write_text(json.dumps({"GET http://example.org/a": recorded}))

    with open_network(path, is_recording=False) as network:
        played = fetch(tmp_path, network)
        assert ("hello", "valid") == (played.value, played.opinion)
        with pytest.raises(TaskFailed, match=r"Unavailable: .* is not recorded"):
            fetch(tmp_path, network, "moved.example")
        with pytest.raises(TaskFailed, match="Refused: other"):
            fetch(tmp_path, network, "other.example")


def test_peers_answer_by_their_routes() -> None:
    peer = str(run_round(make_task(), node=7).node)
    task = make_task(
        work=lambda ctx: ctx.state.update(seed=ctx.peers[peer].get("greet").text),
        audit=lambda ctx, candidate: len(ctx.peers) == 1 and candidate.value == "hi",
    )

    assert "valid" == run_round(task, peers={peer: {"/greet": lambda request: "hi"}}).opinion
    with pytest.raises(TaskFailed, match="Unavailable"):
        run_round(task)


def test_no_vote_is_no_failure_and_a_wrong_answer_is() -> None:
    def refuse(ctx: Any, candidate: Any) -> bool:
        raise Unavailable("the site is down")

    played = run_round(make_task(audit=refuse))
    assert ("unavailable", "the site is down") == (played.opinion, played.reason)
    with pytest.raises(TaskFailed, match=r"audit returned 1; it must return True, False"):
        run_round(make_task(audit=lambda ctx, candidate: 1))


def fail(ctx: Any) -> None:
    json.loads("{")


@pytest.mark.parametrize(
    ("functions", "function"),
    [
        ({"work": lambda ctx: ctx.http.get("http://example.org/")}, "work"),
        ({"work": lambda ctx: ctx.proof("")}, "work"),
        ({"work": lambda ctx: ctx.ledger.call("getSlot")}, "work"),
        ({"work": lambda ctx: ctx.state.update(text=ctx.storage.get("nothing"))}, "work"),
        ({"work": lambda ctx: ctx.state.update(value=object())}, "work"),
        ({"work": fail}, "work"),
        ({"submission": lambda ctx: 7}, "submission"),
        ({"submission": lambda ctx: ctx.state["nothing"]}, "submission"),
        ({"audit": lambda ctx, candidate: 1}, "audit"),
    ],
)
def test_a_failure_names_the_line_of_the_author(functions: dict[str, Any], function: str) -> None:
    code = functions[function].__code__
    lines = {line for _, _, line in code.co_lines() if line is not None}

    with pytest.raises(TaskFailed) as failed:
        run_round(make_task(**functions))

    place = re.search(r" \(([^(]*), line (\d+)\)$", str(failed.value))
    assert place is not None, failed.value
    assert Path(__file__).name == place[1]
    assert int(place[2]) in lines


def test_a_failed_route_of_a_peer_names_its_line() -> None:
    peer = str(run_round(make_task(), node=7).node)
    task = make_task(work=lambda ctx: ctx.peers[peer].get("/greet"))

    with pytest.raises(
        TaskFailed, match=r"route failed: ZeroDivisionError: .* \(test_testing\.py, line \d+\)"
    ):
        run_round(task, peers={peer: {"/greet": lambda request: 1 // 0}})


def test_an_audit_that_gets_the_proof_of_a_submission_without_one_finds_it_invalid() -> None:
    played = run_round(make_task(audit=lambda ctx, candidate: bool(ctx.storage.get(candidate.content_id))))

    assert ("invalid", "there is no content id: the submission names no proof") == (
        played.opinion,
        played.reason,
    )
    assert (
        "invalid"
        == run_round(
            make_task(audit=lambda ctx, candidate: bool(ctx.storage.get_json(candidate.content_id)))
        ).opinion
    )


PEER = "11111111111111111111111111111112"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"task": 7}, "task is 7; it must be a Task or the path"),
        ({"round": -1}, "round is -1; it must be an integer from 0 to"),
        ({"round": True}, "round is True"),
        ({"round": "3"}, "round is '3'"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"node": 0}, "node is 0; it must be an integer from 1 to 499"),
        ({"node": 500}, "node is 500"),
        ({"seconds_left": 0}, "seconds_left is 0; it must be a number of seconds above 0"),
        ({"seconds_left": float("nan")}, "seconds_left is nan"),
        ({"params": ["host"]}, r"params is \['host'\]; it must be a dict"),
        ({"params": {"host": object()}}, "params must have values of JSON"),
        ({"secrets": {"KEY": 7}}, "secrets must be a dict of text by name"),
        ({"network": answer}, "network is <function .*MockTransport"),
        ({"network": httpx2.Client()}, "network is <httpx2"),
        ({"peers": [PEER]}, "peers is .*; it must be a dict of routes by address"),
        ({"peers": {"7": {}}}, "an address of peers is '7'; it must be an address"),
        ({"peers": {PEER: {"/": "text"}}}, "it must be what @task.routes returns"),
        ({"peers": {PEER: {"greet": lambda request: "hi"}}}, "a dict of path"),
    ],
)
def test_an_argument_that_cannot_be_used_is_refused_by_name(arguments: dict[str, Any], reason: str) -> None:
    given = {"task": make_task(), **arguments}

    with pytest.raises(BadArgument, match=reason):
        run_round(**given)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"params": {"pagse": 3}}, "param 'pagse' is not in config-task.yml, which has host, pages"),
        ({"params": {"pages": "3"}}, "param pages: '3' must be of the kind of 8"),
        ({"secrets": {"KEY": "x"}}, "secret 'KEY' is not in roundwork.secrets of config-task.yml"),
    ],
)
def test_params_and_secrets_are_those_of_the_configuration(
    tmp_path: Path, arguments: dict[str, Any], reason: str
) -> None:
    write_task(tmp_path, "roundwork: {params: {host: example.org, pages: 8}}")
    (tmp_path / "task.py").write_text(FETCH)

    with pytest.raises(BadConfig, match=reason):
        run_round(tmp_path, **arguments)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"votes": (1, 1), "stakes": (1, 1, 1)}, "there are 2 votes and 3 stakes"),
        ({"votes": ()}, r"votes is \(\); it must be a list"),
        ({"votes": "11"}, "votes is '11'"),
        ({"votes": 1}, "votes is 1"),
        ({"votes": (1, 0.5)}, r"votes\[1\] is 0.5; it must be an integer"),
        ({"stakes": (0, 1, 1)}, r"stakes\[0\] is 0; it must be an integer from 1"),
        ({"bounty": -1}, "bounty is -1; it must be an integer from 0"),
    ],
)
def test_a_list_of_nodes_that_cannot_be_is_refused(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadArgument, match=reason):
        run_round(make_task()).distribute(**arguments)


def test_a_list_needs_no_stakes() -> None:
    assert 2 == len(run_round(make_task()).distribute(votes=(1, -1)))


def test_what_no_ledger_takes_is_not_audited() -> None:
    played = run_round(make_task())

    for value in ("", "x" * 513, 7):
        with pytest.raises(BadArgument, match=r"value is .*; a submission is text of 1 to 512 bytes"):
            played.audit(value)  # type: ignore[arg-type] # that is what is tested
    with pytest.raises(BadArgument, match="node is 'x'; it must be an address"):
        played.audit("x", "x")
    with pytest.raises(BadArgument, match="node 1 is the node itself"):
        played.play_neighbour(1)


def test_a_port_that_is_missing_in_a_permitted_host_is_named(tmp_path: Path) -> None:
    write_task(tmp_path, "roundwork: {hosts: [127.0.0.1], params: {host: 127.0.0.1:8000}}")
    (tmp_path / "task.py").write_text(FETCH)

    with pytest.raises(
        TaskFailed, match=r"write 127\.0\.0\.1:8000 \(a name alone permits ports 80 and 443\)"
    ):
        run_round(tmp_path, network=httpx2.MockTransport(answer))


@pytest.mark.parametrize("body", ["%", "a"])
def test_recorded_answers_that_are_damaged_are_refused(tmp_path: Path, body: str) -> None:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({"GET http://x/": {"url": "", "status": 200, "headers": {}, "body": body}}))

    with pytest.raises(BadConfig, match="has no recorded answers"), open_network(path, is_recording=False):
        pass
    with pytest.raises(BadConfig, match="its folder does not exist"), open_network(path / "x" / "y", True):
        pass
    with pytest.raises(BadConfig, match="no file to record"), open_network(None, is_recording=True):
        pass


def test_the_example_runs_from_its_folder() -> None:
    played = run_round(EXAMPLES / "hello")

    assert ("Hello, World!", "valid") == (played.value, played.opinion)


def test_the_test_file_of_the_documentation_passes(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "TASKS.md").read_text()
    [source] = [text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "run_round" in text]
    write_scaffold(tmp_path / "my-task", Answers())
    (tmp_path / "test_it.py").write_text(source)

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert 0 == done.returncode, done.stdout
    assert "3 passed" in done.stdout
