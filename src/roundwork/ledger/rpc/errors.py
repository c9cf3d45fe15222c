"""The errors of JSON-RPC: one class for each code, by Solana's names. No other file writes a code."""

from typing import Any, ClassVar

from ...errors import RoundworkError
from ...wire import Json


class RpcError(Exception):
    """What a client gets instead of a result: a code, a message and data as stock clients know them."""

    code: ClassVar[int]

    def __init__(self, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class ParseError(RpcError):
    """The body is not JSON."""

    code = -32700


class InvalidRequest(RpcError):
    """The body is JSON and not a request."""

    code = -32600


class MethodNotFound(RpcError):
    """This ledger does not have the method."""

    code = -32601

    def __init__(self, message: str = "Method not found") -> None:
        super().__init__(message)


class InvalidParams(RpcError):
    """A parameter is missing, of the wrong kind, out of its bounds or undecodable."""

    code = -32602


class InternalError(RpcError):
    """The ledger failed, not the client."""

    code = -32603


class PreflightFailure(RpcError):
    """The simulation of a transaction failed, or the transaction never ran."""

    code = -32002


class SignatureVerificationFailure(RpcError):
    """A signature does not verify."""

    code = -32003


class BlockNotAvailable(RpcError):
    """The slot is not over."""

    code = -32004

    def __init__(self, slot: int) -> None:
        super().__init__(f"Block not available for slot {slot}")


class NodeUnhealthy(RpcError):
    """The ledger has too much to do. The same request may succeed later."""

    code = -32005


class TooManyCalls(NodeUnhealthy):
    """An address calls faster than the limits allow, or its calls take too long."""

    def __init__(self, address: str, calls_per_second: int) -> None:
        super().__init__(f"too many calls from {address}: {calls_per_second} a second are answered")


class ReadAborted(RpcError):
    """An answer costs more than one may."""

    code = -32012


class AnswerTooLarge(ReadAborted):
    """An answer has too many bytes."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(
            f"the answer has more than {bytes_max} bytes; request less at once, or a part by dataSlice"
        )


class WorkTooLong(ReadAborted):
    """An answer needs too much processor time."""

    def __init__(self, seconds_max: int) -> None:
        super().__init__(f"the answer needs more than {seconds_max} seconds of work; request less at once")


class UnsupportedTransactionVersion(RpcError):
    """The client does not say that it can read transactions of this version."""

    code = -32015

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(
            f"Transaction version ({version}) is not supported by the requesting client. "
            "Please try the request again with the following configuration parameter: "
            f'"maxSupportedTransactionVersion": {version}'
        )


class MinContextSlotNotReached(RpcError):
    """The client requires an answer of a later slot. `slot` is the present slot."""

    code = -32016

    def __init__(self, slot: int) -> None:
        super().__init__("Minimum context slot has not been reached", {"contextSlot": slot})


class TransactionNotFound(RpcError):
    """A list begins or ends at a transaction that never ran."""

    code = -32020

    def __init__(self, signature: str) -> None:
        super().__init__(f"Transaction {signature} not found")


def describe_cause(error: RoundworkError) -> Json:
    """The data of an RPC error: the name and the text of our error that caused it."""
    return {"roundwork": {"name": type(error).__name__, "text": str(error)}}
