"""State to the views that a reader may see."""

from ..views import LedgerView, ListView, PaymentView, RoundView, StakeView, SubmissionView, TaskView
from ..wire import read_text
from .books import compute_supply
from .params import TaskKey, base58_of
from .records import Vote
from .state import State
from .tasks.cursor import RoundCursor
from .tasks.life import get_task
from .tasks.review import compute_verdict, compute_votes, get_beacon
from .tasks.round import WINDOWS, Activity, RoundState


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
    """The view of a task. Raises UnknownTask."""
    task = get_task(state, key)
    table = task.timetable
    slot = state.head.slot
    return TaskView(
        address=base58_of(key),
        program=base58_of(task.program),
        name=read_text(task.name),
        description=read_text(task.description),
        manager=base58_of(task.manager),
        pot=base58_of(task.pot),
        mint=base58_of(task.mint) if task.mint else None,
        audit_program=read_text(task.audit_program),
        executable_network=read_text(task.executable_network),
        metadata=read_text(task.metadata),
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
            StakeView(base58_of(node), stake.amount, stake.available, read_text(stake.endpoint))
            for node, stake in sorted(state.get_stakes(key).rows.items())
        ],
    )


def view_round(state: State, key: TaskKey, round_number: int) -> RoundView:
    """The view of a round; a round that is not opened has no submissions. Raises UnknownTask."""
    task = get_task(state, key)
    cursor = RoundCursor(state, key, round_number)
    record = cursor.record
    return RoundView(
        task=base58_of(key),
        round=round_number,
        slot=state.head.slot,
        status=_STATUSES[record.state if record else None],
        attempt=record.attempt if record else 0,
        beacon=record.beacon.hex() if record else "",
        seed=(record.seed if record else get_beacon(state, key, task, round_number)).hex(),
        submissions=_view_submissions(cursor),
        lists=_view_lists(cursor),
        payments=[
            PaymentView(base58_of(node), payment.reward, payment.slash)
            for node, payment in sorted(cursor.payments.rows.items())
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


def _view_submissions(cursor: RoundCursor) -> list[SubmissionView]:
    task, audits = cursor.task, cursor.audits.rows
    audit_end = WINDOWS[task.rules][Activity.AUDIT].compute_end(task.timetable, cursor.round_number)
    is_final = cursor.state.head.slot >= audit_end
    auditors = _view_auditors(cursor.votes.rows)
    views = []
    for node, submission in sorted(cursor.submissions.rows.items()):
        audit = audits.get(node)
        views.append(
            SubmissionView(
                node=base58_of(node),
                value=read_text(submission.value),
                slot=submission.slot,
                stake=submission.stake,
                votes=compute_votes(audit),
                verdict=compute_verdict(audit) if is_final else "untried",
                trigger_by=base58_of(audit.trigger_by) if audit else None,
                auditors=auditors.get(node, {}),
            )
        )
    return views


def _view_lists(cursor: RoundCursor) -> list[ListView]:
    audits = cursor.list_audits.rows
    auditors = _view_auditors(cursor.list_votes.rows)
    views = []
    for attempt, record in sorted(cursor.lists.rows.items()):
        audit = audits.get(attempt)
        views.append(
            ListView(
                attempt=attempt[0],
                submitter=base58_of(record.submitter),
                slot=record.slot,
                amounts={base58_of(node): amount for node, amount in record.amounts},
                votes=compute_votes(audit),
                trigger_by=base58_of(audit.trigger_by) if audit else None,
                auditors=auditors.get(attempt, {}),
            )
        )
    return views


def _view_auditors(votes: dict[bytes, Vote]) -> dict[bytes, dict[str, bool]]:
    """Opinions by candidate and node, in the order they came in."""
    opinions: dict[bytes, dict[str, bool]] = {}
    for key, vote in sorted(votes.items(), key=lambda item: (item[0][:-32], item[1].order)):
        opinions.setdefault(key[:-32], {})[base58_of(key[-32:])] = vote.is_valid
    return opinions
