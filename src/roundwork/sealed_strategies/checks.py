"""Strategies about checks and votes: unseen, left out, or shared."""

from typing import ClassVar

from ..participant.sealed import (
    AccuseList,
    DecideSealedList,
    SealedDuty,
    SealedMemory,
    SealedView,
    SendAccusation,
    SendAmounts,
    SendChallenge,
    VoteOnList,
)
from ..protocol.tasks.commitments import SealKind
from ..protocol.tasks.round import Activity
from .base import Duties, Finding, SealedMember, SealedStrategy, is_open, is_reveal, leave_out, revote


class LazyChecker(SealedStrategy):
    """Saves its checks: its receipts say valid."""

    name = "lazy-checker"
    doing = "checks nothing: its receipts say valid unseen"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        if view.find(candidate).trial is not None:
            return honest()
        me.act(view.round.round, candidate)
        return True


class LazyHider(LazyChecker):
    """The same, and keeps a receipt to itself that has cleared what is accused."""

    name = "lazy-hider"
    doing = "checks nothing, and does not reveal a receipt over a submission that is accused"

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        if all(view.find(node).trial is None for node in view.own.checks):
            return owed
        return leave_out(me, owed, lambda duty: is_reveal(duty, SealKind.RECEIPT))


class UnseenJuror(SealedStrategy):
    """Saves its trials: it votes valid."""

    name = "unseen-juror"
    doing = "checks, and votes valid in every trial unseen"
    vote: ClassVar[bool] = True

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        if view.find(candidate).trial is None:
            return honest()
        me.act(view.round.round, candidate)
        return self.vote


class UnseenAccuser(UnseenJuror):
    """Saves its trials: it votes invalid, because most accusations are true."""

    name = "unseen-invalid"
    doing = "checks, and votes invalid in every trial unseen"
    vote = False


class Follower(SealedStrategy):
    """Saves checks and trials: what is accused is invalid, and what is not is valid."""

    name = "follower"
    doing = "looks at nothing: receipts say valid, votes say invalid"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        me.act(view.round.round, candidate)
        return view.find(candidate).trial is None

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return [revote(view, duty, lambda node, found: False) for duty in owed]


class NeverLooks(Follower):
    """Saves checks and trials: everything is valid."""

    name = "never-looks"
    doing = "looks at nothing: receipts and votes say valid"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        me.act(view.round.round, candidate)
        return True

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return owed


class ReceiptStriker(SealedStrategy):
    """Commits no receipt."""

    name = "receipt-striker"
    doing = "commits no receipt and accuses nobody"
    left_out: ClassVar[tuple[SealKind, ...]] = (SealKind.RECEIPT,)

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        is_checking, is_judging = (is_open(view, slot, each) for each in (Activity.CHECK, Activity.JUDGE))
        is_struck = (is_checking and SealKind.RECEIPT in self.left_out) or (
            is_judging and SealKind.VOTES in self.left_out
        )
        return leave_out(me, owed, lambda duty: is_struck or self._is_struck(duty))

    def _is_struck(self, duty: SealedDuty) -> bool:
        return isinstance(duty, SendAccusation)


class VoteStriker(ReceiptStriker):
    """Commits no votes."""

    name = "vote-striker"
    doing = "checks, and votes in no trial"
    left_out = (SealKind.VOTES,)

    def _is_struck(self, duty: SealedDuty) -> bool:
        return False


class Striker(ReceiptStriker):
    """Works, and does nothing after that."""

    name = "striker"
    doing = "works, and takes no part in checks, trials and lists"
    left_out = (SealKind.RECEIPT, SealKind.VOTES)

    def _is_struck(self, duty: SealedDuty) -> bool:
        struck = SendAccusation | SendChallenge | DecideSealedList | SendAmounts | AccuseList | VoteOnList
        return isinstance(duty, struck)


class QuietInvalid(SealedStrategy):
    """Says invalid of an honest submission in its receipt, and does not accuse it."""

    name = "quiet-invalid"
    doing = "its receipts say invalid of all but friends, and it accuses nobody"

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        if candidate in me.coalition or view.find(candidate).trial is not None:
            return honest()
        me.act(view.round.round, candidate)
        return False

    def change_duties(
        self, me: SealedMember, memory: SealedMemory, view: SealedView, slot: int, owed: Duties
    ) -> Duties:
        return [duty for duty in owed if not isinstance(duty, SendAccusation)]


class Cartel(SealedStrategy):
    """One member checks for all."""

    name = "cartel"
    doing = "shares its checks: what one member has found, no other looks at"

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], bool] = {}

    def choose_finding(
        self, me: SealedMember, view: SealedView, candidate: str, honest: Finding
    ) -> bool | None:
        key = view.round.round, candidate
        if candidate in me.coalition:
            me.act(key)
            return True
        if key in self._found:
            me.act(key)
            return self._found[key]
        found = honest()
        if found is not None:
            self._found[key] = found
        return found
