"""What became of a world, for people and programs: sums by round and by node, timings, a page of HTML."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from math import ceil
from typing import Any, NamedTuple

from ..client.sealed_standing import SUBMISSIONS_MIN
from ..package.windows import FETCH_SECONDS, SLOWER, Timings, compute_windows
from ..participant.step import AUDIT_ALL_MAX, SAMPLE
from ..protocol.clock import Timetable
from ..protocol.params import ROUNDWORK_1
from ..views import RoundView
from ..wire import format_count, format_money
from .simulation import MARGIN, Result
from .worlds import AnyWorld

FIELDS = {
    "submission": "submission_window",
    "lie": "submission_window",
    "distribution": "submission_window",
    "audit": "audit_window",
}
"""The field of config-task.yml that says how long a function may take; for all others it is round_time."""

PAID, UNPAID = "PayoutSuccessful", "ClosedUnpaid"

PLOT_WIDTH, PLOT_HEIGHT = 720, 180
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
"""Colours that colour-blind people can tell apart (Paul Tol's bright scheme)."""


class Timing(NamedTuple):
    """How long a function of the author's took on this machine."""

    step: str
    calls: int
    median_seconds: float
    late_seconds: float
    """At the 99th percentile."""
    field: str
    """The field of config-task.yml that says how long it may take."""
    needed_slots: int
    """The least value of this field that covers it, with all calls that a node makes in the window."""
    window_slots: int
    """The value that the task has."""

    @property
    def fits(self) -> bool:
        """Whether the task's window is long enough."""
        return self.needed_slots <= self.window_slots


def summarise(world: AnyWorld, result: Result) -> dict[str, Any]:
    """A world as a program reads it; money in roe. All but `timings` follows from the setting."""
    return {
        "seed": world.setting.seed,
        "task": result.task.address,
        "slot": result.slot,
        "transactions": result.transactions,
        "rounds_settled": sum(view.status == PAID for view in result.rounds.values()),
        "rounds_unpaid": sum(view.status == UNPAID for view in result.rounds.values()),
        "rounds": [summarise_round(view) for view in result.rounds.values()],
        "nodes": summarise_nodes(world, result),
        "failures": [
            {"slot": each.slot, "node": each.node, "doing": each.doing, "text": each.text}
            for each in result.failures
        ],
        "breakdown": find_breakdown(world, result),
        "failed_functions": [each._asdict() for each in world.timings.list_failed()],
        "timings": [timing._asdict() for timing in list_timings(world)],
        "state_hash": result.state_hash,
    }


def find_breakdown(world: AnyWorld, result: Result) -> list[str]:
    """Why a world says nothing about its task: functions that failed at every call, or no submission.

    Empty if it says something.
    """
    broken = [str(each) for each in world.timings.list_failed() if each.is_broken]
    if not broken and world.is_over() and not result.rounds:
        calls = format_count(len(world.timings.seconds.get("submission", ())), "call")
        broken = [f"no node submitted anything: @task.submission gave nothing in {calls}"]
    return broken


def find_no_pay(world: AnyWorld, result: Result) -> list[str]:
    """Why no round of an honest world pays anybody; empty if one does."""
    views = [view for view in result.rounds.values() if view.round < world.setting.rounds]
    if not world.is_over() or any(payment.reward for view in views for payment in view.payments):
        return []
    if unpaid := describe_unpaid(world, result):
        return [unpaid]
    verdicts = Counter(submission.verdict for view in views for submission in view.submissions)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    rounds = format_count(len(views), "round")
    return [
        f"no honest node is paid in {rounds}; verdicts on honest work: {counts}. The"
        " audit must accept honest work, and the distribution must pay for it"
    ]


def describe_unpaid(world: AnyWorld, result: Result) -> str | None:
    """Why rounds of roundwork-1 were too small to be paid, in a sentence; None if none was."""
    if world.setting.terms.rules != ROUNDWORK_1.name:
        return None
    small = [
        view
        for view in result.rounds.values()
        if view.status == UNPAID and len(view.submissions) < SUBMISSIONS_MIN
    ]
    if not small:
        return None
    least = f"a round of {ROUNDWORK_1.name} with fewer than {SUBMISSIONS_MIN} submissions is not paid"
    return f"{format_count(len(small), 'round')} closed unpaid: {least}"


def summarise_round(view: RoundView) -> dict[str, Any]:
    """A round in numbers."""
    verdicts = [submission.verdict for submission in view.submissions]
    missing = {} if view.hardened is None else {"missing": verdicts.count("missing")}
    return {
        "round": view.round,
        "status": view.status,
        "attempt": view.attempt,
        "submissions": len(view.submissions),
        "audits_raised": sum(submission.trigger_by is not None for submission in view.submissions),
        "acquitted": verdicts.count("acquitted"),
        "inconclusive": verdicts.count("inconclusive"),
        "convicted": verdicts.count("convicted"),
        **missing,
        "paid": sum(payment.reward for payment in view.payments),
        "slashed": sum(payment.slash for payment in view.payments),
    }


def summarise_nodes(world: AnyWorld, result: Result) -> list[dict[str, Any]]:
    """Each node in numbers."""
    stakes = {stake.node: stake for stake in result.task.stakes}
    earned: dict[str, int] = {}
    slashed: dict[str, int] = {}
    submitted: dict[str, int] = {}
    nets: dict[str, int] = {}
    """What rounds under roundwork-1 gave each node, less what they took."""
    for view in result.rounds.values():
        for node, net in (view.hardened.nets if view.hardened is not None else {}).items():
            nets[node] = nets.get(node, 0) + net
        for payment in view.payments:
            earned[payment.node] = earned.get(payment.node, 0) + payment.reward
            slashed[payment.node] = slashed.get(payment.node, 0) + payment.slash
        for submission in view.submissions:
            submitted[submission.node] = submitted.get(submission.node, 0) + 1
    return [
        {
            "name": node.name,
            "key": node.address,
            "role": node.setting.role,
            "worked": node.worked.total(),
            "submitted": submitted.get(node.address, 0),
            "audited": node.audited.total(),
            "earned": earned.get(node.address, 0),
            "slashed": slashed.get(node.address, 0),
            **({"net": nets.get(node.address, 0)} if world.setting.terms.rules == ROUNDWORK_1.name else {}),
            "stake": stakes[node.address].amount if node.address in stakes else 0,
        }
        for node in world.nodes
    ]


def list_timings(world: AnyWorld) -> list[Timing]:
    """The times of the author's functions, and whether the task's windows cover them."""
    table, is_drawn = world.timetable, world.setting.terms.rules == ROUNDWORK_1.name
    slots_of = {
        "submission_window": table.submission_window,
        "audit_window": table.audit_window,
        "round_time": table.round_time,
    }
    timings = []
    for step, seconds in world.timings.seconds.items():
        ordered = sorted(seconds)
        late = ordered[ceil(0.99 * len(ordered)) - 1]
        field = FIELDS.get(step, "round_time")
        needed = _count_drawn_slots(world, step, late) if is_drawn else _count_slots(world, step, late)
        timings.append(
            Timing(step, len(ordered), ordered[len(ordered) // 2], late, field, needed, slots_of[field])
        )
    return timings


def describe_timing(timing: Timing) -> str:
    """A timing in a sentence."""
    verb = "covers" if timing.fits else "DOES NOT COVER"
    calls = format_count(timing.calls, "call")
    return (
        f"{timing.step} takes {timing.late_seconds:.2g} s at the 99th percentile of {calls}:"
        f" that needs {timing.field} {timing.needed_slots}, and the task's {timing.window_slots} {verb} it"
    )


def _count_drawn_slots(world: AnyWorld, step: str, seconds: float) -> int:
    """What the field of a function must be under roundwork-1: by the rule of `roundwork check`."""
    slot_ms = world.setting.slot_ms
    match FIELDS.get(step):
        case "audit_window":
            return compute_windows(Timings(0, FETCH_SECONDS, seconds), slot_ms).audit
        case "submission_window":
            return compute_windows(Timings(seconds, 0, 0), slot_ms).submission
        case _:
            return ceil(seconds * SLOWER * 1000 / slot_ms)


def _count_slots(world: AnyWorld, step: str, seconds: float) -> int:
    """What the field of a function must be under koii-1: half of SUBMIT, or all of the others, suffices."""
    others = len(world.nodes) - 1
    audits = others if others <= AUDIT_ALL_MAX else SAMPLE
    slots = ceil(seconds * (audits if step == "audit" else 1) * 1000 / world.setting.slot_ms / MARGIN)
    return 2 * slots if FIELDS.get(step) == "submission_window" else slots


# A page


def render_page(world: AnyWorld, result: Result, name: str) -> str:
    """The whole report as one page of HTML that needs no network and no script."""
    facts = summarise(world, result)
    rounds = [each for each in facts["rounds"] if each["round"] < world.setting.rounds]
    parts = [
        f"<h1>{escape(name)}</h1>",
        f"<p>{len(world.nodes)} nodes, {world.setting.rounds} rounds, seed {world.setting.seed}; state hash"
        f" <code>{facts['state_hash']}</code></p>",
        "<h2>Rounds are stacked</h2>",
        _draw_stack(world.timetable, min(world.setting.rounds, 8)),
        "<h2>What each role has earned and lost, in KOII per node</h2>",
        _draw_balances(world, result),
        "<h2>Detections</h2>",
        _draw_bars(rounds),
        "<h2>Rounds</h2>",
        _draw_table(rounds, {"paid", "slashed"}),
        "<h2>Nodes</h2>",
        _draw_table(facts["nodes"], {"earned", "slashed", "net", "stake"}),
        "<h2>The author's functions</h2>",
        *(f"<p>{escape(describe_timing(timing))}</p>" for timing in list_timings(world)),
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>' + escape(name) + "</title><style>"
        "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse}"
        "td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}"
        "td:first-child,th:first-child{text-align:left}svg{max-width:100%}code{word-break:break-all}"
        "</style><body>" + "\n".join(parts) + "</body></html>\n"
    )


def _draw_stack(table: Timetable, rounds: int) -> str:
    """The three ledger rounds of each round, one row a round."""
    periods = ("work", "review", "distribution")
    width, height = PLOT_WIDTH / (rounds + 2), 22
    boxes = [
        f'<rect x="{(at + later) * width:.1f}" y="{at * height}" width="{width - 2:.1f}"'
        f' height="{height - 3}" fill="{COLOURS[later]}"/>'
        f'<text x="{(at + later) * width + 4:.1f}" y="{at * height + 14}"'
        f' font-size="11" fill="#fff">{period} {at}</text>'
        for at in range(rounds)
        for later, period in enumerate(periods)
    ]
    return _wrap_svg(boxes, rounds * height, f"rounds of {table.round_time} slots each")


def _draw_balances(world: AnyWorld, result: Result) -> str:
    """A line for each role: the sum of rewards less slashes, by round, per node."""
    roles = list(dict.fromkeys(node.setting.role for node in world.nodes))
    role_of = {node.address: node.setting.role for node in world.nodes}
    count = {role: sum(node.setting.role == role for node in world.nodes) for role in roles}
    sums = {role: [0.0] for role in roles}
    for view in result.rounds.values():
        change = dict.fromkeys(roles, 0)
        for payment in view.payments:
            change[role_of[payment.node]] += payment.reward - payment.slash
        for role in roles:
            sums[role].append(sums[role][-1] + change[role] / count[role])
    least, most = min(map(min, sums.values())), max(map(max, sums.values()))
    spread, width = (most - least) or 1, (PLOT_WIDTH - 120) / max(len(result.rounds), 1)
    lines = []
    for at, role in enumerate(roles):
        points = " ".join(
            f"{step * width:.1f},{PLOT_HEIGHT - 10 - (value - least) / spread * (PLOT_HEIGHT - 20):.1f}"
            for step, value in enumerate(sums[role])
        )
        colour = COLOURS[at % len(COLOURS)]
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        shown = format_money(round(sums[role][-1]), "")
        lines.append(
            f'<text x="{PLOT_WIDTH - 115}" y="{16 + 16 * at}" font-size="12" fill="{colour}">'
            f"{escape(role)} {shown}</text>"
        )
    return _wrap_svg(lines, PLOT_HEIGHT, "balances by round")


def _draw_bars(rounds: Sequence[dict[str, Any]]) -> str:
    """For each round its submissions by verdict, stacked."""
    kinds = ("convicted", "inconclusive", "acquitted", "missing")
    most = max((each["submissions"] for each in rounds), default=1) or 1
    width = PLOT_WIDTH / max(len(rounds), 1)
    boxes = []
    for at, each in enumerate(rounds):
        bottom = float(PLOT_HEIGHT)
        untried = each["submissions"] - sum(each.get(kind, 0) for kind in kinds)
        counts = [*((kind, each.get(kind, 0)) for kind in kinds), ("untried", untried)]
        for colour, (kind, number) in zip(COLOURS[1:], counts, strict=False):
            height = number / most * (PLOT_HEIGHT - 5)
            bottom -= height
            boxes.append(
                f'<rect x="{at * width:.1f}" y="{bottom:.1f}" width="{width * 0.8:.1f}" height="{height:.1f}"'
                f' fill="{colour}"><title>round {each["round"]}: {number} {kind}</title></rect>'
            )
    return _wrap_svg(boxes, PLOT_HEIGHT, "submissions by verdict")


def _draw_table(rows: Sequence[dict[str, Any]], money: set[str]) -> str:
    names = [name for name in (rows[0] if rows else {}) if name != "key"]
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in names)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{format_money(row[name], '').strip() if name in money else escape(str(row[name]))}</td>"
            for name in names
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _wrap_svg(parts: Sequence[str], height: float, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {PLOT_WIDTH} {height:.0f}" width="{PLOT_WIDTH}" role="img"'
        f' aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
