"""The least windows in which the nodes of a task under roundwork-1 are done in time, from measured times.

Source: docs/PROTOCOL.md 15, for the parts of the windows; docs/TASKS.md, "The rule set", for the reasons.
"""

from math import ceil
from typing import NamedTuple

import msgspec

from .terms import AUDIT_SLOTS_MIN, SUBMIT_SLOTS_MIN, Terms, TermsOrPackage

CHECKS = 3
"""The submissions that a node is drawn to check."""

SLOWER = 2
"""A node may be so many times slower than the machine that measures."""

LANDING_SLOTS = 3
"""The slots from sending a transaction until its sender has seen it in a block."""

FETCH_SECONDS = 0.5
"""To get a proof of 16,000 bytes from a node on another network, where it was not measured."""

USUAL_SLOT_MS = 400
"""The slots of a ledger that is founded without options."""


class Timings(NamedTuple):
    """How long the parts of a round take on one machine, each in seconds for one call."""

    submission: float
    fetch: float
    audit: float
    work: float = 0.0
    """Of a round's work and its submission together; windows do not depend on it."""


class Windows(NamedTuple):
    """Windows in slots."""

    submission: int
    audit: int

    @property
    def eighth(self) -> int:
        """The slots of an eighth of AUDIT, at least."""
        return self.audit // 8


def compute_windows(timings: Timings, slot_ms: int) -> Windows:
    """The least windows that suffice for these times.

    A half of SUBMIT suffices for the submission. An eighth of AUDIT suffices to get the proofs in its first
    half and to challenge in its second, and to get and audit what a juror judges.
    """
    half = _count_slots(timings.submission * SLOWER, slot_ms) + LANDING_SLOTS
    fetch = _count_slots(timings.fetch * SLOWER, slot_ms)
    judging = fetch + _count_slots(timings.audit * SLOWER * CHECKS, slot_ms) + LANDING_SLOTS
    eighth = max(2 * fetch, fetch + LANDING_SLOTS, judging)
    return Windows(max(SUBMIT_SLOTS_MIN, 2 * half + 1), max(AUDIT_SLOTS_MIN, 8 * eighth))


def widen(terms: TermsOrPackage, needed: Windows) -> TermsOrPackage:
    """The terms with windows at least as long as the needed ones, and a round that has room for them."""
    submit, audit = max(terms.submission_window, needed.submission), max(terms.audit_window, needed.audit)
    return msgspec.structs.replace(
        terms,
        submission_window=submit,
        audit_window=audit,
        round_time=max(terms.round_time, submit + audit + 1),
    )


def find_short_windows(terms: Terms, timings: Timings, slot_ms: int = USUAL_SLOT_MS) -> list[str]:
    """Which windows of a task under roundwork-1 are too short for these times, and how long they must be."""
    needed = compute_windows(timings, slot_ms)
    measured = (
        f"with {timings.submission:.2g} s for the submission, {timings.fetch:.2g} s to fetch a proof and"
        f" {timings.audit:.2g} s for an audit, on a machine half as fast and with slots of {slot_ms} ms"
    )
    warnings = []
    if terms.submission_window < needed.submission:
        warnings.append(
            f"submission_window {terms.submission_window}: nodes need at least {needed.submission} slots"
            f" {measured}"
        )
    if terms.audit_window < needed.audit:
        warnings.append(
            f"audit_window {terms.audit_window}: an eighth of it is {terms.audit_window // 8} slots, and"
            f" nodes need {needed.eighth}, so at least {needed.audit} {measured}"
        )
    return warnings


def _count_slots(seconds: float, slot_ms: int) -> int:
    return ceil(seconds * 1000 / slot_ms)
