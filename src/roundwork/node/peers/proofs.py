"""The proofs that submissions under roundwork-1 name: kept, served, and fetched from other nodes."""

import asyncio
from collections.abc import Callable, Mapping

from ...protocol.tasks.commitments import ID_BYTES, PIECE_BYTES, PIECES_MAX
from .outgoing import Fetcher
from .storage import BlobStore, fetch_blob

PROOF_BYTES_MAX = PIECE_BYTES * PIECES_MAX
"""A larger proof cannot be posted, so it counts as one that cannot be had."""


class Proofs:
    """The proofs of one task on a node. What is fetched is kept with its round, and served like our own.

    `node` is this node's address; `get_endpoints` gives the URL of each of the task's nodes.
    """

    def __init__(
        self,
        task: str,
        node: str,
        store: BlobStore,
        fetcher: Fetcher,
        get_endpoints: Callable[[], Mapping[str, str]],
    ) -> None:
        self._task = task
        self._node = node
        self._store = store
        self._fetcher = fetcher
        self._get_endpoints = get_endpoints

    async def get(self, value: str) -> bytes | None:
        """The proof that a value names, if it is here and can be posted."""
        proof = await asyncio.to_thread(self._store.get, value[:ID_BYTES])
        return proof if proof is not None and 1 <= len(proof) <= PROOF_BYTES_MAX else None

    async def fetch(self, value: str, round_number: int, owner: str) -> bytes | None:
        """The proof that a value of `owner` names: from here, from `owner`, from other nodes.

        None if none of them has it now, or if it is too large. Raises StoreFull.
        """
        proof = await self.get(value)
        if proof is not None:
            return proof
        endpoints = dict(self._get_endpoints())
        endpoints.pop(self._node, None)
        first = endpoints.pop(owner, None)
        urls = [*filter(None, (first, *endpoints.values()))]
        proof = await fetch_blob(value[:ID_BYTES], self._fetcher, urls, PROOF_BYTES_MAX)
        if proof:
            await asyncio.to_thread(self._store.put, proof, self._task, round_number)
        return proof or None
