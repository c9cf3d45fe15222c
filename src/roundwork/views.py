"""Frozen structs about a ledger: the law fills them, RPC sends them, a participant plans by them."""

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from .hardened_views import AssignmentsView, HardenedHead, HardenedRound, join_hardened
from .wire import Json


class LedgerView(msgspec.Struct, frozen=True):
    """A ledger: its genesis, and its last block."""

    chain: str
    """The name of the chain, from genesis."""
    genesis_hash: str
    """The BLAKE3 hash of the genesis state, base58."""
    kind: str
    """ "development" or "production"."""
    symbol: str
    """The symbol of native money."""
    decimals: int
    """The decimals of native money: one coin is 10^decimals roe."""
    slot_ms: int
    """The length of a slot in milliseconds."""
    gap_slots_max: int
    """The most slots between two blocks."""
    fee_per_signature: int
    """In roe."""
    faucet: str | None
    """The address that airdrops come from; None if the ledger has none."""
    slot: int
    """The slot of the last block."""
    height: int
    """The number of blocks after genesis."""
    state_hash: str
    """The state hash after the last block, hex."""
    supply: int
    """All native money, in roe."""


class StakeView(msgspec.Struct, frozen=True):
    """A node in a task, money in roe or in the smallest unit of the task's token."""

    node: str
    """The node's address."""
    amount: int
    """The stake."""
    available: int
    """The available balance: money that the node can claim."""
    endpoint: str
    """The URL where peers reach the node; empty if it named none."""


def compute_stakes_digest(stakes: Iterable[StakeView]) -> str:
    """The SHA-256 of all stakes and endpoints in hex, whatever their order.

    Available balances do not count, nor do nodes without stake and endpoint.
    """
    rows = sorted((each.node, each.amount, each.endpoint) for each in stakes if each.amount or each.endpoint)
    return hashlib.sha256(msgspec.msgpack.encode(rows)).hexdigest()


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task: money in roe or in the smallest unit of its token, addresses in base58."""

    address: str
    """The task's address."""
    program: str
    """The address of the task program."""
    name: str
    description: str
    manager: str
    """The address that created the task and may change it."""
    pot: str
    """The account that holds the tokens of a token task; for a native task an address without meaning."""
    mint: str | None = None
    """The token of bounty and stakes; None for native money."""
    audit_program: str
    """The content id of the task's package."""
    executable_network: str
    """The network that clients fetch the package from, as the task names it."""
    metadata: str
    """The content id of the task's metadata."""
    rules: str
    """The name of the rule set."""
    starting_slot: int
    """The slot in which round 0 begins."""
    round_time: int
    """The length of a round in slots."""
    submission_window: int
    """The length of SUBMIT in slots, less one: both ends belong to it."""
    audit_window: int
    """The length of AUDIT in slots."""
    minimum_stake: int
    """The least stake of a node that takes part."""
    bounty: int
    """The money that pays rounds, with the reserve of open rounds."""
    bounty_per_round: int
    """The most that a round pays."""
    allowed_failed_distributions: int
    """How often a failed distribution is tried again."""
    is_active: bool
    """Whether the manager has opened the task for submissions."""
    is_allowlisted: bool
    is_closed: bool
    migrated_to: str | None
    """The successor after an update; None if it was not updated."""
    migrated_from: str | None
    """The task that this one succeeds; None if it succeeds no task."""
    open_rounds: list[int]
    """The numbers of rounds that are neither paid nor closed."""
    slot: int
    """The slot of the last block."""
    seed: str
    """The beacon that seeds the work of the present round, hex."""
    stakes: list[StakeView]


class SubmissionView(msgspec.Struct, frozen=True):
    """A submission as the distribution function reads it, and its audits. Source: docs/PROTOCOL.md 7."""

    node: str
    """The submitter's address."""
    value: str
    """The proof, trimmed."""
    slot: int
    """The slot of the submission."""
    stake: int
    """The submitter's stake at that slot, in roe or the smallest unit of the task's token."""
    votes: int
    """+1 if no audit was raised, otherwise the sum of the votes so far."""
    verdict: str
    """ "untried" until AUDIT ends; then "untried", "acquitted", "inconclusive", "convicted" or "missing"."""
    trigger_by: str | None
    """The node that raised the audit; None if no audit was raised."""
    auditors: dict[str, bool]
    """By node, whether it found the candidate valid; with `trigger_by`, which did not."""
    audits_assigned: int = 0
    """Its node's checks of submissions that are not missing; 0 under koii-1."""
    audits_done: int = 0
    """Those of them that a revealed receipt answers."""


