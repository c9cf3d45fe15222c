"""The steps that a JavaScript task gets, and when: by the windows of a round and the open rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from ...participant.moment import Moment
from ...protocol.tasks.round import Activity, Period
from .turns import compute_turn_number

Function = Literal[
    "executeTask",
    "submitPayload",
    "auditPayload",
    "generateAndSubmitDistributionList",
    "distributionListAudit",
]


class Step(NamedTuple):
    """One call. Each is made once; an audit once more in the second half of AUDIT if an audit is raised,
    because `true` is only accepted then."""

    function: Function
    round: int
    is_retry: bool = False
    """Whether the round's previous list failed or was never submitted."""
    is_second_look: bool = False
    turn: int = 0
    """Which turn of the nodes has begun while no list stands: the first, 0, is that of the selected node."""


def compute_steps(
    now: Moment,
    attempts: Mapping[int, int],
    contested: frozenset[tuple[Activity, int]] = frozenset(),
    unlisted: frozenset[int] = frozenset(),
) -> list[Step]:
    """The calls that a task should have received by now, in this ledger round and phase.

    `attempts`: the attempt that each open round is in. `contested`: the rounds in which an audit is
    raised, of a submission (Activity.AUDIT) or of the list (Activity.AUDIT_LIST). `unlisted`: the rounds
    without a list in their attempt; the program gets the step again at each turn of the nodes.
    """
    if now.ledger_round < 0:
        return []
    steps = [Step("executeTask", now.compute_round(Period.WORK))]
    reviewed = now.compute_round(Period.REVIEW)
    if reviewed >= 0 and now.is_open(Activity.SUBMIT, reviewed):
        steps.append(Step("submitPayload", reviewed))
    if reviewed >= 0 and now.is_open(Activity.AUDIT, reviewed):
        steps.append(Step("auditPayload", reviewed))
        if (Activity.AUDIT, reviewed) in contested and now.is_second_half(Activity.AUDIT, reviewed):
            steps.append(Step("auditPayload", reviewed, is_second_look=True))
    for round_number, attempt in sorted(attempts.items()):
        is_retry = attempt > 0
        if now.is_open(Activity.LIST, round_number, attempt):
            steps.append(Step("generateAndSubmitDistributionList", round_number, is_retry))
            if round_number in unlisted and (turn := compute_turn_number(now)) > 0:
                steps.append(Step("generateAndSubmitDistributionList", round_number, turn=turn))
        if now.is_open(Activity.AUDIT_LIST, round_number, attempt):
            steps.append(Step("distributionListAudit", round_number, is_retry))
            is_contested = (Activity.AUDIT_LIST, round_number) in contested
            if is_contested and now.is_second_half(Activity.AUDIT_LIST, round_number, attempt):
                steps.append(Step("distributionListAudit", round_number, is_retry, True))
    return steps
