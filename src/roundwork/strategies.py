"""Strategies against the rules: the honest participant with one decision replaced.

A new strategy is a subclass of `Strategy` that replaces a method and says where it deviates with `me.act`.
It can live in the author's own file: `roundwork attack --strategies FILE`.
"""

from collections.abc import Callable, Hashable, Sequence
from random import Random
from typing import ClassVar

from .participant.decisions import Memory
from .participant.moment import Moment, compute_moment
from .participant.step import (
    DecideList,
    DecideOpinion,
    DecideValue,
    Duty,
    SendList,
    SendListOpinion,
    SendOpinion,
    SendValue,
    View,
    Work,
    list_needed,
)
from .protocol.tasks.round import Activity, Period
from .views import ListHead, PartKey, PartKind, RoundHead

Amounts = dict[str, int]


class Member:
    """A node of a coalition, as its strategy sees it."""

    def __init__(self, node: str, coalition: Sequence[str], seed: int) -> None:
        self.node = node
        """Its address."""
        self.coalition = frozenset(coalition)
        """The addresses of all nodes that play together, its own among them."""
        self._seed = seed
        self._random: Random | None = None
        self.deviations: set[Hashable] = set()
        """The duties in which it deviated from what an honest node does, or the rounds of bad submissions."""
        self.bad_rounds: set[int] = set()
        """The rounds in which it submitted something that is not the proof of its work."""

    @property
    def random(self) -> Random:
        """Chance of its own, from the seed of the world."""
        if self._random is None:
            self._random = Random(f"{self._seed}/{self.node}")
        return self._random

    def act(self, *deviations: Duty, bad_round: int | None = None) -> None:
        """Note deviations, each once: duties done otherwise, left out, or added.

        `bad_round` if what it submits for that round is not the proof of its work: that alone is a deviation.
        """
        self.deviations.update(deviations)
        if bad_round is not None:
            self.bad_rounds.add(bad_round)
            if not deviations:
                self.deviations.add(bad_round)


class Strategy:
    """The honest participant. Subclasses replace a decision."""

    name: ClassVar[str] = "honest"
    doing: ClassVar[str] = "does what the task says"
    is_split: ClassVar[bool] = False
    """Whether the coalition's nodes share the stake of one node: then honest play is that one node."""
    is_lying: ClassVar[bool] = False
    """Whether it submits what `@task.lie` gives; a task without one makes a weak lie."""

    def is_working(self, me: Member, duty: Work) -> bool:
        """Whether it does the work of a round."""
        return True

    def choose_value(
        self, me: Member, duty: DecideValue, honest: Callable[[], str | None], lie: Callable[[], str | None]
    ) -> str | None:
        """What it submits. `honest()` and `lie()` call the task's functions."""
        return honest()

    def choose_opinion(self, me: Member, duty: DecideOpinion, honest: Callable[[], str]) -> str:
        """ "valid" or "invalid" for a submission, or "none" for no opinion; `honest()` calls the audit."""
        return honest()

    def choose_list(self, me: Member, duty: DecideList, view: View, honest: Callable[[], Amounts]) -> Amounts:
        """The distribution list that it claims to be right; `honest()` calls the task's function."""
        return honest()

    def change_duties(
        self, me: Member, memory: Memory, view: View, slot: int, owed: Sequence[Duty]
    ) -> Sequence[Duty]:
        """What it does in a slot: the honest duties that it follows, and what it adds."""
        return owed

    def list_parts(self, memory: Memory, view: View, slot: int) -> list[PartKey]:
        """The parts of rounds that it reads."""
        return list_needed(memory, view, slot)


# Submissions


class LazyWorker(Strategy):
    """Saves the work."""

    name = "lazy-worker"
    doing = "does no work and submits garbage"

    def is_working(self, me: Member, duty: Work) -> bool:
        return False

    def choose_value(
        self, me: Member, duty: DecideValue, honest: Callable[[], str | None], lie: Callable[[], str | None]
    ) -> str | None:
        me.act(duty, bad_round=duty.round)
        return f"garbage of round {duty.round}"


