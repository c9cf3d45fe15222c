"""What a task says of itself to the ledger: its terms, and the fields of the instruction that has them."""

from typing import Any, TypeVar

import msgspec

from ..errors import BadConfig
from ..protocol.params import KOII_1
from ..protocol.tasks.configuration import SLASH_PERCENT
from ..protocol.tasks.layouts import TEXT_BYTES_MAX

SUBMIT_SLOTS_MIN, AUDIT_SLOTS_MIN = 11, 48
"""The least windows of roundwork-1 on a ledger with the default parameters: docs/PROTOCOL.md 15.3."""

ROUND_SLOTS_MIN = SUBMIT_SLOTS_MIN + AUDIT_SLOTS_MIN + 1

TermsOrPackage = TypeVar("TermsOrPackage", bound="Terms")


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
    slash_percent: int = SLASH_PERCENT
    """How much of its stake a convicted node loses under roundwork-1, 10 to 100."""
    is_split_by_stake: bool = False
    """Whether the ledger splits a bounty by stake under roundwork-1, or in equal parts."""


def fit_long_windows(terms: TermsOrPackage, round_slots: int | None) -> TermsOrPackage:
    """The terms with windows that roundwork-1 allows; a fifth of `round_slots`, if given, is for submissions.

    Windows of the task that are too short become as short as they may be on a ledger with the default
    parameters. Raises BadConfig for `round_slots` that leave no room for these windows.
    """
    submit, audit = terms.submission_window, terms.audit_window
    if round_slots is not None:
        if round_slots < ROUND_SLOTS_MIN:
            raise BadConfig(
                f"--round-slots {round_slots}: a round of roundwork-1 has at least {ROUND_SLOTS_MIN} slots,"
                f" {SUBMIT_SLOTS_MIN} to submit and {AUDIT_SLOTS_MIN} to audit among them"
            )
        submit = (round_slots - 1) // 5
        audit = round_slots - 1 - submit
    submit, audit = max(submit, SUBMIT_SLOTS_MIN), max(audit, AUDIT_SLOTS_MIN)
    return msgspec.structs.replace(
        terms,
        submission_window=submit,
        audit_window=audit,
        round_time=max(round_slots or terms.round_time, submit + audit + 1),
    )


def describe_longer_windows(terms: Terms, fitted: Terms) -> str | None:
    """A sentence about the windows that `fit_long_windows` made longer; None if it changed none."""
    changes = [
        f"{name} {getattr(terms, name)} became {getattr(fitted, name)}"
        for name in ("submission_window", "audit_window", "round_time")
        if getattr(fitted, name) != getattr(terms, name)
    ]
    return f"the task's windows are too short for {fitted.rules}: {', '.join(changes)}" if changes else None


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
        "locals": _compose_locals(terms),
        "allowed_failed_distributions": terms.allowed_failed_distributions,
    }


def _compose_locals(terms: Terms) -> bytes:
    """The task_locals of a task: its rule set, and what differs from the rule set's defaults."""
    if terms.rules == KOII_1.name:
        return b""
    slash = f" slash:{terms.slash_percent}" if terms.slash_percent != SLASH_PERCENT else ""
    split = " split:stake" if terms.is_split_by_stake else ""
    return f"rules:{terms.rules}{slash}{split}".encode()


def _cut(text: str, size: int) -> bytes:
    """The beginning of a text that fits into this many bytes."""
    return text.encode()[:size].decode(errors="ignore").encode()
