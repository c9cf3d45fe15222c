"""Puts parts of rounds together into what a node plans with: submissions, their audits, the list."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TypeVar

import msgspec

from ..protocol.params import base58_of
from ..views import (
    AmountRow,
    OpinionRow,
    PartKey,
    PartKind,
    RaisedRow,
    Row,
    SubmissionRow,
    SubmissionView,
    SubmittedRow,
    VerdictRow,
)  # fmt: skip
from ..wire import read_text
from .same import Same

R = TypeVar("R", bound=Row)


class RoundParts(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What the node has of a round; None for what it does not have.

    Parts equal themselves alone, so that what follows from them can be kept under them.
    """

    submissions: Sequence[SubmissionView] | None = None
    """The submissions after SUBMIT, without audits, in the order of `SubmissionRow`."""
    audited: Sequence[SubmissionView] | None = None
    """The same after AUDIT, with their votes and verdicts; under koii-1 with all opinions."""
    submitted: Sequence[SubmittedRow] | None = None
    """The submissions so far, while SUBMIT is under way, in the order of slots."""
    raised: Mapping[str, str] | None = None
    """The audits or accusations so far: by candidate, the node that raised them."""
    challenged: Mapping[str, str] | None = None
    """The challenges so far: by candidate, the challenger."""
    posted: Mapping[str, str] | None = None
    """The proofs that lie on the ledger so far: by candidate, the poster."""
    amounts: Mapping[str, int] | None = None
    """The list of the current or last attempt: amounts by submitter."""


def compose_rounds(
    parts: Mapping[PartKey, Sequence[Row]], attempts: Mapping[int, int]
) -> dict[int, RoundParts]:
    """Rounds by number, from the rows of their parts. `attempts` is the attempt of each round."""
    rounds = sorted({part.round for part in parts})
    return {
        round_number: compose_round(
            {
                part.kind: rows
                for part, rows in parts.items()
                if part.round == round_number
                and (part.kind is not PartKind.LIST or part.attempt == attempts.get(round_number, 0))
            }
        )
        for round_number in rounds
    }


def compose_round(parts: Mapping[PartKind, Sequence[Row]]) -> RoundParts:
    """A round, from the rows of the parts that the node has."""
    submissions = parts.get(PartKind.SUBMISSIONS)
    audits = parts.get(PartKind.AUDITS, parts.get(PartKind.VERDICTS))
    submitted = _get(parts, PartKind.SUBMITTED, SubmittedRow)
    amounts = _get(parts, PartKind.LIST, AmountRow)
    return RoundParts(
        submissions=None if submissions is None else _compose_bare(Same(submissions)),
        audited=(
            None if submissions is None or audits is None else _compose_whole(Same(submissions), Same(audits))
        ),
        submitted=submitted,
        raised=_get_raised(parts, PartKind.RAISED),
        challenged=_get_raised(parts, PartKind.CHALLENGED),
        posted=_get_raised(parts, PartKind.POSTED),
        amounts=None if amounts is None else {base58_of(row.node): row.amount for row in amounts},
    )


@lru_cache(maxsize=5)
def _compose_bare(rows: Same[Sequence[Row]]) -> list[SubmissionView]:
    """A frozen part is composed once for all that read it: the round under review, and three before it."""
    return compose_submissions(_pick(rows.value, SubmissionRow))


@lru_cache(maxsize=3)
def _compose_whole(rows: Same[Sequence[Row]], audits: Same[Sequence[Row]]) -> list[SubmissionView]:
    submissions, verdicts = _pick(rows.value, SubmissionRow), _pick(audits.value, VerdictRow)
    if verdicts:
        return compose_judged(submissions, verdicts)
    return compose_audited(submissions, _pick(audits.value, OpinionRow))


def compose_submissions(rows: Iterable[SubmissionRow]) -> list[SubmissionView]:
    """Submissions without audits."""
    return [_compose_submission(row, []) for row in rows]


def compose_audited(rows: Iterable[SubmissionRow], opinions: Iterable[OpinionRow]) -> list[SubmissionView]:
    """Submissions with opinions, votes and verdicts, when AUDIT has ended. Source: docs/PROTOCOL.md 7."""
    by_candidate = {
        candidate: list(cast) for candidate, cast in groupby(opinions, key=lambda opinion: opinion.candidate)
    }
    return [_compose_submission(row, by_candidate.get(row.node, [])) for row in rows]


def compose_judged(rows: Iterable[SubmissionRow], verdicts: Iterable[VerdictRow]) -> list[SubmissionView]:
    """Submissions with votes and verdicts, when AUDIT has ended under roundwork-1.

    All submissions have a verdict, in the same order.
    """
    return [
        msgspec.structs.replace(
            _compose_submission(row, []),
            votes=judged.votes,
            verdict=judged.verdict,
            trigger_by=base58_of(judged.accuser) if judged.accuser else None,
            audits_assigned=judged.audits_assigned,
            audits_done=judged.audits_done,
        )
        for row, judged in zip(rows, verdicts, strict=True)
    ]


def _compose_submission(row: SubmissionRow, opinions: Sequence[OpinionRow]) -> SubmissionView:
    votes = sum(1 if opinion.is_valid else -1 for opinion in opinions if opinion.order) if opinions else 1
    verdict = "untried"
    if opinions:
        verdict = "acquitted" if votes > 0 else "inconclusive" if votes == 0 else "convicted"
    return SubmissionView(
        node=base58_of(row.node),
        value=read_text(row.value),
        slot=row.slot,
        stake=row.stake,
        votes=votes,
        verdict=verdict,
        trigger_by=next((base58_of(opinion.voter) for opinion in opinions if opinion.order == 0), None),
        auditors={base58_of(opinion.voter): opinion.is_valid for opinion in opinions},
    )


def _get_raised(parts: Mapping[PartKind, Sequence[Row]], kind: PartKind) -> dict[str, str] | None:
    rows = _get(parts, kind, RaisedRow)
    return None if rows is None else {row.candidate: row.trigger_by for row in rows}


def _get(parts: Mapping[PartKind, Sequence[Row]], kind: PartKind, of: type[R]) -> list[R] | None:
    return _pick(parts[kind], of) if kind in parts else None


def _pick(rows: Sequence[Row], of: type[R]) -> list[R]:
    return [row for row in rows if isinstance(row, of)]
