"""Fixtures that several rooms share."""

from pathlib import Path

import pytest

from roundwork.node.python.environments import Environment

from .node.house import House, make_environment, require_sandbox


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return make_environment(tmp_path_factory.mktemp("environments"))


@pytest.fixture
def house(tmp_path: Path, environment: Environment) -> House:
    return House(tmp_path, environment, require_sandbox("sandlock"))
