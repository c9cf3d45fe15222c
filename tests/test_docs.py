"""What the documents say is so: links lead somewhere, commands exist, code of the tutorial runs."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import roundwork
from roundwork import errors
from roundwork.cli.root import root
from roundwork.ledger.rpc.dispatch import METHODS
from roundwork.package.config import FIELDS, OUR_FIELDS
from roundwork.protocol.params import Genesis
from roundwork.sdk import task

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())

    assert [] == [one for one in targets if not (path.parent / one).exists()]


def test_every_command_that_is_shown_exists() -> None:
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    shown = {
        tuple(one.split()) for one in re.findall(r"^\.venv/bin/roundwork ([a-z-]+(?: [a-z]+)?)\b", text, re.M)
    }
    assert {("ledger", "run"), ("task", "deploy"), ("node", "run")} <= shown

    for words in shown:
        known = words[:1] if words[0] in ("up", "keygen") else words
        done = subprocess.run([sys.executable, "-m", "roundwork", *known, "--help"], capture_output=True)
        assert done.returncode == 0, known


def test_the_code_of_the_task_documentation_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "TASKS.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


REFERENCE = (ROOT / "docs" / "REFERENCE.md").read_text()


def list_commands(command: click.Command, words: tuple[str, ...] = ("roundwork",)) -> list[Any]:
    """Every command that is not hidden, with its words."""
    if not isinstance(command, click.Group):
        return [(" ".join(words), command)]
    context = click.Context(command)
    children = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [
        one
        for name, child in children
        if child is not None and not child.hidden
        for one in list_commands(child, (*words, name))
    ]


@pytest.mark.parametrize(
    ("words", "command"), list_commands(root), ids=lambda one: one if isinstance(one, str) else ""
)
def test_every_command_and_every_option_is_in_the_reference(words: str, command: click.Command) -> None:
    section = re.search(rf"^### {words}(?: [^a-z\n][^\n]*)?\n(.*?)(?=^##)", REFERENCE, re.M | re.S)
    assert section, words

    common = {"--json", "--url", "--passphrase-file", "--priority-fee"}
    options = {one.opts[0] for one in command.params if isinstance(one, click.Option) and not one.hidden}
    assert "--json" in options
    assert options - common == set(re.findall(r"^\| `(--[a-z0-9-]+)`", section[1], re.M))


def test_every_setting_is_documented() -> None:
    tasks = (ROOT / "docs" / "TASKS.md").read_text()
    sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))

    assert [] == [name for name in [*FIELDS, *OUR_FIELDS] if not re.search(rf"\b{name}\b", tasks)]
    assert [] == [name for name in Genesis.__struct_fields__ if f"`{name}`" not in REFERENCE]
    assert [] == [
        name for name in set(re.findall(r"ROUNDWORK_[A-Z]+", sources)) if f"`{name}`" not in REFERENCE
    ]


def test_every_rpc_method_is_documented() -> None:
    text = (ROOT / "docs" / "RPC.md").read_text()

    assert [] == [name for name in METHODS if f"### {name}\n" not in text]


def test_every_error_is_in_the_reference_with_its_number() -> None:
    def walk(base: type[Any]) -> list[type[Any]]:
        return [base, *(one for child in base.__subclasses__() for one in walk(child))]

    for module in pkgutil.walk_packages(roundwork.__path__, "roundwork."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    ours = [one for one in walk(errors.RoundworkError)[1:] if one.__module__.startswith("roundwork.")]

    assert [] == [one.__name__ for one in ours if f"`{one.__name__}`" not in REFERENCE]
    numbered = [one for one in ours if "code" in vars(one)]
    assert [] == [one.__name__ for one in numbered if f"| `{one.__name__}` | {one.code} |" not in REFERENCE]


def test_the_rejections_that_the_protocol_names_are_classes() -> None:
    text = (ROOT / "docs" / "PROTOCOL.md").read_text()

    named = {
        name
        for group in re.findall(r"\(((?:`[A-Z]\w+`(?:, )?)+)\)", text)
        for name in re.findall(r"`(\w+)`", group)
    }

    assert len(named) > 40
    assert [] == [name for name in sorted(named) if not hasattr(errors, name)]


def test_every_rejection_has_a_number_of_its_own() -> None:
    def walk(base: type[Any]) -> list[type[Any]]:
        return [base, *(one for child in base.__subclasses__() for one in walk(child))]

    ours = [one for one in walk(errors.Rejected) if "code" in vars(one) and vars(one)["code"] >= 1000]

    assert len({one.code for one in ours}) == len(ours)


def test_every_module_has_its_place_in_the_map_of_the_house() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    package = ROOT / "src" / "roundwork"
    left_out = {package / "cli", package / "ledger" / "comet"}

    modules = [
        path
        for path in package.rglob("*.py")
        if not path.name.startswith("__") and not left_out & set(path.parents)
    ]
    rooms = {path.parent.name for path in modules}
    assert [] == [path.name for path in modules if not re.search(rf"\b{path.name}", text)]
    assert [] == [room for room in rooms if f"{room}/" not in text]
    assert len(text.split("```")[1].strip().splitlines()) <= 60


def test_everything_that_a_task_gets_is_in_the_reference_of_tasks() -> None:
    text = (ROOT / "docs" / "TASKS.md").read_text()
    classes = (task.Context, task.Candidate, task.Round, task.Submitter, task.Response, task.Request)

    def list_names(kind: type) -> set[str]:
        made = set(re.findall(r"self\.(\w+) = ", inspect.getsource(kind)))
        return {name for name in made | set(vars(kind)) if not name.startswith("_")}

    names = {name for kind in classes for name in list_names(kind)}

    assert {"seed", "audits_done", "state_of", "text"} <= names
    assert [] == sorted(name for name in names if not re.search(rf"\b{name}\b", text))
    assert [] == [
        name for name in roundwork.__all__ if not re.search(rf"\b{name}\b", text) and name[0].islower()
    ]


def test_every_test_that_security_names_exists() -> None:
    text = (ROOT / "docs" / "SECURITY.md").read_text()
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    hostile = {f"tests/hostile/{path.name}" for path in (ROOT / "tests" / "hostile").glob("test_*.py")}

    assert [] == sorted(name for name in named if not (ROOT / name).exists())
    assert [] == sorted(hostile - named)
