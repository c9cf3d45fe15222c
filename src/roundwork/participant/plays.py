"""Ways to play: the honest participant, and participants with one decision replaced.

The nodes of `up` and all other code in which participants play against the law use these names.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from ..errors import BadConfig
from ..protocol.tasks.commitments import SealKind
from ..protocol.tasks.round import Activity, Period
from ..views import PartKey, PartKind, RoundHead
from .decisions import ListDecided, Memory, OpinionDecided, learn
from .moment import Moment, compute_moment
from .sealed import (
    AccuseList,
    CheckSubmission,
    DecideSealedList,
    DecideSealedValue,
    FetchProof,
    PostProof,
    Seal,
    SealedDuty,
    SendAmounts,
    SendCommitment,
    SendReveal,
    VoteOnList,
)
from .sealed_step import Bounds, DrawnRound, step_sealed
from .step import (
    DecideList,
    DecideOpinion,
    DecideValue,
    Duty,
    Forget,
    SendListOpinion,
    SendOpinion,
    SendValue,
    TopUp,
    View,
    Work,
    list_needed,
    step,
)


class Play(NamedTuple):
    """A way to play."""

    name: str
    doing: str
    """For people: what a participant that plays this way does."""
    may_earn: bool
    """Whether a correct round may pay such a participant."""
    is_lying: bool = False
    """Whether it submits another proof than its work gave."""
    is_serving: bool = True
    """Whether it serves its proofs to other nodes."""


HONEST = Play("honest", "does what the task says", True)
LIAR = Play("liar", "submits another proof than its work gave", False, is_lying=True)
COPYCAT = Play("copycat", "submits the proof of another node and does not work", False)
LATE = Play("late", "submits after the window", False)
SILENT = Play("silent", "stakes and does nothing else", False)
LAZY = Play("lazy", "audits nothing", True)
ACCUSER = Play("accuser", "finds every proof invalid", True)
THIEF = Play("thief", "hands in lists that pay everything to itself", True)

MUTE = Play("mute", "hands in no list", True)
SLANDERER = Play("slanderer", "accuses the lists of others", True)
WITHHOLDER = Play("withholder", "lets no node have its proof", False, is_serving=False)
RELUCTANT = Play(
    "reluctant", "lets no node have its proof, but posts it when it is challenged", True, is_serving=False
)
HIDER = Play("hider", "lies, and lets no node have its proof", False, is_lying=True, is_serving=False)

PLAYS = {
    play.name: play
    for play in (
        *(HONEST, LIAR, COPYCAT, LATE, SILENT, LAZY, ACCUSER, THIEF),
        *(MUTE, SLANDERER, WITHHOLDER, RELUCTANT, HIDER),
    )
}
"""All ways to play, by name."""


def find_play(name: str) -> Play:
    """A way to play by its name. Raises BadConfig."""
    if name not in PLAYS:
        raise BadConfig(f"there is no way to play {name!r}; the ways are {', '.join(PLAYS)}")
    return PLAYS[name]


def play_step(play: Play, memory: Memory, view: View, slot: int) -> tuple[Memory, list[Duty]]:
    """The duties and the memory of a participant that plays this way: `step` with one decision replaced.

    A liar owes what an honest node owes; what it submits is another value, which the caller decides.
    """
    memory, duties = step(memory, view, slot)
    if play is HONEST:
        return memory, duties
    now = compute_moment(view.head, slot)
    match play.name:
        case COPYCAT.name:
            duties = [duty for duty in duties if not isinstance(duty, Work | DecideValue | SendValue)]
            return memory, [*duties, *_owe_copy(view, now)]
        case LATE.name:
            duties = [duty for duty in duties if not isinstance(duty, SendValue)]
            return memory, [*duties, *_owe_late(memory, view, now)]
        case SILENT.name:
            return memory, [duty for duty in duties if isinstance(duty, TopUp | Forget)]
        case LAZY.name:
            audits = DecideOpinion | SendOpinion | SendListOpinion
            return memory, [duty for duty in duties if not isinstance(duty, audits)]
        case ACCUSER.name:
            return memory, [accused for duty in duties for accused in _accuse(view, duty)]
        case THIEF.name:
            return _steal(memory, view, duties)
        case _:
            return memory, duties


def list_parts(play: Play, memory: Memory, view: View, slot: int) -> list[PartKey]:
    """The parts of rounds that decide the duties at a slot of a participant that plays this way."""
    needed = list_needed(memory, view, slot)
    if play is not COPYCAT:
        return needed
    now = compute_moment(view.head, slot)
    reviewed = _get_reviewed(view, now)
    if reviewed is None or not now.is_open(Activity.SUBMIT, reviewed.round):
        return needed
    is_due = reviewed.submissions and view.get_own(reviewed.round).value is None
    return [*needed, PartKey(reviewed.round, PartKind.SUBMITTED)] if is_due else needed


def _owe_copy(view: View, now: Moment) -> list[Duty]:
    """The first proof that another node has submitted, to be submitted again."""
    reviewed = _get_reviewed(view, now)
    if reviewed is None or not now.is_open(Activity.SUBMIT, reviewed.round):
        return []
    if view.get_own(reviewed.round).value is not None:
        return []
    others = view.get_parts(reviewed.round).submitted
    return [SendValue(reviewed.round, others[0].value)] if others else []


def _owe_late(memory: Memory, view: View, now: Moment) -> list[Duty]:
    """The proof that was decided, once its window has ended."""
    reviewed = _get_reviewed(view, now)
    if reviewed is None or not now.is_open(Activity.AUDIT, reviewed.round):
        return []
    if now.is_second_half(Activity.AUDIT, reviewed.round):
        return []
    value = memory.values.get(reviewed.round)
    return [] if value is None else [SendValue(reviewed.round, value)]


def _accuse(view: View, duty: Duty) -> list[Duty]:
    """The opinion that a proof is invalid, in place of its audit."""
    if isinstance(duty, SendOpinion):
        return [msgspec.structs.replace(duty, is_valid=False)]
    if not isinstance(duty, DecideOpinion):
        return [duty]
    is_given = duty.node in view.get_own(duty.round).opinions
    return [] if is_given else [SendOpinion(duty.round, duty.node, False)]


def _steal(memory: Memory, view: View, duties: list[Duty]) -> tuple[Memory, list[Duty]]:
    """The node remembers a list that gives the whole bounty to itself, in place of the task's."""
    for duty in duties:
        if isinstance(duty, DecideList):
            memory = learn(memory, ListDecided(duty.round, {view.node: duty.bounty}))
    return memory, [duty for duty in duties if not isinstance(duty, DecideList)]


