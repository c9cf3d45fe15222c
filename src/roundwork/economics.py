"""What cheating earns and how often it is detected: formulas, and the advice that follows from them.

Rates and chances are between 0 and 1; money is in any one unit, such as an honest node's reward. Each formula
is compared with a simulation or a drawing of lots in tests/test_economics.py.
"""

from collections.abc import Callable
from math import comb, exp, lgamma, log, log1p, sqrt
from typing import NamedTuple

PLANTED, PLANTED_AMONG_MANY = 0.04, 0.08
FEW_DISHONEST = 0.2
"""The part of dishonest nodes up to which the first rate of planted work is enough."""
FEW_NODES = 10

LEAST_ACCUSATIONS, ACCUSED_TO_PLANTED = 0.5, 0.3
"""The good submissions that the creator accuses in a round: at least so many, and so many a planted one."""

DUTIES = 100
"""A duty is this part of the minimum stake under roundwork-1."""

CHECKERS = 3
"""The checkers of a submission under roundwork-1."""

WORK_COST, AUDIT_COST = 0.3, 0.02
"""What a round's work and an audit cost a node, in its reward, where nothing is known of them."""


class Costs(NamedTuple):
    """What a round's work and an audit cost a node, in its reward."""

    work: float = WORK_COST
    audit: float = AUDIT_COST


def derive_costs(work_seconds: float, audit_seconds: float, audits: int) -> Costs:
    """The costs that follow from how long the work of a round and an audit take; `audits` is by round.

    Times say how work and audits compare, and not what a second is worth. So an honest round costs as much as
    with the usual costs, and the times divide that: a node joins while a round pays more than it costs, on a
    fast machine as on a slow one. Three digits each. Raises ValueError for times that are all 0.
    """
    seconds = work_seconds + audits * audit_seconds
    if seconds <= 0:
        raise ValueError("the work and the audits of a round take no time")
    second = (WORK_COST + audits * AUDIT_COST) / seconds
    return Costs(float(f"{work_seconds * second:.3g}"), float(f"{audit_seconds * second:.3g}"))


# Detection


def compute_missed(nodes: int, checks: int, lazy: float = 0.0, accuracy: float = 1.0) -> float:
    """The chance that nobody finds a bad submission, if each other node samples `checks` of the others'."""
    others = nodes - 1
    looked = min(checks / others, 1.0) * (1 - lazy) * accuracy
    return float((1 - looked) ** others)


def compute_missed_in_bulk(nodes: int, bad: int, checks: int, auditors: int) -> float:
    """The chance that at least one of several bad submissions is seen by none of the auditors.

    Each auditor looks at `checks` of all submissions.
    """
    terms = [
        (-1) ** (many + 1) * comb(bad, many) * (comb(nodes - many, checks) / comb(nodes, checks)) ** auditors
        for many in range(1, bad + 1)
    ]
    return float(sum(terms))


def compute_unseen(checkers: int, lazy: float) -> float:
    """The chance that none of a submission's checkers looks at it."""
    return float(lazy**checkers)


# Votes


def compute_flip(nodes: int, colluders: int, checks: int) -> float:
    """The chance that colluders acquit a bad submission of their own, if others vote on their sample only."""
    voters = nodes - colluders - 1
    return sum(_compute_binomial(voters, many, checks / nodes) for many in range(min(colluders, voters + 1)))


def find_flippers(nodes: int, checks: int, chance: float = 0.99) -> int:
    """The fewest colluders that, with this chance, acquit a bad submission of one of them."""
    return next(
        colluders for colluders in range(1, nodes) if compute_flip(nodes, colluders, checks) >= chance
    )


def compute_jury_capture(seats: int, share: float, majority: float) -> float:
    """The chance that an adversary with this share of the stake holds more than `majority` of the seats."""
    needed = next(count for count in range(seats + 1) if count >= seats * majority)
    return sum(_compute_binomial(seats, many, share) for many in range(needed, seats + 1))


# Profit


