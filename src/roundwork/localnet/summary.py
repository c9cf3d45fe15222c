"""The object at the end of `up --json`: everything that the picture and the table show, for a program."""

from typing import Any

import msgspec

from ..client.sealed_standing import compute_held_back, explain_losses
from ..node.peers.reasons import list_opinions
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
    costs = []
    for view in watch.rounds.values():
        if view.hardened is None or view.status not in OVER:
            continue
        gains = {payment.node: payment.reward - payment.slash for payment in view.payments}
        for node, net in view.hardened.nets.items():
            cost = gains.get(node, 0) - net
            if cost > 0:
                costs.append(Slash(view.round, get_name(watch, node), cost, _explain_cost(view, node)))
    return costs


def _explain_cost(view: RoundView, node: str) -> str:
    """Why a round cost a node a fine or a bond."""
    reasons = explain_losses(view, node)
    if any(payment.node == node and payment.slash for payment in view.payments):
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
    """What came and went under roundwork-1 beside rewards and slashes, and the rewards that are held back.

    `shares` are those of slashes and bonds, and fees of answers; `costs` are fines and bonds that are gone.
    """
    others = [
        view.hardened.nets.get(node, 0) - compute_earned([view], node) + compute_slashed([view], node)
        for view in watch.rounds.values()
        if view.hardened is not None and view.status in OVER
    ]
    return {
        "shares": sum(amount for amount in others if amount > 0),
        "costs": -sum(amount for amount in others if amount < 0),
        "held_back": compute_held_back(watch.task, watch.rounds.values(), node),
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
    judged = "its list says so" if submission is None else _explain_audit(watch, view, submission)
    slash = next(payment.slash for payment in view.payments if payment.node == node)
    wanted = -min((listed.amounts.get(node, 0) for listed in view.lists), default=0)
    if wanted > slash:
        judged += f". The list took {show_amount(watch, wanted)}; its stake had no more"
    return judged


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
    proof = f"proof {submission.value[:VALUE_CHARACTERS]!r}"
    judged = f"{join_names(against, NAMES_SHOWN)} found its {proof} invalid{reason and f' ({reason})'}"
    return f"{judged}; {join_names(in_favour, NAMES_SHOWN)} did not" if in_favour else judged
