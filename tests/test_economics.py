"""The formulas, against known values, drawings of lots, and the simulator."""

import math
from collections.abc import Sequence
from random import Random

import pytest
from blake3 import blake3

from roundwork.client.sealed_standing import SUBMISSIONS_MIN
from roundwork.economics import (
    CHECKERS,
    Costs,
    Stakes,
    advise,
    advise_drawn,
    compute_best_identities,
    compute_canaries,
    compute_cheating_edge,
    compute_checking_edge,
    compute_false_accusations,
    compute_flip,
    compute_grinding,
    compute_juror_edge,
    compute_jury_capture,
    compute_last_word,
    compute_missed,
    compute_missed_in_bulk,
    compute_planted_rate,
    compute_slash_needed,
    compute_sybil_profit,
    compute_unpaid,
    compute_unseen,
    compute_waking_stake,
    derive_costs,
    find_flippers,
)
from roundwork.participant.decisions import Memory
from roundwork.participant.selection import select_node
from roundwork.participant.step import SAMPLE, View, list_needed
from roundwork.protocol.params import NodeKey
from roundwork.protocol.tasks import sealed
from roundwork.protocol.tasks.draw import Ballot
from roundwork.sim.attack import TRIAL_TERMS, Measured, Place, Trial, make_trial_task, run_trial
from roundwork.sim.simulation import NodeSetting, WorldSetting
from roundwork.sim.world import World, fit_bounty
from roundwork.strategies import STRATEGIES, VoteRing
from roundwork.views import PartKey, PartKind

KNOWN = [
    (compute_missed(100_001, 5), 0.0067),
    (compute_missed(100_001, 5, lazy=0.8), 0.37),
    (compute_missed(100_001, 5, lazy=0.9), 0.61),
    (compute_missed_in_bulk(100, 10, 5, 90), 0.0948),
    (compute_unseen(3, 0.2), 0.008),
    (compute_jury_capture(51, 1 / 3, 2 / 3), 1.2e-6),
    (compute_jury_capture(51, 1 / 3, 1 / 2), 6.9e-3),
    (compute_slash_needed(Stakes(caught=0.05, slash=0)), 5.0),
    (compute_last_word(0.01, 5), 0.275),
    (compute_sybil_profit(100, 124, 100, 0.2), 30.6),
    (compute_sybil_profit(100, 1, 100, 0.2), 0.79),
    (compute_unpaid(1 / 3, 1), 0.11),
    (compute_unpaid(1 / 3, 3), 0.0123),
]


@pytest.mark.parametrize(("computed", "known"), KNOWN)
def test_a_formula_gives_its_known_value(computed: float, known: float) -> None:
    assert computed == pytest.approx(known, rel=0.02)


def test_eleven_or_twelve_colluders_flip_a_vote_on_samples_in_a_network_of_any_size() -> None:
    assert [find_flippers(nodes, 5) for nodes in (100, 1_000, 10_000)] == [11, 12, 12]


def test_the_best_ring_has_124_identities() -> None:
    assert compute_best_identities(100, 100, 0.2) == 124


def test_a_slash_of_what_is_needed_leaves_cheating_without_an_edge() -> None:
    stakes = Stakes(caught=0.3, slash=0, gain=2.0)

    needed = compute_slash_needed(stakes)

    assert compute_cheating_edge(stakes._replace(slash=needed)) == pytest.approx(0)
    assert compute_slash_needed(stakes._replace(caught=0)) == math.inf


def test_a_checker_looks_from_the_rate_of_canaries_on() -> None:
    rate = compute_canaries(0.02, bounty=1.0, lapse=0.5, checkers=1, accuracy=0.9)

    assert compute_checking_edge(rate, 1.0, 0.5, 0.02, 0.9) == pytest.approx(0)
    assert compute_checking_edge(rate / 2, 1.0, 0.5, 0.02, 0.9) < 0


def test_the_advice_names_where_the_margin_ends() -> None:
    stakes = Stakes(caught=0, slash=7.0)

    advice = advise(stakes, nodes=100, checks=10, lazy=0.0, audit_cost=0.02)

    assert advice.edge < 0
    assert advise(stakes, 100, 10, advice.lazy_limit, 0.02).edge > 0 > advise(stakes, 100, 10, 0.9, 0.02).edge


