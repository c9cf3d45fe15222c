"""What `roundwork up` shows: a picture of the stacked rounds on a terminal, lines elsewhere, a summary."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..client.sealed_standing import explain_too_few
from ..localnet.summary import Slash, explain_costs, explain_slashes, summarise
from ..localnet.supervisor import Member
from ..localnet.watch import NAMES_SHOWN, OVER, Watch, get_name, get_symbol, join_names, show_amount
from ..participant.moment import compute_timetable
from ..participant.plays import PLAYS
from ..picture import draw_bar, draw_heading, list_periods
from ..protocol.params import ROUNDWORK_1
from ..shown import hide, plain
from ..views import ListView, RoundView
from .options import format_count, format_money

PAST_ROUNDS = 6
LABEL_CHARACTERS = 22
DOING_CHARACTERS = 36
BAR_CHARACTERS = range(20, 61)
COLOURS = {"work": "cyan", "review": "yellow", "distribution": "green"}
MONEY = ("earned", "shares", "slashed", "costs", "stake", "held_back", "available", "claimed")
"""Columns of the summary; four of them are of roundwork-1."""

WIDE_CHARACTERS = 1000
"""More than a table needs."""

ROLE_CHARACTERS = max(map(len, PLAYS))
OWN = "this node"
"""In a warning about the node itself."""

LEGEND = {
    "shares": "of slashes and bonds, for those that found a fault",
    "costs": "fines, and bonds that are gone",
    "held_back": f"paid, and available {ROUNDWORK_1.held_rounds} ledger rounds later",
    "claimed": "what the node has moved to its main key by itself",
}
"""What columns of roundwork-1 mean."""

VERDICTS = {
    "untried": "no node raised an audit against the proof",
    "inconclusive": "the votes decided neither way",
    "missing": "its proof was challenged and did not come",
}
"""What verdicts mean that do not speak for themselves."""

LINE_CHARACTERS = 200
"""The width of output that does not go to a terminal."""


def make_console(as_json: bool) -> Console:
    """Where a person reads: stderr if stdout is for a program."""
    is_terminal = Console(stderr=as_json).is_terminal
    width = None if is_terminal else LINE_CHARACTERS
    # Brackets and colons of strangers are text, neither markup nor emoji.
    return Console(stderr=as_json, highlight=False, markup=False, emoji=False, width=width)


def say_on(console: Console, line: str, style: str = "", soft_wrap: bool | None = None) -> None:
    """Print one line for people, as output.say does."""
    console.print(Text(plain(hide(line)), style=style), soft_wrap=soft_wrap)


class Announcer:
    """Prints the start, the end and the warnings of each process, each once."""

    def __init__(self, console: Console, restart: str) -> None:
        self._console = console
        self._restart = restart
        self._shown: set[tuple[str, int, bool]] = set()
        self._warned: set[str] = set()

    def announce(self, watch: Watch) -> None:
        for member in watch.members:
            role = member.role.ljust(ROLE_CHARACTERS)
            self._say(member, False, f"  {member.name:<8} pid {member.pid:<7} {role} {member.address}")
            if member.name in watch.ended:
                advice = f"start it again with `{self._restart} {member.name}`"
                self._say(member, True, f"  {member.name:<8} {watch.ended[member.name]}; {advice}")
        for name, warning in watch.warnings:
            # A warning that all nodes have is shown once; what a node says of itself, once for each node.
            key = f"{name} {warning}" if OWN in warning else warning
            if key not in self._warned:
                self._warned.add(key)
                soft_wrap = not self._console.is_terminal
                say_on(self._console, f"  {name:<8} {warning}", "yellow", soft_wrap)

    def _say(self, member: Member, has_ended: bool, line: str) -> None:
        if (key := (member.name, member.pid, has_ended)) not in self._shown:
            self._shown.add(key)
            say_on(self._console, line)


class Lines:
    """Prints a line for each round that is over."""

    def __init__(self, console: Console, restart: str) -> None:
        """`restart`: the command that starts an ended process again, without the name of the process."""
        self._console = console
        self._announcer = Announcer(console, restart)
        self._shown: set[int] = set()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def show(self, watch: Watch) -> None:
        """Say what is new."""
        self._announcer.announce(watch)
        for round_number, view in watch.rounds.items():
            if round_number not in self._shown and view.status in OVER:
                self._shown.add(round_number)
                end = "; ".join(filter(None, _describe_end(watch, view)))
                say_on(self._console, f"slot {watch.task.slot}: round {round_number}: {end}")


class Picture:
    """Draws the three periods under way, again and again."""

    def __init__(self, console: Console, restart: str) -> None:
        """`restart`: as in Lines."""
        self._console = console
        self._announcer = Announcer(console, restart)
        self._live = Live(console=console, refresh_per_second=8)

    def __enter__(self) -> "Picture":
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def show(self, watch: Watch) -> None:
        """Draw the present state."""
        self._announcer.announce(watch)
        self._live.update(draw(watch, self._console.width))


def print_summary(console: Console, watch: Watch) -> None:
    """Who was paid, who was slashed and why."""
    summary: dict[str, Any] = summarise(watch)
    settled, unpaid = summary["rounds_settled"], summary["rounds_unpaid"]
    title = f"{format_count(settled, 'round')} settled, {unpaid} unpaid; money in {get_symbol(watch)}"
    money = [name for name in MONEY if name in summary["nodes"][0]]
    rows = [_compose_row(watch, node, money) for node in summary["nodes"]]
    table = _make_table(title, ["node", "role", "proofs", *money, "verdicts"], rows)
    wide = console.options.update(width=WIDE_CHARACTERS)
    if console.measure(table, options=wide).maximum <= console.width:
        console.print(table)
    else:  # two tables, in which no amount is cut
        first = [name for name in money if name not in LEGEND and name != "available"]
        table = _make_table(title, ["node", "role", "proofs", *first, "verdicts"], rows)
        console.print(table)
        rest = [name for name in money if name not in first]
        table = _make_table("", ["node", *rest], rows)
        console.print(table)
    for line in _compose_legend(summary, money):
        say_on(console, line, "dim")
    for slash in explain_slashes(watch):
        say_on(console, _compose_slash(watch, slash))
    for cost in explain_costs(watch):
        say_on(console, _compose_slash(watch, cost))
    supply = "constant" if summary["supply_constant"] else "NOT CONSTANT"
    if watch.task.mint:
        say_on(
            console,
            f"token {watch.task.mint}: supply {show_amount(watch, watch.token_supply)}, in its accounts",
        )
    say_on(console, f"supply {supply}; state hash {summary['state_hash']}", soft_wrap=True)


def _compose_row(watch: Watch, node: dict[str, Any], money: Sequence[str]) -> dict[str, str]:
    """What the table shows of a node, by column."""
    sums = {name: format_money(node[name], "", watch.ledger.decimals).strip() for name in money}
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in node["verdicts"].items())
    words = {"node": node["name"], "role": node["role"], "proofs": str(node["submitted"])}
    return {**words, **sums, "verdicts": verdicts}


def _make_table(title: str, names: Sequence[str], rows: Sequence[dict[str, str]]) -> Table:
    table = Table(title=title or None, box=SIMPLE_HEAD, title_style="bold")
    for name in names:
        is_text = name in ("node", "role", "verdicts")
        justify: Literal["left", "right"] = "left" if is_text else "right"
        table.add_column(name.replace("_", " "), justify=justify, no_wrap=name != "verdicts")
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def _compose_legend(summary: dict[str, Any], money: Sequence[str]) -> Iterator[str]:
    """What the columns and verdicts of the table mean, and how a node can lose more than its stake."""
    seen = {verdict for node in summary["nodes"] for verdict in node["verdicts"]}
    meanings = {name.replace("_", " "): LEGEND[name] for name in money if name in LEGEND}
    meanings |= {verdict: VERDICTS[verdict] for verdict in VERDICTS if verdict in seen}
    if meanings:
        yield "; ".join(f"{word}: {meaning}" for word, meaning in meanings.items())
    if any(node["slashed"] for node in summary["nodes"]):
        yield "a node that was slashed to less than the minimum stake stakes again"


def _compose_slash(watch: Watch, slash: Slash) -> str:
    return f"round {slash.round}: {slash.node} lost {show_amount(watch, slash.amount)}: {slash.reason}"


def draw(watch: Watch, width: int) -> RenderableType:
    """The rounds under way, a bar each, and below them the last rounds that are over."""
    table, slot = compute_timetable(watch.task), watch.task.slot
    bar = min(max(width - LABEL_CHARACTERS - DOING_CHARACTERS - 3, BAR_CHARACTERS[0]), BAR_CHARACTERS[-1])
    place = f"ledger round {table.compute_round(slot)}, slot {slot}"
    lines = [Text(f"\n{place:<{LABEL_CHARACTERS}} {draw_heading(table, bar)}", style="dim")]
    for period, round_number, doing in list_periods(table, slot):
        passed, ahead = draw_bar(table, slot, bar)
        count = _count(watch, watch.rounds.get(round_number), period)
        lines.append(
            Text.assemble(
                f"{period:<13} {f'round {round_number}':<{LABEL_CHARACTERS - 14}} ",
                (passed, f"bold {COLOURS[period]}"),
                (ahead, "dim"),
                f"  {doing}{count and ': '}{count}",
            )
        )
    past = Table.grid(padding=(0, 2))
    for view in [view for view in watch.rounds.values() if view.status in OVER][-PAST_ROUNDS:]:
        good, bad = _describe_end(watch, view)
        past.add_row(f"round {view.round}", Text(good, style="green"), Text(bad, style="red"))
    drawn: list[RenderableType] = [*lines, Text(), past]
    return Group(*drawn)


def _count(watch: Watch, view: RoundView | None, period: str) -> str:
    """What there is of a round in a period."""
    if view is None or period == "work":
        return ""
    if period == "review":
        return _count_review(view)
    listed = next((each for each in view.lists if each.attempt == view.attempt), None)
    retry = f"attempt {view.attempt + 1}" if view.attempt else ""
    return ", ".join(filter(None, (retry, _describe_list(watch, view, listed))))


def _count_review(view: RoundView) -> str:
    """How many proofs there are, and what was said against them."""
    hardened = view.hardened
    if hardened is not None and not view.submissions:
        return f"{len(hardened.committed)} committed" if hardened.committed else ""
    shown = hardened.submissions if hardened else []
    counts = {
        "convicted": sum(each.verdict == "convicted" for each in view.submissions),
        "contested": sum(each.trigger_by is not None for each in view.submissions),
        "challenged": sum(each.challenge is not None and not each.is_posted for each in shown),
        "missing": sum(each.verdict == "missing" for each in shown),
    }
    if counts["convicted"]:  # the verdicts are there
        counts["contested"] = 0
    if counts["missing"]:
        counts["challenged"] = 0
    words = [f"{count} {word}" for word, count in counts.items() if count]
    return ", ".join([str(len(view.submissions)), *words])


def _describe_list(watch: Watch, view: RoundView, listed: ListView | None) -> str:
    if listed is None or view.status in OVER:
        return ""
    return f"from {get_name(watch, listed.submitter)}{', contested' if listed.trigger_by else ''}"


def _describe_end(watch: Watch, view: RoundView) -> tuple[str, str]:
    """Who was paid in a round that is over, and who was slashed."""
    if view.status == "ClosedUnpaid":
        reason = explain_too_few(view) or f"{format_count(view.attempt + 1, 'attempt')} at its list failed"
        return "", f"closed unpaid: {reason}"
    paid = _group(watch, ((payment.node, payment.reward) for payment in view.payments if payment.reward))
    slashed = _group(watch, ((payment.node, payment.slash) for payment in view.payments if payment.slash))
    good = [f"{money}{' each' if ' ' in names else ''} to {names}" for money, names in paid]
    bad = [f"{names} lost {money}{' each' if ' ' in names else ''}" for money, names in slashed]
    return ", ".join(good) or "no node is paid", ", ".join(bad)


def _group(watch: Watch, amounts: Iterable[tuple[str, int]]) -> list[tuple[str, str]]:
    """Amounts with the names of all who have each, the largest first."""
    names: dict[int, list[str]] = {}
    for node, amount in amounts:
        names.setdefault(amount, []).append(get_name(watch, node))
    return [
        (show_amount(watch, amount), join_names(names[amount], NAMES_SHOWN))
        for amount in sorted(names, reverse=True)
    ]
