"""An application without RPC, as a process of its own: `application.py MODE DIRECTORY … FD`.

Modes: `usual` checkpoints as a ledger does; `eager` makes a checkpoint of every block durable at the first
moment the order allows, before it answers; `hasty` plants a fault: it allows a checkpoint already at Commit;
`forgetful` is `usual`, and remembers the signatures of two transactions only.
"""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

from roundwork.ledger import chain as chains
from roundwork.ledger.chain import Chain
from roundwork.ledger.comet import proposal
from roundwork.ledger.comet.home import Home
from roundwork.ledger.comet.seam import Seam, open_seam


def hurry(seam: Seam, is_hasty: bool) -> None:
    """Have every checkpoint on disk before the call that allows it is answered."""
    chain, answer = seam.chain, seam.server.answer

    async def answer_eagerly(requests: list[Any]) -> list[Any]:
        settle(chain)
        responses = await answer(requests)
        if is_hasty and requests[0].WhichOneof("value") == "commit":
            settle(chain)
            chain.allow_checkpoint(chain.state.head.height)
        settle(chain)
        return responses

    seam.server.answer = answer_eagerly


def settle(chain: Chain) -> None:
    """Wait until history and checkpoint have done what they may."""
    assert chain.history.wait_for(chain.journal.height, 20)
    chain._writer.submit(lambda: None).result()


async def main(directory: Path, listening: socket.socket, mode: str) -> None:
    async with open_seam(Home(directory), listening) as seam:
        if mode == "forgetful":
            proposal.KNOWN_MAX = 2
        elif mode != "usual":
            chains.CHECKPOINT_BLOCKS = 1
            hurry(seam, mode == "hasty")
        await seam.server.ended


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[2]), socket.socket(fileno=int(sys.argv[-1])), sys.argv[1]))
