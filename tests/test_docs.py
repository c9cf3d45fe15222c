"""What the documents say is so: links lead somewhere, commands exist, code of the tutorial runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from roundwork import errors

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())

    assert [] == [one for one in targets if not (path.parent / one).exists()]


def test_every_command_that_is_shown_exists():
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    shown = {
        tuple(one.split()) for one in re.findall(r"^\.venv/bin/roundwork ([a-z]+(?: [a-z]+)?)\b", text, re.M)
    }
    assert {("ledger", "run"), ("task", "deploy"), ("node", "run")} <= shown

    for words in shown:
        known = words[:1] if words[0] in ("up", "keygen") else words
        done = subprocess.run([sys.executable, "-m", "roundwork", *known, "--help"], capture_output=True)
        assert done.returncode == 0, known


def test_the_code_of_the_task_documentation_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "TASKS.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_rejections_that_the_protocol_names_are_classes():
    text = (ROOT / "docs" / "PROTOCOL.md").read_text()

    named = {
        name
        for group in re.findall(r"\(((?:`[A-Z]\w+`(?:, )?)+)\)", text)
        for name in re.findall(r"`(\w+)`", group)
    }

    assert len(named) > 40
    assert [] == [name for name in sorted(named) if not hasattr(errors, name)]


def test_every_rejection_has_a_number_of_its_own():
    def walk(base: type) -> list[type]:
        return [base, *(one for child in base.__subclasses__() for one in walk(child))]

    ours = [one for one in walk(errors.Rejected) if "code" in vars(one) and vars(one)["code"] >= 1000]

    assert len({one.code for one in ours}) == len(ours)
