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
from roundwork.errors import TaskFailed
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
    write_task(folder, "roundwork: {hosts: [example.org, moved.example]}")
    (folder / "task.py").write_text(FETCH)
    return run_round(folder, params={"host": host}, network=network)


def test_a_round_has_value_opinion_state_and_timings() -> None:
    played = run_round(make_task())

    assert ("valid", "") == (played.opinion, played.reason)
    assert {"seed": played.value} == played.state
    assert ["work", "submission", "audit"] == list(played.seconds)


def test_the_same_seed_and_node_give_the_same_and_others_do_not() -> None:
    values = [
        run_round(make_task(), seed=seed, node=node).value for seed, node in ((1, 1), (1, 1), (2, 1), (1, 2))
    ]

    assert values[0] == values[1]
    assert 3 == len(set(values))


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
    with pytest.raises(TaskFailed, match=r"Refused: other\.example is not among the permitted hosts"):
        fetch(tmp_path, httpx2.MockTransport(answer), "other.example")


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
