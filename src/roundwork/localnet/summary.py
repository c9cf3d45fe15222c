"""The object at the end of `up --json`: everything that the picture and the table show, for a program."""

from typing import Any

import msgspec

from ..client.sealed_standing import LIST_REJECTED, SLASHED, explain_losses
from ..ledger.moves import Moves
from ..node.peers.reasons import is_list_rejected, list_opinions
from ..protocol.params import ROUNDWORK_1
from ..views import RoundView, SubmissionView
from .judgement import judge
from .watch import (
    NAMES_SHOWN,
    OVER,
    UNPAID,
    Watch,
    compute_earned,
    compute_slashed,
    count_settled,
    get_name,
    join_names,
    list_nodes,
    show_amount,
)

VALUE_CHARACTERS = 40


class Slash(msgspec.Struct, frozen=True):
    """A node that lost a part of its stake, and why, in words."""

    round: int
    node: str
    amount: int
    reason: str


def summarise(watch: Watch) -> dict[str, Any]:
    """A run as a program reads it. Money in roe, or in the smallest unit of the task's token."""
    judgement = judge(watch)
    rounds = watch.rounds.values()
    return {
        "rounds_settled": count_settled(watch),
        "rounds_unpaid": sum(view.status == UNPAID for view in rounds),
        "supply_constant": watch.is_supply_constant,
        **({"token": watch.task.mint, "token_supply": watch.token_supply} if watch.task.mint else {}),
        "state_hash": watch.state_hash,
        "nodes": _summarise_nodes(watch),
        "ok": judgement.is_good,
        "conclusion": judgement.conclusion,
        "faults": judgement.faults,
        "task": watch.task.address,
        "slot": watch.task.slot,
        "rounds": [_summarise_round(watch, view) for view in rounds],
        "slashes": [msgspec.to_builtins(slash) for slash in explain_slashes(watch)],
        "costs": [msgspec.to_builtins(cost) for cost in explain_costs(watch)],
        "failures": [failure._asdict() for failure in watch.failures],
        "warnings": [{"node": name, "text": text} for name, text in watch.warnings],
        "ended": watch.ended,
    }


def count_verdicts(watch: Watch, node: str) -> dict[str, int]:
    """The verdicts on a node's proofs in rounds that were paid, counted."""
    counts: dict[str, int] = {}
    for view in watch.rounds.values():
        for submission in view.submissions:
            if submission.node == node and view.status == "PayoutSuccessful":
                counts[submission.verdict] = counts.get(submission.verdict, 0) + 1
    return dict(sorted(counts.items()))


def explain_slashes(watch: Watch) -> list[Slash]:
    """Every slash of the run, with its reason."""
    return [
        Slash(view.round, get_name(watch, payment.node), payment.slash, _explain(watch, view, payment.node))
        for view in watch.rounds.values()
        for payment in view.payments
        if payment.slash
    ]


def explain_costs(watch: Watch) -> list[Slash]:
    """What rounds under roundwork-1 cost nodes beside slashes: fines, bonds, rewards that were held back."""
    return [
        Slash(view.round, get_name(watch, node), cost, _explain_cost(watch, view, node))
        for view in watch.rounds.values()
        if view.hardened is not None
        for node in view.hardened.nets
        if (cost := _compute_cost(watch, view, node)) > 0
    ]


def _compute_cost(watch: Watch, view: RoundView, node: str) -> int:
    """The fines of a node in a round, and its bonds that are gone; without moves less its shares."""
    moves = watch.moves or Moves()
    shared, fined = (amounts.get((view.round, node), 0) for amounts in (moves.shared, moves.fined))
    if view.status not in OVER or view.hardened is None:
        return fined  # a bond may come back
    gained = compute_earned([view], node) - compute_slashed([view], node)
    return gained + shared - view.hardened.nets.get(node, 0)


def _explain_cost(watch: Watch, view: RoundView, node: str) -> str:
    """Why a round cost a node a fine or a bond."""
    if view.status not in OVER:
        return "fines of a round that is not over yet"
    reasons = [reason for reason in explain_losses(view, node) if reason not in SLASHED]
    if watch.moves is not None and watch.moves.forfeited.get((view.round, node)):
        reasons.append("rewards that were held back went with its slash")
    return "; ".join(reasons) or "it missed a duty, or judged against what was found"


