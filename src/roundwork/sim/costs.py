"""How long the work of a round and an audit take: a small honest world of a task is played and timed."""

from statistics import median
from typing import NamedTuple

from ..participant.plays import HONEST
from .attack import Place, check_honest_world
from .simulation import WorldSetting
from .world import STAKE_FACTOR, fit_bounty, make_nodes
from .worlds import make_world

NODES, ROUNDS = 5, 1


class Seconds(NamedTuple):
    """Times on this machine, in seconds; the median of all calls."""

    work: float
    """Of the work of a round and its submission."""
    audit: float


def measure_seconds(place: Place) -> Seconds:
    """Time a task's functions. Raises TaskFailed for a task that does not work."""
    setting = WorldSetting(
        terms=fit_bounty(place.terms, ROUNDS),
        nodes=make_nodes([HONEST] * NODES, [STAKE_FACTOR * place.terms.minimum_stake]),
        rounds=ROUNDS,
        params=place.params,
        secrets=place.secrets,
        are_signatures_real=False,
    )
    world = make_world(setting, place.task, place.network)
    result = world.run()
    check_honest_world(world, result)
    seconds = world.timings.seconds
    return Seconds(median(seconds["work"]) + median(seconds["submission"]), median(seconds["audit"]))
