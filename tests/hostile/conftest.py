"""Fixtures of the hostile tests, and the rule that CI skips none of them unless `missing.toml` allows it."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from roundwork.node.python.environments import Environment

from .features import find_fault, require_backend, require_root
from .users import Attacker, LocalAttacker, OrdinaryUser, RemoteAttacker, make_ordinary_user


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip of a test, or of a whole file, a failure in CI, unless `missing.toml` allows it."""
    if report.skipped and os.environ.get("CI") and isinstance(report.longrepr, tuple):
        fault = find_fault(report.longrepr[2])
        if fault:
            report.outcome = "failed"
            report.longrepr = fault


@pytest.fixture(scope="session")
def ordinary_user() -> Iterator[OrdinaryUser]:
    """A user without privileges, with an interpreter and a folder of its own. Tests that use it need root."""
    require_root()
    with make_ordinary_user() as user:
        yield user


@pytest.fixture(params=["root-sandlock", "root-bwrap", "user-sandlock", "user-bwrap"])
def attacker(request: pytest.FixtureRequest, tmp_path: Path, environment: Environment) -> Iterator[Attacker]:
    """A node's directory with the node's key in it and a hostile task: under either backend, as root and as
    an ordinary user."""
    who, _, sandbox = request.param.partition("-")
    require_backend(sandbox)
    require_root()
    if who == "root":
        yield LocalAttacker(tmp_path, environment, sandbox)
    else:
        user: Any = request.getfixturevalue("ordinary_user")
        with RemoteAttacker(user, sandbox) as remote:
            yield remote
