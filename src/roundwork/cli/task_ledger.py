"""`roundwork task list` and `task rounds`: what a ledger knows of its tasks and their rounds."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ..shown import plain
from .options import ADDRESS, call_ledger, format_count, json_option, url_option
from .output import say, say_exactly, say_json
from .receipts import Unit, read_unit

if TYPE_CHECKING:
    from ..client.rpc import Client
    from ..views import LedgerView, RoundView, SubmissionView, TaskView

Reasons = dict[str, dict[str, str]]
"""By candidate and auditor."""

ROUNDS_SHOWN = 10
COLUMNS = ("round", "status", "node", "value", "votes", "verdict", "reward", "slash", "net", "reason")


@click.command("list")
@click.option("--all", "with_all", is_flag=True, help="Show inactive, closed and updated tasks too.")
@url_option
@json_option
def list_tasks(with_all: bool, url: str, as_json: bool) -> None:
    """List the tasks of a ledger, those that pay most a node first."""

    async def run(client: "Client") -> "tuple[int, list[TaskView], dict[str | None, Unit]]":
        ledger, tasks = await client.get_ledger(), await client.get_tasks()
        units = {mint: await read_unit(client, mint) for mint in {task.mint for task in tasks}}
        return ledger.slot_ms, tasks, units

    slot_ms, tasks, units = call_ledger(url, run)
    shown = [_summarise(task) for task in tasks if with_all or _takes_submissions(task)]
    shown.sort(key=lambda row: (-row["per_node"], row["task"]))
    if as_json:
        say_json({"tasks": shown})
        return
    for row in shown:
        for line in _compose_task(row, units[row["mint"]], slot_ms):
            say(line)
    hidden = len(tasks) - len(shown)
    more = f"; {hidden} more with --all" if hidden else ""
    say(f"{format_count(len(shown), 'task')}{more}", err=True)


@click.command("rounds")
@click.argument("address", type=ADDRESS)
@click.option(
    "--last",
    type=click.IntRange(1),
    default=ROUNDS_SHOWN,
    show_default=True,
    help="How many rounds, counted back from the newest.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print a row for each node and round, as CSV.")
@url_option
@json_option
def show_rounds(address: str, last: int, as_csv: bool, url: str, as_json: bool) -> None:
    """Show which nodes a task's rounds paid and slashed, and why. Pruned rounds come from the history."""
    from ..client.operations import read_task

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude one another")

    async def run(client: "Client") -> "tuple[Unit, list[tuple[RoundView, Reasons]]]":
        task = await read_task(client, address)
        newest = (task.slot - task.starting_slot) // task.round_time
        numbers = list(range(max(0, newest - last + 1), newest + 1))
        rounds = await client.get_rounds(address, numbers)
        ledger = await client.get_ledger()
        with_reasons = [
            (rounds[round_number], await _fetch_reasons(ledger, task, rounds[round_number]))
            for round_number in numbers
        ]
        return await read_unit(client, task.mint), with_reasons

    unit, rounds = call_ledger(url, run)
    listed = [(view, _list_nodes(view, reasons)) for view, reasons in rounds]
    if as_json:
        say_json({"task": address, "rounds": [_compose_facts(view, nodes) for view, nodes in listed]})
    elif as_csv:
        say_exactly(_compose_csv(listed))
    else:
        for view, nodes in listed:
            for line in _compose_round(view, nodes, unit):
                say(line)


def _takes_submissions(task: "TaskView") -> bool:
    return task.is_active and not task.is_closed and task.migrated_to is None


def _summarise(task: "TaskView") -> dict[str, Any]:
    """The facts by which tasks are compared. `per_node` is the reward of a round if all nodes share it."""
    able = sum(stake.amount >= task.minimum_stake for stake in task.stakes)
    reserved = task.bounty_per_round * len(task.open_rounds)
    return {
        "task": task.address,
        "name": task.name,
        "mint": task.mint,
        "bounty": task.bounty,
        "rounds_left": max(0, task.bounty - reserved) // task.bounty_per_round,
        "bounty_per_round": task.bounty_per_round,
        "nodes": able,
        "per_node": task.bounty_per_round // max(1, able),
        "minimum_stake": task.minimum_stake,
        "round_slots": task.round_time,
        "is_open": _takes_submissions(task),
    }


def _compose_task(row: dict[str, Any], unit: Unit, slot_ms: int) -> Iterator[str]:
    per_round, per_node, stake = (
        unit.show(row[name]) for name in ("bounty_per_round", "per_node", "minimum_stake")
    )
    seconds = row["round_slots"] * slot_ms / 1000
    yield f"{row['task']}  {row['name']}{'' if row['is_open'] else '  (takes no submissions)'}"
    rounds, nodes = format_count(row["rounds_left"], "round"), format_count(row["nodes"], "node")
    yield f"  {per_round} a round of {seconds:g} s, {rounds} left"
    yield f"  {nodes}, so about {per_node} each; a stake of at least {stake}"
    if row["mint"]:
        yield f"  pays in the token {row['mint']}"