class Stakes(NamedTuple):
    """The gains and losses of a worker.

    The unit is an honest node's reward, unless a field says otherwise.
    """

    caught: float
    """The chance that a bad submission is found."""
    slash: float
    """What the worker loses when it is found."""
    reward: float = 1.0
    work_cost: float = WORK_COST
    fake_cost: float = 0.0
    gain: float = 0.0
    """What a bad submission is worth beside the reward, if it passes."""
    future: float = 0.0
    """The value of what the worker could have earned later, and loses when it is caught."""


def compute_cheating_edge(stakes: Stakes) -> float:
    """What a bad submission earns beyond honest work; cheating pays where it is above 0."""
    passed = (1 - stakes.caught) * (stakes.reward + stakes.gain)
    lost = stakes.caught * (stakes.slash + stakes.future)
    return passed - lost - stakes.fake_cost - (stakes.reward - stakes.work_cost)


def compute_slash_needed(stakes: Stakes) -> float:
    """The least slash at which cheating does not pay; infinite if nothing is ever found."""
    if not stakes.caught:
        return float("inf")
    return max(compute_cheating_edge(stakes._replace(slash=0.0)) / stakes.caught, 0.0)


def compute_checking_edge(
    bad: float, bounty: float, lapse: float, audit_cost: float, accuracy: float
) -> float:
    """What an audit earns.

    `bad` is the rate of bad work, `bounty` the pay for finding it, `lapse` the fine that the auditor avoids.
    """
    return accuracy * bad * (bounty + lapse) - audit_cost


def compute_canaries(audit_cost: float, bounty: float, lapse: float, checkers: int, accuracy: float) -> float:
    """The least share of planted bad work that keeps checkers looking; infinite if that earns nothing."""
    earned = accuracy * (bounty / checkers + lapse)
    return audit_cost / earned if earned else float("inf")


def compute_planted_rate(nodes: int, share: float) -> float:
    """The share of submissions that a task under roundwork-1 plants as canaries.

    `share` is the part of the nodes that may be dishonest. A lazy checker breaks even at 1 to 2 %, and
    more dishonest checkers find fewer canaries. With few nodes one a round is enough.
    """
    rate = PLANTED if share <= FEW_DISHONEST else PLANTED_AMONG_MANY
    return min(rate, 1 / nodes) if nodes < FEW_NODES else rate


def compute_false_accusations(nodes: int, share: float) -> float:
    """How many good submissions the creator accuses in a round on average.

    If nearly every accusation were true, a juror would vote "invalid" unseen. Looking pays where the trials
    of good submissions are more than audit cost / (duty + share of the bond) of all trials: usually a sixth.
    """
    return max(LEAST_ACCUSATIONS, ACCUSED_TO_PLANTED * compute_planted_rate(nodes, share) * nodes)


def compute_juror_edge(false: float, duty: float, bond_share: float, audit_cost: float) -> float:
    """What a juror earns by looking, in place of voting "invalid" unseen.

    `false` is the part of the trials whose submission is good, `bond_share` what a juror gets of a bond.
    """
    return false * (duty + bond_share) - audit_cost


def compute_waking_stake(nodes: int, share: float, audit_cost: float) -> float:
    """The least minimum stake at which a juror does not save money by voting "invalid" unseen.

    It is in the unit of `audit_cost`. The trials of good submissions are those that the creator accuses, and
    a vote against the majority costs a duty. A juror's part of a bond is left out: it is small.
    """
    planted = compute_planted_rate(nodes, share) * nodes
    false = compute_false_accusations(nodes, share)
    return DUTIES * audit_cost * (false + planted) / false


# Identities and chance


def compute_sybil_profit(honest: int, identities: int, bounty: float, cost: float) -> float:
    """What a stake earns in a round if it is split into identities and all nodes are paid alike."""
    return identities * bounty / (honest + identities) - identities * cost


