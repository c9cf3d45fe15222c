"""What a task asks for is shown to the operator, who agrees or does not run it; and it takes effect."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from roundwork.package.content import compute_content_id

from ..cli.terminal import type_into
from ..cli.test_task import run
from ..ledger.process import RunningLedger, running
from .house import require_sandbox
from .test_server import HELLO, fail, run_node

KOII = 10**9
ROUTES = """

@task.routes
def routes(ctx):
    import os
    def fits(mebibytes):
        try:
            return bool(bytearray(mebibytes * 2**20))
        except MemoryError:
            return False
    return {"/seen": lambda request: {"secrets": ctx.secrets, "environment": sorted(os.environ),
                                      "fits": [fits(100), fits(400)]},
            "/ask": lambda request: ctx.http.get(request.query["url"]).text}
"""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    require_sandbox("sandlock")
    with running(tmp_path_factory.mktemp("permissions") / "ledger") as ledger:
        yield ledger


def found(ledger: RunningLedger, folder: Path, more: str) -> str:
    """Write hello with routes and more configuration, deploy it with the command; the task's address."""
    folder.mkdir()
    (folder / "task.py").write_text((HELLO / "task.py").read_text() + ROUTES)
    (folder / "config-task.yml").write_text((HELLO / "config-task.yml").read_text() + more)
    key = folder.parent / "manager.json"
    if not key.exists():
        address = json.loads(run("keygen", key, "--json").stdout)["address"]
        ledger.call("requestAirdrop", address, 9_000 * KOII)
    done = run("task", "deploy", folder, "--key", key, "--url", ledger.url, "--json")
    assert 0 == done.returncode, done.stderr
    return str(json.loads(done.stdout)["task"])


def test_a_node_runs_what_its_operator_agreed_to_and_asks_again_when_that_changes(
    ledger: RunningLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = "requirementsTags: [{type: TASK_VARIABLE, value: API_KEY}, {type: RAM, value: 300 MB}]\n"
    folder, node = tmp_path / "task", tmp_path / "node"
    task = found(ledger, folder, tags)
    monkeypatch.setenv("API_KEY", "of the operator")
    monkeypatch.setenv("OTHER", "none of its business")

    assert "asks for more than every task has; agree to it with --yes" in fail(
        ledger, task, node, "--package", folder, "--secret", "API_KEY"
    )
    assert "the task asks for API_KEY; give each with --secret" in fail(
        ledger, task, node, "--package", folder, "--yes"
    )
    with run_node(ledger, task, node, "--package", folder, "--secret", "API_KEY") as agreed:
        seen = httpx2.get(f"{agreed.endpoint}/task/{task}/seen", trust_env=False, timeout=30).json()
    assert {"API_KEY": "of the operator"} == seen["secrets"]
    assert [True, False] == seen["fits"]
    assert not {"OTHER", "API_KEY", "USER"} & set(seen["environment"])

    wider, hosts = tmp_path / "wider", "  hosts: [example.org]\n"
    task = found(ledger, wider, hosts + tags)
    assert "agree to it with --yes" in fail(ledger, task, node, "--package", wider, "--secret", "API_KEY")


def test_the_operator_is_asked_at_a_terminal(ledger: RunningLedger, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    task = found(ledger, folder, "  hosts: [example.org]\n")
    command = ["node", "run", "--task", task, "--directory", tmp_path / "node", "--package", folder]

    code, shown = type_into([*command, "--url", ledger.url], ("Run it? [y/N]: ", "n"))

    assert 1 == code
    assert "HTTP through the node: example.org" in shown
    assert "is not run: the operator did not agree" in shown


def test_a_host_that_a_tag_names_is_reached_and_another_is_not(ledger: RunningLedger, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    host = f"127.0.0.1:{ledger.port}"
    task = found(ledger, folder, f"requirementsTags: [{{type: NETWORK, value: '{host}'}}]\n")
    with run_node(ledger, task, tmp_path / "node", "--package", folder, "--yes") as node:

        def ask(url: str) -> httpx2.Response:
            where = f"{node.endpoint}/task/{task}/ask"
            return httpx2.get(where, params={"url": url}, trust_env=False, timeout=30)

        assert (200, "ok") == (ask(f"http://{host}/health").status_code, ask(f"http://{host}/health").text)
        assert 502 == ask("http://127.0.0.1:1/").status_code


@pytest.mark.parametrize(("kind", "wanted"), [("OS", "OSX"), ("ARCHITECTURE", "pdp11")])
def test_another_machine_is_refused_unless_the_operator_insists(
    ledger: RunningLedger, tmp_path: Path, kind: str, wanted: str
) -> None:
    folder = tmp_path / "task"
    task = found(ledger, folder, f"requirementsTags: [{{type: {kind}, value: {wanted}}}]\n")

    told = fail(ledger, task, tmp_path / "node", "--package", folder)

    assert told.startswith(f"BadConfig: the task asks for {kind} {wanted}; this machine is ")
    with run_node(ledger, task, tmp_path / "node", "--package", folder, "--any-machine"):
        pass


def test_nodes_serve_the_metadata_that_the_task_names_and_it_is_shown(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    folder = tmp_path / "task"
    tags = "requirementsTags: [{type: ADDON, value: LAMP, description: For the dark}]\n"
    task = found(ledger, folder, tags)
    metadata = (folder / "metadata.json").read_bytes()
    content_id = compute_content_id(metadata)
    unseen = run("task", "show", task, "--url", ledger.url).stdout

    node = tmp_path / "node"
    key = json.loads(run("keygen", node / "main.json", "--json").stdout)["address"]
    ledger.call("requestAirdrop", key, 100 * KOII)
    with run_node(ledger, task, node, "--package", folder) as first:
        staked = run(
            *("node", "stake", "--task", task, "--directory", node, "--amount", KOII),
            *("--endpoint", first.endpoint, "--url", ledger.url),
        )
        assert 0 == staked.returncode, staked.stderr
        shown = run("task", "show", task, "--url", ledger.url).stdout
        os.unlink(folder / "metadata.json")
        with run_node(ledger, task, tmp_path / "second", "--package", folder) as second:
            served = httpx2.get(f"{second.endpoint}/ipfs/{content_id}", trust_env=False)

    assert f"none of its nodes serves its metadata, {content_id}" in unseen
    assert "asks for ADDON LAMP (For the dark)" in shown
    assert metadata == served.content
