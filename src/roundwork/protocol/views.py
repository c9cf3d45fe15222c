"""State to frozen answers that a reader may see; RPC sends them as they are, a participant plans by them."""

import msgspec

from .books import compute_supply
from .params import TaskKey, base58_of
from .records import Task, Vote
from .state import State
from .tasks.cursor import RoundCursor
from .tasks.life import get_task
from .tasks.review import compute_verdict, compute_votes, get_beacon
from .tasks.round import WINDOWS, Activity, RoundState


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
    """A task, its money in roe (of its token, the smallest unit), its windows in slots, its nodes by address.

    `mint` is the token that it pays in; None is the native one.
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
    """The beacon that work begun now is seeded with, hex."""
    stakes: list[StakeView]


class SubmissionView(msgspec.Struct, frozen=True):
    """A submission as the distribution function is given it, and who has audited it.

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
    """Each view given, by its node, the raiser's among them."""


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


def view_ledger(state: State) -> LedgerView:
    """The ledger as a whole."""
    genesis, head = state.genesis, state.head
    return LedgerView(
        chain=genesis.chain,
        genesis_hash=base58_of(state.genesis_hash),
        kind=genesis.kind,
        symbol=genesis.symbol,
        decimals=genesis.decimals,
        slot_ms=genesis.slot_ms,
        gap_slots_max=genesis.gap_slots_max,
        fee_per_signature=genesis.fee_per_signature,
        faucet=genesis.faucet,
        slot=head.slot,
        height=head.height,
        state_hash=head.state_hash.hex(),
        supply=compute_supply(state),
    )


def view_task(state: State, key: TaskKey) -> TaskView:
    """A task as it stands. Raises UnknownTask."""
    task = get_task(state, key)
    table = task.timetable
    slot = state.head.slot
    return TaskView(
        address=base58_of(key),
        program=base58_of(task.program),
        name=_text(task.name),
        description=_text(task.description),
        manager=base58_of(task.manager),
        pot=base58_of(task.pot),
        mint=base58_of(task.mint) if task.mint else None,
        audit_program=_text(task.audit_program),
        executable_network=_text(task.executable_network),
        metadata=_text(task.metadata),
        rules=task.rules,
        starting_slot=table.starting_slot,
        round_time=table.round_time,
        submission_window=table.submission_window,
        audit_window=table.audit_window,
        minimum_stake=task.minimum_stake,
        bounty=task.bounty,
        bounty_per_round=task.bounty_per_round,
        allowed_failed_distributions=task.allowed_failed_distributions,
        is_active=task.is_active,
        is_allowlisted=task.is_allowlisted,
        is_closed=task.is_closed,
        migrated_to=base58_of(task.migrated_to) if task.migrated_to else None,
        migrated_from=base58_of(task.migrated_from) if task.migrated_from else None,
        open_rounds=list(task.open_rounds),
        slot=slot,
        seed=get_beacon(state, key, task, table.compute_round(slot)).hex(),
        stakes=[
            StakeView(base58_of(node), stake.amount, stake.available, _text(stake.endpoint))
            for node, stake in sorted(state.get_stakes(key).rows.items())
        ],
    )


def view_round(state: State, key: TaskKey, number: int) -> RoundView:
    """A round as it stands; one that nobody opened has no submissions. Raises UnknownTask."""
    task = get_task(state, key)
    one = RoundCursor(state, key, number).record
    return RoundView(
        task=base58_of(key),
        round=number,
        slot=state.head.slot,
        status=_STATUSES[one.state if one else None],
        attempt=one.attempt if one else 0,
        beacon=one.beacon.hex() if one else "",
        seed=(one.seed if one else get_beacon(state, key, task, number)).hex(),
        submissions=_view_submissions(state, key, task, number),
        lists=_view_lists(state, key, number),
        payments=[
            PaymentView(base58_of(node), payment.reward, payment.slash)
            for node, payment in sorted(RoundCursor(state, key, number).payments.rows.items())
        ],
    )


_STATUSES = {
    None: "Unopened",
    RoundState.SUBMITTING: "Open",
    RoundState.REVIEWING: "Open",
    RoundState.RETRYING: "Open",
    RoundState.SETTLING: "Open",
    RoundState.PAID: "PayoutSuccessful",
    RoundState.UNPAID: "ClosedUnpaid",
}


def is_review_over(task: Task, slot: int, number: int) -> bool:
    """Whether the verdicts of a round are final in a slot."""
    return slot >= WINDOWS[task.rules][Activity.AUDIT].compute_end(task.timetable, number)


def _view_submissions(state: State, key: TaskKey, task: Task, number: int) -> list[SubmissionView]:
    audits = RoundCursor(state, key, number).audits.rows
    is_over = is_review_over(task, state.head.slot, number)
    auditors = _view_auditors(RoundCursor(state, key, number).votes.rows)
    views = []
    for node, submission in sorted(RoundCursor(state, key, number).submissions.rows.items()):
        raised = audits.get(node)
        views.append(
            SubmissionView(
                node=base58_of(node),
                value=_text(submission.value),
                slot=submission.slot,
                stake=submission.stake,
                votes=compute_votes(raised),
                verdict=compute_verdict(raised) if is_over else "untried",
                trigger_by=base58_of(raised.trigger_by) if raised else None,
                auditors=auditors.get(node, {}),
            )
        )
    return views


def _view_lists(state: State, key: TaskKey, number: int) -> list[ListView]:
    audits = RoundCursor(state, key, number).list_audits.rows
    auditors = _view_auditors(RoundCursor(state, key, number).list_votes.rows)
    views = []
    for attempt, listed in sorted(RoundCursor(state, key, number).lists.rows.items()):
        raised = audits.get(attempt)
        views.append(
            ListView(
                attempt=attempt[0],
                submitter=base58_of(listed.submitter),
                slot=listed.slot,
                amounts={base58_of(node): amount for node, amount in listed.amounts},
                votes=compute_votes(raised),
                trigger_by=base58_of(raised.trigger_by) if raised else None,
                auditors=auditors.get(attempt, {}),
            )
        )
    return views


def _view_auditors(votes: dict[bytes, Vote]) -> dict[bytes, dict[str, bool]]:
    """Views by candidate, each by its node, in the order they came in."""
    views: dict[bytes, dict[str, bool]] = {}
    for key, vote in sorted(votes.items(), key=lambda item: (item[0][:-32], item[1].number)):
        views.setdefault(key[:-32], {})[base58_of(key[-32:])] = vote.is_valid
    return views


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
