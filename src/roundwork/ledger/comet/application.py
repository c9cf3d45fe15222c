"""The application behind CometBFT: each of its calls, answered from the one chain.

Order is everything here. FinalizeBlock moves the state in memory and writes nothing; Commit makes the block
durable in the journal; a checkpoint of block h becomes durable only after FinalizeBlock of h+1 has come,
because CometBFT has then saved h. Info answers the checkpoint, so whatever is missing from it is delivered
again, and no order of crashes leaves the application ahead. Source: docs/decisions/0040.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ...errors import EngineFailed, StoreCorrupt, Undecodable, Void
from ...protocol.admission import admit, check_signatures
from ...protocol.execute import Block, Kind, Outcome, Receipt, compute_slot, encode_receipt, next_block
from ...protocol.genesis import hash_genesis
from ...protocol.params import LAW_VERSION, Key
from ..chain import Chain
from .home import AppState
from .proposal import Candidate, Known, check_proposal, choose
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
        self.caught_up = asyncio.Event()
        self._uncommitted: tuple[Block, Outcome] | None = None

    async def answer(self, requests: list[Any]) -> list[Any]:
        """One response to each request, in order. Raises EngineFailed, StoreCorrupt, StoreFull."""
        delivered = [r.check_tx.tx for r in requests if r.WhichOneof("value") == "check_tx"]
        candidates = iter(await self.known.look_at(delivered))
        return [await self._answer(request, candidates) for request in requests]

    async def _answer(self, request: Any, candidates: Iterator[Candidate]) -> Any:
        kind = request.WhichOneof("value")
        response = Response()
        ask, say = getattr(request, kind), getattr(response, kind)
        say.SetInParent()
        match kind:
            case "check_tx":
                self._check_tx(ask, say, next(candidates))
            case "finalize_block":
                await self._finalize_block(ask, say)
            case "commit":
                await self._commit()
            case "prepare_proposal":
                await self._prepare_proposal(ask, say)
            case "process_proposal":
                await self._process_proposal(ask, say)
            case "info":
                self._info(say)
            case "init_chain":
                self._init_chain(ask, say)
            case "query":
                self._query(ask, say)
            case "echo":
                say.message = ask.message
            case "offer_snapshot" | "apply_snapshot_chunk":
                say.result = SnapshotResult.ABORT  # a node of ours takes part from the first block on
            case "verify_vote_extension":
                say.status = Verdict.ACCEPT if not ask.vote_extension else Verdict.REJECT
            case _:
                assert kind in ("flush", "list_snapshots", "load_snapshot_chunk", "extend_vote")
        return response

    # The handshake

    def _info(self, say: Any) -> None:
        head = self.chain.checkpointed
        say.data, say.version, say.app_version = "roundwork", str(LAW_VERSION), LAW_VERSION
        say.last_block_height = head.height
        say.last_block_app_hash = head.state_hash if head.height else b""

    def _init_chain(self, ask: Any, say: Any) -> None:
        """Comes again whenever Info says 0, so it changes nothing: `init` has founded the chain."""
        state = self.chain.state
        if ask.chain_id != self.chain_id:
            raise EngineFailed(f"CometBFT founds {ask.chain_id}; the ledger here is {self.chain_id}")
        founded = msgspec.json.decode(ask.app_state_bytes, type=AppState).ledger
        if hash_genesis(founded) != state.genesis_hash:
            raise EngineFailed(f"the app_state that CometBFT founds {ask.chain_id} on is not our genesis")
        if (ask.initial_height, state.head.height) != (1, 0):
            raise EngineFailed(
                f"CometBFT founds at height {ask.initial_height}; the state is at {state.head.height}"
            )
        say.app_hash = state.head.state_hash

    def _query(self, ask: Any, say: Any) -> None:
        """The head, for operators who ask through CometBFT; everything else is asked of our own RPC."""
        head = self.chain.state.head
        if ask.path != "/head":
            say.code, say.codespace = 1, CODESPACE
            say.log = f"no path {ask.path!r}; /head is one, and the rest is asked of the ledger's own RPC"
            return
        say.height = head.height
        say.value = msgspec.json.encode(
            {
                "height": head.height,
                "slot": head.slot,
                "block_hash": head.block_hash.hex(),
                "state_hash": head.state_hash.hex(),
            }
        )

    # The pool

    def check(self, candidate: Candidate) -> None:
        """Raises Void if the transaction would be void in the next block."""
        if candidate.transaction is None:
            raise Undecodable(candidate.reason)
        check_signatures(candidate.is_verified)
        admit(self.chain.state, self.chain.state.head.slot, candidate.transaction)

    def _check_tx(self, ask: Any, say: Any, candidate: Candidate) -> None:
        try:
            self.check(candidate)
        except Void as void:
            say.code, say.codespace, say.log = Kind.VOID, CODESPACE, f"{type(void).__name__}: {void}"
            if ask.type == CheckTxType.RECHECK:
                self.known.forget([ask.tx])

    # Blocks

    async def _prepare_proposal(self, ask: Any, say: Any) -> None:
        candidates = await self.known.look_at(ask.txs)
        self._check_new(ask.height)
        self._check_next(ask.height)
        state = self.chain.state
        slot, _ = compute_slot(state.genesis, state.head, get_time_ms(ask.time))
        say.txs.extend(choose(state, slot, candidates, ask.max_tx_bytes))

    async def _process_proposal(self, ask: Any, say: Any) -> None:
        candidates = await self.known.look_at(ask.txs)
        self._check_new(ask.height)
        self._check_next(ask.height)
        try:
            check_proposal(candidates)
        except EngineFailed as error:
            log.warning("refused a proposal of block %s: %s", ask.height, error)
            say.status = Verdict.REJECT
        else:
            say.status = Verdict.ACCEPT

    async def _finalize_block(self, ask: Any, say: Any) -> None:
        """Execute a block in memory. The same block again, before its Commit, has the same answer."""
        candidates = await self.known.look_at(ask.txs)
        if self._uncommitted is None:
            self._uncommitted = self._execute(ask, candidates)
        block, outcome = self._uncommitted
        if (ask.height, tuple(ask.txs)) != (block.height, block.transactions):
            raise EngineFailed(f"block {ask.height} came while block {block.height} waits for its commit")
        say.tx_results.extend(compose_results(outcome.receipts))
        say.app_hash = outcome.state_hash

    def _execute(self, ask: Any, candidates: Sequence[Candidate]) -> tuple[Block, Outcome]:
        self._check_next(ask.height)
        time_ms = get_time_ms(ask.time)
        state = self.chain.state
        self.chain.allow_checkpoint(state.head.height)
        block = next_block(
            state, time_ms, ask.txs, self.producers[ask.proposer_address], encode_evidence(ask.misbehavior)
        )
        if block.time_ms != time_ms:
            raise EngineFailed(
                f"block {ask.height} is dated {time_ms} ms, before its parent's {block.time_ms}"
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
        if self.chain.is_behind():
            await asyncio.to_thread(self.chain.wait_for_history)
        if block.height >= self.chain.journal.height:
            self.caught_up.set()

    def _check_new(self, height: int) -> None:
        """CometBFT has delivered all its blocks again before it proposes one: the journal has no other.

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
    return msgspec.msgpack.encode(
        [
            (one.type, one.validator.address, one.validator.power, one.height, get_time_ms(one.time))
            for one in misbehavior
        ]
    )


def compose_results(receipts: Sequence[Receipt]) -> list[Any]:
    """One result a transaction. CometBFT's headers commit to `code` and `data`; the words are in `log`."""
    return [
        ExecTxResult(code=receipt.kind, data=encode_receipt(receipt), log=receipt.text)
        for receipt in receipts
    ]
