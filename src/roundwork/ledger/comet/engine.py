"""The engine of a ledger on CometBFT: the way from our RPC into CometBFT's pool."""

import asyncio
import base64
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import httpx2
import msgspec

from ...errors import Malformed, PoolFull, RemoteError, RoundworkError, Void
from ...protocol.ticks import get_newest_tick
from ...protocol.transaction import Transaction
from ...wire import decode_json
from .application import Application
from .home import POOL_TRANSACTIONS_MAX, RPC_BATCH_MAX
from .proposal import Candidate

TIMEOUT_SECONDS = 10.0
REQUESTS_MAX = 4
"""The most batches that are on their way to CometBFT at one time."""


class _Delivery(NamedTuple):
    turn: int
    """0 for nodes' work, 1 for everything else."""
    arrival: int
    wire: bytes
    done: asyncio.Future[RoundworkError | None]


class _Error(msgspec.Struct):
    message: str
    data: str = ""


class _Reply(msgspec.Struct):
    id: int
    error: _Error | None = None


class CometEngine:
    """Hands transactions to CometBFT. Deliveries that come in together travel in one request.

    CometBFT's `broadcast_tx_sync` answers when the application has checked the transaction, up to 20 ms
    later, and each transaction of a batch waits for the one before. The application is in this process, so it
    checks first, and `broadcast_tx_async` then says that CometBFT has taken the transaction.
    Source: docs/decisions/0043.
    """

    def __init__(self, application: Application, address: str) -> None:
        self._application = application
        self._waiting: asyncio.PriorityQueue[_Delivery] = asyncio.PriorityQueue(POOL_TRANSACTIONS_MAX)
        self._arrivals = itertools.count()
        scheme, _, place = address.partition("://")
        transport = httpx2.AsyncHTTPTransport(uds=place) if scheme == "unix" else None
        base = "http://comet" if scheme == "unix" else f"http://{place}"
        self._client = httpx2.AsyncClient(transport=transport, base_url=base, timeout=TIMEOUT_SECONDS)
        self._senders = [asyncio.create_task(self._send()) for _ in range(REQUESTS_MAX)]

    async def submit(self, items: Sequence[tuple[bytes, Transaction]]) -> list[RoundworkError | None]:
        """Deliver a batch: for each the error that refused it, or None: CometBFT has taken it."""
        candidates = await self._application.known.look_at_decoded(items)
        return await asyncio.gather(*[self._deliver(candidate) for candidate in candidates])

    def _deliver(self, candidate: Candidate) -> asyncio.Future[RoundworkError | None]:
        done: asyncio.Future[RoundworkError | None] = asyncio.get_running_loop().create_future()
        try:
            is_work = self._application.take_in(candidate)
            self._waiting.put_nowait(_Delivery(not is_work, next(self._arrivals), candidate.wire, done))
        except (Void, PoolFull) as error:
            done.set_result(error)
        except asyncio.QueueFull:
            self._application.waiting.leave([candidate.wire])
            full = f"{POOL_TRANSACTIONS_MAX} transactions wait for CometBFT; send again later"
            done.set_result(PoolFull(full))
        return done

    def get_slot(self) -> int:
        """The slot of the next block at the earliest.

        A block has the time of the votes on the block before, so the time of the next block is not known:
        only the slot of the last block is certain.
        """
        return self._application.chain.state.head.slot

    def get_newest_tick(self) -> tuple[bytes, int]:
        """The tick that a transaction sent now names, and its slot."""
        return get_newest_tick(self._application.chain.state, self.get_slot())

    async def close(self) -> None:
        """Stop delivering."""
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        await self._client.aclose()

    async def _send(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < RPC_BATCH_MAX and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            errors = await self._broadcast([delivery.wire for delivery in batch])
            for delivery, error in zip(batch, errors, strict=True):
                self._note(delivery.wire, error)
                if delivery.done.cancelled():  # its sender did not wait
                    continue
                delivery.done.set_result(error)

    def _note(self, wire: bytes, error: RoundworkError | None) -> None:
        """Keep the place of a transaction that CometBFT has taken, and give up that of another."""
        application = self._application
        if error is None:
            application.waiting.see(wire, application.chain.state.head.height)
        else:
            application.waiting.leave([wire])

    async def _broadcast(self, wires: list[bytes]) -> list[RoundworkError | None]:
        """Hand transactions to CometBFT; for each the error that refused it, or None."""
        calls = [
            {
                "jsonrpc": "2.0",
                "id": position,
                "method": "broadcast_tx_async",
                "params": {"tx": base64.b64encode(wire).decode()},
            }
            for position, wire in enumerate(wires)
        ]
        try:
            response = await self._client.post("/", content=msgspec.json.encode(calls))
            replies = decode_json(response.content, list[_Reply] | _Reply)
        except (httpx2.HTTPError, Malformed) as error:
            failure = RemoteError(f"CometBFT did not take the transaction: {error!r}")
            return [failure for _ in wires]
        errors: list[RoundworkError | None] = [None for _ in wires]
        for reply in replies if isinstance(replies, list) else [replies]:
            if reply.error is not None and 0 <= reply.id < len(errors):
                errors[reply.id] = _read_refusal(f"{reply.error.message}: {reply.error.data}")
        return errors


def _read_refusal(text: str) -> RoundworkError | None:
    """The error that CometBFT's text means; None if it has the same transaction already."""
    if "already exists in cache" in text:
        return None
    if "is full" in text or "recheck" in text:
        return PoolFull(f"CometBFT's pool takes nothing now ({text}); send again later")
    return RemoteError(f"CometBFT refused the transaction: {text}")
