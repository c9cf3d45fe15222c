"""The world of a setting, by the rule set of its task."""

from typing import TYPE_CHECKING, TypeAlias

from ..protocol.params import ROUNDWORK_1
from ..sdk.task import Task
from .services import Network
from .simulation import Trace, WorldSetting
from .world import World

if TYPE_CHECKING:
    from .sealed import SealedWorld

AnyWorld: TypeAlias = "World | SealedWorld"


def make_world(
    setting: WorldSetting, task: Task, network: Network | None = None, trace: Trace | None = None
) -> AnyWorld:
    """A world of this setting, whose nodes play as their roles say. Raises BadConfig."""
    if setting.terms.rules != ROUNDWORK_1.name:
        return World(setting, task, network, trace)
    from ..sealed_strategies import ROLES
    from .sealed import SealedWorld

    strategies = {node.name: ROLES[node.role]() for node in setting.nodes}
    return SealedWorld(setting, task, network, trace, strategies=strategies)
