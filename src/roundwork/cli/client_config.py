"""The configuration of Solana's and Koii's own command lines, for people who use those on our ledger."""

from pathlib import Path
from typing import NamedTuple

from ..errors import Malformed
from ..wire import decode_yaml
from .output import say

BYTES_MAX = 64 * 1024
PATHS = (".config/koii/cli/config.yml", ".config/solana/cli/config.yml")
"""Below the home directory; the first that exists counts."""


class ClientConfig(NamedTuple):
    """A configuration file: its `json_rpc_url` and `keypair_path`, "" where it has none."""

    path: Path
    json_rpc_url: str
    keypair_path: str


def find_client_config() -> ClientConfig | None:
    """The configuration of the person who calls us, if there is one that can be read."""
    for name in PATHS:
        path = Path.home() / name
        if path.is_file():
            return _read(path)
    return None


def report_choice(line: str) -> None:
    """Print to stderr what was chosen for the caller."""
    say(f"using {line}", err=True)


def _read(path: Path) -> ClientConfig | None:
    import yaml

    try:
        content = decode_yaml(path.read_bytes(), yaml.SafeLoader, BYTES_MAX)
    except (OSError, Malformed) as error:
        report_choice(f"nothing of {path}, which cannot be read: {' '.join(str(error).split())}")
        return None
    if not isinstance(content, dict):
        return None
    return ClientConfig(path, str(content.get("json_rpc_url") or ""), str(content.get("keypair_path") or ""))
