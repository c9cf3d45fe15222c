"""The proofs that submissions under roundwork-1 name: kept, served, and fetched from other nodes."""

import asyncio
from collections.abc import Callable, Mapping

from ...client.rpc import Client
from ...package.content import compute_content_id
from ...protocol.tasks.commitments import ID_BYTES, PIECE_BYTES, PIECES_MAX
from .endpoints import read_endpoint
from .outgoing import Fetcher
from .storage import BlobStore, fetch_blob

PROOF_BYTES_MAX = PIECE_BYTES * PIECES_MAX
"""A larger proof cannot be posted, so it counts as one that cannot be had."""


class Proofs:
    """The proofs of one task on a node. What is fetched is kept with its round, and served like our own.

    `node` is this node's address; `get_endpoints` gives the URL of each of the task's nodes that this node
    knows. In a large network that is for some time not the URL of a node that has just staked or has moved:
    the ledger is then requested.
    """

    def __init__(
        self,
        client: Client,
        task: str,
        node: str,
        store: BlobStore,
        fetcher: Fetcher,
        get_endpoints: Callable[[], Mapping[str, str]],
    ) -> None:
        self._client = client
        self._task = task
        self._node = node
        self._store = store
        self._fetcher = fetcher
        self._get_endpoints = get_endpoints

    async def get(self, value: str) -> bytes | None:
        """The proof that a value names, if it is here and can be posted."""
        proof = await asyncio.to_thread(self._store.get, value[:ID_BYTES])
        return proof if proof is not None and 1 <= len(proof) <= PROOF_BYTES_MAX else None

    async def fetch(self, value: str, round_number: int, owner: str, is_posted: bool) -> bytes | None:
        """The proof that a value of `owner` names: from here, from the ledger, from `owner`, from others.

        None if none of them has it now, or if it is too large. Raises StoreFull, RemoteError.
        """
        proof = await self.get(value)
        if proof is None and is_posted:
            proof = await self._client.get_posted_proof(self._task, round_number, owner)
        if proof is None or await asyncio.to_thread(compute_content_id, proof) != value[:ID_BYTES]:
            proof = await self._fetch_from_peers(value[:ID_BYTES], owner)
        if proof:  # one that was here for an earlier round is kept for this round, too
            await asyncio.to_thread(self._store.put, proof, self._task, round_number)
        return proof or None

    async def _fetch_from_peers(self, content_id: str, owner: str) -> bytes | None:
        endpoints = dict(self._get_endpoints())
        endpoints.pop(self._node, None)
        known = endpoints.pop(owner, "")
        first = known or await read_endpoint(self._client, self._task, owner)
        urls = [*filter(None, (first, *endpoints.values()))]
        proof = await fetch_blob(content_id, self._fetcher, urls, PROOF_BYTES_MAX)
        if proof is None and known:
            moved_to = await read_endpoint(self._client, self._task, owner)
            if moved_to not in ("", known):
                proof = await fetch_blob(content_id, self._fetcher, [moved_to], PROOF_BYTES_MAX)
        return proof
