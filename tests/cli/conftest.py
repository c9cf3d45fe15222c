"""Nothing of the person who runs the tests gets into the commands."""

from pathlib import Path

import pytest

from roundwork import shown


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, which commands are called from."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("ROUNDWORK_URL", "ROUNDWORK_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a test calls in its own process keeps its secrets to itself.

    The words of a new mnemonic were blacked out in the texts of later tests.
    """
    for name in ("_wholes", "_parts"):
        monkeypatch.setattr(shown.SECRETS, name, {})
