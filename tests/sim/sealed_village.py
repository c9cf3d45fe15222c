"""Small worlds under roundwork-1 for tests: a task whose work is personal, and whose value names a proof."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from roundwork import Task
from roundwork.protocol.execute import Outcome
from roundwork.protocol.tasks.events import Event
from roundwork.sealed_strategies import ROLES, SealedStrategy
from roundwork.sim.sealed import SealedWorld
from roundwork.sim.sealed_attack import make_trial_task
from roundwork.sim.sealed_laws import SealedLaws
from roundwork.sim.simulation import NodeSetting, Result, WorldSetting
from roundwork.sim.world import fit_bounty

from .strangers import check
from .village import PACKAGE

TERMS = msgspec.structs.replace(
    PACKAGE,
    rules="roundwork-1",
    round_time=60,
    submission_window=11,
    audit_window=48,
    minimum_stake=10**9,
    bounty_per_round=10**9,
)
STAKE = TERMS.minimum_stake


def make_setting(roles: Sequence[str] = ("honest",) * 5, rounds: int = 2, **changes: Any) -> WorldSetting:
    """A world of nodes with these roles."""
    nodes = tuple(NodeSetting(name=f"node-{at + 1}", role=role, stake=STAKE) for at, role in enumerate(roles))
    fields: dict[str, Any] = {"terms": fit_bounty(TERMS, rounds), "nodes": nodes, "rounds": rounds, "seed": 1}
    return WorldSetting(**{**fields, **changes})


class Village:
    """A world that is played to its end, with every invariant checked after each block."""

    def __init__(
        self,
        setting: WorldSetting,
        task: Task | None = None,
        strategies: dict[str, SealedStrategy] | None = None,
    ) -> None:
        self.lines: list[str] = []
        self.events: list[Event] = []
        known = strategies or {node.name: ROLES[node.role]() for node in setting.nodes}
        self.world = SealedWorld(
            setting,
            task or make_trial_task(),
            trace=lambda slot: self.lines.append(json.dumps(slot)),
            watch=self._watch,
            strategies=known,
        )
        self._laws = SealedLaws(self.world.ledger.state, self.world.task)
        self.result: Result = self.world.run()

    def _watch(self, world: SealedWorld, outcome: Outcome) -> None:
        self.events += outcome.events
        check(self._laws, world, outcome)

    def get_address(self, name: str) -> str:
        """The address of a node."""
        return next(node.address for node in self.world.nodes if node.name == name)

    def get_net(self, name: str, round_number: int = 0) -> int:
        """What a round gave a node, less what it took, in roe."""
        hardened = self.result.rounds[round_number].hardened
        assert hardened is not None
        return hardened.nets.get(self.get_address(name), 0)

    def get_verdict(self, name: str, round_number: int = 0) -> str:
        """The verdict on a node's submission; empty if it submitted nothing."""
        shown = {each.node: each.verdict for each in self.result.rounds[round_number].submissions}
        return shown.get(self.get_address(name), "")
