"""The events of due work, for readers: what happened to money and rounds. One struct for each kind."""

from typing import Any

import msgspec

from ..params import NodeKey, TaskKey


class _Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    task: TaskKey
    round: int

    @property
    def kind(self) -> str:
        """The name of the kind."""
        tag = self.__struct_config__.tag
        assert isinstance(tag, str)
        return tag


class Paid(_Event, frozen=True, array_like=True, gc=False, tag="paid"):
    """A node's reward was added to its available balance, or to what is held back for it."""

    node: NodeKey
    amount: int
    """In roe, or in the smallest unit of the task's token."""


class Slashed(_Event, frozen=True, array_like=True, gc=False, tag="slashed"):
    """A part of a node's stake went to the bounty."""

    node: NodeKey
    amount: int
    """In roe, or in the smallest unit of the task's token."""


class Fined(_Event, frozen=True, array_like=True, gc=False, tag="fined"):
    """A fine went from a node's held-back rewards or its stake to the bounty."""

    node: NodeKey
    amount: int
    """In roe, or in the smallest unit of the task's token."""


class Shared(_Event, frozen=True, array_like=True, gc=False, tag="shared"):
    """A node's share of a slash or a bond was added to its available balance."""

    node: NodeKey
    amount: int
    """In roe, or in the smallest unit of the task's token."""


class Settled(_Event, frozen=True, array_like=True, gc=False, tag="settled"):
    """The list of an attempt was paid to its end; the round is closed."""

    attempt: int


class AttemptFailed(_Event, frozen=True, array_like=True, gc=False, tag="attempt_failed"):
    """An attempt ended without a list that stands."""

    attempt: int


class ClosedUnpaid(_Event, frozen=True, array_like=True, gc=False, tag="closed_unpaid"):
    """The last attempt failed; the round is closed."""

    attempt: int


class Pruned(_Event, frozen=True, array_like=True, gc=False, tag="pruned"):
    """The records of a closed round left the state. History keeps them for readers."""

    records: dict[bytes, dict[bytes, Any]]
    """Records by table name, then by key."""


Event = Paid | Slashed | Fined | Shared | Settled | AttemptFailed | ClosedUnpaid | Pruned
