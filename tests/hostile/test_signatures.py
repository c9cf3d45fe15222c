"""A signature made for one purpose is refused for every other purpose."""

import ast
import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message, MessageV0, to_bytes_versioned
from solders.signature import Signature
from solders.system_program import TransferParams, transfer

import roundwork
from roundwork.client.rpc import Client
from roundwork.errors import Void
from roundwork.node.javascript.namespace import Namespace
from roundwork.node.javascript.task_wallet import TaskWallet
from roundwork.protocol.transaction import WIRE_BYTES_MAX, decode_transaction
from roundwork.protocol.transaction import is_signed as is_signed_by_law
from roundwork.purposes import (
    PAYLOAD,
    PURPOSES,
    REGISTRATION,
    SIGNATURES_MAX,
    TRANSACTION,
    VOTE,
    Purpose,
    is_signed,
    sign,
)
from roundwork.wire import base58_decode, base58_encode

from ..ledger.process import RunningLedger, running
from ..node.house import require_sandbox
from ..node.peers.test_announce import found, stake_by_hand
from ..node.test_server import make_rich, run_node

NODE, OTHER = (Keypair.from_seed(bytes([n]) * 32) for n in (3, 4))
SOURCE = Path(roundwork.__file__).parent

Values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)
"""What JavaScript and Python tasks can have signed."""


def compose_message(version: int | None = None) -> bytes:
    move = transfer(TransferParams(from_pubkey=NODE.pubkey(), to_pubkey=OTHER.pubkey(), lamports=1))
    if version is None:
        return to_bytes_versioned(Message.new_with_blockhash([move], NODE.pubkey(), Hash.default()))
    return to_bytes_versioned(MessageV0.try_compile(NODE.pubkey(), [move], [], Hash.default()))


def compose_vote(kind: int, chain: bytes) -> bytes:
    """What CometBFT signs: CanonicalVote in protocol buffers, behind its length."""
    height = b"\x11" + (7).to_bytes(8, "little")
    body = b"\x08" + bytes([kind]) + height + b"\x2a\x02\x08\x01" + b"\x32" + bytes([len(chain)]) + chain
    size = len(body)
    prefix = bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])
    return prefix + body


def compose_place(url: str) -> bytes:
    return msgspec.json.encode({"url": url, "timestamp": 1, "taskId": str(OTHER.pubkey())})


EXAMPLES: dict[str, list[bytes]] = {
    "transaction": [compose_message(), compose_message(0)],
    "payload": [compose_place("http://a.example"), b"[]", b"{}", b'"text"', b"5", b"-1", b"null", b"true"],
    "registration": [compose_place("http://a.example")],
    # Lengths whose first bytes begin something else, too: 18 signatures, "[", "{", version 0.
    "vote": [compose_vote(kind, b"c" * size) for kind in (1, 2, 32) for size in (1, 74, 106, 111)],
}


def list_readings(purpose: Purpose, signed: bytes) -> Iterator[bytes]:
    """Every text of a purpose that a signature over these bytes would count for."""
    if signed.startswith(purpose.prefix):
        yield signed.removeprefix(purpose.prefix)
    yield signed


def test_every_purpose_has_examples_and_its_own_name() -> None:
    assert {purpose.name for purpose in PURPOSES} == EXAMPLES.keys()
    assert len({purpose.name for purpose in PURPOSES}) == len(PURPOSES)


@pytest.mark.parametrize("claimed", PURPOSES, ids=lambda purpose: purpose.name)
@pytest.mark.parametrize("made", PURPOSES, ids=lambda purpose: purpose.name)
def test_a_signature_for_one_purpose_is_refused_for_every_other(made: Purpose, claimed: Purpose) -> None:
    key = NODE.pubkey()
    for text in EXAMPLES[made.name]:
        signature = sign(made, NODE, text)

        assert is_signed(made, key, signature, text)
        assert not is_signed(made, OTHER.pubkey(), signature, text)
        if made != claimed:
            for reading in (text, *list_readings(claimed, made.prefix + text)):
                assert not is_signed(claimed, key, signature, reading)


@given(Values)
def test_what_a_task_gets_signed_is_a_payload_and_nothing_else(value: Any) -> None:
    text = msgspec.json.encode(value)

    assert PAYLOAD.is_text(text)
    assert not TRANSACTION.is_text(text)
    assert not VOTE.is_text(text)
    assert not text.startswith(REGISTRATION.prefix)


@given(st.binary(max_size=200))
def test_no_bytes_have_two_purposes(signed: bytes) -> None:
    readers = [
        purpose.name
        for purpose in PURPOSES
        if signed.startswith(purpose.prefix) and purpose.is_text(signed.removeprefix(purpose.prefix))
    ]

    assert len(readers) <= 1


