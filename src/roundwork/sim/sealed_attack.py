"""Strategies against roundwork-1, measured: the sibling of `attack.py`.

A trial is a world with a coalition that plays its strategy, and a world of the same seed in which all are
honest. Canaries of the task's creator live in both. An income is all money that a node has at the end less
what it had at the beginning, so fees count too; in units of R, an honest node's reward.
"""

from collections.abc import Iterable
from functools import lru_cache
from statistics import mean
from typing import NamedTuple

import msgspec

from ..economics import compute_false_accusations, compute_planted_rate
from ..errors import BadConfig
from ..package.terms import Terms
from ..protocol.params import NodeKey, TaskKey
from ..protocol.state import TABLE_KINDS, State
from ..sdk.splits import proportional_split
from ..sdk.task import Candidate, Context, Task
from ..sealed_strategies import STRATEGIES, Canary, SealedStrategy, Striker
from .attack import Measured, Place, Row, Trial, check_honest_world
from .functions import FailedFunction
from .sealed import SealedWorld
from .simulation import NodeSetting, Result, WorldSetting
from .world import STAKE_FACTOR, fit_bounty

TOLERANCE = 0.03
"""The profit of a member, in R, that is no gain: a withholder saves that much of its own checks."""
GRIEFING_MAX, HARM_MAX = 0.5, 0.01
"""A row grieves if its griefing factor is above the first, and harm to a victim, in R, above the second."""

MINIMUM_IN_REWARDS = 10
"""The minimum stake in rewards of an honest node."""

TRIAL_TERMS = Terms(
    name="trial",
    description="",
    executable_network="DEVELOPMENT",
    round_time=60,
    audit_window=48,
    submission_window=11,
    minimum_stake=10**9,
    total_bounty=10**10,
    bounty_per_round=10**10,
    allowed_failed_distributions=1,
    rules="roundwork-1",
)
"""The shortest windows of roundwork-1. `fit_trial` sets the bounty by the number of nodes."""


def make_trial_task() -> Task:
    """A task whose proof is the seed of the node's own work, and that pays by stake."""
    task = Task("trial")
    task.distribution(proportional_split())

    @task.work
    def work(ctx: Context) -> None:
        ctx.state["value"] = ctx.storage.put(ctx.seed)

    @task.submission
    def submission(ctx: Context) -> str:
        return str(ctx.state["value"])

    @task.lie
    def lie(ctx: Context) -> str:
        return ctx.storage.put(b"a lie of " + ctx.seed)

    @task.audit
    def audit(ctx: Context, candidate: Candidate) -> bool:
        return ctx.storage.get(candidate.value[:59]) == candidate.seed

    return task


def find_strategy(name: str, more: dict[str, type[SealedStrategy]] | None = None) -> type[SealedStrategy]:
    """A strategy by its name. Raises BadConfig."""
    known = {**STRATEGIES, **(more or {})}
    if name not in known:
        raise BadConfig(f"there is no strategy {name!r}; the strategies are {', '.join(known)}")
    return known[name]


