"""The submissions of a round as clients read them, made from the frozen parts of the round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from ...protocol.params import base58_of
from ...views import OpinionRow, Row, SubmissionRow
from ...wire import Json, read_text


def describe_submissions(round_number: int, rows: Iterable[Row], opinions: Iterable[Row]) -> Json:
    """What getTaskSubmissionInfo answers for a round whose parts have these rows."""
    name = str(round_number)
    submissions = {
        base58_of(row.node): {
            "submission_value": read_text(row.value),
            "slot": row.slot,
            "round": round_number,
        }
        for row in rows
        if isinstance(row, SubmissionRow)
    }
    cast = [row for row in opinions if isinstance(row, OpinionRow)]
    triggers = {
        base58_of(candidate): _describe_trigger(list(rows_of))
        for candidate, rows_of in groupby(cast, key=lambda row: row.candidate)
    }
    return {
        "submissions": {name: dict(sorted(submissions.items()))},
        "submissions_audit_trigger": {name: dict(sorted(triggers.items()))} if triggers else {},
    }


def _describe_trigger(cast: Sequence[OpinionRow]) -> Json:
    """An audit: the opinion that raised it, and those after it, which are its votes."""
    raised, *votes = cast
    return {
        "trigger_by": base58_of(raised.voter),
        "slot": raised.slot,
        "votes": [
            {"is_valid": vote.is_valid, "voter": base58_of(vote.voter), "slot": vote.slot} for vote in votes
        ],
    }
