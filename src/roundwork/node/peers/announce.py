"""Give other nodes the address of this node, and read from them the addresses of the rest."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence

import msgspec
from solders.keypair import Keypair

from ...errors import Malformed
from ...wire import decode_json
from ..answers import ServiceError
from ..decoding import run_if_long
from .outgoing import Fetcher
from .registrations import REGISTRATIONS_MAX, BadRegistration, Registrations

CHOSEN_MAX = 3
"""Peers that get a request at a time."""

FIRST_PAUSE_SECONDS = 2.0
LAST_PAUSE_SECONDS = 60.0
ANSWER_SECONDS = 10.0
NODES_BYTES_MAX = 4 * 1024 * 1024

log = logging.getLogger(__name__)


class Announcer:
    """Keeps a node and its peers informed of one another, from `run` to its cancellation.

    `url` is where strangers reach this node, "" for nowhere; `peers` get requests beside the known nodes.
    """

    def __init__(
        self,
        task: str,
        keypair: Keypair,
        url: str,
        registrations: Registrations,
        fetcher: Fetcher,
        peers: Sequence[str],
    ) -> None:
        self._task = task
        self._keypair = keypair
        self._url = url
        self._registrations = registrations
        self._fetcher = fetcher
        self._peers = peers
        self._faults: set[str] = set()
        """Errors that are in the log already."""

    async def run(self) -> None:
        """Announce again and again: soon while no peer knows this node, then at growing pauses."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                is_known = await self.announce()
            except Exception as error:  # noqa: BLE001 -- nothing that a stranger sends may end the announcer
                self._report_fault(error)
                is_known = False
            pause = min(pause * 2, LAST_PAUSE_SECONDS) if is_known else FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)

    async def announce(self) -> bool:
        """Exchange addresses with a few peers; whether any of them knows this node now."""
        known = self._registrations.get_endpoints()
        known.pop(str(self._keypair.pubkey()), None)
        peers = sorted({*known.values(), *self._peers} - {self._url})
        chosen = random.sample(peers, min(CHOSEN_MAX, len(peers)))
        mine = self._registrations.sign(self._keypair, self._url) if self._url else None
        if mine is not None:
            self._add(mine)
        exchanges = [self._exchange(peer.rstrip("/"), mine) for peer in chosen]
        results = await asyncio.gather(*exchanges, return_exceptions=True)
        for failure in results:
            if isinstance(failure, Exception):
                self._report_fault(failure)
        return True in results

    async def _exchange(self, peer: str, mine: bytes | None) -> bool:
        """Whether a peer knows this node now. What it says of other nodes counts if they have signed it."""
        try:
            is_known = mine is None or await self._register(peer, mine)
            answer = await self._fetcher.fetch(
                "GET",
                f"{peer}/nodes/{self._task}",
                hosts=None,
                body_bytes_max=NODES_BYTES_MAX,
                timeout_seconds=ANSWER_SECONDS,
            )
            nodes = await run_if_long(len(answer.body), decode_json, answer.body)
        except (ServiceError, Malformed) as error:
            log.debug("%s: %s", peer, error)
            return False
        for entry in nodes[:REGISTRATIONS_MAX] if isinstance(nodes, list) else ():
            self._add(msgspec.json.encode(entry))
            await asyncio.sleep(0)  # a thousand bad signatures must not hold up the rest of the node
        return is_known

    async def _register(self, peer: str, mine: bytes) -> bool:
        answer = await self._fetcher.fetch(
            "POST",
            f"{peer}/register-node/{self._task}",
            hosts=None,
            headers=[("content-type", "application/json")],
            body=mine,
            timeout_seconds=ANSWER_SECONDS,
        )
        return answer.status == 200

    def _report_fault(self, error: Exception) -> None:
        """Log an error that nothing here should raise, each kind once."""
        if type(error).__name__ not in self._faults:
            self._faults.add(type(error).__name__)
            log.error("announcing failed", exc_info=error)

    def _add(self, registration: bytes) -> None:
        """Take a registration if it is valid.

        If a peer has an endpoint from the ledger only, it has no signature.
        """
        with contextlib.suppress(BadRegistration):
            self._registrations.add(registration)
