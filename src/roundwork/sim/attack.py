"""Strategies measured: what a coalition gains against its own honest play, and whom it harms.

Each trial is two worlds of one seed: in one the coalition plays its strategy, in the other the same nodes
are honest. Money is in units of an honest node's reward R: the bounty of a round divided by its nodes.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from statistics import mean, stdev
from typing import Any, NamedTuple

import msgspec

from ..economics import AUDIT_COST, WORK_COST
from ..errors import BadConfig, TaskFailed
from ..package.terms import Terms
from ..participant.plays import LAZY, list_parts, play_step
from ..sdk.splits import equal_split
from ..sdk.task import Candidate, Context, Task
from ..sealed_strategies.base import SealedStrategy
from ..strategies import STRATEGIES, Strategy
from ..wire import format_count
from .functions import FailedFunction
from .report import find_breakdown, find_no_pay
from .services import Network
from .simulation import NodeSetting, Result, WorldSetting
from .world import STAKE_FACTOR, World, fit_bounty
from .worlds import AnyWorld

STAKES = ("equal", "mice", "whale", "pareto")
"""How the stake is distributed.

In order: all equal; a coalition of small ones; a member with ten times as much; a rank law, where node k has
1/k of the largest stake.
"""

T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)
"""Student's t at 95 % for 1 degree of freedom and more; beyond them 2.0."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of the grid: a strategy in a kind of world."""

    strategy: str
    nodes: int = 20
    share: int = 20
    """The percentage of nodes that are in the coalition."""
    silent: int = 0
    """The percentage of the other nodes that do their work and give no opinion."""
    stakes: str = "equal"
    rounds: int = 4
    work_cost: float = WORK_COST
    """Of the work of a round, in R."""
    audit_cost: float = AUDIT_COST
    """Of an audit, in R."""

    @property
    def members(self) -> int:
        """How many nodes are in the coalition; at least one."""
        return max(round(self.nodes * self.share / 100), 1)

    @property
    def silent_nodes(self) -> int:
        """How many of the other nodes are silent."""
        return round((self.nodes - self.members) * self.silent / 100)


class Measured(NamedTuple):
    """The results of one seed, by node and round in R, unless a field says otherwise."""

    profit: float
    """Of a member, beyond its honest play."""
    harm: float
    """To all other nodes together, by round."""
    acted: int
    """How often members deviated."""
    unpaid: int
    """Rounds that were not paid."""
    bad: int
    """Bad submissions."""
    bad_paid: int
    """Bad submissions that were paid."""
    honest_convicted: int
    """Submissions of honest nodes that were convicted."""
    rounds: int
    failures: tuple[FailedFunction, ...] = ()
    """The author's functions that failed while the coalition played."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table: a trial over its seeds."""

    strategy: str
    nodes: int
    share: int
    silent: int
    stakes: str
    seeds: int
    acted: int
    profit: float
    """By member and round, in R, beyond honest play; the mean over seeds."""
    lower: float
    """The lower bound of the profit at 95 %."""
    upper: float
    harm: float
    """To all others together by round, in R."""
    griefing_factor: float | None
    """Harm divided by the coalition's loss; None if it loses nothing."""
    unpaid: float
    """The share of rounds that were not paid."""
    bad_paid: float
    """The share of bad submissions that were paid."""
    honest_convicted: float
    """Convicted submissions of honest nodes by round."""


def make_trial_task() -> Task:
    """A task whose proof is the seed of the node's own work, and that pays equally by head, as hello does."""
    task = Task("trial")
    task.distribution(equal_split(slash="70%"))

    @task.work
    def work(ctx: Context) -> None:
        ctx.state["value"] = ctx.seed.hex()

    @task.submission
    def submission(ctx: Context) -> str:
        return str(ctx.state["value"])

    @task.audit
    def audit(ctx: Context, candidate: Candidate) -> bool:
        return candidate.value == candidate.seed.hex()

    return task


TRIAL_TERMS = Terms(
    name="trial",
    description="",
    executable_network="DEVELOPMENT",
    round_time=60,
    audit_window=24,
    submission_window=24,
    minimum_stake=10**9,
    total_bounty=10**10,
    bounty_per_round=10**10,
    allowed_failed_distributions=3,
    rules="koii-1",
)
"""The windows and the money of the example hello."""


