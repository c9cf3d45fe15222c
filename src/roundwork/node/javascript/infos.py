"""A task as clients read it, made from heads, parts of rounds and stakes. Source: docs/RPC.md, task state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from ...participant.moment import compute_timetable
from ...protocol.params import base58_of, key_of
from ...views import (
    ListOpinionRow,
    OpinionRow,
    RaisedRow,
    RoundHead,
    Row,
    StakeView,
    SubmissionRow,
    SubmittedRow,
    TaskHead,
    empty_distributions,
)  # fmt: skip
from ...wire import Json, read_text

UNOPENED = "Unopened"
"""The status of a round without a submission; clients are not shown it."""

PAID, UNPAID = "PayoutSuccessful", "ClosedUnpaid"


def describe_submissions(round_number: int, rows: Iterable[Row], opinions: Sequence[Row]) -> Json:
    """What getTaskSubmissionInfo answers for a round whose parts have these rows.

    While AUDIT is under way, the rows say which audits are raised; these have no votes yet.
    """
    name = str(round_number)
    submissions = dict(_name_submission(row) for row in rows)
    raised = {row.candidate: _describe_raised(row) for row in opinions if isinstance(row, RaisedRow)}
    cast = [row for row in opinions if isinstance(row, OpinionRow)]
    triggers = raised | {
        base58_of(candidate): describe_trigger(list(rows_of))
        for candidate, rows_of in groupby(cast, key=lambda row: row.candidate)
    }
    return {
        "submissions": {
            name: {
                node: {"submission_value": value, "slot": slot, "round": round_number}
                for node, (value, slot) in sorted(submissions.items())
            }
        },
        "submissions_audit_trigger": {name: dict(sorted(triggers.items()))} if triggers else {},
    }


def _name_submission(row: Row) -> tuple[str, tuple[str, int]]:
    """The node of a submission, its proof and its slot."""
    if isinstance(row, SubmissionRow):
        return base58_of(row.node), (read_text(row.value), row.slot)
    assert isinstance(row, SubmittedRow), "a row of submissions"
    return row.node, (row.value, row.slot)


def _describe_raised(row: RaisedRow) -> Json:
    return {"trigger_by": row.trigger_by, "slot": row.slot, "votes": []}


def describe_trigger(rows: Sequence[Row]) -> Json:
    """An audit: the opinion that raised it, and those after it, which are its votes."""
    raised, *votes = [row for row in rows if isinstance(row, OpinionRow | ListOpinionRow)]
    return {
        "trigger_by": base58_of(raised.voter),
        "slot": raised.slot,
        "votes": [
            {"is_valid": vote.is_valid, "voter": base58_of(vote.voter), "slot": vote.slot} for vote in votes
        ],
    }


def describe_lists(shown: RoundHead, triggers: Mapping[str, Json]) -> Json:
    """What getTaskDistributionInfo answers for a round. `triggers` are the audits of its lists by submitter.

    A round whose distribution failed has its entry among the lists, even if no node handed in a list.
    """
    described, name = empty_distributions(), str(shown.round)
    if shown.status == UNOPENED:
        return described
    outcome = "Uninitialized"
    if shown.status == PAID:
        outcome = PAID
    elif shown.status == UNPAID or shown.attempt:
        outcome = "PayoutFailed"
    described["distributions_audit_record"][name] = outcome
    lists = {
        each.submitter: {"submission_value": each.submitter, "slot": each.slot, "round": shown.round}
        for each in shown.lists
    }
    if lists or outcome == "PayoutFailed":
        described["distribution_rewards_submission"][name] = dict(sorted(lists.items()))
    if triggers:
        described["distributions_audit_trigger"][name] = dict(sorted(triggers.items()))
    return described


def fill_state(base: Json, head: TaskHead, stakes: Iterable[StakeView], wanted: Mapping[str, bool]) -> Json:
    """The state of a task without rounds: what the ledger showed, with what a head and stakes say since."""
    by_key = sorted(stakes, key=lambda stake: key_of(stake.node))
    staked = {stake.node: stake.amount for stake in by_key if stake.amount}
    return {
        **base,
        "is_active": head.is_active,
        "total_bounty_amount": head.bounty,
        "bounty_amount_per_round": head.bounty_per_round,
        "current_round": max(compute_timetable(head).compute_round(head.slot), 0),
        "available_balances": base["available_balances"] if wanted["balance"] else {},
        "stake_list": staked if wanted["stake"] else {},
        "ip_address_list": {stake.node: stake.endpoint for stake in by_key if stake.endpoint},
        "total_stake_amount": sum(staked.values()),
        "minimum_stake_amount": head.minimum_stake,
        "is_migrated": head.migrated_to is not None,
        "migrated_to": head.migrated_to or "",
    }
