"""The honest participant under roundwork-1, and what strategies that replace its decisions have in common."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from random import Random
from typing import ClassVar

from ..participant.sealed import (
    FetchProof,
    PostProof,
    Seal,
    SealedDuty,
    SealedMemory,
    SealedView,
    SendAccusation,
    SendCommitment,
    SendReveal,
)
from ..protocol.tasks.commitments import SealKind, encode_bits
from ..protocol.tasks.round import WINDOWS, Activity

RULES = "roundwork-1"

Amounts = dict[str, int]
Duties = Sequence[SealedDuty]
Value = Callable[[], str | None]
"""Calls a function of the task's that gives what to submit."""
Finding = Callable[[], bool | None]
"""Calls the task's audit: whether it finds a submission valid, None for not yet."""


class SealedMember:
    """A node of a coalition, as its strategy sees it."""

    def __init__(self, node: str, coalition: Sequence[str], seed: int) -> None:
        self.node = node
        """Its address."""
        self.coalition = frozenset({node, *coalition})
        """The addresses of all nodes that play together, its own among them."""
        self.seed = seed
        self.deviations: set[Hashable] = set()
        """What it did otherwise than an honest node."""
        self.bad_rounds: set[int] = set()
        """The rounds for which it submitted something that is not the proof of its work."""

    def act(self, *deviations: Hashable, bad_round: int | None = None) -> None:
        """Note deviations, each once: duties done otherwise, left out, or added.

        `bad_round` if what it submits for that round is not the proof of its work: that alone is a deviation.
        """
        self.deviations.update(deviations)
        if bad_round is not None:
            self.bad_rounds.add(bad_round)
            if not deviations:
                self.deviations.add(bad_round)

    def draw(self, round_number: int, what: str = "") -> Random:
        """The chance of a round, the same whenever it is drawn."""
        return Random(f"{self.seed}/{self.node}/{round_number}/{what}")


class SealedStrategy:
    """The honest participant. Subclasses replace a decision."""

    name: ClassVar[str] = "honest"
    doing: ClassVar[str] = "does what the task says"
    is_split: ClassVar[bool] = False
    """Whether the coalition's nodes share the stake of one node: then honest play is that one node."""
    is_lying: ClassVar[bool] = False
    """Whether it submits what `@task.lie` gives; a task without one makes a weak lie."""
    is_watchful: ClassVar[bool] = False
    """Whether it decides in every slot: else only where a window begins, or where something has changed."""

    def is_working(self, me: SealedMember, round_number: int) -> bool:
        """Whether it does the work of a round."""
        return True

    def choose_value(self, me: SealedMember, round_number: int, honest: Value, lie: Value) -> str | None:
        """What it submits; None for nothing. `honest()` and `lie()` call the task's functions."""
        return honest()

    def is_serving(self, me: SealedMember, view: SealedView, owner: str, reader: str) -> bool:
        """Whether it gives `reader` the proof of `owner`, which it has. `view` is the reader's."""
        return True

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        """Whether it finds a submission valid, None for not yet. `honest()` calls the task's audit."""
        return honest()

    def choose_list(self, me: SealedMember, view: SealedView, honest: Callable[[], Amounts]) -> Amounts:
        """The distribution list that it claims to be right; `honest()` calls the task's function."""
        return honest()

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        """What it does in a slot: the honest duties that it follows, and what it adds."""
        return owed


HONEST = SealedStrategy()


def is_open(view: SealedView, slot: int, activity: Activity) -> bool:
    """Whether an activity of the round takes place in a slot."""
    return WINDOWS[RULES][activity].is_open(view.table, slot, view.round.round)


def is_commitment(duty: SealedDuty, kind: SealKind) -> bool:
    """Whether a duty commits to a payload of this kind."""
    return isinstance(duty, SendCommitment) and duty.kind == kind


def is_reveal(duty: SealedDuty, kind: SealKind) -> bool:
    """Whether a duty reveals a payload of this kind."""
    return isinstance(duty, SendReveal) and duty.kind == kind


def leave_out(me: SealedMember, owed: Duties, is_left: Callable[[SealedDuty], bool]) -> Duties:
    """The duties without some, which are noted."""
    left = [duty for duty in owed if is_left(duty)]
    me.act(*left)
    return [duty for duty in owed if duty not in left]


def list_others(me: SealedMember, view: SealedView) -> list[str]:
    """The submitters that do not belong to the coalition and are not missing, in order of addresses."""
    return [
        each.node
        for each in view.hardened.submissions
        if each.node not in me.coalition and each.node != me.node and each.verdict != "missing"
    ]


def takes_part(view: SealedView, node: str) -> bool:
    """Whether a node has submitted in the round."""
    return any(each.node == node for each in view.round.submissions)


def get_speaker(me: SealedMember, view: SealedView) -> str:
    """The member that speaks for all, the first of those that take part; "" if none does."""
    return min((each for each in me.coalition if takes_part(view, each)), default="")


def accuse(memory: SealedMemory, view: SealedView, victims: Iterable[str]) -> list[SealedDuty]:
    """What accuses these submissions: their proofs are fetched and posted first."""
    duties: list[SealedDuty] = []
    for node in victims:
        shown = view.find(node)
        if shown.trial is not None or not takes_part(view, view.node):
            continue
        if not view.names_proof(node) or shown.is_posted:
            duties.append(SendAccusation(view.round.round, node))
        elif node in memory.fetched:
            duties.append(PostProof(view.round.round, node))
        else:
            duties.append(FetchProof(view.round.round, node))
    return duties


def revote(view: SealedView, duty: SealedDuty, choose: Callable[[str, bool], bool]) -> SealedDuty:
    """The duty; if it writes down votes, with the votes that `choose(node, found)` gives."""
    if not isinstance(duty, Seal) or duty.kind != SealKind.VOTES:
        return duty
    bits = int.from_bytes(duty.payload, "little")
    found = [choose(node, bool(bits >> at & 1)) for at, node in enumerate(view.own.trials)]
    return Seal(duty.round, duty.kind, encode_bits(found))
