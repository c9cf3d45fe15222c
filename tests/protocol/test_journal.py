"""The journal of law version 2 that is kept: whatever is built later replays it to the same hashes."""

from contextlib import closing
from pathlib import Path

import pytest

from roundwork.ledger.inspect import verify
from roundwork.ledger.store.journal import Journal
from roundwork.protocol.execute import Kind, decode_block, encode_receipt, execute
from roundwork.protocol.genesis import create_state, decode_genesis

from .fuzz import Tally, _count, _parse, list_instructions
from .make_journal import ENOUGH, Vector, read


@pytest.fixture(scope="module")
def vector() -> Vector:
    return read()


def test_the_kept_journal_leads_to_the_same_hashes_and_receipts(vector: Vector) -> None:
    state = create_state(decode_genesis(vector.genesis, "vector"))

    for entry in vector.entries:
        outcome = execute(state, decode_block(entry.block), list(map(bool, entry.verified)))
        assert entry.state_hash == outcome.state_hash
        assert entry.receipts == list(map(encode_receipt, outcome.receipts))


def test_the_kept_journal_uses_every_instruction_of_every_program(vector: Vector) -> None:
    state, tally = create_state(decode_genesis(vector.genesis, "vector")), Tally()

    for entry in vector.entries:
        block = decode_block(entry.block)
        outcome = execute(state, block, list(map(bool, entry.verified)))
        for wire, receipt in zip(block.transactions, outcome.receipts, strict=True):
            if receipt.kind != Kind.VOID:
                _count(tally, _parse(wire), receipt)

    assert len(vector.entries) >= 300
    assert [] == [name for name in list_instructions() if tally.accepted[name] < ENOUGH]
    assert [] == [name for name in list_instructions() if tally.refused[name] < ENOUGH]


def test_the_kept_journal_verifies_as_a_ledger(vector: Vector, tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_bytes(vector.genesis)
    state = create_state(decode_genesis(vector.genesis, "vector"))
    with closing(Journal(tmp_path / "journal.db")) as journal:
        for entry in vector.entries:
            block, verified = decode_block(entry.block), list(map(bool, entry.verified))
            journal.append(block, verified, execute(state, block, verified))

    facts = verify(tmp_path, lambda done, total: None)

    assert (len(vector.entries), vector.entries[-1].state_hash.hex()) == (
        facts["blocks"],
        facts["state_hash"],
    )