def compute_best_identities(honest: int, bounty: float, cost: float) -> int:
    """The number of identities that earns most."""
    guess = int(sqrt(honest * bounty / cost) - honest)
    return max(
        range(max(guess - 1, 1), max(guess + 3, 2)),
        key=lambda many: compute_sybil_profit(honest, many, bounty, cost),
    )


def compute_grinding(nodes: int, tries: int) -> float:
    """The chance of selection for a node that may try this many values before it submits."""
    return float(1 - (1 - 1 / nodes) ** tries)


def compute_last_word(chance: float, reveals: int) -> float:
    """The chance that a node which controls this many last reveals gets an outcome that has `chance`."""
    return float(1 - (1 - chance) ** (2**reveals))


def compute_unpaid(share: float, retries: int) -> float:
    """The chance that a round is not paid, if this share of nodes hands in wrong lists in turn."""
    return float(share ** (1 + retries))


# Advice


class Advice(NamedTuple):
    """What the costs of a task require of its parameters."""

    caught: float
    """The chance that a bad submission is found."""
    edge: float
    """What cheating earns beyond honest work, in rewards; if it is negative, honest work is better."""
    slash_needed: float
    """In rewards."""
    lazy_limit: float
    """The share of lazy auditors from which cheating pays; 1 if it never does."""
    canaries: float
    """The share of submissions that the task's creator plants, so that auditors look."""


def advise(stakes: Stakes, nodes: int, checks: int, lazy: float, audit_cost: float) -> Advice:
    """The margin of a task under `koii-1`, where each node audits `checks` submissions of others.

    `stakes.caught` is computed here and not read. Under `koii-1` finding bad work earns only a larger share
    of the bounty, so `canaries` counts that as an auditor's bounty.
    """
    caught = 1 - compute_missed(nodes, checks, lazy)
    now = stakes._replace(caught=caught)
    share = stakes.reward / max(nodes - 1, 1)
    return Advice(
        caught=caught,
        edge=compute_cheating_edge(now),
        slash_needed=compute_slash_needed(now),
        lazy_limit=find_lazy_limit(stakes, nodes, checks),
        canaries=min(compute_canaries(audit_cost, share, 0.0, 1, 1.0), 1.0),
    )


def advise_drawn(stakes: Stakes, checks: int, lazy: float, audit_cost: float, lapse: float) -> Advice:
    """The margin of a task under `roundwork-1`, where `checks` drawn nodes look at each submission.

    `stakes.caught` is computed here and not read. `canaries` is the rate at which a lazy checker breaks even:
    a quarter of a slash is for the checkers that found it, and a checker that cleared it pays `lapse`.
    """
    now = stakes._replace(caught=1 - compute_unseen(checks, lazy))
    return Advice(
        caught=now.caught,
        edge=compute_cheating_edge(now),
        slash_needed=compute_slash_needed(now),
        lazy_limit=_find_limit(stakes, lambda share: 1 - compute_unseen(checks, share)),
        canaries=min(compute_canaries(audit_cost, stakes.slash / 4, lapse, checks, 1.0), 1.0),
    )


def find_lazy_limit(stakes: Stakes, nodes: int, checks: int) -> float:
    """The share of lazy auditors, in steps of a hundredth, from which cheating pays; 1 if it never does."""
    return _find_limit(stakes, lambda share: 1 - compute_missed(nodes, checks, share))


def _find_limit(stakes: Stakes, find_caught: Callable[[float], float]) -> float:
    for percent in range(100):
        if compute_cheating_edge(stakes._replace(caught=find_caught(percent / 100))) > 0:
            return percent / 100
    return 1.0


def _compute_binomial(trials: int, many: int, chance: float) -> float:
    """The chance of exactly `many` successes; by logarithms, so that ten thousand trials do not overflow."""
    if chance <= 0 or chance >= 1:
        return float(many == (0 if chance <= 0 else trials))
    ways = lgamma(trials + 1) - lgamma(many + 1) - lgamma(trials - many + 1)
    return exp(ways + many * log(chance) + (trials - many) * log1p(-chance))
