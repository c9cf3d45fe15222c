"""Shapes that cross between processes: base58, amounts, and tasks as the JSON that existing clients parse."""

import json
from binascii import a2b_base64
from typing import Any

import based58
from solders.pubkey import Pubkey
from solders.signature import Signature

from .protocol.clock import Timetable
from .protocol.params import Key, TaskKey, base58_of
from .protocol.records import Audit, Round, Submission, Vote
from .protocol.state import State
from .protocol.tasks.cursor import RoundCursor
from .protocol.tasks.life import get_task
from .protocol.tasks.round import RoundState

RENT_EPOCH = 2**64 - 1

Json = dict[str, Any]


def describe_amount(amount: int, decimals: int) -> Json:
    """An amount of tokens as clients show it."""
    whole, part = divmod(amount, 10**decimals)
    text = f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".") if decimals else str(whole)
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals if decimals < 20 else None,
        "uiAmountString": text,
    }


# Tasks

ALL_PARTS = frozenset(("submission", "distribution", "balance", "stake"))


def encode_task(state: State, key: TaskKey, parts: frozenset[str] = ALL_PARTS) -> bytes:
    """A task as the JSON that task clients parse; maps that are not among `parts` are empty.

    Raises UnknownTask. Source: docs/RPC.md, task state.
    """
    return json.dumps(describe_task(state, key, parts), separators=(",", ":"), ensure_ascii=False).encode()


def describe_task(state: State, key: TaskKey, parts: frozenset[str] = ALL_PARTS) -> Json:
    """A task in the fields and the order that task clients know."""
    task = get_task(state, key)
    table: Timetable = task.timetable
    stakes = dict(sorted(state.get_stakes(key).rows.items()))
    balances = {base58_of(node): one.available for node, one in stakes.items() if one.available}
    staked = {base58_of(node): one.amount for node, one in stakes.items() if one.amount}
    endpoints = {base58_of(node): read_text(one.endpoint) for node, one in stakes.items() if one.endpoint}
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


def empty_submissions() -> Json:
    """The submission maps of a task whose submissions were not asked for."""
    return {"submissions": {}, "submissions_audit_trigger": {}}


def empty_distributions() -> Json:
    """The distribution maps of a task whose distributions were not asked for."""
    return {
        "distribution_rewards_submission": {},
        "distributions_audit_trigger": {},
        "distributions_audit_record": {},
    }


def describe_submissions(state: State, key: TaskKey, only: int | None = None) -> Json:
    """The submissions of a task's rounds and the audits raised on them. Raises UnknownTask."""
    get_task(state, key)
    submissions, triggers = {}, {}
    for number in _rounds(state, key, only):
        rows = RoundCursor(state, key, number).submissions.rows
        submissions[str(number)] = _by_name({node: _submission(one, number) for node, one in rows.items()})
        raised = RoundCursor(state, key, number).audits.rows
        if raised:
            votes = RoundCursor(state, key, number).votes.rows
            triggers[str(number)] = _by_name(
                {node: _trigger(one, node, votes) for node, one in raised.items()}
            )
    return {"submissions": submissions, "submissions_audit_trigger": triggers}


def describe_distributions(state: State, key: TaskKey, only: int | None = None) -> Json:
    """The lists of a task's rounds, the audits raised on them, and how they ended. Raises UnknownTask."""
    get_task(state, key)
    lists, triggers, records = {}, {}, {}
    for number in _rounds(state, key, only):
        name = str(number)
        one: Round = RoundCursor(state, key, number).opened
        rows = RoundCursor(state, key, number).lists.rows
        raised = RoundCursor(state, key, number).list_audits.rows
        if rows:
            lists[name] = _by_name(
                {
                    row.submitter: {
                        "submission_value": base58_of(row.submitter),
                        "slot": row.slot,
                        "round": number,
                    }
                    for row in rows.values()
                }
            )
        if raised:
            votes = RoundCursor(state, key, number).list_votes.rows
            triggers[name] = _by_name(
                {
                    rows[attempt].submitter: _trigger(audit, attempt, votes)
                    for attempt, audit in raised.items()
                }
            )
        records[name] = _describe_outcome(one)
    return {
        "distribution_rewards_submission": lists,
        "distributions_audit_trigger": triggers,
        "distributions_audit_record": records,
    }


def _describe_outcome(record: Round) -> str:
    """What clients are shown of a round's distribution; an open round shows how its last attempt ended."""
    if record.state is RoundState.PAID:
        return "PayoutSuccessful"
    return "PayoutFailed" if record.state is RoundState.UNPAID or record.attempt else "Uninitialized"


def _rounds(state: State, key: TaskKey, only: int | None) -> list[int]:
    numbers = sorted(int.from_bytes(number, "big") for number in RoundCursor(state, key, 0).rounds.rows)
    return [number for number in numbers if only in (None, number)]


def _submission(one: Submission, number: int) -> Json:
    return {"submission_value": read_text(one.value), "slot": one.slot, "round": number}


def _trigger(one: Audit, candidate: bytes, votes: dict[bytes, Vote]) -> Json:
    cast = [(vote, key[-32:]) for key, vote in votes.items() if key[:-32] == candidate and vote.number]
    return {
        "trigger_by": base58_of(one.trigger_by),
        "slot": one.slot,
        "votes": [
            {"is_valid": vote.is_valid, "voter": base58_of(voter), "slot": vote.slot}
            for vote, voter in sorted(cast, key=lambda item: item[0].number)
        ],
    }


def _by_name(rows: dict[Key, Json]) -> dict[str, Json]:
    """Rows in ascending byte order of the base58 key: the published selection rule hashes that text."""
    return dict(sorted((base58_of(key), row) for key, row in rows.items()))


def read_text(raw: bytes) -> str:
    """Bytes as text; what is no UTF-8 in them is marked."""
    return raw.decode(errors="replace")


def base58_encode(raw: bytes) -> str:
    """Base58 of any length."""
    match len(raw):
        case 64:
            return str(Signature(raw))  # ten times as fast
        case 32:
            return str(Pubkey(raw))
        case _:
            encoded: bytes = based58.b58encode(raw)
            return encoded.decode()


def base58_decode(text: str) -> bytes:
    """The bytes of a base58 text of any length. Raises ValueError."""
    raw: bytes = based58.b58decode(text.encode())
    return raw


def base64_decode(text: str) -> bytes:
    """The bytes of a base64 text. Raises ValueError if it holds anything else."""
    return a2b_base64(text, strict_mode=True)  # three times as fast as b64decode with validate=True
