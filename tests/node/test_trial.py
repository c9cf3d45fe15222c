"""Loading the program of a task once: what can run is loaded, what cannot is refused with the reason."""

import asyncio
from pathlib import Path

import pytest

from roundwork.errors import BadTaskFile
from roundwork.node.trial import load_program
from roundwork.package.folder import load_package

from ..package.test_folder import PROGRAM, write_task
from .house import require_sandbox

EXAMPLES = Path(__file__).parents[2] / "examples"

JAVASCRIPT_MISTAKES = {
    "const a = ;": "SyntaxError: Unexpected token ';' (",
    "require('axios')": "Error: Cannot find module 'axios'; a main.js has all its modules in one file",
    "missing()": "ReferenceError: missing is not defined",
    "throw null": "null",
    "process.exit(7)": "it ended with exit code 7 while it was loaded",
    "require('fs').readFileSync('/etc/shadow')": "Error: ",
}


@pytest.fixture(params=["sandlock", "bwrap"])
def sandbox(request: pytest.FixtureRequest) -> str:
    return require_sandbox(request.param)


def load(folder: Path, sandbox: str, environments: Path) -> list[str]:
    return asyncio.run(load_program(load_package(folder), sandbox, environments))


@pytest.mark.parametrize("name", ["hello", "crawler", "hello-js"])
def test_a_program_that_can_run_is_loaded_without_ledger_and_node(
    tmp_path: Path, name: str, sandbox: str
) -> None:
    assert [] == load(EXAMPLES / name, sandbox, tmp_path)


def test_what_a_program_prints_while_it_is_loaded_is_shown(tmp_path: Path, sandbox: str) -> None:
    folder = write_task(tmp_path)
    (folder / "task.py").write_text(f"{PROGRAM}print('Hello')\n")

    assert ["review: Hello"] == load(folder, sandbox, tmp_path / "environments")


@pytest.mark.parametrize(("line", "reason"), JAVASCRIPT_MISTAKES.items())
def test_a_main_js_that_cannot_be_loaded_is_refused(
    tmp_path: Path, line: str, reason: str, sandbox: str
) -> None:
    folder = write_task(tmp_path, task_audit_program="main.js")
    (folder / "main.js").write_text(f"process.on('message', () => {{}});\n{line}\n")

    with pytest.raises(BadTaskFile) as refusal:
        load(folder, sandbox, tmp_path / "environments")

    assert f"{folder / 'main.js'} cannot be run: " in str(refusal.value)
    assert reason in str(refusal.value)


def test_a_main_js_that_asks_its_node_while_it_is_loaded_is_good(tmp_path: Path, sandbox: str) -> None:
    folder = write_task(tmp_path, task_audit_program="main.js")
    (folder / "main.js").write_text(
        "const start = async () => { await fetch('http://localhost:' + process.argv[9]); };\nstart();\n"
    )

    load(folder, sandbox, tmp_path / "environments")
