"""What a task may ask its node for, asked from inside the sandbox."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import VersionedTransaction

from roundwork.errors import Void
from roundwork.node.peers.payload import BadPayload, decode_base58, encode_base58, open_payload, sign_payload
from roundwork.node.python.environments import Environment
from roundwork.protocol.transaction import decode_transaction

from ..house import HEADER, SEED
from ..peers.neighbours import open_neighbours

KEYPAIR = Keypair.from_seed(bytes([3]) * 32)
NODE = str(KEYPAIR.pubkey())


def ask(tmp_path: Path, environment: Environment, *bodies: str, **options: Any) -> list[str]:
    """What the submission function of each node says, one after the other; `bodies` are expressions."""
    (tmp_path / "task").mkdir()
    program = tmp_path / "task" / "task.py"
    lines = "".join(f"    if ctx.round == {number}: return {body}\n" for number, body in enumerate(bodies))
    program.write_text(
        f"{HEADER}\n@task.submission\ndef submission(ctx):\n  try:\n{lines}"
        "  except (Unavailable, Refused, InvalidSubmission) as error:\n"
        "    return f'{type(error).__name__}: {error}'[:500]\n"
        "\n@task.routes\ndef routes(ctx):\n    return {'/hello': lambda request: 'hello from ' + ctx.node}\n"
    )

    async def run() -> list[str]:
        async with open_neighbours(tmp_path, program, environment, **options) as nodes:
            answers = []
            for number in range(len(bodies)):
                answers.append(await nodes[number % len(nodes)].lanes.submit(number, SEED, 20) or "")
            return answers

    return asyncio.run(run())


def test_what_one_node_puts_another_gets(tmp_path: Path, environment: Environment) -> None:
    from roundwork.package.content import compute_content_id

    content_id = compute_content_id(b"proof" * 500_000)

    put, got, unknown, nonsense = ask(
        tmp_path,
        environment,
        "ctx.storage.put(b'proof' * 500_000)",
        f"str(ctx.storage.get('{content_id}') == b'proof' * 500_000)",
        f"str(ctx.storage.get('{compute_content_id(b'nobody has this')}'))",
        "str(ctx.storage.get('nonsense'))",
    )

    assert put == content_id
    assert got == "True"
    assert unknown.startswith("Unavailable: no node serves bafkrei")
    assert nonsense == "InvalidSubmission: 'nonsense' is not a content id"


def test_peers_answer_by_their_routes(tmp_path: Path, environment: Environment) -> None:
    peers, hello, missing, stranger = ask(
        tmp_path,
        environment,
        "' '.join(ctx.peers)",
        "ctx.peers[next(iter(ctx.peers))].get('/hello').text",
        "str(ctx.peers[next(iter(ctx.peers))].get('nothing').status)",
        "ctx.peers['stranger'].get('/').text",
    )

    assert hello == f"hello from {Keypair.from_seed(bytes([10]) * 32).pubkey()}"
    assert peers == str(Keypair.from_seed(bytes([11]) * 32).pubkey())
    assert missing == "404"
    assert stranger == "Unavailable: node stranger has given no endpoint"


def test_a_node_that_is_not_known_yet_is_looked_up(tmp_path: Path, environment: Environment) -> None:
    from roundwork.package.content import compute_content_id

    other = Keypair.from_seed(bytes([11]) * 32).pubkey()
    content_id = compute_content_id(b"proof")

    hello, _, got, peers, stranger = ask(
        tmp_path,
        environment,
        f"ctx.peers['{other}'].get('/hello').text",
        "ctx.storage.put(b'proof')",
        f"str(ctx.storage.get('{content_id}', node='{other}'))",
        "str(list(ctx.peers))",
        "ctx.peers['stranger'].get('/').text",
        are_new=True,
    )

    assert hello == f"hello from {other}"
    assert got == "b'proof'"
    assert peers == "[]"
    assert stranger == "Unavailable: node stranger has given no endpoint"


def test_http_is_bound_to_the_permitted_hosts(tmp_path: Path, environment: Environment) -> None:
    answers = ask(
        tmp_path,
        environment,
        "ctx.http.get('http://example.org/').text",
        "ctx.http.get('http://127.0.0.1:1/').text",
        hosts=("127.0.0.1:1",),
    )

    assert answers[0].startswith("Refused: example.org:80 is not among the permitted hosts")
    assert answers[1].startswith("Unavailable: GET http://127.0.0.1:1/ does not answer")


def test_the_ledger_is_read_and_never_written(tmp_path: Path, environment: Environment) -> None:
    answers = ask(
        tmp_path,
        environment,
        "repr(ctx.ledger.call('getBalance', 'key'))",
        "repr(ctx.ledger.call('sendTransaction', 'wire'))",
        "repr(ctx.ledger.call('requestAirdrop', 'key', 1))",
    )

    assert answers[0] == "{'method': 'getBalance', 'params': ['key']}"
    assert answers[1] == "Refused: sendTransaction is not a method that only reads"
    assert answers[2].startswith("Refused")


def test_a_task_signs_and_verifies_through_its_node(tmp_path: Path, environment: Environment) -> None:
    answers = ask(
        tmp_path,
        environment,
        "repr(ctx.verify(ctx.sign({'a': [1, 'ü']}), ctx.node))",
        "repr(ctx.verify(ctx.sign([1]), next(iter(ctx.peers))))",
        "ctx.sign('a transaction, perhaps')",
        "repr(ctx.verify('nonsense', ctx.node))",
    )

    assert answers[0] == "{'a': [1, 'ü']}"
    assert answers[1].startswith("InvalidSubmission")
    assert answers[2].startswith("Refused")
    assert answers[3].startswith("InvalidSubmission")


def test_a_signed_payload_has_the_published_format() -> None:
    raw = decode_base58(sign_payload(KEYPAIR, {"a": 1}))

    assert raw[64:] == b'{"a":1}'
    assert bytes(KEYPAIR.sign_message(b'{"a":1}')) == raw[:64]


def test_what_somebody_else_signed_or_what_was_changed_is_not_signed() -> None:
    signed = sign_payload(KEYPAIR, {"a": 1})
    raw = decode_base58(signed)
    changed = encode_base58(raw[:-2] + b"2}")

    assert open_payload(signed, NODE) == {"a": 1}
    for text, node in (
        (changed, NODE),
        (signed, str(Keypair().pubkey())),
        (signed, "no key"),
        ("", NODE),
        ("0OIl", NODE),
        ("1" * 100, NODE),
        ("z" * 40_000, NODE),
    ):
        with pytest.raises(BadPayload):
            open_payload(text, node)


@pytest.mark.parametrize("value", ["text", 1, None, True, {"x": "y" * 20_000}])
def test_only_objects_and_arrays_of_some_size_are_signed(value: Any) -> None:
    with pytest.raises(BadPayload):
        sign_payload(KEYPAIR, value)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0a", bytes(range(256)), b"\xff" * 64])
def test_base58_goes_both_ways(data: bytes) -> None:
    assert decode_base58(encode_base58(data)) == data


def test_base58_is_the_one_of_addresses() -> None:
    assert encode_base58(bytes(KEYPAIR.pubkey())) == NODE


@pytest.mark.parametrize("opening", [b"{", b"["])
def test_no_payload_that_is_signed_can_be_a_transactions_message(opening: bytes) -> None:
    """A message that opens like JSON announces more signatures than fit into a transaction."""
    payload = msgspec.json.encode({"x": "y"} if opening == b"{" else ["y"])
    signed = KEYPAIR.sign_message(payload)

    assert payload[:1] == opening
    for size in (len(payload), 500, 1168):
        message = payload.ljust(size, b" ")
        with pytest.raises(ValueError):  # noqa: PT011 # whatever solders says
            Message.from_bytes(message)
        wire = b"\x01" + bytes(signed) + message
        with pytest.raises(ValueError):  # noqa: PT011 # likewise
            VersionedTransaction.from_bytes(wire)
        with pytest.raises(Void):
            decode_transaction(wire)
    # The same by arithmetic: the keys of that many signers are longer than any transaction.
    assert opening[0] * 32 > 1232
    assert opening[0] < 0x80