class OldProof(Strategy):
    """Works once and submits that proof in every round."""

    name = "old-proof"
    doing = "works in its first round and submits that proof again"

    def __init__(self) -> None:
        self._proofs: dict[str, str] = {}

    def is_working(self, me: Member, duty: Work) -> bool:
        return me.node not in self._proofs

    def choose_value(
        self, me: Member, duty: DecideValue, honest: Callable[[], str | None], lie: Callable[[], str | None]
    ) -> str | None:
        if me.node not in self._proofs:
            proof = honest()
            if proof is not None:
                self._proofs[me.node] = proof
            return proof
        me.act(duty, bad_round=duty.round)
        return self._proofs[me.node]


class Liar(Strategy):
    """Works, and submits what `@task.lie` gives."""

    name = "lie"
    doing = "works and submits a lie that looks right"
    is_lying = True

    def choose_value(
        self, me: Member, duty: DecideValue, honest: Callable[[], str | None], lie: Callable[[], str | None]
    ) -> str | None:
        value = lie()
        if value is not None:
            me.act(duty, bad_round=duty.round)
        return value


class Copycat(Strategy):
    """Submits what another node has submitted."""

    name = "copycat"
    doing = "does no work and submits another node's proof"

    def is_working(self, me: Member, duty: Work) -> bool:
        return False

    def change_duties(
        self, me: Member, memory: Memory, view: View, slot: int, owed: Sequence[Duty]
    ) -> Sequence[Duty]:
        kept = [duty for duty in owed if not isinstance(duty, DecideValue | SendValue)]
        now = compute_moment(view.head, slot)
        reviewed = _find_reviewed(view, now)
        if reviewed is None or not now.is_open(Activity.SUBMIT, reviewed.round):
            return kept
        if view.get_own(reviewed.round).value is not None:
            return kept
        others = [each for each in view.get_parts(reviewed.round).submitted or () if each.node != me.node]
        if not others:
            return kept
        copied = SendValue(reviewed.round, others[0].value)
        me.act(copied, bad_round=reviewed.round)
        return [*kept, copied]

    def list_parts(self, memory: Memory, view: View, slot: int) -> list[PartKey]:
        now = compute_moment(view.head, slot)
        reviewed = _find_reviewed(view, now)
        needed = list_needed(memory, view, slot)
        if reviewed is None or not reviewed.submissions or not now.is_open(Activity.SUBMIT, reviewed.round):
            return needed
        return [*needed, PartKey(reviewed.round, PartKind.SUBMITTED)]


class NoShow(Strategy):
    """Stakes and submits nothing."""

    name = "no-show"
    doing = "stakes, and neither works nor submits"

    def is_working(self, me: Member, duty: Work) -> bool:
        return False

    def choose_value(
        self, me: Member, duty: DecideValue, honest: Callable[[], str | None], lie: Callable[[], str | None]
    ) -> str | None:
        me.act(duty)
        return None


class VoteRing(LazyWorker):
    """Its members submit garbage, and find one another's garbage valid."""

    name = "vote-ring"
    doing = "submits garbage, and its members vote for one another"

    def choose_opinion(self, me: Member, duty: DecideOpinion, honest: Callable[[], str]) -> str:
        return "valid" if duty.node in me.coalition else honest()


# Audits


class LazyChecker(Strategy):
    """Saves the audits."""

    name = "lazy-checker"
    doing = "audits nothing and gives no opinion"

    def choose_opinion(self, me: Member, duty: DecideOpinion, honest: Callable[[], str]) -> str:
        me.act(duty)
        return "none"


class UnseenJuror(Strategy):
    """Finds every submission valid, without looking."""

    name = "unseen-juror"
    doing = "finds everything valid without looking"

    def choose_opinion(self, me: Member, duty: DecideOpinion, honest: Callable[[], str]) -> str:
        me.act(duty)
        return "valid"


class BlindAccuser(Strategy):
    """Accuses everything that it has to audit, without looking."""

    name = "blind-accuser"
    doing = "finds everything invalid without looking, but its friends' proofs"

    def choose_opinion(self, me: Member, duty: DecideOpinion, honest: Callable[[], str]) -> str:
        me.act(duty)
        return "valid" if duty.node in me.coalition else "invalid"


