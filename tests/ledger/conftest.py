"""What the tests of a ledger share."""

from pathlib import Path

import pytest

from roundwork.ledger.server import found_development


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found_development(tmp_path / "ledger")
    return tmp_path / "ledger"
