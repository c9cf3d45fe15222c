"""Section 21 of docs/PROTOCOL.md: its tables are the law's, and a ledger's first hashes follow from it."""

import re
from pathlib import Path

from blake3 import blake3
from msgspec.msgpack import encode as pack
from solders.pubkey import Pubkey

from roundwork.protocol.execute import execute, next_block
from roundwork.protocol.genesis import create_state
from roundwork.protocol.params import Genesis, Grant
from roundwork.protocol.state import TABLE_KINDS
from roundwork.protocol.tasks.layouts import KPL, NATIVE

TEXT = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text()


def b3(*parts: bytes) -> bytes:
    return blake3(b"".join(parts)).digest()


def read_table(head: str) -> list[list[str]]:
    """The cells of the rows of a table, by its first line."""
    rows = TEXT.split(head + "\n", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def test_the_first_hashes_of_a_ledger_follow_from_the_text() -> None:
    def key_of(text: str) -> bytes:
        return bytes(Pubkey.from_string(text.strip("`")))

    rich, producer = (str(Pubkey(byte * 32)) for byte in (b"\2", b"\1"))
    fields = {
        "chain": "roundwork-dev", "kind": "development", "time_ms": 0, "symbol": "KOII", "decimals": 9,
        "slot_ms": 400, "gap_slots_max": 2, "fee_per_signature": 5000, "settle_records_max": 20_000,
        "list_chunks_max": 8192, "producer": producer, "faucet": None, "allowlister": None,
        "accounts": [{"address": rich, "balance": 10**9}],
    }  # fmt: skip
    accounts = {b"\2" * 32: [10**9, bytes(32), 0, b"", False]}
    for name, address, owner, size in read_table("| account | address | owner | bytes |"):
        data = bytes(44) + b"\x09\1" if name == "wrapped mint" else b""
        accounts[key_of(address)] = [0, key_of(owner), int(size), data, owner.startswith("`Native")]

    founded = b3(b"roundwork/genesis/1", pack(fields))
    changes = [[b"A", False, [[key, accounts[key]] for key in sorted(accounts)]]]
    state_hash = b3(founded, b3(pack(changes)))
    block_hash = b3(b"roundwork/block/1", pack([2, founded, 1, founded, 400, 1, b"\1" * 32, b"", [b"\0"]]))
    tick = b3(b"roundwork/tick/1", founded, bytes(8))
    changes = [[b"H", False, [[bytes(8), [0, tick]]]]]

    state = create_state(Genesis(time_ms=0, producer=producer, accounts=(Grant(rich, 10**9),)))
    assert (founded, state_hash) == (state.genesis_hash, state.head.state_hash)
    execute(state, next_block(state, 400, [b"\0"], b"\1" * 32), [False])
    assert block_hash == state.head.block_hash
    assert b3(state_hash, b3(pack(changes))) == state.head.state_hash


def test_the_text_has_every_layout_of_the_task_programs() -> None:
    rows = read_table("| program | instruction | accounts | data |")
    for layouts, name in ((NATIVE, "task"), (KPL, "KPL")):
        told = sorted(tuple(row[1:]) for row in rows if row[0] in (name, "both"))
        data = {row: f"`{row.data}`" if row.data else "–" for row in layouts}
        assert told == sorted((f"{row.number} {row.name}", f"`{row.accounts}`", data[row]) for row in layouts)


def test_the_text_has_every_table_and_the_fields_of_its_records() -> None:
    told = {}
    for letter, scope, _, record in read_table("| letter | of | key | record |"):
        told[letter.encode()] = scope, re.sub(r" \([^)]*\)", "", record).split(", ")

    scopes = {"LEDGER": "the ledger", "TASK": "a task", "ROUND": "a round", "SLOT": "a slot"}
    assert told == {
        kind.letter: (
            scopes["TASK" if name == "rounds" else kind.scope.name], list(kind.record.__struct_fields__)
        )
        for name, kind in TABLE_KINDS.items()
    }  # fmt: skip
