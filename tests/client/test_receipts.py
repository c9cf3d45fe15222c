"""A receipt of a round: what is damaged in it is found without a ledger, and named."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from roundwork.client.receipts import FORMAT, RoundReceipt, check_receipt, encode_receipt, read_receipt
from roundwork.errors import (
    BadReceipt,
    ReceiptOfOtherHead,
    ReceiptWithWrongHead,
    ReceiptWithWrongLeaf,
    ReceiptWithWrongPath,
)
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import view_round
from roundwork.protocol.read_hardened import view_round_proof

from ..protocol.hardened import AUDIT_END, NODES, Hardened

Fields = dict[str, Any]


def make(world: Hardened, name: str) -> RoundReceipt:
    proof = view_round_proof(world.state, world.task, 0, world.key(name))
    assert proof is not None
    values = {each.node: each.value for each in view_round(world.state, world.task, 0).submissions}
    return RoundReceipt(format=FORMAT, value=values.get(proof.node, ""), **msgspec.structs.asdict(proof))


@pytest.fixture(scope="module")
def world() -> Hardened:
    world = Hardened()
    world.play()
    return world


@pytest.fixture(scope="module")
def fields(world: Hardened) -> Fields:
    """The fields of the receipt of the node that was convicted."""
    fields: Fields = json.loads(encode_receipt(make(world, "n01")))
    return fields


def check(fields: Fields, head: str | None = None) -> RoundReceipt:
    receipt = read_receipt(json.dumps(fields).encode())
    check_receipt(receipt, head)
    return receipt


def flip(text: str) -> str:
    """Hex with another first digit."""
    return ("0" if text[0] != "0" else "1") + text[1:]


def test_the_receipt_of_every_node_of_a_round_leads_to_its_head(world: Hardened) -> None:
    seen = view_round(world.state, world.task, 0).hardened
    assert seen is not None

    for name in NODES:
        receipt = make(world, name)
        assert receipt == read_receipt(encode_receipt(receipt))
        check_receipt(receipt, seen.head)
        assert (world.net_of(name), name == "n01") == (receipt.net, receipt.verdict == "convicted")


def test_a_node_that_submitted_nothing_has_a_receipt_without_a_value() -> None:
    world = Hardened().submitted(names=("n00", "n01"), silent=("n01",))

    receipt = make(world, "n01")

    check_receipt(receipt)
    assert ("", "no submission", -1000) == (receipt.value, receipt.verdict, receipt.net)


DAMAGES: list[tuple[str, Callable[[Any], Any], type[BadReceipt]]] = [
    ("node", lambda text: base58_of(bytes(32)), ReceiptWithWrongLeaf),
    ("node", lambda text: "not an address", ReceiptWithWrongLeaf),
    ("value", lambda text: text + " ", ReceiptWithWrongLeaf),
    ("value", lambda text: "", ReceiptWithWrongLeaf),
    ("verdict", lambda text: "acquitted", ReceiptWithWrongLeaf),
    ("votes", lambda votes: votes + 1, ReceiptWithWrongLeaf),
    ("net", lambda net: net + 2**64, ReceiptWithWrongLeaf),
    ("net", lambda net: -net, ReceiptWithWrongLeaf),
    ("leaf", flip, ReceiptWithWrongLeaf),
    ("leaf", lambda text: text[:-2], ReceiptWithWrongLeaf),
    ("leaf", lambda text: text[:128] + "09" + text[130:], ReceiptWithWrongLeaf),
    ("place", lambda place: place ^ 1, ReceiptWithWrongPath),
    ("place", lambda place: 5, ReceiptWithWrongPath),
    ("leaves", lambda leaves: leaves + 4, ReceiptWithWrongPath),
    ("leaves", lambda leaves: 0, ReceiptWithWrongPath),
    ("path", lambda path: path[:-1], ReceiptWithWrongPath),
    ("path", lambda path: [*path, path[0]], ReceiptWithWrongPath),
    ("path", lambda path: [flip(path[0]), *path[1:]], ReceiptWithWrongPath),
    ("root", flip, ReceiptWithWrongPath),
    ("round", lambda number: number + 1, ReceiptWithWrongHead),
    ("previous", flip, ReceiptWithWrongHead),
    ("head", flip, ReceiptWithWrongHead),
    ("format", lambda text: "roundwork/receipt/2", BadReceipt),
    ("round", lambda number: -1, BadReceipt),
    ("root", lambda text: text.upper() + "\n", BadReceipt),
    ("head", lambda text: text + "\n", BadReceipt),
    ("path", lambda path: ["zz", *path[1:]], BadReceipt),
    ("leaf", lambda text: text[:-1], BadReceipt),
    ("task", lambda text: "not an address", BadReceipt),
]


@pytest.mark.parametrize(("name", "damage", "error"), DAMAGES)
def test_each_damage_has_its_error(
    fields: Fields, name: str, damage: Callable[[Any], Any], error: type[BadReceipt]
) -> None:
    check(fields)

    with pytest.raises(BadReceipt) as refused:
        check({**fields, name: damage(fields[name])})

    assert error is type(refused.value)
    if error is ReceiptWithWrongLeaf and name != "leaf":
        assert f"the file says {name} " in str(refused.value)


def test_every_field_is_needed_and_no_other_is_taken(fields: Fields) -> None:
    for name in fields:
        with pytest.raises(BadReceipt, match=name):
            check({other: value for other, value in fields.items() if other != name})
    with pytest.raises(BadReceipt, match="more"):
        check({**fields, "more": 1})


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"nonsense", b"[" * 5000, b" " * 100_001])
def test_a_file_that_is_not_a_receipt_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(BadReceipt):
        read_receipt(data)


def test_a_whole_receipt_of_a_made_up_round_does_not_lead_to_the_head_that_the_reader_trusts(
    fields: Fields,
) -> None:
    other = Hardened()
    other.submitted().judged().go(3, AUDIT_END).block()
    made_up = make(other, "n01")

    check_receipt(made_up)
    with pytest.raises(ReceiptOfOtherHead):
        check_receipt(made_up, fields["head"])
