"""Round, offset, phase and windows of a slot. All other modules read them here."""

from enum import IntEnum

import msgspec


class Phase(IntEnum):
    """The three steps of a ledger round. Rule sets may divide them further; they never move them."""

    SUBMIT = 0
    AUDIT = 1
    SETTLE = 2


class Timetable(msgspec.Struct, frozen=True, gc=False):
    """When the rounds of one task begin and how they are divided, all in slots.

    Source: docs/PROTOCOL.md 2. `round_time >= submission_window + audit_window`, all > 0.
    """

    starting_slot: int
    round_time: int
    submission_window: int
    audit_window: int

    def compute_round(self, slot: int) -> int:
        """The ledger round of a slot, zero-based; negative before the task began."""
        return (slot - self.starting_slot) // self.round_time

    def compute_offset(self, slot: int) -> int:
        """Slots since the ledger round of `slot` began."""
        return (slot - self.starting_slot) % self.round_time

    def compute_start(self, ledger_round: int) -> int:
        """The first slot of a ledger round."""
        return self.starting_slot + ledger_round * self.round_time

    def compute_offset_after(self, phase: Phase, part: int, parts: int) -> int:
        """The offset at which the first `part` of `parts` equal parts of a phase have ended.

        Part j of n of AUDIT ends with offset `sw + aw * j // n`, of SUBMIT with `sw * j // n`.
        """
        submit, audit = self.submission_window, self.audit_window
        if phase is Phase.SUBMIT:
            return submit * part // parts + 1 if part else 0
        if phase is Phase.AUDIT:
            after = submit + audit * part // parts + 1
        else:
            begun = submit + audit + 1
            after = begun + (self.round_time - begun) * part // parts
        return min(after, self.round_time)


REVIEW = 1
"""A round is reviewed one ledger round after its work."""

DISTRIBUTION = 2
"""A round's list is due two ledger rounds after its work, and one more for every failed attempt."""
