"""Frozen answers about a ledger: the law fills them, RPC sends them, a participant plans by them."""

import msgspec


class LedgerView(msgspec.Struct, frozen=True):
    """What a ledger was founded on, and where it stands."""

    chain: str
    genesis_hash: str
    kind: str
    symbol: str
    decimals: int
    slot_ms: int
    gap_slots_max: int
    fee_per_signature: int
    faucet: str | None
    slot: int
    height: int
    state_hash: str
    supply: int


class StakeView(msgspec.Struct, frozen=True):
    """A node in a task, money in roe or in the smallest unit of the task's token."""

    node: str
    amount: int
    available: int
    endpoint: str


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task: money in roe or in the smallest unit of its token, windows in slots, nodes by address.

    `mint` is the token that it pays in; None for native money.
    """

    address: str
    program: str
    name: str
    description: str
    manager: str
    pot: str
    mint: str | None = None
    audit_program: str
    executable_network: str
    metadata: str
    rules: str
    starting_slot: int
    round_time: int
    submission_window: int
    audit_window: int
    minimum_stake: int
    bounty: int
    bounty_per_round: int
    allowed_failed_distributions: int
    is_active: bool
    is_allowlisted: bool
    is_closed: bool
    migrated_to: str | None
    migrated_from: str | None
    open_rounds: list[int]
    slot: int
    """The slot of the last block."""
    seed: str
    """The beacon that seeds the work of the present round, hex."""
    stakes: list[StakeView]


class SubmissionView(msgspec.Struct, frozen=True):
    """A submission as the distribution function reads it, and its audits.

    `votes` and `verdict` are what they would be if AUDIT ended now; before it does, `verdict` is
    "untried". Source: docs/PROTOCOL.md 7.
    """

    node: str
    value: str
    slot: int
    stake: int
    votes: int
    verdict: str
    trigger_by: str | None
    auditors: dict[str, bool]
    """The vote of each node, with that of `trigger_by`."""


class ListView(msgspec.Struct, frozen=True):
    """The distribution list of one attempt and its audit."""

    attempt: int
    submitter: str
    slot: int
    amounts: dict[str, int]
    votes: int
    trigger_by: str | None
    auditors: dict[str, bool]


class PaymentView(msgspec.Struct, frozen=True):
    """What a round paid a node and took from it, in roe."""

    node: str
    reward: int
    slash: int


class RoundView(msgspec.Struct, frozen=True, kw_only=True):
    """One round: submissions by address, lists by attempt, payments by address.

    `status` is "Unopened", "Open", "PayoutSuccessful" or "ClosedUnpaid"; an open round whose last
    attempt failed is still "Open", with `attempt` counting.
    """

    task: str
    round: int
    slot: int
    status: str
    attempt: int
    beacon: str
    seed: str
    """What `ctx.seed` of the round's work is made from, hex."""
    submissions: list[SubmissionView]
    lists: list[ListView]
    payments: list[PaymentView]