class SealedTrial(Trial, frozen=True, kw_only=True):
    """A cell of the grid under roundwork-1."""

    rounds: int = 24
    canary_percent: int | None = None
    """The planted share of submissions; None: what `advise` asks for."""

    @property
    def members(self) -> int:
        """How many nodes are in the coalition: never more than the share says, but at least one."""
        return max(self.nodes * self.share // 100, 1)


class Canaries(NamedTuple):
    """The nodes that the creator plants, and what each does in a round."""

    nodes: int
    bad_chance: float
    accuse_chance: float


def plan_canaries(trial: SealedTrial) -> Canaries:
    """The canaries of a world: about two submissions of three of theirs are bad."""
    share = trial.canary_percent
    rate = compute_planted_rate(trial.nodes, trial.share / 100) if share is None else share / 100
    if not rate:
        return Canaries(0, 0.0, 0.0)
    nodes = max(round(rate * trial.nodes * 1.5), 1)
    false = compute_false_accusations(trial.nodes, trial.share / 100)
    return Canaries(nodes, rate * trial.nodes / nodes, min(false / nodes, 1.0))


class Played(NamedTuple):
    """A world that was played to its end: the incomes of its nodes, in roe, their work, and the rounds."""

    names: tuple[str, ...]
    """The names of all nodes but canaries."""
    addresses: dict[str, str]
    incomes: dict[str, int]
    works: dict[str, int]
    audits: dict[str, int]
    stakes: dict[str, int]
    members: frozenset[str]
    silent: frozenset[str]
    result: Result
    deviations: int
    bad: frozenset[tuple[int, str]]
    """What members submitted that is not the proof of their work: round and address."""
    failures: tuple[FailedFunction, ...]


def fit_trial(trial: SealedTrial, terms: Terms) -> Terms:
    """The terms with a bounty that makes the reward of a node a tenth of the minimum stake."""
    submissions = trial.nodes + plan_canaries(trial).nodes
    bounty = terms.minimum_stake // MINIMUM_IN_REWARDS * submissions
    return msgspec.structs.replace(terms, bounty_per_round=bounty, total_bounty=bounty)


def run_sealed_trial(trial: SealedTrial, strategy: type[SealedStrategy], seed: int, place: Place) -> Measured:
    """Play one seed of a trial.

    Raises BadConfig for an impossible world, TaskFailed for a task that does not work.
    """
    if trial.members >= trial.nodes:
        raise BadConfig(f"share {trial.share}: {trial.members} of {trial.nodes} nodes leave no honest node")
    attacked = play(place, trial, strategy, seed)
    honest = _play_honestly(place, msgspec.structs.replace(trial, strategy=""), seed, strategy.is_split)
    return measure(trial, attacked, honest, place.terms)


def play(
    place: Place, trial: SealedTrial, strategy: type[SealedStrategy] | None, seed: int, is_whole: bool = False
) -> Played:
    """Play a world; without a strategy all are honest. `is_whole`: the coalition is one node.

    Raises TaskFailed for a task that does not work for honest nodes.
    """
    canaries = plan_canaries(trial)
    first = trial.nodes - trial.members
    count = first + 1 if is_whole else trial.nodes
    names = tuple(f"node-{at + 1}" for at in range(count))
    members = names[first:]
    silent = names[first - trial.silent_nodes : first]
    stakes = dict(zip(names, _compute_stakes(trial, place.terms, is_whole), strict=True))
    is_split = strategy is not None and strategy.is_split
    if is_split or is_whole:
        stakes |= dict.fromkeys(members, place.terms.minimum_stake * (trial.members if is_whole else 1))
    canary = Canary(canaries.bad_chance, canaries.accuse_chance)
    planted = [f"canary-{at + 1}" for at in range(canaries.nodes)]
    playing: dict[str, SealedStrategy] = dict.fromkeys(planted, canary)
    playing |= dict.fromkeys(silent, Striker())
    if strategy is not None:
        playing |= dict.fromkeys(members, strategy())
    nodes = [
        NodeSetting(name=name, stake=stakes[name], coalition=members if name in members else ())
        for name in names
    ]
    nodes += [NodeSetting(name=name, stake=place.terms.minimum_stake) for name in planted]
    setting = WorldSetting(
        terms=fit_bounty(place.terms, trial.rounds),
        nodes=tuple(nodes),
        rounds=trial.rounds,
        seed=seed,
        params=place.params,
        secrets=place.secrets,
        are_signatures_real=False,
        **place.conditions,
    )
    world = SealedWorld(setting, place.task, place.network, strategies=playing)
    before = {node.name: compute_wealth(world, node.key) for node in world.nodes}
    result = world.run()
    if strategy is None:
        check_honest_world(world, result)
    return _sum_up(world, result, before, frozenset(members), frozenset(silent))


@lru_cache(maxsize=4096)
def _play_honestly(place: Place, trial: SealedTrial, seed: int, is_whole: bool) -> Played:
    """The honest world of a seed; all strategies are measured against the same one."""
    return play(place, trial, None, seed, is_whole)


def _sum_up(
    world: SealedWorld,
    result: Result,
    before: dict[str, int],
    members: frozenset[str],
    silent: frozenset[str],
) -> Played:
    nodes = [node for node in world.nodes if not node.name.startswith("canary")]
    return Played(
        names=tuple(node.name for node in nodes),
        addresses={node.name: node.address for node in nodes},
        incomes={node.name: compute_wealth(world, node.key) - before[node.name] for node in nodes},
        works={node.name: node.worked.total() for node in nodes},
        audits={node.name: node.audited.total() for node in nodes},
        stakes={node.name: node.setting.stake for node in nodes},
        members=members,
        silent=silent,
        result=result,
        deviations=sum(len(node.member.deviations) for node in nodes if node.name in members),
        bad=frozenset(
            (round_number, node.address)
            for node in nodes
            if node.name in members
            for round_number in node.member.bad_rounds
        ),
        failures=tuple(world.timings.list_failed()),
    )


def compute_wealth(world: SealedWorld, node: NodeKey) -> int:
    """All money that belongs to a node, in roe: also its stake, and what is held back or set aside."""
    state, task = world.ledger.state, world.task
    stake = state.get_stakes(task).rows.get(node)
    staked = stake.amount + stake.available if stake is not None else 0
    account = state.accounts.rows.get(bytes(node))
    return (account.balance if account is not None else 0) + staked + _sum_pledges(state, task, node)


def _sum_pledges(state: State, task: TaskKey, node: NodeKey) -> int:
    held, bonds = (TABLE_KINDS[name].letter for name in ("held", "bonds"))
    total = 0
    for name, table in state.tables.items():
        if name[1:33] != task:
            continue
        if name[:1] == held and node in table.rows:
            total += table.rows[node].amount
        elif name[:1] == bonds:
            total += sum(bond.amount for bond in table.rows.values() if bond.node == node)
    return total


def _compute_stakes(trial: SealedTrial, terms: Terms, is_whole: bool) -> list[int]:
    """The stake of each node, in roe: the minimum is the usual one, because slashes are small there."""
    minimum = terms.minimum_stake
    members = 1 if is_whole else trial.members
    first = trial.nodes - trial.members
    match trial.stakes:
        case "equal":
            return [minimum] * (first + members)
        case "mice":
            return [STAKE_FACTOR * minimum] * first + [minimum] * members
        case "whale":
            return [minimum] * (first + members - 1) + [STAKE_FACTOR * minimum]
        case "pareto":
            # Members and others alternate in rank, so that neither side has all the large stakes.
            most = STAKE_FACTOR * minimum
            nodes = first + members
            return [max(most // (1 + (at * 7919) % nodes), minimum) for at in range(nodes)]
        case _:
            raise BadConfig(f"stakes {trial.stakes!r}: they are equal, mice, whale, pareto")


def measure(trial: SealedTrial, attacked: Played, honest: Played, terms: Terms) -> Measured:
    """The difference between two worlds.

    What members would have earned is what an honest node of the same stake earned on average: nodes of one
    stake differ only by chance, and the average has less of it.
    """
    reward = terms.bounty_per_round / (trial.nodes + plan_canaries(trial).nodes)
    gains = _compute_gains(trial, attacked, reward)
    usual = _compute_usual(trial, honest, reward)
    members = len(attacked.members)
    gained = sum(gains[name] for name in attacked.members)
    expected = sum(usual[name] for name in honest.members)
    others = set(attacked.names) - attacked.members
    harmed = sum(usual[name] - gains[name] for name in others)
    views = [view for round_number, view in attacked.result.rounds.items() if round_number < trial.rounds]
    submitted = {(view.round, each.node) for view in views for each in view.submissions}
    paid = {(view.round, each.node) for view in views for each in view.payments if each.reward}
    innocent = {attacked.addresses[name] for name in others}
    return Measured(
        profit=(gained - expected) / members / trial.rounds,
        harm=harmed / trial.rounds,
        acted=attacked.deviations,
        unpaid=sum(view.status != "PayoutSuccessful" for view in views) + trial.rounds - len(views),
        bad=len(attacked.bad & submitted),
        bad_paid=len(attacked.bad & paid),
        honest_convicted=sum(
            each.verdict == "convicted" and each.node in innocent
            for view in views
            for each in view.submissions
        ),
        rounds=trial.rounds,
        failures=attacked.failures,
    )


def _compute_gains(trial: SealedTrial, played: Played, reward: float) -> dict[str, float]:
    """What each node earned in a world, less its costs, in R."""
    return {
        name: played.incomes[name] / reward
        - played.works[name] * trial.work_cost
        - played.audits[name] * trial.audit_cost
        for name in played.names
    }


def _compute_usual(trial: SealedTrial, honest: Played, reward: float) -> dict[str, float]:
    """What a node earns on average in the honest world, by node: the average over nodes like it."""
    gains = _compute_gains(trial, honest, reward)
    kinds: dict[tuple[int, bool], list[float]] = {}
    for name in honest.names:
        kinds.setdefault((honest.stakes[name], name in honest.silent), []).append(gains[name])
    return {name: mean(kinds[honest.stakes[name], name in honest.silent]) for name in honest.names}


def find_sealed_winners(rows: Iterable[Row]) -> list[Row]:
    """The rows whose coalition may earn more than honest play does, or harms others too cheaply."""
    return [row for row in rows if row.strategy != "honest" and (row.upper > TOLERANCE or is_griefing(row))]


def is_griefing(row: Row) -> bool:
    """Whether a coalition harms others at a price below twice the harm, or at none."""
    victims = row.nodes - max(row.nodes * row.share // 100, 1)
    is_cheap = row.griefing_factor is None or row.griefing_factor > GRIEFING_MAX
    return is_cheap and row.harm / victims > HARM_MAX
