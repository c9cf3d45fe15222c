"""A stand-in for CometBFT: what an application can see of one, over the real socket.

It keeps what CometBFT keeps on its disk (blocks, the last block it has saved the state of, the answers in
between), and on a restart it does what the handshake of CometBFT does with it. `crash_at` names the moment at
which it dies: before or after one call, or after it has saved something.
"""

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from roundwork.ledger.comet.schema import Request, Response
from roundwork.ledger.comet.server import encode_frame

TIMEOUT_SECONDS = 20.0

MOMENTS = [
    "before check_tx",
    "after check_tx",
    "before prepare_proposal",
    "after prepare_proposal",
    "before process_proposal",
    "after process_proposal",
    "after block saved",
    "before finalize_block",
    "after finalize_block",
    "after responses saved",
    "before commit",
    "after commit",
    "after state saved",
]
"""Every moment of one height at which CometBFT, its application, or both can die."""

HANDSHAKE_MOMENTS = [
    "before info",
    "after info",
    "before init_chain",
    "after init_chain",
]


class Crashed(Exception):
    """The stand-in has died at the moment it was told to."""


class Refused(Exception):
    """What CometBFT does when it cannot go on: it panics, or refuses to start."""


class StoredBlock(NamedTuple):
    """A block in CometBFT's store. `time_ns` is nanoseconds since 1970."""

    height: int
    time_ns: int
    txs: tuple[bytes, ...]


class Disk:
    """What a CometBFT keeps: B is the height of its block store, S that of its state."""

    def __init__(self, home: Path) -> None:
        self.genesis: dict[str, Any] = json.loads((home / "config" / "genesis.json").read_text())
        self.blocks: list[StoredBlock] = []
        self.state_height = 0
        self.app_hash = b""
        self.app_hashes: dict[int, bytes] = {}
        """The answers to FinalizeBlock that were saved, by height."""

    @property
    def block_height(self) -> int:
        return len(self.blocks)


