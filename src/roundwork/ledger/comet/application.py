"""The application behind CometBFT: it answers each call of CometBFT from the chain.

The order of writes is what makes it safe. FinalizeBlock moves the state in memory and writes nothing;
Commit makes the block durable in the journal; a checkpoint of block h becomes durable only after
FinalizeBlock of h+1 has come, because CometBFT has then saved h. Info answers the checkpoint, so CometBFT
delivers again what the checkpoint lacks, and the application is never ahead, in whatever order the two
crash. Source: docs/decisions/0040.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ...errors import EngineFailed, PoolFull, StoreCorrupt, Undecodable, Void
from ...protocol.admission import admit, check_signatures
from ...protocol.execute import Block, Kind, Outcome, Receipt, compute_slot, encode_receipt, next_block
from ...protocol.genesis import hash_genesis
from ...protocol.params import LAW_VERSION, Key
from ...wire import decode_json
from ..chain import Chain
from .home import POOL_TRANSACTIONS_MAX, AppState
from .proposal import Candidate, Known, Waiting, check_proposal, choose
from .schema import CheckTxType, ExecTxResult, Response, SnapshotResult, Verdict

CODESPACE = "roundwork"

log = logging.getLogger(__name__)


class Application:
    """Answers CometBFT. `caught_up` is set once the chain stands where it stood before a restart."""

    def __init__(self, chain: Chain, chain_id: str, producers: dict[bytes, Key], known: Known) -> None:
        self.chain = chain
        self.chain_id = chain_id
        self.producers = producers
        self.known = known
        self.waiting = Waiting(POOL_TRANSACTIONS_MAX)
        self.caught_up = asyncio.Event()
        self._uncommitted: tuple[Block, Outcome] | None = None

    async def answer(self, requests: list[Any]) -> list[Any]:
        """One response to each request, in order. Raises EngineFailed, StoreCorrupt, StoreFull."""
        delivered = [r.check_tx.tx for r in requests if r.WhichOneof("value") == "check_tx"]
        candidates = iter(await self.known.look_at(delivered))
        return [await self._answer(request, candidates) for request in requests]

    async def _answer(self, wrapped: Any, candidates: Iterator[Candidate]) -> Any:
        kind = wrapped.WhichOneof("value")
        wrapping = Response()
        request, response = getattr(wrapped, kind), getattr(wrapping, kind)
        response.SetInParent()
        match kind:
            case "check_tx":
                self._check_tx(request, response, next(candidates))
            case "finalize_block":
                await self._finalize_block(request, response)
            case "commit":
                await self._commit()
            case "prepare_proposal":
                await self._prepare_proposal(request, response)
            case "process_proposal":
                await self._process_proposal(request, response)
            case "info":
                self._info(response)
            case "init_chain":
                self._init_chain(request, response)
            case "query":
                self._query(request, response)
            case "echo":
                response.message = request.message
            case "offer_snapshot" | "apply_snapshot_chunk":
                response.result = SnapshotResult.ABORT  # our validators take part from the first block on
            case "verify_vote_extension":
                response.status = Verdict.ACCEPT if not request.vote_extension else Verdict.REJECT
            case _:
                assert kind in ("flush", "list_snapshots", "load_snapshot_chunk", "extend_vote")
        return wrapping

    # The handshake

    def _info(self, response: Any) -> None:
        head = self.chain.checkpointed
        response.data, response.version, response.app_version = "roundwork", str(LAW_VERSION), LAW_VERSION
        response.last_block_height = head.height
        response.last_block_app_hash = head.state_hash if head.height else b""

    def _init_chain(self, request: Any, response: Any) -> None:
        """Check the genesis.

        CometBFT calls this whenever Info says 0; `init` has founded the chain already.
        """
        state = self.chain.state
        if request.chain_id != self.chain_id:
            raise EngineFailed(f"CometBFT founds {request.chain_id}; the ledger here is {self.chain_id}")
        founded = decode_json(request.app_state_bytes, AppState).ledger
        if hash_genesis(founded) != state.genesis_hash:
            raise EngineFailed(f"the app_state that CometBFT founds {request.chain_id} on is not our genesis")
        if (request.initial_height, state.head.height) != (1, 0):
            raise EngineFailed(
                f"CometBFT founds at height {request.initial_height}; the state is at {state.head.height}"
            )
        response.app_hash = state.head.state_hash

    def _query(self, request: Any, response: Any) -> None:
        """The head, for operators who query through CometBFT; our own RPC answers everything else."""
        head = self.chain.state.head
        if request.path != "/head":
            response.code, response.codespace = 1, CODESPACE
            response.log = f"the path {request.path!r} is unknown; /head is known"
            return
        response.height = head.height
        response.value = msgspec.json.encode(
            {
                "height": head.height,
                "slot": head.slot,
                "block_hash": head.block_hash.hex(),
                "state_hash": head.state_hash.hex(),
            }
        )

    # The pool

    def take_in(self, candidate: Candidate) -> bool:
        """Give a transaction a place among those that wait; whether it is the work of a node.

        Raises Void if it would be void in the next block, PoolFull if it finds no room.
        """
        if candidate.transaction is None:
            raise Undecodable(candidate.reason)
        check_signatures(candidate.is_verified)
        admit(self.chain.state, self.chain.state.head.slot, candidate.transaction)
        return self.waiting.enter(self.chain.state, candidate)

    def _check_tx(self, request: Any, response: Any, candidate: Candidate) -> None:
        try:
            self.take_in(candidate)
        except (Void, PoolFull) as error:
            response.code, response.codespace = Kind.VOID, CODESPACE
            response.log = f"{type(error).__name__}: {error}"
            self.waiting.leave([request.tx])
            if request.type == CheckTxType.RECHECK:
                self.known.forget([request.tx])
        else:
            self.waiting.see(request.tx, self.chain.state.head.height)

    # Blocks

    async def _prepare_proposal(self, request: Any, response: Any) -> None:
        candidates = await self.known.look_at(request.txs)
        self._check_new(request.height)
        self._check_next(request.height)
        state = self.chain.state
        slot, _ = compute_slot(state.genesis, state.head, get_time_ms(request.time))
        response.txs.extend(choose(state, slot, candidates, request.max_tx_bytes))

    async def _process_proposal(self, request: Any, response: Any) -> None:
        candidates = await self.known.look_at(request.txs)
        self._check_new(request.height)
        self._check_next(request.height)
        try:
            check_proposal(candidates)
        except EngineFailed as error:
            log.warning("refused a proposal of block %s: %s", request.height, error)
            response.status = Verdict.REJECT
        else:
            response.status = Verdict.ACCEPT

    async def _finalize_block(self, request: Any, response: Any) -> None:
        """Execute a block in memory. The same block again, before its Commit, has the same answer."""
        candidates = await self.known.look_at(request.txs)
        if self._uncommitted is None:
            self._uncommitted = self._execute(request, candidates)
        block, outcome = self._uncommitted
        if (request.height, tuple(request.txs)) != (block.height, block.transactions):
            raise EngineFailed(f"block {request.height} came while block {block.height} waits for its commit")
        response.tx_results.extend(compose_results(outcome.receipts))
        response.app_hash = outcome.state_hash

    def _execute(self, request: Any, candidates: Sequence[Candidate]) -> tuple[Block, Outcome]:
        self._check_next(request.height)
        time_ms = get_time_ms(request.time)
        state = self.chain.state
        self.chain.allow_checkpoint(state.head.height)
        block = next_block(
            state,
            time_ms,
            request.txs,
            self.producers[request.proposer_address],
            encode_evidence(request.misbehavior),
        )
        if block.time_ms != time_ms:
            raise EngineFailed(
                f"block {request.height} is dated {time_ms} ms, before its parent's {block.time_ms}"
            )
        outcome = self.chain.execute(
            block,
            [candidate.is_verified for candidate in candidates],
            [candidate.transaction for candidate in candidates],
        )
        return block, outcome

    async def _commit(self) -> None:
        if self._uncommitted is None:
            raise EngineFailed("Commit came without a block")
        block, outcome = self._uncommitted
        await asyncio.to_thread(self.chain.persist, block, outcome)
        self.chain.publish(block, outcome)
        self._uncommitted = None
        self.known.forget(block.transactions)
        self.waiting.leave(block.transactions)
        self.waiting.forget_unseen(block.height)
        if self.chain.is_behind():
            await asyncio.to_thread(self.chain.wait_for_history)
        if block.height >= self.chain.journal.height:
            self.caught_up.set()

    def _check_new(self, height: int) -> None:
        """Raises StoreCorrupt if CometBFT makes a block of a height that the journal has already.

        CometBFT delivers all its blocks again before it proposes one, so the journal has no other.

        Without this a validator whose blocks are lost would wait for ever: it may not sign them again.
        """
        journal = self.chain.journal
        if height <= journal.height:
            raise StoreCorrupt(
                f"{journal.path} ends at block {journal.height}, and CometBFT wants to make block {height}: "
                "its data is gone, or an old copy. Put its newest data back"
            )

    def _check_next(self, height: int) -> None:
        head = self.chain.state.head
        if height != head.height + 1 or self._uncommitted is not None:
            raise EngineFailed(f"CometBFT is at block {height}; the state is at {head.height}")


def get_time_ms(time: Any) -> int:
    """Milliseconds since 1970 of CometBFT's time, which has nanoseconds."""
    seconds, nanos = time.seconds, time.nanos
    return int(seconds) * 1000 + int(nanos) // 1_000_000


def encode_evidence(misbehavior: Sequence[Any]) -> bytes:
    """The canonical bytes of the misbehaviour that a block reports; empty if it reports none."""
    if not misbehavior:
        return b""
    return msgspec.msgpack.encode([_list_fields(report) for report in misbehavior])


def _list_fields(report: Any) -> tuple[int, bytes, int, int, int]:
    validator = report.validator
    return report.type, validator.address, validator.power, report.height, get_time_ms(report.time)


def compose_results(receipts: Sequence[Receipt]) -> list[Any]:
    """One result for each transaction. CometBFT's headers commit to `code` and `data`, not to `log`."""
    return [
        ExecTxResult(code=receipt.kind, data=encode_receipt(receipt), log=receipt.text)
        for receipt in receipts
    ]
