"""Frozen structs about a ledger: the law fills them, RPC sends them, a participant plans by them."""

import msgspec


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
    """ "untried" until AUDIT ends; then "untried", "acquitted", "inconclusive" or "convicted"."""
    trigger_by: str | None
    """The node that raised the audit; None if no audit was raised."""
    auditors: dict[str, bool]
    """By node, whether it found the candidate valid; with `trigger_by`, which did not."""


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