class StandIn:
    """One run of a CometBFT on a disk. `row` says which row of the handshake table it went through."""

    def __init__(self, disk: Disk, path: str | Path) -> None:
        self.disk = disk
        self.crash_at = ""
        self.row = ""
        self.delivered: list[int] = []
        """Heights that this run has delivered to the application."""
        self.query, self.snapshot, self.mempool, self.consensus = [Connection(path) for _ in range(4)]

    def close(self) -> None:
        """Die: the application sees its connections end."""
        for connection in (self.query, self.snapshot, self.mempool, self.consensus):
            connection.close()

    # The handshake

    def handshake(self) -> None:
        """Bring the application to where the disk is, as CometBFT does when it starts."""
        disk = self.disk
        info = self._call(self.query, "info")
        height, app_hash = info.last_block_height, info.last_block_app_hash
        if height == 0:
            app_hash = self.found()
        blocks, state = disk.block_height, disk.state_height
        if height > blocks:
            self.row = "A > B"
            raise Refused(f"the application is at {height}, the block store at {blocks}")
        if blocks == state == height:
            self.row = "A = B = S"
        elif blocks == state:
            self.row = "B = S, A < B"
            app_hash = self._replay(height, blocks)
        elif height == blocks:
            self.row = "B = S + 1, A = B"
            raise AssertionError(f"block {blocks} would never be delivered again")
        elif height == state:
            self.row = "B = S + 1, A = S"
            app_hash = self._apply(disk.blocks[-1])
        else:
            self.row = "B = S + 1, A < S"
            self._replay(height, state)
            app_hash = self._apply(disk.blocks[-1])
        if app_hash != disk.app_hash:
            raise Refused(f"the application's hash is {app_hash.hex()}, CometBFT's {disk.app_hash.hex()}")

    def found(self) -> bytes:
        """Found the chain, as at every start on an application at height 0."""
        genesis, request = self.disk.genesis, Request()
        ask = request.init_chain
        ask.chain_id = genesis["chain_id"]
        ask.initial_height = int(genesis["initial_height"])
        ask.app_state_bytes = json.dumps(genesis["app_state"]).encode()
        app_hash: bytes = self._call(self.consensus, "init_chain", request).app_hash
        if self.disk.state_height == 0:
            self.disk.app_hash = app_hash
        return app_hash

    def _replay(self, after: int, last: int) -> bytes:
        """Deliver saved blocks again; their state was saved, so nothing is saved now."""
        app_hash = b""
        for block in self.disk.blocks[after:last]:
            app_hash = self.finalize(block).app_hash
            if self.disk.app_hashes[block.height] != app_hash:
                raise Refused(f"block {block.height} has another hash than before")
            self._call(self.consensus, "commit")
        return app_hash

    # Blocks

    def make_block(self, time_ms: int, txs: Sequence[bytes] = ()) -> StoredBlock:
        """Take `txs` into the pool; propose, execute and commit a block of what the application chooses."""
        for tx in txs:
            self.check_tx(tx)
        height = self.disk.block_height + 1
        request = Request()
        ask = request.prepare_proposal
        ask.height, ask.max_tx_bytes, ask.proposer_address = height, 2**20, self.proposer
        ask.txs.extend(txs)
        _set_time(ask.time, time_ms * 1_000_000)
        chosen = self._call(self.consensus, "prepare_proposal", request).txs
        block = StoredBlock(height, time_ms * 1_000_000, tuple(chosen))
        if self.process(block) != 1:
            raise Refused(f"the application refuses what it has proposed itself at {height}")
        self.disk.blocks.append(block)
        self._pass("after block saved")
        self._apply(block)
        return block

    def decide(self, time_ms: int, txs: Sequence[bytes]) -> StoredBlock:
        """A block that the others have agreed on, whatever this application thinks of it."""
        block = StoredBlock(self.disk.block_height + 1, time_ms * 1_000_000, tuple(txs))
        self.disk.blocks.append(block)
        self._apply(block)
        return block

    def process(self, block: StoredBlock) -> int:
        """What the application says about a proposal: 1 accepts, 2 rejects."""
        request = Request()
        _fill(request.process_proposal, block, self.proposer)
        status: int = self._call(self.consensus, "process_proposal", request).status
        return status

    def check_tx(self, wire: bytes, is_recheck: bool = False) -> Any:
        """What the application says about a transaction for the pool."""
        request = Request()
        request.check_tx.tx = wire
        request.check_tx.type = int(is_recheck)
        return self._call(self.mempool, "check_tx", request)

    def check_many(self, wires: Sequence[bytes]) -> list[Any]:
        """The same about many at once, as CometBFT sends them: answers come after the last."""
        frames = b""
        for wire in wires:
            request = Request()
            request.check_tx.tx = wire
            frames += encode_frame(request)
        self.mempool.send(frames + encode_frame(_empty("flush")))
        answers = [self.mempool.receive().check_tx for _ in wires]
        assert self.mempool.receive().WhichOneof("value") == "flush"
        return answers

    @property
    def proposer(self) -> bytes:
        return bytes.fromhex(self.disk.genesis["validators"][0]["address"])

    def _apply(self, block: StoredBlock) -> bytes:
        """Execute, save the answer, commit, save the state: the order of CometBFT's block executor."""
        answer = self.finalize(block)
        assert len(answer.tx_results) == len(block.txs), "one result a transaction"
        self.disk.app_hashes[block.height] = answer.app_hash
        self._pass("after responses saved")
        self.mempool.call(_empty("flush"))  # CometBFT holds its pool's lock and waits for this before Commit
        self._call(self.consensus, "commit")
        self.disk.state_height, self.disk.app_hash = block.height, answer.app_hash
        self._pass("after state saved")
        app_hash: bytes = answer.app_hash
        return app_hash

    def finalize(self, block: StoredBlock) -> Any:
        """Deliver a block."""
        request = Request()
        _fill(request.finalize_block, block, self.proposer)
        self.delivered.append(block.height)
        return self._call(self.consensus, "finalize_block", request)

    def _call(self, connection: "Connection", kind: str, request: Any = None) -> Any:
        self._pass(f"before {kind}")
        response = connection.call(request or _empty(kind))
        self._pass(f"after {kind}")
        return getattr(response, kind)

    def _pass(self, moment: str) -> None:
        if moment == self.crash_at:
            raise Crashed(moment)


class Connection:
    """One of the four connections. Each request is followed by a flush, as CometBFT's client does it."""

    def __init__(self, path: str | Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_SECONDS)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")

    def wait_at_most(self, seconds: float) -> None:
        """Give up sending and receiving sooner, with TimeoutError."""
        self._socket.settimeout(seconds)

    def call(self, request: Any) -> Any:
        """The answer to a request. Raises Refused on an exception, ConnectionError if nobody is there."""
        self.send(encode_frame(request) + encode_frame(_empty("flush")))
        response = self.receive()
        if response.WhichOneof("value") != request.WhichOneof("value"):
            raise Refused(response.exception.error)
        flushed = self.receive()
        assert flushed.WhichOneof("value") == "flush"
        return response

    def send(self, raw: bytes) -> None:
        """Raw bytes, whatever they are."""
        self._socket.sendall(raw)

    def receive(self) -> Any:
        """The next answer. Raises ConnectionError at the end of the stream."""
        length = shift = 0
        while True:
            byte = self._read(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return Response.FromString(self._read(length))

    def end(self) -> None:
        """Say that nothing more will be sent; answers can still be received."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Drop the connection."""
        self._file.close()
        self._socket.close()

    def _read(self, count: int) -> bytes:
        raw = self._file.read(count)
        if len(raw) < count:
            raise ConnectionError("the application has closed the connection")
        return raw


def _empty(kind: str) -> Any:
    request = Request()
    getattr(request, kind).SetInParent()
    return request


def _fill(ask: Any, block: StoredBlock, proposer: bytes) -> None:
    ask.height, ask.proposer_address = block.height, proposer
    ask.hash = block.height.to_bytes(32, "big")
    ask.txs.extend(block.txs)
    _set_time(ask.time, block.time_ns)


def _set_time(time: Any, time_ns: int) -> None:
    time.seconds, time.nanos = divmod(time_ns, 10**9)
