"""What is on disk, read beside a running ledger: where it stands, and whether every hash is right."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from ..errors import StoreCorrupt, Undecodable
from ..protocol.books import compute_supply, find_token_faults
from ..protocol.execute import Block, Outcome, encode_receipt
from ..protocol.genesis import create_state
from ..protocol.params import base58_of
from ..protocol.state import Head
from ..protocol.transaction import decode_transaction, is_signed
from .chain import read_genesis, replay_entry
from .store.checkpoint import read_head
from .store.history import read_progress
from .store.journal import Entry, Journal

Facts = dict[str, str | int]

_encode = msgspec.msgpack.Encoder().encode


def read_info(directory: Path) -> Facts:
    """Where the ledger in a directory stands. Raises BadGenesis, StoreCorrupt, StoreFull."""
    genesis = read_genesis(directory)
    facts: Facts = {
        "chain": genesis.chain,
        "kind": genesis.kind,
        "genesis_hash": base58_of(create_state(genesis).genesis_hash),
        "slot_ms": genesis.slot_ms,
    }
    with closing(Journal(directory / "journal.db")) as journal:
        journal.check_law()
        entry = journal.read(journal.height)
        facts["height"] = journal.height
        if entry is not None:
            facts["slot"] = entry.block.slot
            facts["time_ms"] = entry.block.time_ms
            facts["block_hash"] = entry.block_hash.hex()
            facts["state_hash"] = entry.state_hash.hex()
        facts["history_lag_blocks"] = journal.height - read_progress(directory / "history.db")
        facts["journal_bytes"] = journal.path.stat().st_size
    return facts


def verify(directory: Path, progress: Callable[[int, int], None]) -> Facts:
    """Replay the journal from genesis with every signature; `progress` is called with (done, total) blocks.

    Raises StoreCorrupt at the first signature, receipt, event, block hash or state hash that is not as it
    was written, and if the checkpoint or the history has blocks that the journal does not have.
    """
    state = create_state(read_genesis(directory))
    supply = compute_supply(state)
    transactions = 0
    checkpoint, history = directory / "checkpoint.db", directory / "history.db"
    saved = read_head(checkpoint)  # before the journal is opened: a running ledger writes it first
    indexed = read_progress(history)
    with closing(Journal(directory / "journal.db")) as journal:
        journal.check_law()
        journal.check_reaches(saved.height if saved else 0, checkpoint)
        journal.check_reaches(indexed, history)
        total = journal.height
        for entry in journal.read_from(1):
            if entry.block.height > total:
                break
            check_signatures(entry.block, entry.verified, str(journal.path))
            check_told(entry, replay_entry(state, entry, str(journal.path)), str(journal.path))
            if saved is not None and saved.height == entry.block.height:
                check_saved(saved, state.head, str(checkpoint))
            transactions += len(entry.block.transactions)
            progress(entry.block.height, total)
    if compute_supply(state) != supply:
        raise StoreCorrupt(f"{directory}: the supply was {supply} roe and is {compute_supply(state)}")
    faults = find_token_faults(state)
    if faults:
        raise StoreCorrupt(f"{directory}: {faults[0]}")
    return {
        "blocks": state.head.height,
        "transactions": transactions,
        "slot": state.head.slot,
        "block_hash": state.head.block_hash.hex(),
        "state_hash": state.head.state_hash.hex(),
        "supply": supply,
    }


def check_saved(saved: Head, replayed: Head, source: str) -> None:
    """Raises StoreCorrupt if a checkpoint's block is not the journal's block of that height."""
    if saved != replayed:
        raise StoreCorrupt(f"{source}: block {saved.height} is not the journal's; delete the file")


def check_told(entry: Entry, outcome: Outcome, source: str) -> None:
    """Raises StoreCorrupt if a receipt or an event, which no hash covers, is not as it was written."""
    for name, was, now in (
        ("receipts", *[list(map(encode_receipt, source.receipts)) for source in (entry, outcome)]),
        # As bytes, because records in events were read back without types.
        ("events", *[_encode(source.events) for source in (entry, outcome)]),
    ):
        if was != now:
            raise StoreCorrupt(
                f"{source}: the {name} of block {entry.block.height} are not what replay gives"
            )


def check_signatures(block: Block, verified: bytes, source: str) -> None:
    """Raises StoreCorrupt if a signature's verdict is not as it was written."""
    for position, (wire, was) in enumerate(zip(block.transactions, verified, strict=True)):
        try:
            now = is_signed(decode_transaction(wire))
        except Undecodable:
            now = False
        if now != bool(was):
            raise StoreCorrupt(
                f"{source}: transaction {position} of block {block.height} was "
                f"{'' if was else 'not '}signed when it was written, and is {'' if now else 'not '}now"
            )
