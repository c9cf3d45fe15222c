"""The parameters of one call, checked as they are read."""

import reprlib
from collections.abc import Collection
from typing import Any

from ...protocol.params import Key, NodeKey, TaskKey, key_of
from ...wire import Json, base58_decode
from .budget import Budget
from .commitments import COMMITMENTS, Commitment
from .errors import InvalidParams, MinContextSlotNotReached

COMMON = ("commitment", "minContextSlot")
"""The fields that every configuration object may have. Both are honoured for every method that takes one."""

CLIENTS_OWN = ("id", "signal")
"""Fields that change nothing: umi sends the options of its own calls on as they are."""

FIELDS: dict[str, type] = {
    "accounts": dict,
    "after": str,
    "balance": bool,
    "before": str,
    "commitment": str,
    "dataSlice": dict,
    "delinquentSlotDistance": int,
    "distribution": bool,
    "enableReceivedNotification": bool,
    "encoding": str,
    "epoch": int,
    "excludeNonCirculatingAccountsList": bool,
    "filter": str,
    "filters": list,
    "id": str,
    "identity": str,
    "innerInstructions": bool,
    "keepUnstakedDelinquents": bool,
    "limit": int,
    "maxRetries": int,
    "maxSupportedTransactionVersion": int,
    "minContextSlot": int,
    "preflightCommitment": str,
    "range": dict,
    "recentBlockhash": str,
    "replaceRecentBlockhash": bool,
    "rewards": bool,
    "round": int,
    "searchTransactionHistory": bool,
    "showRewards": bool,
    "sigVerify": bool,
    "signal": dict,
    "skipPreflight": bool,
    "sortResults": bool,
    "stake": bool,
    "submission": bool,
    "transactionDetails": str,
    "until": str,
    "votePubkey": str,
    "withContext": bool,
}
"""What each field of a configuration object holds, Solana's fields and ours."""

RANGES = {"maxSupportedTransactionVersion": range(2**8), "round": range(-1, 2**64)}
"""The integers that a field may hold, where they are not all of 64 bits."""

SIGNATURE_TEXT_MAX = 88
"""Characters that 64 bytes have in base58, at most."""


class Params:
    """The positional parameters of one call. What is null counts as absent.

    Every reading of them raises RpcError: InvalidParams, or MinContextSlotNotReached.
    """

    def __init__(self, values: Any, slot: int, budget: Budget) -> None:
        """`slot` is the last one at the commitment, `budget` what the answer may cost.

        Raises InvalidParams.
        """
        if values is None:
            values = []
        if not isinstance(values, list):
            raise InvalidParams("Invalid params: an array is expected")
        self.budget = budget
        self._slot = slot
        self.values: list[Any] = values

    def get(self, at: int, kind: type, name: str, default: Any = ...) -> Any:
        """The parameter at a place.

        Raises InvalidParams if it has another kind, or is missing without a default.
        """
        value = self.values[at] if at < len(self.values) else None
        if value is None:
            if default is ...:
                raise InvalidParams(f"Invalid params: {name} is missing at position {at}")
            return default
        return _check_kind(value, kind, name)

    def key(self, at: int, name: str = "the address") -> Key:
        """A base58 address."""
        return read_key(self.get(at, str, name), name)

    def task(self, at: int) -> TaskKey:
        """The address of a task at a position. Raises InvalidParams."""
        return TaskKey(self.key(at, "the task"))

    def node(self, at: int) -> NodeKey:
        """The address of a node at a position. Raises InvalidParams."""
        return NodeKey(self.key(at, "the node"))

    def end(self, count: int) -> None:
        """Raises InvalidParams if there are more parameters than `count`."""
        surplus = [value for value in self.values[count:] if value is not None]
        if surplus:
            raise InvalidParams(
                f"Invalid params: {show(surplus[0])} is surplus; at most {count} parameters are expected"
            )

    def config(self, at: int, *names: str) -> Json:
        """The configuration object, the last parameter, without fields that are null.

        It has those of COMMON and `names`. Each has the kind that FIELDS says, also if the method reads
        nothing of it.
        """
        self.end(at + 1)
        config = self.get(at, dict, "the configuration", {})
        config = check_fields(config, "the configuration", (*COMMON, *names))
        for name, value in config.items():
            _check_kind(value, FIELDS[name], name)
        read_commitment(config, "commitment")
        least = field(config, "minContextSlot", int, 0)
        if least > self._slot:
            raise MinContextSlotNotReached(self._slot)
        return config

    def config_or_encoding(self, at: int, *names: str) -> Json:
        """The configuration object, or the encoding alone, as the older forms of some methods have it."""
        value = self.values[at] if at < len(self.values) else None
        if not isinstance(value, str):
            return self.config(at, "encoding", *names)
        self.end(at + 1)
        return {"encoding": value}