class ListView(msgspec.Struct, frozen=True):
    """The distribution list of an attempt, and its audit."""

    attempt: int
    """The attempt of the distribution; 0 is the first."""
    submitter: str
    """The node that handed in the list."""
    slot: int
    """The slot in which it was handed in."""
    amounts: dict[str, int]
    """By submitter, in roe or the smallest unit of the task's token: positive rewards, negative slashes."""
    votes: int
    """+1 if no audit was raised, otherwise the sum of the votes."""
    trigger_by: str | None
    """The node that raised the audit; None if no audit was raised."""
    auditors: dict[str, bool]
    """By node, whether it found the candidate valid; with `trigger_by`, which did not."""


class PaymentView(msgspec.Struct, frozen=True):
    """The amounts that a round paid to a node and took from it, in roe or units of the task's token."""

    node: str
    """The node's address."""
    reward: int
    """Added to the node's available balance."""
    slash: int
    """Taken from the node's stake."""


class RoundView(msgspec.Struct, frozen=True, kw_only=True):
    """A round: submissions in the order of addresses, lists of attempts, payments in the order of addresses.

    `status` is "Unopened", "Open", "PayoutSuccessful" or "ClosedUnpaid"; an open round whose last
    attempt failed is still "Open", with `attempt` counting.
    """

    task: str
    """The task's address."""
    round: int
    """The round number."""
    slot: int
    """The slot of the last block."""
    status: str
    attempt: int
    """The current or last attempt of the distribution; 0 is the first."""
    beacon: str
    """The round's beacon, hex; empty until SUBMIT of its review ends."""
    seed: str
    """The beacon from which `ctx.seed` of the round's work is made, hex."""
    submissions: list[SubmissionView]
    lists: list[ListView]
    payments: list[PaymentView]
    hardened: HardenedRound | None = None
    """What a round under roundwork-1 has beside; None for a round under koii-1."""
    next_after: str | None = None
    """Where the page of getRound ends: the next one begins after this node. None for the last page."""


ROUND_NODES_MAX = 1_000
"""The nodes of a page of getRound."""


def join_rounds(pages: Sequence[RoundView]) -> RoundView:
    """A round from its pages, in their order. What is not of a node is that of the last page."""
    last = pages[-1]
    hardened = [page.hardened for page in pages if page.hardened is not None]
    return msgspec.structs.replace(
        last,
        submissions=[each for page in pages for each in page.submissions],
        payments=[each for page in pages for each in page.payments],
        lists=[
            msgspec.structs.replace(
                listed,
                amounts={
                    node: amount for each in listed_in(pages, listed) for node, amount in each.amounts.items()
                },
                auditors={
                    node: said for each in listed_in(pages, listed) for node, said in each.auditors.items()
                },
            )
            for listed in last.lists
        ],
        hardened=join_hardened(hardened) if hardened else None,
    )


def listed_in(pages: Sequence[RoundView], listed: ListView) -> list[ListView]:
    """The same list in all pages."""
    return [each for page in pages for each in page.lists if each.attempt == listed.attempt]


# What a node reads: heads, its own records, and parts of rounds. Source: docs/RPC.md, what a node reads.


class PartKind(StrEnum):
    """The kinds of parts of a round. Those of GROWING grow; the others are frozen when in a head."""

    SUBMISSIONS = "submissions"
    """The submissions, frozen when SUBMIT ends."""
    AUDITS = "audits"
    """The opinions of submissions, frozen when AUDIT ends. Under koii-1."""
    VERDICTS = "verdicts"
    """What became of each submission, frozen when AUDIT ends. Under roundwork-1."""
    LIST = "list"
    """The amounts of an attempt's list, frozen when the list is handed in."""
    LIST_AUDITS = "list audits"
    """The opinions of an attempt's list, frozen when AUDIT of the attempt ends."""
    SUBMITTED = "submitted"
    """The submissions so far, until SUBMIT ends."""
    RAISED = "raised"
    """The audits that are raised so far, until AUDIT ends; under roundwork-1 the accusations."""
    CHALLENGED = "challenged"
    """The challenges of proofs so far. Under roundwork-1."""
    POSTED = "posted"
    """The proofs that lie on the ledger so far. Under roundwork-1."""

    __hash__ = str.__hash__  # four times as fast as that of Enum


