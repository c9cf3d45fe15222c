"""A new task folder from a few answers: a program, its configuration, a test of it, a README."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Literal

import msgspec

from ..errors import BadTaskFile
from ..protocol.params import KOII_1, ROUNDWORK_1
from ..sdk.splits import parse_share
from .config import SLASH
from .folder import CONFIG
from .windows import FETCH_SECONDS, USUAL_SLOT_MS, Timings, compute_windows

Proof = Literal["text", "blob"]
Reward = Literal["stake", "heads"]

NAME_MAX = 24
"""Characters of the name of a new task."""

_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_-]{{0,{NAME_MAX - 1}}}")


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What an author says about a new task; the defaults make a task that runs."""

    work: str = "Hash a chain of links that begins at the node's own seed."
    proof: Proof = "text"
    """The submission is the result itself (up to 512 bytes), or the content id of a file with it."""
    check: str = "Hash the same chain again and compare."
    reward: Reward = "stake"
    """Paid in proportion to stake, or to every node alike."""
    penalty: str = "70%"
    """The part of a convicted node's stake that is taken."""
    rules: str = ROUNDWORK_1.name
    """The rule set."""


def write_scaffold(folder: Path, answers: Answers) -> list[Path]:
    """Write the files of a new task into a folder that does not exist or is empty; returns their paths.

    The folder's name is the task's. Raises BadTaskFile for an invalid name, a folder that has files, or a
    penalty that is not a share.
    """
    name = folder.absolute().name
    if not _NAME.fullmatch(name):
        raise BadTaskFile(
            f"{name!r} cannot be a task's name: 1 to {NAME_MAX} letters, digits, - and _, a letter first"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadTaskFile(f"{folder} has files already; name a folder that does not exist")
    _check_penalty(answers)
    folder.mkdir(parents=True, exist_ok=True)
    files = compose_files(name, answers)
    for file, text in files.items():
        (folder / file).write_text(text, "utf-8")
    return [folder / file for file in files]


def _check_penalty(answers: Answers) -> None:
    """Check that the rule set can take the penalty. Raises BadTaskFile."""
    try:
        parse_share(answers.penalty)
    except ValueError as error:
        raise BadTaskFile(f"penalty: {error}") from None
    if answers.rules == ROUNDWORK_1.name and not SLASH.fullmatch(answers.penalty):
        raise BadTaskFile(
            f"penalty: {answers.penalty!r} must be a whole number from 10% to 100% under {answers.rules};"
            f" --rules {KOII_1.name} takes other shares"
        )


def compose_files(name: str, answers: Answers) -> dict[str, str]:
    """The files of a new task, by name."""
    split = {"stake": "by_stake", "heads": "equal_split"}[answers.reward]
    is_hardened = answers.rules == ROUNDWORK_1.name
    windows = compute_windows(TIMINGS, USUAL_SLOT_MS)
    values = {
        "name": name,
        "work": _sentence(answers.work),
        "check": _sentence(answers.check),
        "split": f"{split}()" if is_hardened else f'{split}(slash="{answers.penalty}")',
        "split_name": split,
        "penalty": answers.penalty,
        "rules": HARDENED_RULES[answers.reward] if is_hardened else answers.rules,
        "submission_window": windows.submission,
        "audit_window": windows.audit,
        "round_time": windows.submission + windows.audit + 5,
        "excused": EXCUSED[answers.reward],
        "description": f'"{_quote(_sentence(answers.work))}"',
        "reward": REWARDS[answers.reward],
        "proof": PROOFS[answers.proof],
    }
    values["rules"] = str(values["rules"]).replace("PENALTY", answers.penalty)
    templates = {
        "task.py": PROGRAMS[answers.proof],
        CONFIG: CONFIGURATION,
        "test_task.py": TEST,
        "README.md": README,
    }
    return {file: Template(text).substitute(values) for file, text in templates.items()}


def _sentence(text: str) -> str:
    """Text of one line that can stand in a docstring."""
    return " ".join(text.split()).replace("\\", "/").replace('"""', "'''").rstrip('"') or "…"


def _quote(text: str) -> str:
    return text.replace('"', '\\"')


TIMINGS = Timings(submission=0.1, fetch=FETCH_SECONDS, audit=0.1)
"""What the functions of a new task take at most, and what a proof takes to come from another node."""
HARDENED_RULES = {
    "stake": "{name: roundwork-1, slash: PENALTY, split: stake}",
    "heads": "{name: roundwork-1, slash: PENALTY, split: equal}",
}
REWARDS = {
    "stake": "the bounty is divided by the stakes of all submitters, so no node gains by splitting a stake",
    "heads": "the bounty is divided among those that are paid, so ten nodes of one owner are paid ten times",
}
PROOFS = {
    "text": "the submission is the result itself",
    "blob": "the result is a file that every node can fetch; the submission is its content id",
}
EXCUSED = {
    "stake": "  excused: {} # properties that `roundwork check` need not find, by name, each with the reason",
    "heads": """\
  excused: # properties that `roundwork check` need not find, by name, each with the reason
    splitting: every node is paid alike
    exclusion: the bounty is divided among those that are paid""",
}

_HEAD = '''\
"""$name: a task for roundwork. What each function is given and returns stands in docs/TASKS.md."""

from hashlib import sha256

from roundwork import Task, $split_name

task = Task("$name")
task.distribution($split)


def compute(seed, links):
    """The work that is to be done, the same for the node that does it and for those that check it."""
    for _ in range(links):
        seed = sha256(seed).digest()
    return seed.hex()


'''

PROGRAMS = {
    "text": _HEAD
    + '''\
@task.work
def work(ctx):
    """$work"""
    ctx.state["result"] = compute(ctx.seed, ctx.params["links"])


@task.submission
def submission(ctx):
    """The proof of this round, 1 to 512 bytes of text; None if there is nothing to submit."""
    return ctx.state.get("result")


@task.audit
def audit(ctx, candidate):
    """$check"""
    if candidate.value != compute(candidate.seed, ctx.params["links"]):
        return False, "the chain ends at another link"
    return True
''',
    "blob": _HEAD.replace("from hashlib", "import json\nfrom hashlib")
    + '''\
@task.work
def work(ctx):
    """$work"""
    ctx.state["proof"] = ctx.proof(json.dumps({"result": compute(ctx.seed, ctx.params["links"])}))


@task.submission
def submission(ctx):
    """The proof of this round, 1 to 512 bytes of text; None if there is nothing to submit."""
    return ctx.state.get("proof")


@task.audit
def audit(ctx, candidate):
    """$check"""
    claim = ctx.storage.get_json(candidate.value)  # raises if no node has it (no vote), or if it is nonsense
    if not isinstance(claim, dict) or claim.get("result") != compute(candidate.seed, ctx.params["links"]):
        return False, "the chain ends at another link"
    return True
''',
}

CONFIGURATION = """\
# What the task is and what it costs. Times are in slots (400 ms on most ledgers), money is in KOII.

task_name: $name # what people see: up to 24 bytes
author: "" # who made it
description: $description # what it does, for people
markdownDescriptionPath: "" # a file that counts more than the description
repositoryUrl: https://example.org/$name # where the source is
imageUrl: "" # a picture for lists of tasks
infoUrl: "" # a page about it
task_executable_network: IPFS # where nodes get the package: IPFS (by content id) or DEVELOPMENT
task_audit_program: task.py # the program, in this folder

round_time: $round_time # a round begins every so many slots
submission_window: $submission_window # slots in which a round's proofs are handed in
audit_window: $audit_window # slots in which they are audited; under roundwork-1 it has eight parts
allowed_failed_distributions: 3 # how often another node is chosen when a list fails

minimum_stake_amount: 5 # what a node must have at stake
total_bounty_amount: 1000 # what is paid in when the task is deployed
bounty_amount_per_round: 10 # what a round pays at most
task_type: KOII # KPL pays in a token
token_type: "" # its mint
space: 0.1 # MB of the task's account

requirementsTags: [] # what nodes must have, for example {type: RAM, value: 1 GB}
tags: [] # for lists of tasks: Web Crawling, AI, …
environment: TEST # or PRODUCTION
task_id: "" # the task that `task update` replaces with this one
migrationDescription: "" # what changed

roundwork:
  params: {links: 1000} # ctx.params
  hosts: [] # what ctx.http may reach, for example example.org
  limits: {memory: 512 MB, disk: 1 GB, processes: 1} # of each process of the task
  secrets: [] # names of what the operator must give: ctx.secrets
  rules: $rules # the rule set
  requires_python: "" # of the environment that requirements.lock is installed into
  demo: "" # a program that `up` and `check` run beside the nodes: {command: […], params: {…}}
$excused
"""

TEST = '''\
"""Run with `pytest`: a round of one node in this process, without a ledger and without waiting."""

from pathlib import Path

from roundwork.testing import run_round

FOLDER = Path(__file__).parent


def test_honest_work_passes_the_audit():
    played = run_round(FOLDER)

    assert played.opinion == "valid", played.reason


def test_changed_submissions_do_not():
    played = run_round(FOLDER)

    assert "valid" not in {played.audit(text).opinion for text in played.mutations}


def test_a_neighbours_proof_is_not_ones_own():
    played = run_round(FOLDER)

    assert played.audit(played.play_neighbour().value).opinion == "invalid"
'''

README = """\
# $name

$work

- **Proof**: $proof.
- **Check**: $check
- **Reward**: $reward.
- **Penalty**: a convicted node loses $penalty of its stake.

```
roundwork try .              # one node's round, in a second
pytest                       # the tests in test_task.py
roundwork check .            # what must hold before you pay
roundwork attack .           # what cheating would earn
roundwork up . --liars 1     # a ledger and five nodes on this machine
roundwork task deploy .      # onto a ledger
```

The check of a new task does the whole work again, so it costs as much as the work, and
`roundwork attack` shows what follows: a node that checks nothing (`lazy-checker`) may gain a little.
In a task of your own look for a check that is much cheaper than the work, such as a sample of it.
"""
