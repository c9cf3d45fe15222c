"""Tasks as the JSON that existing clients parse. Source: docs/RPC.md, task state."""

import json

from ...protocol.params import ROUNDWORK_1, Key, TaskKey, base58_of
from ...protocol.records import Audit, DistributionList, Submission, Vote
from ...protocol.state import ROUND_TABLES, TABLE_KINDS, State
from ...protocol.tasks.cursor import RoundCursor
from ...protocol.tasks.life import get_task
from ...protocol.tasks.payout import SPLIT
from ...protocol.tasks.round import RoundState
from ...views import empty_distributions, empty_submissions
from ...wire import Json, read_text

ALL_PARTS = frozenset(("submission", "distribution", "balance", "stake"))

# The results of a round's distribution.
UNDECIDED, PAID, FAILED = "Uninitialized", "PayoutSuccessful", "PayoutFailed"


def encode_task(state: State, key: TaskKey, parts: frozenset[str] = ALL_PARTS) -> bytes:
    """A task as the JSON that task clients parse. Maps that are not among `parts` are empty.

    Raises UnknownTask. Source: docs/RPC.md, task state.
    """
    return _encode_json(describe_task(state, key, parts))


def describe_task(state: State, key: TaskKey, parts: frozenset[str] = ALL_PARTS) -> Json:
    """A task with the fields that task clients know, in their order."""
    task = get_task(state, key)
    table = task.timetable
    stakes = dict(sorted(state.get_stakes(key).rows.items()))
    balances = {base58_of(node): stake.available for node, stake in stakes.items() if stake.available}
    staked = {base58_of(node): stake.amount for node, stake in stakes.items() if stake.amount}
    endpoints = {
        base58_of(node): read_text(stake.endpoint) for node, stake in stakes.items() if stake.endpoint
    }
    submissions = describe_submissions(state, key) if "submission" in parts else empty_submissions()
    distributions = describe_distributions(state, key) if "distribution" in parts else empty_distributions()
    return {
        "is_allowlisted": task.is_allowlisted,
        "is_active": task.is_active,
        "task_name": read_text(task.name),
        "task_description": read_text(task.description),
        "task_manager": list(task.manager),
        "task_audit_program": read_text(task.audit_program),
        "stake_pot_account": base58_of(task.pot),
        "total_bounty_amount": task.bounty,
        "bounty_amount_per_round": task.bounty_per_round,
        "current_round": max(table.compute_round(state.head.slot), 0),
        "available_balances": balances if "balance" in parts else {},
        "stake_list": staked if "stake" in parts else {},
        "ip_address_list": endpoints,
        "task_metadata": read_text(task.metadata),
        "task_executable_network": read_text(task.executable_network),
        **submissions,
        **distributions,
        "round_time": table.round_time,
        "starting_slot": table.starting_slot,
        "audit_window": table.audit_window,
        "submission_window": table.submission_window,
        "total_stake_amount": sum(staked.values()),
        "minimum_stake_amount": task.minimum_stake,
        "task_vars": read_text(task.locals),
        "koii_vars": "",
        "is_migrated": bool(task.migrated_to),
        "migrated_to": base58_of(task.migrated_to) if task.migrated_to else "",
        "allowed_failed_distributions": task.allowed_failed_distributions,
        **({"token_type": base58_of(task.mint)} if task.mint else {}),
    }


def count_rows(state: State, key: TaskKey) -> int:
    """How many records a task has."""
    tables = state.tables
    stakes, rounds = (
        tables.get(TABLE_KINDS["stakes"].letter + key),
        tables.get(TABLE_KINDS["rounds"].letter + key),
    )
    names = [letter + key + at for at in (rounds.rows if rounds else ()) for letter in ROUND_TABLES]
    return sum(len(table.rows) for table in (stakes, *map(tables.get, names)) if table is not None)


def encode_submissions(state: State, key: TaskKey, only: int | None = None) -> bytes:
    """The JSON of a task's submissions and their audits, as describe_submissions has them."""
    return _encode_json(describe_submissions(state, key, only))


def encode_distributions(state: State, key: TaskKey, only: int | None = None) -> bytes:
    """The JSON of a task's lists, their audits and results, as describe_distributions has them."""
    return _encode_json(describe_distributions(state, key, only))


