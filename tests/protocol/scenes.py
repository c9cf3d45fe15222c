"""Scenes of the law: every rule's case and every plain test, in which each instruction is at work."""

import inspect
from collections.abc import Callable

from . import (
    test_admission,
    test_compute_budget,
    test_distribution,
    test_ed25519,
    test_life,
    test_lookups,
    test_nonces,
    test_payout,
    test_review,
    test_stakes,
    test_state,
    test_system,
    test_token,
    test_token_tasks,
)
from .registry import CASES


def list_scenes() -> list[Callable[[], None]]:
    """Every rule's case, and every test of the law that needs nothing from pytest."""
    modules = (
        test_admission,
        test_compute_budget,
        test_distribution,
        test_ed25519,
        test_life,
        test_lookups,
        test_nonces,
        test_payout,
        test_review,
        test_stakes,
        test_state,
        test_system,
        test_token,
        test_token_tasks,
    )
    tests = [
        each
        for module in modules
        for name, each in vars(module).items()
        if name.startswith("test_") and not inspect.signature(each).parameters
    ]
    return [*CASES.values(), *tests]
