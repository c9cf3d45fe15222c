"""When a node sends what it submits: each node at a moment of its own, not all in the first slot."""

from hashlib import sha256

from ..protocol.params import KOII_1, ROUNDWORK_1
from ..protocol.tasks.commitments import SealKind
from ..protocol.tasks.round import WINDOWS, Activity
from ..views import TaskHead
from .moment import compute_timetable
from .sealed import SealedDuty, SendCommitment, SendReveal
from .step import Duty, SendValue

SPREAD_SHARE = 4
"""Nodes send within this part of a window: the rest is for values that are late, and for further attempts."""


def compute_sending_slot(head: TaskHead, secret: bytes, duty: Duty | SealedDuty) -> int:
    """The slot from which a node sends a submission, its commitment or its reveal; 0 for all other duties.

    Before it the node waits. What is decided later is sent at once. Without the node's secret, the slot
    cannot be foreseen.
    """
    match duty, head.rules:
        case SendValue(), KOII_1.name:
            activity = Activity.SUBMIT
        case SendCommitment(kind=SealKind.SUBMISSION), ROUNDWORK_1.name:
            activity = Activity.COMMIT
        case SendReveal(kind=SealKind.SUBMISSION), ROUNDWORK_1.name:
            activity = Activity.REVEAL
        case _:
            return 0
    window = WINDOWS[head.rules][activity]
    first, last = window.compute_slots(compute_timetable(head), duty.round)
    seed = f"roundwork/spread/1/{head.task}/{duty.round}/{activity.value}".encode()
    moment = int.from_bytes(sha256(secret + seed).digest()[:8], "big")
    return first + moment % max((last - first + 1) // SPREAD_SHARE, 1)
