"""The passphrase in the environment: taken out, so that no process that is started inherits it."""

import os

PASSPHRASE = "ROUNDWORK_PASSPHRASE"

_taken: list[str] = []


def take_passphrase() -> str:
    """The passphrase in the environment, "" if there was none. It is not there any more."""
    if passphrase := os.environ.pop(PASSPHRASE, ""):
        _taken[:] = [passphrase]
    return "".join(_taken)
