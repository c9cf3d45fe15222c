"""What a node owes, what it has at stake and what became of it in rounds under roundwork-1, from views."""

from collections.abc import Iterable
from typing import Any

from ..hardened_views import AssignmentsView, HardenedRound, HardenedSubmission, TrialView
from ..protocol.clock import Timetable
from ..protocol.params import ROUNDWORK_1
from ..protocol.tasks.commitments import SealKind
from ..protocol.tasks.round import WINDOWS, Activity, Period
from ..views import RoundView, TaskView
from ..wire import format_count

SUBMISSIONS_MIN = 3
"""Of a round that is paid. Source: docs/PROTOCOL.md 16."""

CONVICTED, LIST_REJECTED = SLASHED = ("its proof was convicted", "its list was rejected")
"""The reasons of slashes."""


def explain_too_few(view: RoundView) -> str:
    """Why a round closed without an attempt at a list: it had too few proofs; "" if it had enough."""
    if view.hardened is None or len(view.submissions) >= SUBMISSIONS_MIN:
        return ""
    proofs = format_count(len(view.submissions), "proof")
    return f"{proofs}, and a round of {ROUNDWORK_1.name} needs {SUBMISSIONS_MIN}"


def takes_part(view: RoundView, node: str) -> bool:
    """Whether a node committed to a proof in a round, or gained or lost something in it."""
    hardened = view.hardened
    return hardened is not None and (node in hardened.committed or node in hardened.nets)


def describe_part(view: RoundView, node: str) -> dict[str, Any]:
    """What became of a node in a round, or will if nothing more happens in an open one.

    `net` is what the round gave the node, less what it took: in roe, or in the smallest unit of its token.
    """
    hardened = _get_hardened(view)
    own = _find(hardened, node)
    return {
        "is_over": view.status != "Open",
        "net": hardened.nets.get(node, 0),
        "verdict": own.verdict if own else "no submission",
        "checks_assigned": own.audits_assigned if own else 0,
        "checks_done": own.audits_done if own else 0,
        "challenges": sum(
            each.challenge is not None and each.challenge.challenger == node for each in hardened.submissions
        ),
        "accusations": sum(trial.accuser == node for _, trial in _list_trials(hardened))
        + sum(each.trigger_by == node for each in view.lists),
        "reasons": [] if view.status == "Open" else explain_losses(view, node),
    }


def describe_stakes(views: Iterable[RoundView], node: str) -> dict[str, int]:
    """What a node has at stake in rounds that are not over: bonds of accusations, fees of challenges."""
    bonds = held = 0
    for view in views:
        if view.hardened is not None and view.status == "Open":
            bonds += sum(
                trial.bond
                for verdict, trial in _list_trials(view.hardened)
                if trial.accuser == node and verdict == "untried"
            )
            challenges = [each.challenge for each in view.hardened.submissions if each.challenge]
            held += sum(each.held for each in challenges if each.challenger == node)
    return {"bonds": bonds, "challenge_fees": held}


def compute_held_back(task: TaskView, views: Iterable[RoundView], node: str) -> int:
    """The rewards of a node that are paid and not available yet. Source: docs/PROTOCOL.md 19.

    Fines that were taken from them later, and what went with a slash, are not subtracted.
    """
    return sum(
        payment.reward
        for view in views
        if task.slot < compute_release(task, view)
        for payment in view.payments
        if payment.node == node
    )


def compute_release(task: TaskView, view: RoundView) -> int:
    """The slot from which on the rewards of a round are available. Source: docs/PROTOCOL.md 19."""
    windows = WINDOWS[task.rules]
    table = Timetable(task.starting_slot, task.round_time, task.submission_window, task.audit_window)
    paid = windows[Activity.PAY].compute_ledger_round(view.round, view.attempt)
    return windows[Activity.AUDIT].compute_end(table, paid + ROUNDWORK_1.held_rounds - Period.REVIEW.later)


def list_owed(view: RoundView, own: AssignmentsView) -> list[dict[str, Any]]:
    """What a node owes in a round at the slot of the view: {round, duty, until_slot}."""
    owed = []
    for window in _get_hardened(view).windows:
        if window.first <= view.slot <= window.last:
            duties = _list_duties(Activity(window.activity), view, own)
            owed += [{"round": view.round, "duty": duty, "until_slot": window.last} for duty in duties]
    return owed


def explain_losses(view: RoundView, node: str) -> list[str]:
    """Why a round took something from a node, or pays it nothing. Source: docs/PROTOCOL.md 16 to 19."""
    hardened = _get_hardened(view)
    own = _find(hardened, node)
    reasons = []
    if own is None and node in hardened.committed:
        reasons.append("it committed a proof and did not reveal it")
    if own is not None and own.verdict == "missing":
        reasons.append("its proof could not be had when it was challenged")
    if own is not None and own.verdict == "convicted":
        reasons.append(CONVICTED)
    reasons += _explain_receipts(hardened, node) + _explain_votes(hardened, node)
    if any(each.accuser == node and verdict == "acquitted" for verdict, each in _list_trials(hardened)):
        reasons.append("it accused a proof that was acquitted")
    paid = {each.node: each for each in view.payments}
    for listed in view.lists:
        is_last = listed is view.lists[-1] and view.status == "PayoutSuccessful"
        if listed.trigger_by == node and is_last:
            reasons.append("it accused a list that stood")
        is_slashed = node in paid and paid[node].slash > 0 and (own is None or own.verdict != "convicted")
        if listed.submitter == node and listed.trigger_by is not None and not is_last and is_slashed:
            reasons.append(LIST_REJECTED)
    return reasons