def test_samples_miss_as_often_as_drawn_lots() -> None:
    random, nodes, checks, lazy = Random(1), 30, 4, 0.5
    missed = 0
    for _ in range(3000):
        seen = any(
            random.random() > lazy and 0 in random.sample([0, *range(2, nodes)], checks)
            for _ in range(nodes - 1)
        )
        missed += not seen

    assert missed / 3000 == pytest.approx(compute_missed(nodes, checks, lazy), abs=0.03)


def test_a_selection_by_hashes_is_mostly_ground_in_less_than_a_hundred_tries() -> None:
    nodes = [f"node-{at:03}" for at in range(100)]

    def is_ground(seed: int) -> bool:
        random = Random(seed)
        submissions: dict[str, dict[str, str | int]] = {
            node: {
                "submission_value": random.randbytes(16).hex(),
                "slot": random.randrange(1000, 1024),
                "round": 3,
            }
            for node in nodes
        }
        grinder = random.choice(nodes)
        for _ in range(100):
            if select_node(submissions, []) == grinder:
                return True
            submissions[grinder] = {**submissions[grinder], "submission_value": random.randbytes(16).hex()}
        return False

    assert sum(map(is_ground, range(40))) > 20
    assert compute_grinding(100, 69) == pytest.approx(0.5, abs=0.01)


# Against the simulator


def run(strategy: str, seeds: Sequence[int], nodes: int, share: int, silent: int = 0) -> list[Measured]:
    trial = Trial(strategy=strategy, rounds=3, nodes=nodes, share=share, silent=silent)
    return [
        run_trial(trial, STRATEGIES[strategy], seed, Place(make_trial_task(), TRIAL_TERMS)) for seed in seeds
    ]


def test_the_simulator_misses_as_much_bad_work_as_the_formula_says() -> None:
    measured = run("lazy-worker", range(4), nodes=60, share=5, silent=90)

    others = 57
    looking = others - round(others * 0.9)
    expected = (1 - SAMPLE / 59) ** looking
    paid, bad = sum(each.bad_paid for each in measured), sum(each.bad for each in measured)
    assert bad == 36
    assert paid / bad == pytest.approx(expected, abs=0.25)
    assert 0 < paid < bad


def test_the_simulator_pays_a_sybil_ring_what_the_formula_says() -> None:
    [measured] = run("sybil-ring", [1], nodes=10, share=40)

    ring = compute_sybil_profit(6, 4, bounty=10, cost=0.3)
    one = compute_sybil_profit(6, 1, bounty=10, cost=0.3)
    audits = 0.02 * (4 * 9 - 6)
    assert measured.profit * 4 == pytest.approx(ring - one - audits)
    assert measured.harm > 0


def list_needed_without_audits(memory: Memory, view: View, slot: int) -> list[PartKey]:
    """An honest node that does not see which audits are raised, and so votes on its sample only."""
    return [part for part in list_needed(memory, view, slot) if part.kind is not PartKind.RAISED]


def test_the_simulator_flips_as_many_votes_on_samples_as_the_formula_says() -> None:
    nodes, ring = 60, VoteRing()
    flipped = {}
    for colluders in (4, 11, 20):
        names = tuple(f"node-{at + 1}" for at in range(nodes))
        members = names[-colluders:]
        settings = tuple(
            NodeSetting(
                name=name,
                stake=TRIAL_TERMS.minimum_stake,
                strategy=ring if name in members else None,
                coalition=members,
                is_watchful=name in members,
                list_needed=list_needed if name in members else list_needed_without_audits,
            )
            for name in names
        )
        setting = WorldSetting(
            terms=fit_bounty(TRIAL_TERMS, 1), nodes=settings, rounds=1, are_signatures_real=False
        )
        world = World(setting, make_trial_task())
        view = world.run().rounds[0]
        addresses = {node.address for node in world.nodes if node.name in members}
        bad = [each for each in view.submissions if each.node in addresses]
        flipped[colluders] = sum(each.votes > 0 for each in bad) / len(bad)

    for colluders, rate in flipped.items():
        assert rate == pytest.approx(compute_flip(nodes, colluders, SAMPLE), abs=0.25), flipped


