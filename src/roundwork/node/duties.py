"""Duties: when one that failed is tried again, and how stake is added."""

from collections.abc import Collection

from ..client.operations import build_stake, deliver, sign
from ..client.rpc import Client
from ..errors import Rejected, Void
from ..participant.step import Duty
from .lookout import Identity
from .memory import MemoryFile

FIRST_SLOTS = 4
DOUBLINGS_MAX = 10


class Postponed:
    """A duty that failed waits for a few slots, and twice as long each time it fails again."""

    def __init__(self) -> None:
        self._waits: dict[Duty, tuple[int, int]] = {}
        """By duty: the slot from which it is due again, and how often it failed."""

    def put(self, duty: Duty, slot: int) -> None:
        """Note a failure in a slot."""
        _, failures = self._waits.get(duty, (0, 0))
        pause = FIRST_SLOTS * 2 ** min(failures, DOUBLINGS_MAX)
        self._waits[duty] = (slot + pause, failures + 1)

    def is_due(self, duty: Duty, slot: int) -> bool:
        """Whether a duty may be tried in a slot."""
        return duty not in self._waits or self._waits[duty][0] <= slot

    def keep(self, owed: Collection[Duty]) -> None:
        """Forget the duties that are not owed any more."""
        self._waits = {duty: wait for duty, wait in self._waits.items() if duty in owed}


async def top_up(client: Client, identity: Identity, task: str, amount: int, file: MemoryFile) -> None:
    """Add roe to the stake, and give the ledger the endpoint at which peers reach the node.

    The signed transaction is on disk before it is sent: a node that is killed in between sends it again, and
    it runs once. Raises Rejected, Void.
    """
    signed = file.on_its_way
    if signed is None:
        instructions = await build_stake(
            client, identity.payer, identity.staking, task, amount, identity.endpoint
        )
        signed = await sign(client, instructions, [identity.payer, identity.staking])
        file.on_its_way = signed
    try:
        await deliver(client, signed)
    except (Rejected, Void):
        file.on_its_way = None
        raise
    file.on_its_way = None
