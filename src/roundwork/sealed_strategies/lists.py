"""Strategies about distribution lists: not handed in, false, or voted down."""

from collections.abc import Callable

from ..participant.sealed import AccuseList, SealedDuty, SealedMemory, SealedView, SendAmounts, VoteOnList
from ..protocol.tasks.round import WINDOWS, Activity
from ..views import ListView
from .base import RULES, Amounts, Duties, SealedMember, SealedStrategy, get_speaker, leave_out


class SilentLeader(SealedStrategy):
    """Never hands in a list, also when it is its turn."""

    name = "silent-leader"
    doing = "hands in no list when it has a rank"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return leave_out(me, owed, lambda duty: isinstance(duty, SendAmounts))


class ListThief(SealedStrategy):
    """Hands in a list that pays everything to the coalition, and votes for it."""

    name = "list-thief"
    doing = "hands in a list that pays the coalition everything, and votes for it"

    def choose_list(self, me: SealedMember, view: SealedView, honest: Callable[[], Amounts]) -> Amounts:
        amounts = honest()
        ours = [node for node in amounts if node in me.coalition]
        return dict.fromkeys(ours, sum(amounts.values()) // len(ours)) if ours else amounts

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        kept = [duty for duty in owed if not isinstance(duty, AccuseList)]
        me.act(*(duty for duty in kept if isinstance(duty, SendAmounts)))
        return [
            VoteOnList(duty.round, duty.attempt, duty.node, True) if isinstance(duty, VoteOnList) else duty
            for duty in kept
        ]


class ListForger(ListThief):
    """Hands in a list that takes a part of what others are due."""

    name = "list-forger"
    doing = "hands in a list that moves a tenth of what others earn to the coalition"

    def choose_list(self, me: SealedMember, view: SealedView, honest: Callable[[], Amounts]) -> Amounts:
        amounts = honest()
        ours = [node for node in amounts if node in me.coalition]
        if not ours:
            return amounts
        cut = {node: amount // 10 for node, amount in amounts.items() if node not in ours}
        gain = sum(cut.values()) // len(ours)
        return {
            node: amount + gain if node in ours else amount - cut[node] for node, amount in amounts.items()
        }


class ListKiller(SealedStrategy):
    """Accuses honest lists, and votes against them."""

    name = "list-killer"
    doing = "accuses every honest list, and votes against it"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        standing = _find_list(view)
        is_honest = standing is not None and standing.submitter not in me.coalition
        if standing is None or not is_honest or view.round.status != "Open":
            return owed
        added: list[SealedDuty] = []
        window = WINDOWS[RULES][Activity.ACCUSE_LIST]
        is_open = window.is_open(view.table, slot, view.round.round, view.round.attempt)
        if is_open and standing.trigger_by is None and me.node == get_speaker(me, view):
            added.append(AccuseList(view.round.round, view.round.attempt, standing.submitter))
        kept = [_reverse(duty) for duty in owed if not isinstance(duty, AccuseList)]
        me.act(*added)
        return [*kept, *added]


class VetoThief(ListThief, ListKiller):
    """Steals as the list thief does, and accuses the lists of others."""

    name = "veto-thief"
    doing = "hands in lists that pay the coalition everything, and accuses honest lists"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        stolen = ListThief.change_duties(self, me, memory, view, slot, owed)
        return ListKiller.change_duties(self, me, memory, view, slot, stolen)


def _find_list(view: SealedView) -> ListView | None:
    return next((each for each in view.round.lists if each.attempt == view.round.attempt), None)


def _reverse(duty: SealedDuty) -> SealedDuty:
    """A vote against the list; other duties as they are."""
    return VoteOnList(duty.round, duty.attempt, duty.node, False) if isinstance(duty, VoteOnList) else duty