def test_a_lazy_checker_breaks_even_at_the_rate_of_planted_work_that_the_formula_says() -> None:
    """By drawing lots: a submission has three checkers, and a planted one gives its finders a quarter."""
    chance, slash, lapse, cost = Random(3), 7.0, 1.0, 0.02
    rate = compute_canaries(cost, slash / 4, lapse, CHECKERS, 1.0)
    checks, edge = 400_000, 0.0

    for _ in range(checks):
        edge += (slash / 4 / CHECKERS + lapse if chance.random() < rate else 0.0) - cost

    assert 0.01 < rate < 0.02
    assert edge / checks == pytest.approx(0.0, abs=0.001)


def test_a_hidden_lie_is_paid_where_all_its_checkers_are_friends() -> None:
    """The law's own draw, against the formula: f for each of three checkers."""
    nodes = [NodeKey(bytes([at]) * 32) for at in range(60)]
    friends, ballot = set(nodes[:30]), Ballot(dict.fromkeys(nodes, 10**9))
    seeds = (blake3(at.to_bytes(4, "big")).digest() for at in range(20_000))

    accepted = sum(set(ballot.draw(seed, CHECKERS, [nodes[0]])) <= friends for seed in seeds)

    # The liar itself cannot be drawn: 29 friends among 59, then 28 among 58, then 27 among 57.
    assert accepted / 20_000 == pytest.approx(29 * 28 * 27 / (59 * 58 * 57), abs=0.01)
    assert accepted / 20_000 == pytest.approx(compute_unseen(CHECKERS, 0.5), abs=0.02)


def test_under_roundwork_1_advice_has_the_margin_of_three_checkers() -> None:
    stakes = Stakes(0.0, 7.0)

    careful, lazy = advise_drawn(stakes, 3, 0.0, 0.02, 1.0), advise_drawn(stakes, 3, 0.9, 0.02, 1.0)

    assert careful.caught == 1.0
    assert careful.edge == pytest.approx(-7.7)
    assert lazy.caught == pytest.approx(1 - 0.9**3)
    assert careful.lazy_limit == lazy.lazy_limit == 0.99


@pytest.mark.parametrize(("nodes", "share"), [(5, 0.2), (20, 0.2), (20, 1 / 3), (100, 1 / 3), (1000, 0.1)])
def test_from_the_waking_stake_on_a_juror_does_not_save_by_voting_unseen(nodes: int, share: float) -> None:
    false, planted = compute_false_accusations(nodes, share), compute_planted_rate(nodes, share) * nodes

    least = compute_waking_stake(nodes, share, 0.02)

    part = false / (false + planted)
    assert compute_juror_edge(part, least / 100, 0.0, 0.02) == pytest.approx(0)
    assert least < 10  # in rewards: the table of attacks is played with 10


def test_so_many_accusations_are_false_that_a_juror_looks() -> None:
    """Looking pays where the creator accuses as many good submissions as advised, and not where it is one."""
    bond, audit_cost, duty, seats = 1.0, 0.02, 0.1, 51
    planted = compute_planted_rate(100, 1 / 3) * 100
    false = compute_false_accusations(100, 1 / 3)

    enough, too_few = false / (false + planted), 0.5 / (0.5 + planted)

    assert compute_juror_edge(enough, duty, bond / seats, audit_cost) > 0
    assert compute_juror_edge(too_few, duty, bond / seats, audit_cost) < 0
    assert [0.5, 0.5] == [compute_false_accusations(20, share) for share in (0.2, 1 / 3)]


@pytest.mark.parametrize("audits", [1, 3, 19])
def test_times_divide_what_an_honest_round_costs(audits: int) -> None:
    usual, slow = derive_costs(15.0, 1.0, audits), derive_costs(1500.0, 100.0, audits)
    dear = derive_costs(1.0, 1.0, audits)

    assert Costs(0.3, 0.02) == usual == slow
    assert dear.work == dear.audit
    total = 0.3 + audits * 0.02
    assert dear.work + audits * dear.audit == pytest.approx(total, rel=0.01)
    with pytest.raises(ValueError, match="take no time"):
        derive_costs(0.0, 0.0, audits)


def test_the_numbers_of_roundwork_1_are_those_of_the_law() -> None:
    assert (CHECKERS, SUBMISSIONS_MIN) == (sealed.CHECKERS, sealed.SUBMISSIONS_MIN)