def read_commitment(config: Json, name: str, default: Commitment = Commitment.FINALIZED) -> Commitment:
    """The commitment that a field names. Raises InvalidParams."""
    commitment: str = field(config, name, str, None)
    if commitment is None:
        return default
    if commitment not in COMMITMENTS:
        raise InvalidParams(f"Invalid params: {name} {show(commitment)}; one of {sorted(COMMITMENTS)}")
    return COMMITMENTS[commitment]


def find_commitment(values: Any, default: Commitment) -> Commitment:
    """The commitment of a call: its configuration is the last parameter, if that is an object.

    Raises InvalidParams.
    """
    last = values[-1] if isinstance(values, list) and values else None
    return read_commitment(last, "commitment", default) if isinstance(last, dict) else default


def field(config: Json, name: str, kind: type, default: Any = ...) -> Any:
    """A field of a configuration object.

    Raises InvalidParams if it has another kind, or is missing without a default.
    """
    value = config.get(name)
    if value is None and default is ...:
        raise InvalidParams(f"Invalid params: missing field `{name}`")
    return default if value is None else _check_kind(value, kind, name)


def choice(config: Json, name: str, choices: Collection[str], default: str) -> str:
    """A field that has one of several words. Raises InvalidParams for another."""
    word: str = field(config, name, str, default)
    if word not in choices:
        raise InvalidParams(f"Invalid params: {name} {show(word)}; one of {', '.join(choices)}")
    return word


def check_fields(value: Json, name: str, allowed: Collection[str]) -> Json:
    """An object without its fields that are null. Raises InvalidParams for a field that is not allowed."""
    present = {field: content for field, content in value.items() if content is not None}
    unknown = sorted(present.keys() - set(allowed))
    if unknown:
        raise InvalidParams(f"Invalid params: unknown field {show(unknown[0])} in {name}")
    return present


def read_key(text: Any, name: str) -> Key:
    """The bytes of a base58 address. Raises InvalidParams."""
    try:
        return key_of(text)
    except (ValueError, TypeError):
        raise InvalidParams(
            f"Invalid param: {name} {show(text)} is not a base58 address of 32 bytes"
        ) from None


def read_signature(text: Any) -> bytes:
    """The bytes of a base58 signature. Raises InvalidParams."""
    try:
        signature = base58_decode(text) if len(text) <= SIGNATURE_TEXT_MAX else b""
    except (ValueError, AttributeError, TypeError):
        signature = b""
    if len(signature) != 64:
        raise InvalidParams(f"Invalid param: {show(text)} is not a base58 signature of 64 bytes")
    return signature


def show(value: Any) -> str:
    """A client's value as errors quote it."""
    text = _shortener.repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


class _Shortener(reprlib.Repr):
    """Shows values without looking through all of a large one."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxlist = self.maxdict = self.maxother = 200

    def repr_str(self, value: str, level: int) -> str:
        return repr(value[: self.maxstring])

    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if abs(value) < 2**64 else "a large number"


_shortener = _Shortener()


def _check_kind(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidParams(f"Invalid params: {name} is {show(value)}; expected {kind.__name__}")
    if kind is int and value not in (allowed := RANGES.get(name, _UNSIGNED)):
        shown = f"{allowed.start} to {allowed.stop - 1}"
        raise InvalidParams(f"Invalid params: {name} is {show(value)}; an integer from {shown} is expected")
    return value


_UNSIGNED = range(2**64)
