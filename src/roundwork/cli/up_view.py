"""What `roundwork up` shows: a picture of the stacked rounds on a terminal, lines elsewhere, a summary."""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..localnet import OVER, Watch, summarise
from ..participant import compute_timetable
from ..picture import draw_position, list_periods
from ..protocol.views import RoundView, SubmissionView
from ..supervisor import Member
from .options import format_money

PAST_ROUNDS = 6
LINE_CHARACTERS = 200
"""Of output that nobody looks at through a terminal."""


def make_console(as_json: bool) -> Console:
    """Where a person reads: stderr if stdout is for a program."""
    console = Console(stderr=as_json, highlight=False)
    return console if console.is_terminal else Console(stderr=as_json, highlight=False, width=LINE_CHARACTERS)


class Announcer:
    """Says once of each process that it has started, and that it has ended."""

    def __init__(self, console: Console, restart: str) -> None:
        self._console = console
        self._restart = restart
        self._told: set[tuple[str, int, bool]] = set()

    def announce(self, watch: Watch) -> None:
        for member in watch.members:
            self._say(
                member, False, f"  {member.name:<8} pid {member.pid:<7} {member.role:<8} {member.address}"
            )
            if member.name in watch.ended:
                advice = f"start it again with `{self._restart} {member.name}`"
                self._say(member, True, f"  {member.name:<8} {watch.ended[member.name]}; {advice}")

    def _say(self, member: Member, has_ended: bool, line: str) -> None:
        if (key := (member.name, member.pid, has_ended)) not in self._told:
            self._told.add(key)
            self._console.print(line)


class Lines:
    """A line for each round that is over."""

    def __init__(self, console: Console, restart: str) -> None:
        """`restart`: the command that starts an ended process again, but for its name."""
        self._console = console
        self._announcer = Announcer(console, restart)
        self._told: set[int] = set()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def show(self, watch: Watch) -> None:
        """Say what is new."""
        self._announcer.announce(watch)
        for number, view in watch.rounds.items():
            if number not in self._told and view.status in OVER:
                self._told.add(number)
                self._console.print(f"slot {watch.task.slot}: {_describe_round(watch, number)}")


class Picture:
    """The three periods under way, drawn anew as they go on."""

    def __init__(self, console: Console, restart: str) -> None:
        """`restart`: as in Lines."""
        self._announcer = Announcer(console, restart)
        self._live = Live(console=console, refresh_per_second=8)

    def __enter__(self) -> "Picture":
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def show(self, watch: Watch) -> None:
        """Draw how everything stands."""
        self._announcer.announce(watch)
        self._live.update(_draw(watch))


def print_summary(console: Console, watch: Watch) -> None:
    """Who was paid, who was slashed and why."""
    summary: dict[str, Any] = summarise(watch)
    table = Table(title=f"{summary['rounds_settled']} rounds settled, {summary['rounds_unpaid']} unpaid")
    for name in ("node", "role", "submitted", "earned", "slashed", "stake", "available", "its proofs"):
        table.add_column(name, justify="left" if name in ("node", "role", "its proofs") else "right")
    for node in summary["nodes"]:
        sums = [_format(watch, node[name]) for name in ("earned", "slashed", "stake", "available")]
        judged = _count_verdicts(watch, node["key"])
        table.add_row(node["name"], node["role"], str(node["submitted"]), *sums, judged)
    console.print(table)
    for line in _explain_slashes(watch):
        console.print(line)
    supply = "constant" if summary["supply_constant"] else "NOT CONSTANT"
    if watch.task.mint:
        console.print(
            f"token {watch.task.mint}: supply {_format(watch, watch.token_supply)}, in its accounts"
        )
    console.print(f"supply {supply}; state hash {summary['state_hash']}")


def _draw(watch: Watch) -> RenderableType:
    table, slot = compute_timetable(watch.task), watch.task.slot
    lines = [f"slot {slot}  ledger round {table.compute_round(slot)}  {draw_position(table, slot)}"]
    for period, number, doing in list_periods(table, slot):
        lines.append(f"{period:<13} round {number:<4} {doing:<22} {_count(watch.rounds.get(number), period)}")
    over = [number for number, view in watch.rounds.items() if view.status in OVER]
    lines += [_describe_round(watch, number) for number in over[-PAST_ROUNDS:]]
    ended = [f"{name} {how}" for name, how in watch.ended.items()]
    return Group(*map(Text, lines + ended))


def _count(view: RoundView | None, period: str) -> str:
    """What there is of a round in a period."""
    if view is None or period == "work":
        return ""
    if period == "review":
        contested = sum(each.trigger_by is not None for each in view.submissions)
        return f"{len(view.submissions)} proofs, {contested} contested"
    lists = [one for one in view.lists if one.attempt == view.attempt]
    retry = f"attempt {view.attempt + 1}, " if view.attempt else ""
    if not lists:
        return f"{retry}no list yet"
    return f"{retry}list {'contested' if lists[0].trigger_by else 'uncontested'}"


def _describe_round(watch: Watch, number: int) -> str:
    view = watch.rounds[number]
    if view.status == "ClosedUnpaid":
        return f"round {number}: closed unpaid after {view.attempt + 1} attempts"
    payments = sorted(((_name(watch, one.node), one) for one in view.payments), key=lambda pair: pair[0])
    paid = [f"{name} +{_format(watch, one.reward)}" for name, one in payments if one.reward]
    slashed = [f"{name} -{_format(watch, one.slash)}" for name, one in payments if one.slash]
    return f"round {number}: paid {', '.join(paid) or 'nobody'}; slashed {', '.join(slashed) or 'nobody'}"


def _count_verdicts(watch: Watch, node: str) -> str:
    """What became of a node's proofs in rounds that were paid."""
    counts: dict[str, int] = {}
    for view in watch.rounds.values():
        for each in view.submissions:
            if each.node == node and view.status == "PayoutSuccessful":
                counts[each.verdict] = counts.get(each.verdict, 0) + 1
    told = {"untried": "uncontested"}
    return ", ".join(f"{count} {told.get(verdict, verdict)}" for verdict, count in sorted(counts.items()))


def _explain_slashes(watch: Watch) -> list[str]:
    lines = []
    for number, view in watch.rounds.items():
        by_node = {each.node: each for each in view.submissions}
        for one in view.payments:
            if one.slash:
                lost = f"{_name(watch, one.node)} lost {_format(watch, one.slash)}"
                lines.append(f"round {number}: {lost}: {_explain(watch, by_node[one.node])}")
    return lines


def _explain(watch: Watch, each: SubmissionView) -> str:
    """Why somebody was slashed: who said what of its proof."""
    against = sorted(_name(watch, node) for node, is_valid in each.auditors.items() if not is_valid)
    in_favour = sorted(_name(watch, node) for node, is_valid in each.auditors.items() if is_valid)
    voted = f"{', '.join(against)} found its proof {each.value[:40]!r} invalid"
    return f"{voted}; {', '.join(in_favour)} did not" if in_favour else voted


def _name(watch: Watch, address: str) -> str:
    return next((member.name for member in watch.members if member.address == address), address)


def _format(watch: Watch, roe: int) -> str:
    symbol = "tokens" if watch.task.mint else watch.ledger.symbol
    return format_money(roe, symbol, watch.ledger.decimals)
