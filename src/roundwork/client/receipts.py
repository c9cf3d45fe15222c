"""A receipt: a file that shows, with the head of a round, what became of a node in it; checked offline.

Source: docs/PROTOCOL.md 20.
"""

from typing import Annotated, Literal

import msgspec
from blake3 import blake3

from ..errors import (
    BadReceipt,
    Malformed,
    NoReceipt,
    ReceiptOfOtherHead,
    ReceiptWithWrongHead,
    ReceiptWithWrongLeaf,
    ReceiptWithWrongPath,
)
from ..protocol.params import key_of
from ..protocol.tasks.leaves import compute_head, compute_root_of_path, decode_leaf, name_outcome
from ..wire import convert, decode_json
from .rpc import Client

FILE_BYTES_MAX = 100_000
"""A receipt of a value of 512 bytes among 2^64 leaves is far shorter."""

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2})*\Z")]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class RoundReceipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of a node in a round that is over, with what shows it. Bytes are lower-case hex."""

    format: Literal["roundwork/receipt/1"] = "roundwork/receipt/1"
    task: str
    """The address of the task. Only the head says that the round is one of this task."""
    round: Number
    node: str
    value: str
    """What the node submitted; empty if it submitted nothing."""
    verdict: str
    votes: int
    net: int
    """What the round gave the node less what it took, in roe or the smallest unit of the task's token."""
    leaf: Hex
    place: Number
    """The place of the leaf among all leaves, from 0."""
    leaves: Number
    """The number of all leaves."""
    path: list[Hash]
    """The hashes beside the way from the leaf up to the root, the lowest first."""
    root: Hash
    previous: Hash
    """The head of the task's round that ended before; zeros for the first."""
    head: Hash


async def fetch_receipt(client: Client, task: str, round_number: int, node: str) -> RoundReceipt:
    """The receipt of a node in a round, checked.

    Raises NoReceipt if the ledger has none, BadReceipt if it gives a wrong one or that of another.
    """
    proof = await client.get_round_proof(task, round_number, node)
    if proof is None:
        raise NoReceipt(
            f"round {round_number} of {task} has no receipt for {node}: the round is not over, the node had"
            " no part in it, or its rules are koii-1, which have no heads"
        )
    try:
        receipt: RoundReceipt = convert({"value": "", **msgspec.structs.asdict(proof)}, RoundReceipt)
    except Malformed as error:
        raise BadReceipt(f"the ledger gives no receipt: {error}") from error
    if (task, round_number, node) != (receipt.task, receipt.round, receipt.node):
        raise BadReceipt(
            f"the ledger gives the receipt of {receipt.node:.100} in round {receipt.round} of"
            f" {receipt.task:.100} instead"
        )
    view = await client.get_round(task, round_number)
    values = {each.node: each.value for each in view.submissions} if view else {}
    receipt = msgspec.structs.replace(receipt, value=values.get(node, ""))
    check_receipt(receipt)
    return receipt


def encode_receipt(receipt: RoundReceipt) -> bytes:
    """The bytes of a receipt file: JSON, a field a line."""
    return msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n"


def read_receipt(data: bytes) -> RoundReceipt:
    """A receipt from the bytes of its file. It is not checked yet. Raises BadReceipt."""
    if len(data) > FILE_BYTES_MAX:
        raise BadReceipt(f"the file has {len(data)} bytes; a receipt has at most {FILE_BYTES_MAX}")
    try:
        return decode_json(data, RoundReceipt)
    except Malformed as error:
        raise BadReceipt(f"the file is not a receipt: {error}") from error


def check_receipt(receipt: RoundReceipt, head: str | None = None) -> None:
    """Check a receipt from its leaf up to its head, without a ledger; `head` is one that the reader trusts.

    Raises ReceiptWithWrongLeaf, ReceiptWithWrongPath, ReceiptWithWrongHead, ReceiptOfOtherHead.
    """
    leaf = bytes.fromhex(receipt.leaf)
    _check_leaf(receipt, leaf)
    path = [bytes.fromhex(beside) for beside in receipt.path]
    root = compute_root_of_path(leaf, receipt.place, receipt.leaves, path)
    if root is None:
        raise ReceiptWithWrongPath(
            f"{len(path)} hashes are not a path from leaf {receipt.place} of {receipt.leaves} to a root"
        )
    if root.hex() != receipt.root:
        raise ReceiptWithWrongPath(
            f"leaf and path lead to the root {root.hex()}; the file says {receipt.root}"
        )
    computed = compute_head(bytes.fromhex(receipt.previous), receipt.round, root).hex()
    if computed != receipt.head:
        raise ReceiptWithWrongHead(
            f"the head before, round {receipt.round} and the root give the head {computed}; the file says "
            f"{receipt.head}"
        )
    if head is not None and head != receipt.head:
        raise ReceiptOfOtherHead(f"the receipt leads to the head {receipt.head}, not to {head}")


def _check_leaf(receipt: RoundReceipt, data: bytes) -> None:
    """Check that the leaf says what the file says in words."""
    try:
        leaf = decode_leaf(data)
    except ValueError as error:
        raise ReceiptWithWrongLeaf(str(error)) from error
    try:
        node = key_of(receipt.node)
    except ValueError as error:
        raise ReceiptWithWrongLeaf(f"the file says node {receipt.node!r:.100}: {error}") from error
    value_hash = blake3(receipt.value.encode()).digest()
    for name, said, shown in (
        ("node", leaf.node, node),
        ("value", leaf.value_hash, value_hash),
        ("verdict", name_outcome(leaf.outcome), receipt.verdict),
        ("votes", leaf.votes, receipt.votes),
        ("net", leaf.net, receipt.net),
    ):
        if said != shown:
            raise ReceiptWithWrongLeaf(
                f"the file says {name} {getattr(receipt, name)!r:.100}; its leaf says another"
            )
