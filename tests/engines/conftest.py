"""Fixtures that tests of the application share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .driven import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    yield ledger
    if ledger.process is not None:
        ledger.process.kill()
        ledger.process.wait(20)