GROWING = (PartKind.SUBMITTED, PartKind.RAISED, PartKind.CHALLENGED, PartKind.POSTED)
"""The kinds of parts that grow. They are read from a slot on."""


class PartKey(msgspec.Struct, frozen=True):
    """A part of a round of some task."""

    round: int
    kind: PartKind
    attempt: int = 0
    """The attempt of a list; 0 for all other kinds."""


class PartView(msgspec.Struct, frozen=True):
    """A part that is frozen: its name, its size, and the content id of its index."""

    kind: PartKind
    attempt: int
    """The attempt of a list; 0 for all other kinds."""
    rows: int
    """The number of rows."""
    id: str
    """The content id of the part's index; empty where nothing serves parts."""


class PartIndex(msgspec.Struct, frozen=True, array_like=True):
    """The blob that names the pages of a part. It is encoded as a MessagePack array."""

    task: bytes
    """The task's address, 32 bytes."""
    round: int
    kind: str
    attempt: int
    rows: int
    """The number of rows of all pages."""
    pages: list[str]
    """The content ids of the pages, in order. A page has PAGE_ROWS rows; the last page may have fewer."""


PAGE_ROWS = 1_000
"""The rows of a page. A page is the MessagePack array of its rows."""


class SubmissionRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row of the part SUBMISSIONS, in the order of nodes. Addresses in rows are 32 bytes."""

    node: bytes
    value: bytes
    """The proof, trimmed."""
    slot: int
    """The slot of the submission."""
    stake: int
    """The submitter's stake at that slot."""


class OpinionRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row of the part AUDITS, in the order of candidates, then of `order`."""

    candidate: bytes
    voter: bytes
    is_valid: bool
    slot: int
    """The slot in which the opinion was given."""
    order: int
    """Counts the opinions of the candidate; 0 is the opinion that raised the audit, which is no vote."""


class VerdictRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row of the part VERDICTS, in the order of nodes."""

    node: bytes
    verdict: str
    """ "untried", "acquitted", "inconclusive", "convicted" or "missing"."""
    votes: int
    """What the distribution function reads: +1, 0 or -1."""
    accuser: bytes
    """The node that accused the submission; empty if none did."""
    audits_assigned: int
    """The node's checks of submissions that are not missing."""
    audits_done: int
    """Those of them that a revealed receipt answers."""


class AmountRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row of the part LIST, in the order of nodes."""

    node: bytes
    amount: int
    """In roe or the smallest unit of the task's token: positive for a reward, negative for a slash."""


class ListOpinionRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row of the part LIST_AUDITS, in the order of `order`."""

    voter: bytes
    is_valid: bool
    slot: int
    """The slot in which the opinion was given."""
    order: int
    """Counts the opinions; 0 is the opinion that raised the audit, which is no vote."""


class SubmittedRow(msgspec.Struct, frozen=True):
    """A row of the part SUBMITTED, in the order of slots, then of nodes. It is sent as JSON."""

    node: str
    """The submitter's address."""
    value: str
    """The proof, trimmed."""
    slot: int
    """The slot of the submission."""


class RaisedRow(msgspec.Struct, frozen=True):
    """A row of the parts RAISED, CHALLENGED and POSTED, in the order of slots, then of candidates.

    It is sent as JSON.
    """

    candidate: str
    """The node whose submission is audited, accused or challenged, or whose proof was posted."""
    trigger_by: str
    """The node that did so."""
    slot: int
    """The slot in which it did."""


Row = SubmissionRow | OpinionRow | VerdictRow | AmountRow | ListOpinionRow | SubmittedRow | RaisedRow

PART_ROWS: dict[PartKind, type[Row]] = {
    PartKind.SUBMISSIONS: SubmissionRow,
    PartKind.AUDITS: OpinionRow,
    PartKind.VERDICTS: VerdictRow,
    PartKind.LIST: AmountRow,
    PartKind.LIST_AUDITS: ListOpinionRow,
    PartKind.SUBMITTED: SubmittedRow,
    PartKind.RAISED: RaisedRow,
    PartKind.CHALLENGED: RaisedRow,
    PartKind.POSTED: RaisedRow,
}
"""The rows of each kind of part."""


