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
    UnknownTask,
)
from ..protocol.clock import Timetable
from ..protocol.params import ROUNDWORK_1, key_of
from ..protocol.tasks.leaves import compute_head, compute_root_of_path, decode_leaf, name_outcome
from ..wire import convert, decode_json
from .rpc import Client

FORMAT: Literal["roundwork/receipt/1"] = "roundwork/receipt/1"
FILE_BYTES_MAX = 100_000
"""A receipt of a value of 512 bytes among 2^64 leaves is far shorter."""

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2})*\Z")]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class RoundReceipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of a node in a round that is over, with what shows it. Bytes are lower-case hex."""

    format: Literal["roundwork/receipt/1"]
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

    Raises UnknownTask; NoReceipt, with the reason, if there is none; BadReceipt if the ledger sends a wrong
    receipt, or that of another node.
    """
    proof = await client.get_round_proof(task, round_number, node)
    if proof is None:
        reason = await _explain_absence(client, task, round_number, node)
        raise NoReceipt(f"round {round_number} of {task} has no receipt for {node}: {reason}")
    try:
        fields = {"format": FORMAT, "value": "", **msgspec.structs.asdict(proof)}
        receipt: RoundReceipt = convert(fields, RoundReceipt)
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


async def _explain_absence(client: Client, task: str, round_number: int, node: str) -> str:
    """Why a ledger has no receipt of a node in a round. Raises UnknownTask."""
    view = await client.get_task(task)
    seen = await client.get_round(task, round_number)
    if view is None or seen is None:
        raise UnknownTask(f"there is no task at {task}")
    if view.rules != ROUNDWORK_1.name:
        return f"the rules of its task are {view.rules}, under which rounds have no heads"
    table = Timetable(view.starting_slot, view.round_time, view.submission_window, view.audit_window)
    newest = table.compute_round(view.slot)
    if round_number > newest:
        return f"the newest round is {newest}"
    if seen.status == "Unopened":
        return "no node submitted in it"
    if seen.status == "Open":
        return "the round is not over"
    if any(stake.node == node for stake in view.stakes):
        return "the node had no part in the round"
    return "no node of the task has this address; a node is named by the address of its staking key"


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

    Raises BadReceipt, ReceiptWithWrongLeaf, ReceiptWithWrongPath, ReceiptWithWrongHead, ReceiptOfOtherHead.
    """
    try:
        key_of(receipt.task)
    except ValueError as error:
        raise BadReceipt(f"the file says task {receipt.task!r:.100}, which is no address") from error
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
        raise ReceiptWithWrongLeaf(
            f"the file says node {receipt.node!r:.100}, which is no address"
        ) from error
    value_hash = blake3(receipt.value.encode()).digest()
    for name, said, shown in (
        ("node", leaf.node, node),
        ("value", leaf.value_hash, value_hash),
        ("verdict", name_outcome(leaf.outcome), receipt.verdict),
        ("votes", leaf.votes, receipt.votes),
        ("net", leaf.net, receipt.net),
    ):
        if said != shown:
            other = "another" if isinstance(said, bytes) else repr(said)
            raise ReceiptWithWrongLeaf(
                f"the file says {name} {getattr(receipt, name)!r:.100}; its leaf says {other}"
            )