class OneVictim(Strategy):
    """All members accuse the same honest node of a round."""

    name = "one-victim"
    doing = "accuses one honest node a round, all members together, as soon as they can"

    def change_duties(
        self, me: Member, memory: Memory, view: View, slot: int, owed: Sequence[Duty]
    ) -> Sequence[Duty]:
        now = compute_moment(view.head, slot)
        reviewed = _find_reviewed(view, now)
        victims = [] if reviewed is None else _list_victims(me, view, now)
        if reviewed is None or not victims:
            return owed
        others = (each.node for each in view.get_parts(reviewed.round).submissions or ())
        victim = min(node for node in others if node not in me.coalition)
        if (reviewed.round, victim) not in victims:
            return owed
        return _replace_opinions(me, owed, [SendOpinion(reviewed.round, victim, False)])


class LastSlotAccuser(Strategy):
    """Accuses every honest node in the last slot of AUDIT, when no one can vote for it any more."""

    name = "last-slot-accuser"
    doing = "accuses all honest nodes in the last slot of AUDIT, when no vote can follow"

    def change_duties(
        self, me: Member, memory: Memory, view: View, slot: int, owed: Sequence[Duty]
    ) -> Sequence[Duty]:
        now = compute_moment(view.head, slot)
        victims = _list_victims(me, view, now)
        if not victims or slot != now.compute_end(Activity.AUDIT, victims[0][0]) - 2:
            return owed
        accusations: list[Duty] = [SendOpinion(round_number, node, False) for round_number, node in victims]
        return _replace_opinions(me, owed, accusations)


class Striker(Strategy):
    """Takes no part in any audit."""

    name = "striker"
    doing = "gives no opinion of proofs or lists and hands in no list"

    def change_duties(
        self, me: Member, memory: Memory, view: View, slot: int, owed: Sequence[Duty]
    ) -> Sequence[Duty]:
        struck = DecideOpinion | SendOpinion | DecideList | SendList | SendListOpinion
        kept = [duty for duty in owed if not isinstance(duty, struck)]
        me.act(*(duty for duty in owed if duty not in kept))
        return kept


# Lists


class SilentLeader(Strategy):
    """Never hands in a list, also when it is its turn."""

    name = "silent-leader"
    doing = "hands in no list when it is selected"

    def change_duties(
        self, me: Member, memory: Memory, view: View, slot: int, owed: Sequence[Duty]
    ) -> Sequence[Duty]:
        kept = [duty for duty in owed if not isinstance(duty, SendList)]
        me.act(*(duty for duty in owed if duty not in kept))
        return kept


