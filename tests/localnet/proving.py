"""A small task whose values name proofs, and whose work is a node's own: what tests of roundwork-1 run."""

from pathlib import Path

from .test_network import Up

PROGRAM = """
from roundwork import Task, equal_split

task = Task("proving")


def prove(round, seed):
    return f"round {round} seed {seed.hex()} ".encode() * 20


@task.work
def work(ctx):
    ctx.state["value"] = ctx.storage.put(prove(ctx.round, ctx.seed))


@task.submission
def submission(ctx):
    return ctx.state["value"]


@task.lie
def lie(ctx):
    return ctx.storage.put(b"a lie " * 20)


@task.audit
def audit(ctx, candidate):
    if ctx.storage.get(candidate.value, candidate.node) != prove(ctx.round, candidate.seed):
        return False, "the proof is not of this node's work"
    return True


task.distribution(equal_split(slash="70%"))
"""
CONFIG = """
task_name: proving
author: tests
description: its values name proofs
repositoryUrl: https://example.org/proving
task_executable_network: IPFS
task_audit_program: task.py
round_time: 60
submission_window: 11
audit_window: 48
minimum_stake_amount: 1
total_bounty_amount: 1000
bounty_amount_per_round: 6
allowed_failed_distributions: 1
environment: TEST
roundwork:
  rules: roundwork-1
"""


def write_proving(directory: Path) -> Path:
    """The folder of the task, in `directory`."""
    task = directory / "proving"
    task.mkdir()
    (task / "task.py").write_text(PROGRAM)
    (task / "config-task.yml").write_text(CONFIG)
    return task


def run_proving(directory: Path, *options: str) -> Up:
    """A running `up` of the task in `directory`, with slots of 150 ms."""
    task = write_proving(directory)
    return Up(directory / "up", "--round-slots", "60", "--slot-ms", "150", *options, task=task)