def _explain_receipts(hardened: HardenedRound, node: str) -> list[str]:
    found = [(each.verdict, each.receipts[node]) for each in hardened.submissions if node in each.receipts]
    known = [(verdict, is_valid) for verdict, is_valid in found if verdict != "missing"]
    unrevealed = sum(is_valid is None for _, is_valid in known)
    passed = sum(is_valid is True and verdict == "convicted" for verdict, is_valid in known)
    wronged = sum(is_valid is False and verdict in ("untried", "acquitted") for verdict, is_valid in known)
    reasons = {
        f"it revealed no receipt over {format_count(unrevealed, 'proof')}": unrevealed,
        f"it found {format_count(passed, 'proof')} valid that a jury convicted": passed,
        f"it found {format_count(wronged, 'proof')} invalid that no jury convicted": wronged,
    }
    return [reason for reason, count in reasons.items() if count]


def _explain_votes(hardened: HardenedRound, node: str) -> list[str]:
    missed = against = 0
    for each in hardened.submissions:
        trial = each.trial
        if trial is None or node not in trial.seats or node in (trial.accuser, each.node):
            continue
        if node not in trial.votes:
            missed += 1
        else:
            against += _is_against_majority(each.node, trial, node)
    reasons = {
        f"it revealed no vote on {format_count(missed, 'accused proof')}": missed,
        f"it voted against the majority on {format_count(against, 'accused proof')}": against,
    }
    return [reason for reason, count in reasons.items() if count]


def _is_against_majority(accused: str, trial: TrialView, juror: str) -> bool:
    """Whether more of the seats cast say something else. The seats of the parties are cast, too."""
    cast = {**trial.votes, accused: True, trial.accuser: False}
    votes = sum(trial.seats.get(each, 0) * (1 if is_valid else -1) for each, is_valid in cast.items())
    return votes < 0 if trial.votes[juror] else votes > 0


def _list_duties(activity: Activity, view: RoundView, own: AssignmentsView) -> list[str]:
    """What a node owes in a window that is open."""
    match activity:
        case Activity.COMMIT if SealKind.SUBMISSION not in own.committed:
            return ["commit to its proof"]
        case Activity.REVEAL if SealKind.SUBMISSION in own.committed:
            return [] if SealKind.SUBMISSION in own.revealed else ["reveal its proof"]
        case Activity.ANSWER:
            shown = _find(_get_hardened(view), own.node)
            is_due = shown is not None and shown.challenge is not None and not shown.is_posted
            return ["post its proof, which was challenged"] if is_due else []
        case Activity.CHECK if own.checks and SealKind.RECEIPT not in own.committed:
            return [f"check {format_count(len(own.checks), 'proof')} and commit to a receipt"]
        case Activity.JUDGE if own.trials and SealKind.VOTES not in own.committed:
            return [f"judge {format_count(len(own.trials), 'accused proof')} and commit to votes"]
        case Activity.DISCLOSE:
            names = {SealKind.RECEIPT: "its receipt", SealKind.VOTES: "its votes"}
            sealed = set(own.committed) - set(own.revealed)
            return [f"reveal {name}" for kind, name in names.items() if kind in sealed]
        case Activity.LIST:
            return _list_ranks(view, own.node)
        case Activity.VOTE_LIST:
            return _list_votes(view, own.node)
        case _:
            return []


def _list_ranks(view: RoundView, node: str) -> list[str]:
    if any(each.attempt == view.attempt for each in view.lists):
        return []
    ranks = [each.nodes for each in _get_hardened(view).ranks if each.attempt == view.attempt]
    return [f"hand in the list, as rank {nodes.index(node) + 1}" for nodes in ranks if node in nodes]


def _list_votes(view: RoundView, node: str) -> list[str]:
    own = _find(_get_hardened(view), node)
    if own is None or own.verdict == "convicted":
        return []
    return [
        "vote on the list, which was accused"
        for each in view.lists
        if each.attempt == view.attempt
        and each.trigger_by is not None
        and node != each.submitter
        and node not in each.auditors
    ]


def _list_trials(hardened: HardenedRound) -> list[tuple[str, TrialView]]:
    """The trials of a round, each with the verdict so far."""
    return [(each.verdict, each.trial) for each in hardened.submissions if each.trial is not None]


def _find(hardened: HardenedRound, node: str) -> HardenedSubmission | None:
    return next((each for each in hardened.submissions if each.node == node), None)


def _get_hardened(view: RoundView) -> HardenedRound:
    assert view.hardened is not None, "the round is not one of roundwork-1"
    return view.hardened