def find_strategy(name: str, more: dict[str, type[Strategy]] | None = None) -> type[Strategy]:
    """A strategy by its name. Raises BadConfig."""
    known = {**STRATEGIES, **(more or {})}
    if name not in known:
        raise BadConfig(f"there is no strategy {name!r}; the strategies are {', '.join(known)}")
    return known[name]


class Place:
    """A task with its terms, its params and its network: worlds are played with it."""

    def __init__(
        self,
        task: Task,
        terms: Terms,
        params: dict[str, Any] | None = None,
        network: Network | None = None,
        conditions: dict[str, Any] | None = None,
        secrets: dict[str, str] | None = None,
    ) -> None:
        """`network` answers `ctx.http`; `conditions` are more fields of a WorldSetting, such as `faults`."""
        self.task = task
        self.terms = terms
        self.params = params or {}
        self.network = network
        self.conditions = conditions or {}
        self.secrets = secrets or {}

    def __hash__(self) -> int:
        return hash(id(self.task))

    def __eq__(self, other: object) -> bool:
        """Equal places have equal worlds."""
        return isinstance(other, Place) and vars(self) == vars(other)


def run_trial(trial: Trial, strategy: type[Strategy], seed: int, place: Place) -> Measured:
    """Play one seed of a trial.

    Raises BadConfig for an impossible world, TaskFailed for a task that does not work.
    """
    if trial.members >= trial.nodes:
        raise BadConfig(f"share {trial.share}: {trial.members} of {trial.nodes} nodes leave no honest node")
    honest_nodes = trial.nodes - trial.members + 1 if strategy.is_split else trial.nodes
    usual = _play_honestly(place, msgspec.structs.replace(trial, strategy=""), honest_nodes, seed)
    return measure(trial, _play(trial, strategy, trial.nodes, seed, place), usual)


class Account(NamedTuple):
    """What a node earned in a trial, less slashes, in roe, and how often it worked and audited."""

    earned: int
    works: int
    audits: int


class Usual(NamedTuple):
    """The honest world of a seed, against which all strategies are measured."""

    accounts: dict[str, Account]
    """By the node's name."""
    members: frozenset[str]
    """The names of the coalition's nodes."""


@lru_cache(maxsize=4096)
def _play_honestly(place: Place, trial: Trial, nodes: int, seed: int) -> Usual:
    """Raises TaskFailed for a task that does not work for honest nodes."""
    honest = _play(trial, None, nodes, seed, place)
    check_honest_world(honest.world, honest.result)
    return Usual(_list_accounts(trial, honest), honest.members)


def check_honest_world(world: AnyWorld, result: Result) -> None:
    """Raises TaskFailed where the task does not work for honest nodes: then no row says anything."""
    breakdown = find_breakdown(world, result) or find_no_pay(world, result)
    if breakdown:
        raise TaskFailed(
            f"the task does not work, so a table of attacks says nothing: {'; '.join(breakdown)}"
        )


class Played(NamedTuple):
    """A world that was played to its end."""

    world: World
    result: Result
    members: frozenset[str]
    """The names of the coalition's nodes."""


def _play(trial: Trial, strategy: type[Strategy] | None, nodes: int, seed: int, place: Place) -> Played:
    """Play a world with the strategy; None: all are honest."""
    first = trial.nodes - trial.members
    names = [f"node-{at + 1}" for at in range(nodes)]
    members = tuple(names[first:])
    silent = trial.silent_nodes
    stakes = _compute_stakes(trial, nodes, place.terms.minimum_stake, is_split=nodes != trial.nodes)
    if nodes != trial.nodes or (strategy is not None and strategy.is_split):
        stakes = _split_last(stakes, first, trial.members, place.terms.minimum_stake)
    playing = strategy() if strategy is not None else None
    settings = []
    for at, name in enumerate(names):
        is_member, is_silent = at >= first, first - silent <= at < first
        fields: dict[str, Any] = {"name": name, "stake": stakes[at], "role": "honest"}
        if is_member and playing is not None:
            fields |= {
                "role": playing.name,
                "strategy": playing,
                "coalition": members,
                "list_needed": playing.list_parts,
                "is_watchful": True,
            }
        elif is_silent:
            fields |= {"role": "silent", "step": _step_silently, "list_needed": _list_parts_silently}
        settings.append(NodeSetting(**fields))
    setting = WorldSetting(
        terms=fit_bounty(place.terms, trial.rounds),
        nodes=tuple(settings),
        rounds=trial.rounds,
        seed=seed,
        params=place.params,
        secrets=place.secrets,
        are_signatures_real=False,
        **place.conditions,
    )
    world = World(setting, place.task, place.network)
    return Played(world, world.run(), frozenset(members))