def describe_submissions(state: State, key: TaskKey, only: int | None = None) -> Json:
    """The submissions of a task and their audits: of all rounds, or `only` of one. Raises UnknownTask."""
    get_task(state, key)
    submissions, triggers = {}, {}
    for cursor in _find_rounds(state, key, only):
        name = str(cursor.round_number)
        submissions[name] = _sort_by_name(
            {
                node: _describe_submission(submission, cursor.round_number)
                for node, submission in cursor.submissions.rows.items()
            }
        )
        audits, votes = cursor.audits.rows, cursor.votes.rows
        if audits:
            triggers[name] = _sort_by_name(
                {node: _describe_trigger(audit, node, votes) for node, audit in audits.items()}
            )
    return {"submissions": submissions, "submissions_audit_trigger": triggers}


def describe_distributions(state: State, key: TaskKey, only: int | None = None) -> Json:
    """The lists of a task, the audits of them and how they ended, of all rounds, or `only` of one.

    A round whose distribution failed has its entry among the lists, even if no node handed in a list:
    published clients read the keys of that entry, and end where it is missing. Raises UnknownTask.
    """
    get_task(state, key)
    lists, triggers, records = {}, {}, {}
    for cursor in _find_rounds(state, key, only):
        name = str(cursor.round_number)
        audits, votes = cursor.list_audits.rows, cursor.list_votes.rows
        rows = {attempt: row for attempt, row in cursor.lists.rows.items() if attempt != SPLIT}
        records[name] = _describe_outcome(cursor)
        if rows or records[name] == FAILED:
            lists[name] = _sort_by_name(
                {row.submitter: _describe_list(row, cursor.round_number) for row in rows.values()}
            )
        if audits:
            triggers[name] = _sort_by_name(
                {
                    rows[attempt].submitter: _describe_trigger(audit, attempt, votes)
                    for attempt, audit in audits.items()
                }
            )
    return {
        "distribution_rewards_submission": lists,
        "distributions_audit_trigger": triggers,
        "distributions_audit_record": records,
    }


def _describe_outcome(cursor: RoundCursor) -> str:
    """The result of a round's distribution as clients read it.

    For an open round it is that of its last attempt. Under roundwork-1 a round is closed unpaid only when it
    has too few submissions for a distribution.
    """
    record = cursor.opened
    if record.state is RoundState.PAID:
        return PAID
    if record.state is RoundState.UNPAID:
        return UNDECIDED if cursor.task.rules == ROUNDWORK_1.name else FAILED
    return FAILED if record.attempt else UNDECIDED


def _find_rounds(state: State, key: TaskKey, only: int | None) -> list[RoundCursor]:
    """The rounds of a task that have a record, in order; of these `only` one, if it is given."""
    rows = RoundCursor(state, key, 0).rounds.rows
    round_numbers = sorted(int.from_bytes(row, "big") for row in rows)
    return [RoundCursor(state, key, each) for each in round_numbers if only in (None, each)]


def _describe_submission(submission: Submission, round_number: int) -> Json:
    return {
        "submission_value": read_text(submission.value),
        "slot": submission.slot,
        "round": round_number,
    }


def _describe_list(row: DistributionList, round_number: int) -> Json:
    return {"submission_value": base58_of(row.submitter), "slot": row.slot, "round": round_number}


def _describe_trigger(audit: Audit, candidate: bytes, votes: dict[bytes, Vote]) -> Json:
    cast = [(vote, key[-32:]) for key, vote in votes.items() if key[:-32] == candidate and vote.order]
    return {
        "trigger_by": base58_of(audit.trigger_by),
        "slot": audit.slot,
        "votes": [
            {"is_valid": vote.is_valid, "voter": base58_of(voter), "slot": vote.slot}
            for vote, voter in sorted(cast, key=lambda item: item[0].order)
        ],
    }


def _encode_json(shown: Json) -> bytes:
    """JSON without spaces, its texts as UTF-8: some clients compare the bytes."""
    return json.dumps(shown, separators=(",", ":"), ensure_ascii=False).encode()


def _sort_by_name(rows: dict[Key, Json]) -> dict[str, Json]:
    """Rows in ascending byte order of the base58 key: the published selection rule hashes that text."""
    return dict(sorted((base58_of(key), row) for key, row in rows.items()))