# The same under roundwork-1


def play_sealed_step(
    play: Play,
    memory: Memory,
    view: View,
    drawn: Mapping[int, DrawnRound],
    fetched: Mapping[int, frozenset[str]],
    bounds: Bounds,
    slot: int,
) -> tuple[Memory, list[Duty | SealedDuty]]:
    """The duties and the memory of a participant that plays this way: `step_sealed` with one decision
    replaced.

    Nothing can be copied before it is revealed, so a copycat submits nothing. What comes late is a reveal.
    """
    memory, duties = step_sealed(memory, view, drawn, fetched, bounds, slot)
    match play.name:
        case COPYCAT.name:
            return memory, [
                duty for duty in duties if not isinstance(duty, Work | DecideValue | DecideSealedValue)
            ]
        case LATE.name:
            return memory, [duty for duty in duties if not (isinstance(duty, SendReveal) and not duty.kind)]
        case SILENT.name:
            return memory, [duty for duty in duties if isinstance(duty, TopUp | Forget)]
        case LAZY.name:
            return memory, [duty for duty in duties if not _is_of_audit(duty)]
        case ACCUSER.name:
            for duty in duties:
                if isinstance(duty, CheckSubmission):
                    memory = learn(memory, OpinionDecided(duty.round, duty.node, "invalid"))
            return memory, [duty for duty in duties if not isinstance(duty, CheckSubmission)]
        case THIEF.name:
            for duty in duties:
                if isinstance(duty, DecideSealedList):
                    memory = learn(memory, ListDecided(duty.round, {view.node: view.head.bounty_per_round}))
            return memory, [duty for duty in duties if not isinstance(duty, DecideSealedList)]
        case MUTE.name:
            return memory, [duty for duty in duties if not isinstance(duty, SendAmounts)]
        case SLANDERER.name:
            return memory, [*duties, *_slander(view, drawn)]
        case WITHHOLDER.name | HIDER.name:
            return memory, [
                duty for duty in duties if not (isinstance(duty, PostProof) and duty.node == view.node)
            ]
        case _:
            return memory, duties


def _slander(view: View, drawn: Mapping[int, DrawnRound]) -> list[AccuseList]:
    """Accusations of the lists of others that no node has accused."""
    accusing = []
    for round_number, shown in drawn.items():
        now, attempt = compute_moment(view.head, shown.round.slot), shown.round.attempt
        if not now.is_open(Activity.ACCUSE_LIST, round_number, attempt):
            continue
        accusing += [
            AccuseList(round_number, attempt, each.submitter)
            for each in shown.round.lists
            if (each.attempt, each.trigger_by) == (attempt, None) and each.submitter != view.node
        ]
    return accusing


def _is_of_audit(duty: Duty | SealedDuty) -> bool:
    is_bits = isinstance(duty, Seal | SendCommitment | SendReveal) and duty.kind != SealKind.SUBMISSION
    return is_bits or isinstance(duty, FetchProof | CheckSubmission | VoteOnList)


def _get_reviewed(view: View, now: Moment) -> RoundHead | None:
    """The round under review, if the node takes part in it."""
    is_staked = view.own.amount >= view.head.minimum_stake
    return view.find_round(now.compute_round(Period.REVIEW)) if is_staked else None
