"""What a task says of itself to the ledger: its terms, and the fields of the instruction that has them."""

from typing import Any

import msgspec

from ..protocol.params import KOII_1
from ..protocol.tasks.layouts import TEXT_BYTES_MAX


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a task's configuration that the ledger keeps. Money in roe, windows in slots."""

    name: str
    description: str
    executable_network: str
    round_time: int
    audit_window: int
    submission_window: int
    minimum_stake: int
    total_bounty: int
    bounty_per_round: int
    allowed_failed_distributions: int
    rules: str
    """The name of the rule set."""


def compose_fields(terms: Terms, audit_program: str = "", metadata: str = "") -> dict[str, Any]:
    """The fields that creating and updating a task have in common, with the content ids of its package."""
    return {
        "name": terms.name.encode(),
        "description": _cut(terms.description, TEXT_BYTES_MAX["description"]),
        "audit_program": audit_program.encode(),
        "executable_network": terms.executable_network.encode(),
        "bounty_per_round": terms.bounty_per_round,
        "round_time": terms.round_time,
        "audit_window": terms.audit_window,
        "submission_window": terms.submission_window,
        "minimum_stake": terms.minimum_stake,
        "metadata": metadata.encode(),
        "locals": b"" if terms.rules == KOII_1.name else f"rules:{terms.rules}".encode(),
        "allowed_failed_distributions": terms.allowed_failed_distributions,
    }


def _cut(text: str, size: int) -> bytes:
    """The beginning of a text that fits into this many bytes."""
    return text.encode()[:size].decode(errors="ignore").encode()
