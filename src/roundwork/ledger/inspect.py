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
from .store.agreement import Files
from .store.checkpoint import REMEDY
from .store.journal import Entry

Facts = dict[str, str | int]

_encode = msgspec.msgpack.Encoder().encode


def read_info(directory: Path) -> Facts:
    """Where the ledger in a directory stands. Writes nothing. Raises BadGenesis, OldLaw, StoreCorrupt."""
    genesis = read_genesis(directory)
    genesis_hash = create_state(genesis).genesis_hash
    facts: Facts = {
        "chain": genesis.chain,
        "kind": genesis.kind,
        "genesis_hash": base58_of(genesis_hash),
        "slot_ms": genesis.slot_ms,
    }
    with closing(Files(directory)) as files:
        files.check(genesis_hash)
        journal = files.journal
        entry = journal.read(journal.height)
        facts["height"] = journal.height
        if entry is not None:
            facts["slot"] = entry.block.slot
            facts["time_ms"] = entry.block.time_ms
            facts["block_hash"] = entry.block_hash.hex()
            facts["state_hash"] = entry.state_hash.hex()
        facts["history_lag_blocks"] = journal.height - files.indexed_height
        facts["journal_bytes"] = journal.path.stat().st_size if journal.path.exists() else 0
    return facts


def verify(directory: Path, progress: Callable[[int, int], None]) -> Facts:
    """Replay the journal from genesis with every signature; `progress` is called with (done, total) blocks.

    Writes nothing. Raises StoreCorrupt at the first signature, receipt, event, block hash or state hash that
    is not as it was written. Raises it also if the checkpoint or the history is damaged, is of another
    ledger, or has blocks that the journal does not have. Raises BadGenesis, OldLaw.
    """
    state = create_state(read_genesis(directory))
    supply = compute_supply(state)
    transactions = 0
    with closing(Files(directory)) as files:
        files.check(state.genesis_hash)
        files.checkpoint.check_records()
        files.history.check_buckets()
        journal, saved = files.journal, files.saved
        for entry in journal.read_from(1):
            check_signatures(entry.block, entry.verified, str(journal.path))
            check_results(entry, replay_entry(state, entry, str(journal.path)), str(journal.path))
            if saved is not None and saved.head.height == entry.block.height:
                check_saved(saved.head, state.head, str(files.checkpoint.path))
            transactions += len(entry.block.transactions)
            progress(entry.block.height, journal.height)
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
        raise StoreCorrupt(f"{source}: block {saved.height} is not the journal's; {REMEDY}")


def check_results(entry: Entry, outcome: Outcome, source: str) -> None:
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