class ListThief(Strategy):
    """Hands in first a list that pays everything to the coalition, and votes for it."""

    name = "list-thief"
    doing = "hands in, before its turn, a list that pays the coalition everything, and votes for it"

    def choose_list(self, me: Member, duty: DecideList, view: View, honest: Callable[[], Amounts]) -> Amounts:
        audited = view.get_parts(duty.round).audited or ()
        members = [each.node for each in audited if each.node in me.coalition]
        return dict.fromkeys(members, duty.bounty // len(members)) if members else honest()

    def change_duties(
        self, me: Member, memory: Memory, view: View, slot: int, owed: Sequence[Duty]
    ) -> Sequence[Duty]:
        now = compute_moment(view.head, slot)
        lists: list[Duty] = [
            SendList(shown.round, shown.attempt)
            for shown, standing in _list_open(view)
            if standing is None
            and shown.round in memory.lists
            and now.is_open(Activity.LIST, shown.round, shown.attempt)
        ]
        me.act(*lists)
        return [*(duty for duty in owed if duty not in lists), *lists]


class ListKiller(Strategy):
    """Finds every honest list invalid, in the last slot in which it can be audited."""

    name = "list-killer"
    doing = "finds honest lists invalid in the last slot of their audit, when no vote can follow"

    def change_duties(
        self, me: Member, memory: Memory, view: View, slot: int, owed: Sequence[Duty]
    ) -> Sequence[Duty]:
        now = compute_moment(view.head, slot)
        opinions: list[Duty] = [
            SendListOpinion(shown.round, standing.attempt, standing.submitter, False)
            for shown, standing in _list_open(view)
            if standing is not None
            and standing.submitter not in me.coalition
            and slot == now.compute_end(Activity.AUDIT_LIST, shown.round, shown.attempt) - 2
            and view.get_own(shown.round).list_opinion is None
        ]
        if not opinions:
            return owed
        me.act(*opinions)
        return [*(duty for duty in owed if not isinstance(duty, SendListOpinion)), *opinions]


class VetoThief(ListThief, ListKiller):
    """Steals as the list thief does, and kills the lists of others."""

    name = "veto-thief"
    doing = "hands in lists that pay the coalition everything, and kills honest lists in the last slot"

    def change_duties(
        self, me: Member, memory: Memory, view: View, slot: int, owed: Sequence[Duty]
    ) -> Sequence[Duty]:
        stolen = ListThief.change_duties(self, me, memory, view, slot, owed)
        return ListKiller.change_duties(self, me, memory, view, slot, stolen)


# Stakes


class SybilRing(Strategy):
    """Splits one stake into as many nodes as the coalition has."""

    name = "sybil-ring"
    doing = "splits the stake of one node into many nodes, which all do honest work"
    is_split = True

    def choose_value(
        self, me: Member, duty: DecideValue, honest: Callable[[], str | None], lie: Callable[[], str | None]
    ) -> str | None:
        me.act(duty)
        return honest()


STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy
    for strategy in (
        Strategy, LazyWorker, OldProof, Liar, Copycat, NoShow, VoteRing, LazyChecker, UnseenJuror,
        BlindAccuser, OneVictim, LastSlotAccuser, Striker, SilentLeader, ListThief, ListKiller, VetoThief,
        SybilRing,
    )
}  # fmt: skip
"""The strategies that have a meaning under `koii-1`, by name."""

NOT_UNDER_KOII_1 = {
    "withheld proofs, late and ledger-only answers, challengers": "there are no challenges",
    "drawn juries, quorum and trial games, bonds, duty caps": "there are no juries, bonds or duties",
    "beacon grinders, round closers, reveal skippers, equivocators": "there are no sealed reveals",
    "flash stakers, stake-and-run": "a stake is locked for three rounds after a submission",
    "creators who run a ring": "slashes go back to the bounty under every rule set; add them to the profit",
}
"""Strategies of other rule sets, or that need no simulation, and why they are not played here."""


# Helpers


def _find_reviewed(view: View, now: Moment) -> RoundHead | None:
    return view.find_round(now.compute_round(Period.REVIEW))


def _list_victims(me: Member, view: View, now: Moment) -> list[tuple[int, str]]:
    """The round under audit and each honest submitter that the member has no opinion of."""
    reviewed = _find_reviewed(view, now)
    if reviewed is None or not now.is_open(Activity.AUDIT, reviewed.round):
        return []
    given = view.get_own(reviewed.round).opinions
    return [
        (reviewed.round, each.node)
        for each in view.get_parts(reviewed.round).submissions or ()
        if each.node not in me.coalition and each.node not in given
    ]


def _replace_opinions(me: Member, owed: Sequence[Duty], accusations: Sequence[Duty]) -> Sequence[Duty]:
    if not accusations:
        return owed
    me.act(*accusations)
    accused = {duty.node for duty in accusations if isinstance(duty, SendOpinion)}
    kept = [
        duty for duty in owed if not (isinstance(duty, SendOpinion | DecideOpinion) and duty.node in accused)
    ]
    return [*kept, *accusations]


def _list_open(view: View) -> list[tuple[RoundHead, ListHead | None]]:
    """The open rounds, each with the list that stands in its present attempt."""
    return [
        (shown, next((each for each in shown.lists if each.attempt == shown.attempt), None))
        for shown in view.head.rounds
        if shown.round in view.head.open_rounds
    ]