class ListHead(msgspec.Struct, frozen=True):
    """The list of an attempt, without its amounts."""

    attempt: int
    submitter: str
    """The node that handed in the list."""
    slot: int
    """The slot in which it was handed in."""
    votes: int
    """+1 if no audit was raised, otherwise the sum of the votes."""
    trigger_by: str | None
    """The node that raised the audit; None if no audit was raised."""


class RoundHead(msgspec.Struct, frozen=True, kw_only=True):
    """A round without what grows with the number of nodes. `status` is that of RoundView."""

    round: int
    status: str
    attempt: int
    """The current or last attempt of the distribution; 0 is the first."""
    beacon: str
    """The round's beacon, hex; empty until SUBMIT of its review ends."""
    seed: str
    """The beacon from which `ctx.seed` of the round's work is made, hex."""
    submissions: int
    """The number of submissions so far."""
    raised: int
    """The number of audits of submissions that are raised so far; under roundwork-1 of accusations."""
    lists: list[ListHead]
    """The lists of all attempts, in order."""
    parts: list[PartView]
    """The parts that are frozen."""
    hardened: HardenedHead | None = None
    """What a round under roundwork-1 has beside; None for a round under koii-1."""


class TaskHead(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A task at a slot, the same for every reader: all that a node needs to know whether it owes anything.

    A head equals itself alone, so that what follows from it can be kept under it.
    """

    task: str
    """The task's address."""
    slot: int
    """The slot of the last block."""
    rules: str
    """The name of the rule set."""
    starting_slot: int
    """The slot in which round 0 begins."""
    round_time: int
    """The length of a round in slots."""
    submission_window: int
    """The length of SUBMIT in slots, less one: both ends belong to it."""
    audit_window: int
    """The length of AUDIT in slots."""
    minimum_stake: int
    """The least stake of a node that takes part."""
    bounty: int
    """The money that pays rounds, with the reserve of open rounds."""
    bounty_per_round: int
    """The most that a round pays."""
    is_active: bool
    """Whether the manager has opened the task for submissions."""
    is_closed: bool
    migrated_to: str | None
    """The successor after an update; None if it was not updated."""
    seed: str
    """The beacon that seeds the work of the present round, hex."""
    stakes_slot: int
    """The slot of the last change of a stake or an endpoint, as far as the ledger remembers."""
    open_rounds: list[int]
    """The numbers of rounds that are neither paid nor closed."""
    rounds: list[RoundHead]
    """The round under review, the open ones, and two before each of those."""


class OwnRound(msgspec.Struct, frozen=True, kw_only=True):
    """The records of a node in a round."""

    round: int
    value: str | None = None
    """The proof that the node submitted; None if it submitted nothing."""
    opinions: dict[str, bool] = {}
    """The node's opinions of submissions by candidate, true for valid."""
    list_opinion: bool | None = None
    """The node's opinion of the list of the current or last attempt; None if it gave none."""
    reward: int = 0
    """The amount that the round paid to the node."""
    slash: int = 0
    """The amount that it took from the node's stake."""
    assignments: AssignmentsView | None = None
    """What the node was drawn for, committed and revealed; None where it committed nothing."""


class OwnView(msgspec.Struct, frozen=True, kw_only=True):
    """The records of a node in a task; zeros for a node that has none."""

    node: str
    """The node's address."""
    slot: int
    """The slot of the last block."""
    amount: int = 0
    """The stake."""
    available: int = 0
    """Money that the node can claim."""
    endpoint: str = ""
    """The URL where peers reach the node."""
    rounds: list[OwnRound] = []
    """Those of the head's rounds in which the node has a record, in order."""


class HeadView(msgspec.Struct, frozen=True):
    """The answer of getTaskHead."""

    head: TaskHead
    own: OwnView | None = None
    """The records of the node that the request names; None if it names none."""


class StakeNews(msgspec.Struct, frozen=True):
    """The answer of getTaskStakes."""

    slot: int
    """The slot of the last block. A reader requests the changes from this slot on the next time."""
    stakes: list[StakeView]
    """The nodes whose stake or endpoint changed, the newest change first.

    Empty if the ledger was started after the slot of the request, and the digest of the request is its own.
    """


def empty_submissions() -> Json:
    """The empty submission maps of a task, for a client that does not want them."""
    return {"submissions": {}, "submissions_audit_trigger": {}}


def empty_distributions() -> Json:
    """The empty distribution maps of a task, for a client that does not want them."""
    return {
        "distribution_rewards_submission": {},
        "distributions_audit_trigger": {},
        "distributions_audit_record": {},
    }