async def _fetch_reasons(ledger: "LedgerView", task: "TaskView", view: "RoundView") -> Reasons:
    """The reasons of the auditors that answer, by invalid candidate and auditor."""
    from ..node.peers.outgoing import Fetcher
    from ..node.peers.reasons import fetch_reasons, list_against

    accused = [each.node for each in view.submissions if list_against(view, each.node)]
    endpoints = {stake.node: stake.endpoint for stake in task.stakes}
    fetcher = Fetcher(is_development=ledger.kind == "development")
    try:
        return {node: await fetch_reasons(fetcher, task.address, view, node, endpoints) for node in accused}
    finally:
        await fetcher.close()


def _list_nodes(view: "RoundView", reasons: Reasons) -> list[dict[str, Any]]:
    """A row for each node that submitted in a round, or that a round under roundwork-1 took something from.

    `net` is what the round gave a node so far, less what it took.
    """
    paid = {payment.node: payment for payment in view.payments}
    submitted = {each.node: each for each in view.submissions}
    nets = view.hardened.nets if view.hardened else {}
    rows = []
    for node in (*submitted, *(node for node, net in nets.items() if net and node not in submitted)):
        each, payment = submitted.get(node), paid.get(node)
        reward, slash = (payment.reward, payment.slash) if payment else (0, 0)
        rows.append(
            {
                "node": node,
                "value": each.value if each else "",
                "votes": each.votes if each else 0,
                "verdict": each.verdict if each else "no submission",
                "reward": reward,
                "slash": slash,
                "net": nets.get(node, 0) if view.hardened else reward - slash,
                "reason": "; ".join(_explain(view, node, each, reasons.get(node, {}))),
            }
        )
    return rows


def _compose_facts(view: "RoundView", nodes: list[dict[str, Any]]) -> dict[str, Any]:
    head = {"head": view.hardened.head} if view.hardened else {}
    return {"round": view.round, "status": view.status, **head, "nodes": nodes}


def _explain(
    view: "RoundView", node: str, each: "SubmissionView | None", reasons: dict[str, str]
) -> Iterator[str]:
    """Why a node got what it got: from its audit, its duties under roundwork-1, and the end of the round."""
    from ..client.sealed_standing import CONVICTED, explain_losses
    from ..node.peers.reasons import list_opinions

    opinions = list_opinions(view, node) if each else {}
    against = [auditor for auditor, is_valid in opinions.items() if not is_valid]
    if against:
        in_favour = len(opinions) - len(against)
        said = next((f": {reason}" for reason in reasons.values() if reason), "")
        yield f"{len(against)} found it invalid, {in_favour} valid; first {against[0]}{said}"
    if view.hardened is not None and view.status != "Open":
        yield from (loss for loss in explain_losses(view, node) if loss != CONVICTED)
    if view.status == "ClosedUnpaid" and not against:
        yield _explain_end(view)


def _explain_end(view: "RoundView") -> str:
    from ..client.sealed_standing import explain_too_few

    if few := explain_too_few(view):
        return few
    if not view.lists:
        return "no node handed in a list"
    failed = [each for each in view.lists if each.trigger_by is not None and each.votes <= 0]
    return f"{len(failed)} of {len(view.lists)} lists failed their audit"


_ENDS = {
    "Unopened": "no submission",
    "Open": "under way",
    "PayoutSuccessful": "paid",
    "ClosedUnpaid": "closed unpaid",
}


def _compose_round(view: "RoundView", nodes: list[dict[str, Any]], unit: Unit) -> Iterator[str]:
    reason = f": {_explain_end(view)}" if view.status == "ClosedUnpaid" else ""
    yield f"round {view.round}: {_ENDS[view.status]}{reason}"
    if view.hardened is not None and view.hardened.head:
        yield f"  head {view.hardened.head}"
    moneys = [_compose_money(view, row, unit) for row in nodes]
    width = max(map(len, moneys), default=0)
    for row, money in zip(nodes, moneys, strict=True):
        verdict = f"{row['verdict']}{row['reason'] and ': '}{row['reason']}"
        yield f"  {row['node']:<44}  {money:<{width}}  {verdict}"


def _compose_money(view: "RoundView", row: dict[str, Any], unit: Unit) -> str:
    """What a round gave a node and took. Of fines, bonds and shares the ledger keeps the net alone."""
    money = [f"paid {unit.show(row['reward'])}"] if row["reward"] else []
    money += [f"slashed {unit.show(row['slash'])}"] if row["slash"] else []
    more = row["net"] - row["reward"] + row["slash"]
    if more and view.status != "Open":  # before that a bond may come back
        money.append(f"shares {unit.show(more)}" if more > 0 else f"fines and bonds {unit.show(-more)}")
    return ", ".join(money) or "nothing"


def _compose_csv(rounds: "Iterable[tuple[RoundView, list[dict[str, Any]]]]") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for view, nodes in rounds:
        for row in nodes:
            shown = {name: plain(value) if isinstance(value, str) else value for name, value in row.items()}
            writer.writerow({"round": view.round, "status": view.status, **shown})
    return text.getvalue()
