"""Real work in timed rounds, audited by peers, paid by a ledger. These names are what a task needs."""

from .sdk.splits import by_stake, equal_split, parse_share, per_unit, proportional_split
from .sdk.task import (
    Candidate,
    Context,
    InvalidSubmission,
    Refused,
    Request,
    Response,
    Round,
    Submitter,
    Task,
    Unavailable,
)

__all__ = [
    "Candidate",
    "Context",
    "InvalidSubmission",
    "Refused",
    "Request",
    "Response",
    "Round",
    "Submitter",
    "Task",
    "Unavailable",
    "by_stake",
    "equal_split",
    "parse_share",
    "per_unit",
    "proportional_split",
]
