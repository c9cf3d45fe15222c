"""Adding to a node's stake: money, so it is on disk before it is sent."""

from ..client.operations import build_stake, deliver, sign
from ..client.rpc import Client
from ..errors import Rejected, Void
from .lookout import Me
from .memory import MemoryFile


async def top_up(client: Client, me: Me, task: str, amount: int, file: MemoryFile) -> None:
    """Add roe to the stake, and tell where peers reach the node.

    A node that is killed in between sends the same transaction again, and it runs once. Raises Rejected,
    Void.
    """
    signed = file.on_its_way
    if signed is None:
        asked = await build_stake(client, me.payer, me.staking, task, amount, me.endpoint)
        signed = await sign(client, asked, [me.payer, me.staking])
        file.on_its_way = signed
    try:
        await deliver(client, signed)
    except (Rejected, Void):
        file.on_its_way = None
        raise
    file.on_its_way = None