def _summarise_nodes(watch: Watch) -> list[dict[str, Any]]:
    stakes = {stake.node: stake for stake in watch.task.stakes}
    rounds = watch.rounds.values()
    nodes = []
    for member in list_nodes(watch):
        stake = stakes.get(member.address)
        nodes.append(
            {
                "name": member.name,
                "key": member.address,
                "role": member.role,
                "submitted": sum(each.node == member.address for view in rounds for each in view.submissions),
                "earned": compute_earned(rounds, member.address),
                "slashed": compute_slashed(rounds, member.address),
                "stake": stake.amount if stake else 0,
                "available": stake.available if stake else 0,
                "verdicts": count_verdicts(watch, member.address),
                **(_summarise_money(watch, member.address) if watch.task.rules == ROUNDWORK_1.name else {}),
            }
        )
    return nodes


def _summarise_money(watch: Watch, node: str) -> dict[str, int]:
    """What came and went under roundwork-1 beside rewards and slashes, and what is not available.

    `shares` are those of slashes and bonds; `costs` are fines and bonds that are gone. `claimed` is what the
    node has taken out.
    """
    moves = watch.moves
    if moves is None:
        return {}
    shares = sum(amount for (_, name), amount in moves.shared.items() if name == node)
    available = sum(stake.available for stake in watch.task.stakes if stake.node == node)
    return {
        "shares": shares,
        "costs": sum(max(0, _compute_cost(watch, view, node)) for view in watch.rounds.values()),
        "held_back": moves.held_back.get(node, 0),
        "claimed": moves.released.get(node, 0) + shares - available,
    }


def _summarise_round(watch: Watch, view: RoundView) -> dict[str, Any]:
    """A round, with the reasons that auditors gave beside its submissions."""
    shown: dict[str, Any] = msgspec.to_builtins(view)
    del shown["task"], shown["slot"]
    for submission in shown["submissions"]:
        submission["name"] = get_name(watch, submission["node"])
        submission["reason"] = watch.reasons.get((view.round, submission["node"]), "")
    return shown


def _explain(watch: Watch, view: RoundView, node: str) -> str:
    """Why a node was slashed in a round."""
    submission = next((each for each in view.submissions if each.node == node), None)
    if is_list_rejected(view, node):
        return _explain_rejection(watch, view, node)
    judged = "its list says so" if submission is None else _explain_audit(watch, view, submission)
    slash = next(payment.slash for payment in view.payments if payment.node == node)
    wanted = -min((listed.amounts.get(node, 0) for listed in view.lists), default=0)
    if wanted > slash:
        judged += f". The list took {show_amount(watch, wanted)}; its stake had no more"
    return judged


def _explain_rejection(watch: Watch, view: RoundView, node: str) -> str:
    """Which nodes found the list of this node wrong, which is the other fault that roundwork-1 slashes."""
    rejected = next((each for each in view.lists if each.submitter == node and each.trigger_by), None)
    if rejected is None:
        return LIST_REJECTED
    opinions = {str(rejected.trigger_by): False, **rejected.auditors}
    against = [get_name(watch, each) for each, is_valid in opinions.items() if not is_valid]
    return f"{join_names(against, NAMES_SHOWN)} found its list wrong"


def _explain_audit(watch: Watch, view: RoundView, submission: SubmissionView) -> str:
    """Which nodes judged a proof, and how."""
    opinions = list_opinions(view, submission.node)
    if not opinions:
        return "its list was rejected"
    against, in_favour = (
        [get_name(watch, node) for node, is_valid in opinions.items() if is_valid is wanted]
        for wanted in (False, True)
    )
    reason = watch.reasons.get((view.round, submission.node), "")
    rest = "…" if len(submission.value) > VALUE_CHARACTERS else ""
    proof = f"proof {submission.value[:VALUE_CHARACTERS]!r}{rest}"
    judged = f"{join_names(against, NAMES_SHOWN)} found its {proof} invalid{reason and f' ({reason})'}"
    return f"{judged}; {join_names(in_favour, NAMES_SHOWN)} did not" if in_favour else judged
