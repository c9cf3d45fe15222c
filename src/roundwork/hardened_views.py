"""What a reader sees of a round under roundwork-1. Source: docs/PROTOCOL.md 15 to 20."""

from collections.abc import Sequence

import msgspec


class WindowView(msgspec.Struct, frozen=True):
    """When an activity of a round takes place."""

    activity: str
    """The name of the activity, as in the table of windows."""
    first: int
    """The first slot."""
    last: int
    """The last slot."""


class ChallengeView(msgspec.Struct, frozen=True):
    """A challenge of a proof."""

    challenger: str
    slot: int
    held: int
    """Native money that is set aside for it, in roe; 0 once it has ended."""


class TrialView(msgspec.Struct, frozen=True):
    """An accused submission, and its jury."""

    accuser: str
    slot: int
    """The slot of the accusation."""
    bond: int
    """What the accuser put at stake, in roe or the smallest unit of the task's token."""
    seats: dict[str, int]
    """The seats of each node that has some, the parties among them; empty until the jury is drawn."""
    votes: dict[str, bool]
    """The votes that jurors revealed, true for valid."""


class HardenedSubmission(msgspec.Struct, frozen=True, kw_only=True):
    """What the other nodes found and said of a submission."""

    node: str
    verdict: str
    """ "untried", "acquitted", "inconclusive", "convicted" or "missing"; what it is so far."""
    votes: int
    """What the distribution function reads: +1, 0 or -1."""
    receipts: dict[str, bool | None]
    """The receipts of its checkers, true for valid; null for one that is not revealed."""
    challenge: ChallengeView | None
    is_posted: bool
    """Whether its proof lies on the ledger."""
    trial: TrialView | None
    audits_assigned: int
    """Its node's checks of submissions that are not missing."""
    audits_done: int
    """Those of them that a revealed receipt answers."""


class RanksView(msgspec.Struct, frozen=True):
    """The nodes that may hand in the list of an attempt before all others."""

    attempt: int
    nodes: list[str]
    """The first rank first."""
    electorate: int
    """The stake of all nodes that may vote on the list."""


class HardenedRound(msgspec.Struct, frozen=True, kw_only=True):
    """A round under roundwork-1, beside what RoundView says of every round."""

    windows: list[WindowView]
    """The windows of its review and of the current attempt of its list."""
    committed: list[str]
    """The nodes that committed a submission."""
    submissions: list[HardenedSubmission]
    """In the order of addresses."""
    ranks: list[RanksView]
    nets: dict[str, int]
    """What the round gave each node so far, less what it took from it."""
    head: str
    """The head of the round, hex; empty until the round is over."""


def join_hardened(pages: Sequence[HardenedRound]) -> HardenedRound:
    """The same of a round from its pages, in their order."""
    return msgspec.structs.replace(
        pages[-1],
        committed=[node for page in pages for node in page.committed],
        submissions=[each for page in pages for each in page.submissions],
        nets={node: net for page in pages for node, net in page.nets.items()},
    )


class HardenedHead(msgspec.Struct, frozen=True, kw_only=True):
    """What the head of a round under roundwork-1 has beside what every head has."""

    challenged: int
    """The number of proofs that are challenged so far."""
    posted: int
    """The number of proofs that lie on the ledger so far."""
    ranks: list[RanksView]


class AssignmentsView(msgspec.Struct, frozen=True, kw_only=True):
    """What a node was drawn for in a round."""

    task: str
    round: int
    node: str
    checks: list[str]
    """The submissions that it checks, in the order of the bits of its receipt."""
    trials: list[str]
    """The submissions that it judges as a juror, in the order of the bits of its votes."""
    committed: list[int]
    """The kinds of commitments that it made: 0 a submission, 1 a receipt, 2 votes."""
    revealed: list[int]
    """Those of them that it revealed."""


class RoundProof(msgspec.Struct, frozen=True, kw_only=True):
    """What shows, with a head of a round, what became of a node in it. Bytes are hex."""

    task: str
    round: int
    node: str
    leaf: str
    place: int
    """The place of the leaf among all leaves, from 0."""
    leaves: int
    """The number of all leaves."""
    path: list[str]
    """The hashes beside the way from the leaf up to the root, the lowest first."""
    root: str
    previous: str
    """The head of the round that ended before; zeros for the first."""
    head: str
    verdict: str
    """The verdict in the leaf, or "no submission"."""
    votes: int
    net: int
    """What the round gave the node less what it took from it."""
