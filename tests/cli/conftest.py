"""Nothing of the person who runs the tests gets into the commands."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, which commands are called from."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("ROUNDWORK_URL", "ROUNDWORK_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    return home