def _step_silently(memory: Any, view: Any, slot: int) -> Any:
    return play_step(LAZY, memory, view, slot)


def _list_parts_silently(memory: Any, view: Any, slot: int) -> Any:
    return list_parts(LAZY, memory, view, slot)


def _compute_stakes(trial: Trial, nodes: int, minimum: int, is_split: bool) -> list[int]:
    """The stake of each node, in roe."""
    usual = STAKE_FACTOR * minimum
    first = nodes - (1 if is_split else trial.members)
    match trial.stakes:
        case "equal":
            return [usual] * nodes
        case "mice":
            return [usual] * first + [minimum] * (nodes - first)
        case "whale":
            return [usual] * (nodes - 1) + [STAKE_FACTOR * usual]
        case "pareto":
            # Members and others alternate in rank, so that neither side has all the large stakes.
            return [max(usual * STAKE_FACTOR // (1 + (at * 7919) % nodes), minimum) for at in range(nodes)]
        case _:
            raise BadConfig(f"stakes {trial.stakes!r}: they are {', '.join(STAKES)}")


def _split_last(stakes: list[int], first: int, members: int, minimum: int) -> list[int]:
    """The stakes, with that of one node divided among the coalition's nodes, from the `first` on.

    The node has enough for each member to stake the minimum. In the world of its honest play it is not
    divided.
    """
    part = max(stakes[-1] // members, minimum)
    nodes = len(stakes) - first
    return [*stakes[:first], *[part * members // nodes] * nodes]


def measure(trial: Trial, attacked: Played, honest: Usual) -> Measured:
    """The difference between two worlds."""
    reward = attacked.world.setting.terms.bounty_per_round / trial.nodes
    accounts = _list_accounts(trial, attacked)
    gained = _compute_income(trial, accounts, reward, attacked.members)
    usual = _compute_income(trial, honest.accounts, reward, honest.members)
    others = frozenset(accounts) - attacked.members
    harmed = _compute_income(trial, honest.accounts, reward, others) - _compute_income(
        trial, accounts, reward, others
    )
    members = [node for node in attacked.world.nodes if node.name in attacked.members]
    bad = {(round_number, node.address) for node in members for round_number in node.member.bad_rounds}
    views = [view for round_number, view in attacked.result.rounds.items() if round_number < trial.rounds]
    submitted = {(view.round, each.node) for view in views for each in view.submissions}
    paid = {(view.round, each.node) for view in views for each in view.payments if each.reward}
    addresses = {node.address for node in members}
    return Measured(
        profit=(gained - usual) / len(members) / trial.rounds,
        harm=harmed / trial.rounds,
        acted=sum(len(node.member.deviations) for node in members),
        unpaid=sum(view.status != "PayoutSuccessful" for view in views) + trial.rounds - len(views),
        bad=len(bad & submitted),
        bad_paid=len(bad & paid),
        honest_convicted=sum(
            each.verdict == "convicted" and each.node not in addresses
            for view in views
            for each in view.submissions
        ),
        rounds=trial.rounds,
        failures=tuple(attacked.world.timings.list_failed()),
    )


def _list_accounts(trial: Trial, played: Played) -> dict[str, Account]:
    """The accounts of all nodes by name. What the world does after its last round does not count."""
    earned: dict[str, int] = {}
    for round_number, view in played.result.rounds.items():
        for payment in view.payments if round_number < trial.rounds else ():
            earned[payment.node] = earned.get(payment.node, 0) + payment.reward - payment.slash
    counted = range(trial.rounds)
    return {
        node.name: Account(
            earned.get(node.address, 0),
            sum(node.worked[round_number] for round_number in counted),
            sum(node.audited[round_number] for round_number in counted),
        )
        for node in played.world.nodes
    }


def _compute_income(
    trial: Trial, accounts: Mapping[str, Account], reward: float, names: Iterable[str]
) -> float:
    """What nodes earned, less their costs, in R; a name that a world does not have counts nothing."""
    chosen = [accounts[name] for name in names if name in accounts]
    works, audits = sum(each.works for each in chosen), sum(each.audits for each in chosen)
    earned = sum(each.earned for each in chosen) / reward
    return earned - works * trial.work_cost - audits * trial.audit_cost


def compose_row(trial: Trial, measured: Sequence[Measured]) -> Row:
    """The row of a trial from its seeds."""
    profits = [each.profit for each in measured]
    profit = mean(profits)
    spread = 0.0
    if len(profits) > 1:
        factor = T_95[len(profits) - 2] if len(profits) - 2 < len(T_95) else 2.0
        spread = factor * stdev(profits) / len(profits) ** 0.5
    harm, loss = mean(each.harm for each in measured), -profit * trial.members
    rounds, bad = sum(each.rounds for each in measured), sum(each.bad for each in measured)
    return Row(
        strategy=trial.strategy,
        nodes=trial.nodes,
        share=trial.share,
        silent=trial.silent,
        stakes=trial.stakes,
        seeds=len(measured),
        acted=sum(each.acted for each in measured),
        profit=round(profit, 4),
        lower=round(profit - spread, 4),
        upper=round(profit + spread, 4),
        harm=round(harm, 4),
        griefing_factor=round(max(harm, 0) / loss, 3) if loss > 0.0005 else None,
        unpaid=round(sum(each.unpaid for each in measured) / rounds, 4),
        bad_paid=round(sum(each.bad_paid for each in measured) / bad, 4) if bad else 0.0,
        honest_convicted=round(sum(each.honest_convicted for each in measured) / rounds, 4),
    )


def describe_failures(trial: Trial, measured: Iterable[Measured]) -> list[str]:
    """What failed of the author's functions while a strategy was played, in sentences; each function once."""
    first = {each.step: each for world in reversed(list(measured)) for each in world.failures}
    where = f"{trial.strategy}, {trial.nodes} nodes"
    return [f"{where}: {failure}" for failure in first.values()]


def find_winners(rows: Iterable[Row]) -> list[Row]:
    """The rows whose coalition may earn more than by honest play."""
    return [row for row in rows if row.upper > 0 and row.strategy != "honest"]


def name_cell(cell: Row | Trial) -> tuple[str, int, int, int, str]:
    """The cell of the grid that a row or a trial has."""
    return cell.strategy, cell.nodes, cell.share, cell.silent, cell.stakes


def list_rounded(trials: Iterable[Trial]) -> list[str]:
    """The shares that are less than a node, and what is played in their place, in sentences."""
    notes = []
    for trial in trials:
        if trial.nodes * trial.share < 100:
            notes.append(
                f"{trial.share} % of {trial.nodes} nodes are less than a node: the coalition has 1 node"
            )
        if trial.silent and not trial.silent_nodes:
            others = trial.nodes - trial.members
            notes.append(
                f"{trial.silent} % of {others} honest nodes are less than half a node: none is silent"
            )
    return list(dict.fromkeys(notes))


def list_weak_lies(task: Task, strategies: Iterable[type[Strategy | SealedStrategy]]) -> list[str]:
    """The strategies that a task without `@task.lie` gives a weak lie, in a sentence."""
    lying = sorted(strategy.name for strategy in strategies if strategy.is_lying)
    if not lying or "lie" in task.functions:
        return []
    verb = "submits" if len(lying) == 1 else "submit"
    return [
        f"the task has no @task.lie, so {', '.join(lying)} {verb} the honest value with its last character"
        " changed; a lie that looks right, made by @task.lie, tries the audit harder"
    ]


def list_idle(rows: Iterable[Row]) -> list[Row]:
    """The rows whose strategy never did anything: they prove nothing."""
    return [row for row in rows if row.strategy != "honest" and not row.acted]


def list_changes(rows: Iterable[Row], before: Iterable[Row]) -> list[str]:
    """The differences between a table and an earlier one, in sentences. The last one counts them.

    A profit differs if it is outside the earlier bounds by more than .01 R.
    """
    known = {name_cell(row): row for row in before}
    changes, compared = [], 0
    for row in rows:
        old = known.get(name_cell(row))
        where = f"{row.strategy}, {row.nodes} nodes, share {row.share} %, silent {row.silent} %, {row.stakes}"
        if old is None:
            changes.append(f"{where}: new, profit {row.profit:+.3f}")
            continue
        compared += 1
        if not old.lower - 0.01 <= row.profit <= old.upper + 0.01:
            changes.append(f"{where}: profit {old.profit:+.3f} before, {row.profit:+.3f} now")
    left = len(known) - compared
    counts = f"{format_count(compared, 'row')} compared, {left} of the saved table were not played"
    return [
        *changes,
        f"{counts}; {'nothing differs' if not changes else f'{len(changes)} differ or are new'}",
    ]