@given(Values)
def test_the_law_takes_no_payload_for_a_transaction(value: Any) -> None:
    text = msgspec.json.encode(value)
    signature = sign(PAYLOAD, NODE, text)

    for count in (1, 2, SIGNATURES_MAX, text[0] & 0x7F):
        wire = bytes([count]) + signature * count + text
        for cut in (wire, wire[:WIRE_BYTES_MAX]):
            with pytest.raises(Void):
                decode_transaction(cut)


def test_the_law_takes_no_vote_for_a_transaction() -> None:
    for text in EXAMPLES["vote"]:
        signature = sign(VOTE, NODE, text)
        for count in {1, 2, text[0] & 0x7F}:
            with pytest.raises(Void):
                decode_transaction(bytes([count]) + signature * count + text)


def test_the_law_takes_what_is_signed_as_a_transaction() -> None:
    for text in EXAMPLES["transaction"]:
        wire = b"\x01" + sign(TRANSACTION, NODE, text) + text

        assert is_signed_by_law(decode_transaction(wire))


def test_no_text_of_another_form_is_signed() -> None:
    for purpose in PURPOSES:
        for others in (b"", b"\xff", b"\xffsolana offchain", b" {}", b"{", b'{"a":\xff}', b"[" * 5000):
            with pytest.raises(AssertionError):
                sign(purpose, NODE, others)


def test_signatures_are_made_and_checked_in_one_place() -> None:
    """Beside it the law verifies transactions, which solders' own Transaction signs."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("sign_message", "SigningKey", "VerifyKey"):
                found.add((str(path.relative_to(SOURCE)), node.attr))
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(").verify"):
                found.add((str(path.relative_to(SOURCE)), "verify"))

    law = {("protocol/transaction.py", "verify"), ("protocol/programs/ed25519.py", "verify")}
    assert {("purposes.py", "sign_message"), ("purposes.py", "verify")} == found - law


SIGNER = """

@task.routes
def routes(ctx):
    import json
    return {"/sign": lambda request: ctx.sign(json.loads(request.body))}
"""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    require_sandbox("sandlock")
    with running(tmp_path_factory.mktemp("signatures") / "ledger") as ledger:
        yield ledger


def test_a_task_cannot_move_its_node_in_another_task(ledger: RunningLedger, tmp_path: Path) -> None:
    evil = found(ledger, tmp_path / "evil", SIGNER)
    honest = found(ledger, tmp_path / "honest", "")
    make_rich(ledger, tmp_path / "neighbour")
    victim = stake_by_hand(ledger, honest, tmp_path / "victim")

    with (
        run_node(ledger, evil, tmp_path / "victim", "--package", tmp_path / "evil") as host,
        run_node(ledger, honest, tmp_path / "neighbour", "--package", tmp_path / "honest") as neighbour,
    ):
        assert host.address == victim
        place = {"url": "http://127.0.0.1:9", "timestamp": time.time_ns() // 1_000_000, "taskId": honest}
        answers = []
        for data in (place, {"url": place["url"], "timestamp": place["timestamp"]}):
            asked = httpx2.post(
                f"{host.endpoint}/task/{evil}/sign", content=json.dumps(data), trust_env=False, timeout=30
            )
            assert asked.status_code == 200, asked.text
            registration = {"data": data, "signature": asked.text, "owner": victim, "submitterPubkey": victim}
            answers.append(
                httpx2.post(
                    f"{neighbour.endpoint}/register-node/{honest}", json=registration, trust_env=False
                )
            )
        known = httpx2.get(f"{neighbour.endpoint}/nodes/{honest}", trust_env=False).json()

    assert [409, 409] == [answer.status_code for answer in answers]
    assert "forged" in answers[0].json()["message"]
    assert place["url"] not in [entry["data"]["url"] for entry in known]


def test_what_a_main_js_gets_signed_is_a_payload(tmp_path: Path) -> None:
    """`signData` takes any JSON value; the main key's signature is good for the published format alone."""

    async def run() -> None:
        async with Client("http://127.0.0.1:9") as client:
            wallet, main = TaskWallet(client, OTHER, NODE), OTHER.pubkey()
            namespace = Namespace.__new__(Namespace)
            namespace._wallet = wallet
            for value in ({"url": "http://a.example"}, "text", 5, None, [1]):
                raw = base58_decode(await namespace.sign_data(value))
                signature, text = raw[:64], raw[64:]

                assert Signature.from_bytes(signature).verify(main, msgspec.json.encode(value))
                assert is_signed(PAYLOAD, main, signature, text)
                for other in (TRANSACTION, REGISTRATION, VOTE):
                    for reading in list_readings(other, text):
                        assert not is_signed(other, main, signature, reading)
                for count in (1, 2, text[0] & 0x7F):
                    with pytest.raises(Void):
                        decode_transaction(bytes([count]) + signature * count + text)
                assert {"data": text.decode()} == await namespace.verify_signed_data(
                    base58_encode(raw), str(main)
                )
                registered = sign(REGISTRATION, OTHER, text)
                assert "error" in await namespace.verify_signed_data(
                    base58_encode(registered + text), str(main)
                )

    asyncio.run(run())
