"""The real CometBFT dies at each of its own crash points, and we lose our files."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from roundwork.ledger.comet import supervise
from roundwork.ledger.comet.founding import found_home
from roundwork.ledger.comet.home import Home

from ..process import find_port, running
from .load import DEADLINE_SECONDS, Load, check_app_hashes, check_books, wait_until_it_goes_on

POINTS = range(33)
"""CometBFT passes nine of its crash points in a block: these are those of the first blocks of a life."""

LATER = 200
"""So many crash points later the ledger answers and has load on it."""

COUNT = int(os.environ.get("ROUNDWORK_CRASH_POINTS", "4"))
"""How many of them are tried, early and late; `make kills` tries them all."""

SEED = int(os.environ.get("ROUNDWORK_SEED", "4"))

pytestmark = [pytest.mark.usefixtures("cometbft"), pytest.mark.slow]


def live(home: Home, binary: str, port: int) -> int:
    """One life of the pair, until CometBFT ends; its exit code."""
    application = [sys.executable, "-m", "roundwork", "ledger", "comet", "application", "--json"]
    application += ["--directory", str(home.directory), "--host", "127.0.0.1", "--port", str(port)]
    pair = supervise.start(home, binary, application)
    try:
        return pair.engine.wait(DEADLINE_SECONDS)
    finally:
        supervise.stop(pair)


@pytest.mark.timeout(120 + 2 * COUNT * 10)
def test_no_crash_point_of_cometbft_loses_or_doubles_an_acknowledged_transaction(
    tmp_path: Path, cometbft: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, port = tmp_path / "ledger", find_port()
    home = found_home(directory, "tcp://127.0.0.1:0", None, slot_ms=100)
    points = sorted(random.Random(SEED).sample(POINTS, COUNT))
    monkeypatch.chdir(home.path)
    with running(directory, port, engine="comet") as ledger, Load(ledger.url) as load:
        load.wait_for(1)
        ledger.process.terminate()
        ledger.process.wait()
        for point in [*points, *[LATER + point for point in points]]:
            monkeypatch.setenv("FAIL_TEST_INDEX", str(point))
            assert 1 == live(home, cometbft, port), f"crash point {point}; {home.path / supervise.LOG_FILE}"
        monkeypatch.delenv("FAIL_TEST_INDEX")
        with running(directory, port, engine="comet"):
            load.wait_for(2)
            check_app_hashes(directory)

    assert len(load.acknowledged) > COUNT
    check_books(directory, load.acknowledged)


@pytest.fixture(scope="module")
def lived(cometbft: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A ledger that was killed, and what it has acknowledged."""
    directory = tmp_path_factory.mktemp("lived") / "ledger"
    with running(directory, engine="comet") as ledger, Load(ledger.url) as load:
        load.wait_for(5)
        ledger.kill()
    return directory, load.acknowledged


def lose(*names: str) -> Callable[[Path], None]:
    def remove(directory: Path) -> None:
        for name in names:
            for path in directory.glob(f"{name}*"):
                path.unlink()

    return remove


DAMAGE: dict[str, Callable[[Path], None]] = {
    "checkpoint": lose("checkpoint.db"),
    "history": lose("history.db"),
    "everything of the application": lose("checkpoint.db", "history.db", "journal.db"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_lost_is_made_again_from_what_cometbft_agreed_on(
    lived: tuple[Path, list[str]], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    origin, acknowledged = lived
    directory = tmp_path / "ledger"
    shutil.copytree(origin, directory, ignore=shutil.ignore_patterns("*.sock"))
    damage(directory)

    with running(directory, engine="comet") as ledger:
        wait_until_it_goes_on(ledger)
        with Load(ledger.url) as load:
            load.wait_for(1)
        check_app_hashes(directory)

    check_books(directory, [*acknowledged, *load.acknowledged])


def test_an_engine_without_its_blocks_is_refused_and_nothing_is_overwritten(
    lived: tuple[Path, list[str]], tmp_path: Path
) -> None:
    origin, acknowledged = lived
    directory = tmp_path / "ledger"
    shutil.copytree(origin, directory, ignore=shutil.ignore_patterns("*.sock"))
    for name in ("blockstore.db", "state.db", "cs.wal"):
        shutil.rmtree(directory / "comet" / "data" / name)
    command = [sys.executable, "-m", "roundwork", "ledger", "comet", "run", "--host", "127.0.0.1"]

    done = subprocess.run(
        [*command, "--directory", str(directory), "--port", str(find_port())],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )

    assert 1 == done.returncode
    assert "StoreCorrupt" in done.stderr
    assert "CometBFT wants to make block 1: its data is gone, or an old copy" in done.stderr
    assert "EngineFailed: the application cannot run" in done.stderr
    assert "ledger at" not in done.stdout
    check_books(directory, acknowledged)
