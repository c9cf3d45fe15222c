"""Scenes of the law: every rule's case and every plain test, in which each instruction is at work."""

import inspect
from collections.abc import Callable
from importlib import import_module

from .registry import CASES

MODULES = [
    import_module(f"{__package__}.test_{name}")
    for name in (
        "admission", "compute_budget", "configuration", "distribution", "ed25519", "hardened", "life",
        "lookups", "nonces", "payout", "proofs", "ranked", "review", "sealed", "stakes", "state", "system",
        "token", "token_tasks", "trials",
    )
]  # fmt: skip
"""The test modules with cases of rules; importing them fills CASES."""


def list_scenes() -> list[Callable[[], None]]:
    """Every rule's case, and every test of the law that needs nothing from pytest."""
    tests = [
        each
        for module in MODULES
        for name, each in vars(module).items()
        if name.startswith("test_") and not inspect.signature(each).parameters
    ]
    return [*CASES.values(), *tests]
