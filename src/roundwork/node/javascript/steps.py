"""When a JavaScript task is told what: from the clock and the rounds that are open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from ...protocol.clock import DISTRIBUTION, REVIEW, Phase, Timetable

Function = Literal[
    "executeTask",
    "submitPayload",
    "auditPayload",
    "generateAndSubmitDistributionList",
    "distributionListAudit",
]


class Step(NamedTuple):
    """One call. Each is made once; audits once more, in the second half of AUDIT, where one is raised."""

    function: Function
    round: int
    is_retry: bool = False
    """Whether the round's previous list failed, or never came."""
    is_second_look: bool = False


def compute_steps(
    table: Timetable, slot: int, attempts: Mapping[int, int], contested: frozenset[tuple[int, bool]]
) -> list[Step]:
    """What a task is to be told by now in this ledger round and phase.

    `attempts`: the attempt that each open round is in. `contested`: the rounds in which an audit is
    raised, of submissions (False) or of the list (True).
    """
    ledger_round = table.compute_round(slot)
    if ledger_round < 0:
        return []
    steps = [Step("executeTask", ledger_round)]
    reviewed = ledger_round - REVIEW
    listed = [
        (number, attempts[number] > 0)
        for number in sorted(attempts)
        if number + DISTRIBUTION + attempts[number] == ledger_round
    ]
    match table.compute_phase(slot):
        case Phase.SUBMIT:
            if reviewed >= 0:
                steps.append(Step("submitPayload", reviewed))
            steps += [Step("generateAndSubmitDistributionList", number, failed) for number, failed in listed]
        case Phase.AUDIT:
            is_late = compute_half(table, ledger_round) <= slot
            if reviewed >= 0:
                steps += _look("auditPayload", reviewed, False, is_late and (reviewed, False) in contested)
            for number, failed in listed:
                steps += _look(
                    "distributionListAudit", number, failed, is_late and (number, True) in contested
                )
        case Phase.SETTLE:
            pass
    return steps


def compute_half(table: Timetable, ledger_round: int) -> int:
    """The slot at which the second half of AUDIT begins."""
    first, last = table.compute_window(ledger_round, Phase.AUDIT)
    return first + (last - first + 1) // 2


def _look(function: Function, number: int, failed: bool, again: bool) -> list[Step]:
    """An audit; once more when one is raised, for `true` is only accepted then."""
    return [Step(function, number, failed)] + ([Step(function, number, failed, True)] if again else [])
