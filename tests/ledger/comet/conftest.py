"""Fixtures that tests of the application share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .driven import ROOT, Ledger

BINARY = Path(os.environ.get("COMETBFT") or ROOT / ".tools" / "bin" / "cometbft")


def require_cometbft(binary: Path) -> None:
    """Skip the test where CometBFT is not installed; on the machine that decides (CI) fail it."""
    if not binary.exists():
        has_go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
        why = "" if has_go else ", and there is no Go to build it with"
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(f"CometBFT is not installed (`make cometbft` does it){why}")


@pytest.fixture(scope="session")
def cometbft() -> Iterator[str]:
    """The real binary."""
    require_cometbft(BINARY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMETBFT", str(BINARY))
        yield str(BINARY)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    yield ledger
    if ledger.process is not None:
        ledger.process.kill()
        ledger.process.wait(20)
