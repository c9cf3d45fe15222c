"""What every RPC method is given: the ledger, and the parameters of one call, checked."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from solders.keypair import Keypair

from ...protocol.execute import Block, Outcome, Receipt
from ...protocol.params import Key, key_of
from ...protocol.state import State
from ...protocol.ticks import compute_closing_ticks
from ...protocol.transaction import Transaction
from ...wire import Json, base58_decode
from ..chain import Chain
from ..limits import LIMITS, Limits

VERSION = "2.0.0"
"""The version of Solana's RPC whose shapes these are."""

COMMITMENTS = frozenset(
    ("processed", "confirmed", "finalized", "recent", "single", "singleGossip", "root", "max")
)

SIGNATURE_TEXT_MAX = 88
"""Characters that 64 bytes have in base58, at most."""

READERS = 2
"""Threads that read the past, so that no reader holds up the next block."""

T = TypeVar("T")


class RpcError(Exception):
    """A JSON-RPC error: code, message and data as stock clients know them."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class Engine(Protocol):
    """What makes blocks out of what RPC takes in."""

    def get_slot(self) -> int:
        """The slot that a transaction sent now lands in at the earliest."""

    def get_newest_tick(self) -> tuple[bytes, int]:
        """The tick that a transaction sent now names, and its slot."""

    async def submit(self, wire: bytes, parsed: Transaction) -> Receipt | None:
        """Have a transaction executed; its receipt if it is durable already. Raises Void, PoolFull."""


class Desk:
    """The ledger as the RPC methods see it."""

    def __init__(
        self, chain: Chain, engine: Engine, faucet: Keypair | None = None, limits: Limits = LIMITS
    ) -> None:
        self.chain = chain
        self.engine = engine
        self.faucet = faucet
        self.limits = limits
        self._readers = ThreadPoolExecutor(READERS, "reader")
        self._settling: list[asyncio.Future[None]] = []
        chain.listeners.append(self._let_read)

    @property
    def state(self) -> State:
        """The state after the last block."""
        return self.chain.state

    @property
    def slot(self) -> int:
        """The slot that answers speak of: that of the last block."""
        return self.chain.state.head.slot

    async def settle(self) -> None:
        """Wait until all of the state is on disk: a reader is shown nothing that a crash takes back."""
        while self.chain.journal.height < self.state.head.height:
            settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._settling.append(settled)
            await settled

    def _let_read(self, block: Block, outcome: Outcome) -> None:
        for settled in self._settling:
            if not settled.done():  # else the reader has gone
                settled.set_result(None)
        self._settling.clear()

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """What a function returns that reads journal or history and nothing of the state."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *args)

    def is_tick_valid(self, tick: bytes) -> bool:
        """Whether a transaction that names this tick may still run. What is not valid never will."""
        return tick in self.state.tick_slots or tick in compute_closing_ticks(
            self.state, self.engine.get_slot()
        )

    def with_context(self, value: Any) -> Json:
        """An answer with the slot it is of."""
        return {"context": {"slot": self.slot, "apiVersion": VERSION}, "value": value}


class Params:
    """The positional parameters of one call. What is null counts as absent; each refusal is −32602."""

    def __init__(self, desk: Desk, values: Any) -> None:
        if values is None:
            values = []
        if not isinstance(values, list):
            raise RpcError(-32602, "Invalid params: an array is expected")
        self._desk = desk
        self.values: list[Any] = values

    def get(self, at: int, kind: type, name: str, default: Any = ...) -> Any:
        """The parameter at a place. Raises RpcError if it is missing without a default or of another kind."""
        value = self.values[at] if at < len(self.values) else None
        if value is None:
            if default is ...:
                raise RpcError(-32602, f"Invalid params: {name} is missing at position {at}")
            return default
        return _check_kind(value, kind, name)

    def key(self, at: int, name: str = "the address") -> Key:
        """A base58 address."""
        return read_key(self.get(at, str, name), name)

    def config(self, at: int) -> Json:
        """The configuration object, whose commitment and minContextSlot are checked for every method."""
        config: Json = self.get(at, dict, "the configuration", {})
        if None in config.values():
            config = {name: value for name, value in config.items() if value is not None}
        read_commitment(config, "commitment")
        least = field(config, "minContextSlot", int, 0)
        if least > self._desk.slot:
            raise RpcError(
                -32016, "Minimum context slot has not been reached", {"contextSlot": self._desk.slot}
            )
        return config

    def config_or_encoding(self, at: int) -> Json:
        """The configuration object, or the encoding alone, as the older forms of some methods have it."""
        value = self.values[at] if at < len(self.values) else None
        return {"encoding": value} if isinstance(value, str) else self.config(at)


def read_commitment(config: Json, name: str) -> str:
    """A commitment; all of them mean the same here. Raises RpcError."""
    commitment: str = field(config, name, str, "finalized")
    if commitment not in COMMITMENTS:
        raise RpcError(-32602, f"Invalid params: {name} {show(commitment)}; one of {sorted(COMMITMENTS)}")
    return commitment


def field(config: Json, name: str, kind: type, default: Any) -> Any:
    """A field of a configuration object. Raises RpcError if it is of another kind."""
    value = config.get(name)
    return default if value is None else _check_kind(value, kind, name)


def read_key(text: Any, name: str) -> Key:
    """A base58 address. Raises RpcError."""
    try:
        return key_of(text)
    except (ValueError, TypeError):
        raise RpcError(
            -32602, f"Invalid param: {name} {show(text)} is no base58 address of 32 bytes"
        ) from None


def read_signature(text: Any) -> bytes:
    """A base58 signature. Raises RpcError."""
    try:
        signature = base58_decode(text) if len(text) <= SIGNATURE_TEXT_MAX else b""
    except (ValueError, AttributeError, TypeError):
        signature = b""
    if len(signature) != 64:
        raise RpcError(-32602, f"Invalid param: {show(text)} is no base58 signature of 64 bytes")
    return signature


def show(value: Any) -> str:
    """What a client sent, as errors quote it."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _check_kind(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RpcError(-32602, f"Invalid params: {name} is {show(value)}; expected {kind.__name__}")
    if isinstance(value, int) and not 0 <= value < 2**64:
        raise RpcError(
            -32602, f"Invalid params: {name} is {value}; an unsigned number of 64 bits is expected"
        )
    return value
