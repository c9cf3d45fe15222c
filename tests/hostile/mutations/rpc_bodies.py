"""RPC bodies: requests and batches of docs/RPC.md, and transactions in them, mutated."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import httpx2

from ...ledger.process import running
from .bend import bend_bytes, bend_json
from .room import (
    DOCUMENTED,
    Honest,
    InProcess,
    Names,
    OpenLedger,
    OverHttp,
    Poster,
    check_answer,
    fill,
    make_names,
    open_ledger,
    renew_names,
)
from .surface import Wrong

REQUESTS = [request for request in DOCUMENTED if not request["method"].endswith("Subscribe")]
SENDING = ("sendTransaction", "simulateTransaction", "getFeeForMessage")


class Body(NamedTuple):
    """A body before its names are filled in; or a method and how the bytes of its transaction are bent."""

    raw: bytes
    method: str = ""
    seed: int = 0


class RpcBodies:
    """Bodies against one ledger."""

    def __init__(self, poster: Poster, names: Names, honest: Honest) -> None:
        self._poster = poster
        self._names = names
        self._honest = honest

    def make(self, random: Random) -> Body:
        kind = random.random()
        if kind < 0.12:
            return Body(b"", random.choice(SENDING), random.randrange(2**32))
        if kind < 0.2:
            batch = random.choices(REQUESTS, k=random.choice((1, 2, 5)))
            return Body(bend_json(random, batch, REQUESTS))
        return Body(bend_json(random, random.choice(REQUESTS), REQUESTS))

    async def attack(self, made: Body) -> None:
        body = self._compose_sending(made) if made.method else fill(made.raw, self._names)
        status, answer = await self._poster.post(body)
        if status != 200:
            raise Wrong(f"status {status}: {answer!r:.500}")
        check_answers(body, answer)

    async def confirm(self) -> None:
        await self._honest.use()
        self._names |= await renew_names(self._poster)

    def _compose_sending(self, made: Body) -> bytes:
        """A request with a transaction whose bytes are bent, under a tick that is valid."""
        random = Random(made.seed)
        wires = [base64.b64decode(self._names[name]) for name in ("wire", "wire2")]
        bent = bend_bytes(random, wires[0] if made.method != "getFeeForMessage" else wires[0][65:], wires)
        config = {
            "encoding": "base64",
            "skipPreflight": random.random() < 0.5,
            "sigVerify": random.random() < 0.5,
        }
        params = [base64.b64encode(bent).decode(), config if made.method != "getFeeForMessage" else {}]
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": made.method, "params": params}).encode()


def check_answers(body: bytes, answer: bytes) -> None:
    """Raises Wrong unless every request in a body has its response, in order, and nothing else has one."""
    requests = _read(body)
    if not answer:
        asks = requests if isinstance(requests, list) else [requests]
        if not all(isinstance(each, dict) and "id" not in each for each in asks if each is not None):
            raise Wrong("no answer to a body that asks for one")
        return
    try:
        responses = json.loads(answer)
    except ValueError as error:
        raise Wrong(f"the answer is no JSON: {error}: {answer!r:.300}") from error
    for response in responses if isinstance(responses, list) else [responses]:
        check_answer(response)
    if isinstance(requests, dict) and not isinstance(responses, dict):
        raise Wrong("a request alone has one response")
    if isinstance(requests, dict) and "result" in responses and responses["id"] != requests.get("id"):
        raise Wrong(f"the response to {requests.get('id')!r} has the id {responses['id']!r}")
    if isinstance(requests, list) and isinstance(responses, list):
        wanted = [each for each in requests if not isinstance(each, dict) or "id" in each]
        if len(responses) > len(requests) or len(responses) < len(wanted):
            raise Wrong(f"{len(responses)} responses to {len(wanted)} requests")


def _read(body: bytes) -> Any:
    """What a body says, read by another decoder than the ledger's; None for what that cannot read."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


class _Checked(RpcBodies):
    """The same, with a look into the books."""

    def __init__(self, ledger: OpenLedger, honest: Honest) -> None:
        super().__init__(InProcess(ledger.app), ledger.names, honest)
        self._ledger = ledger

    async def confirm(self) -> None:
        await super().confirm()
        self._ledger.check_books()


@asynccontextmanager
async def open_bodies(directory: Path) -> AsyncIterator[RpcBodies]:
    async with open_ledger(directory) as ledger:
        honest = Honest(InProcess(ledger.app))
        await honest.begin()
        yield _Checked(ledger, honest)


@asynccontextmanager
async def open_bodies_process(directory: Path) -> AsyncIterator[RpcBodies]:
    with running(directory / "ledger") as ledger:
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
            poster = OverHttp(http, ledger.url)
            names = await make_names(ledger.url) | await renew_names(poster)
            honest = Honest(poster)
            await honest.begin()
            yield RpcBodies(poster, names, honest)
        if ledger.process.poll() is not None:
            raise Wrong(f"the ledger ended with {ledger.process.returncode}")
