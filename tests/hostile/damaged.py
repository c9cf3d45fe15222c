"""A small ledger whose files tests damage, and the damages."""

import hashlib
import random
import shutil
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from solders.keypair import Keypair

from roundwork.errors import BadGenesis, StoreCorrupt
from roundwork.host.keypairs import write_keypair
from roundwork.ledger import chain as chain_module
from roundwork.ledger.chain import Chain
from roundwork.ledger.server import FAUCET_BALANCE, FAUCET_FILE
from roundwork.protocol.params import Genesis, Grant

from ..ledger.blocks import dump, receiver_of, run_blocks

STATES = ("stopped", "killed")
FILES = {
    "stopped": ("genesis.json", "journal.db", "checkpoint.db", "history.db"),
    "killed": (
        "genesis.json", "journal.db", "journal.db-wal", "journal.db-shm", "checkpoint.db", "history.db",
        "history.db-wal", "history.db-shm",
    ),
}  # fmt: skip


TIME_MS = 1_790_000_000_000


class Kept(NamedTuple):
    """A ledger that stopped in good order or was killed, and what must be true of it."""

    directories: dict[str, Path]
    rows: dict[bytes, Any]
    head: Any
    signatures: list[bytes]
    faucet: bytes

    @property
    def receivers(self) -> list[bytes]:
        """The addresses that the faucet paid."""
        return [bytes(receiver_of(amount)) for amount in range(1, len(self.signatures) + 1)]

    def examine(self, directory: Path) -> None:
        """Open a copy and look at everything in it. Raises RoundworkError where it refuses."""
        with closing(Chain(directory)) as chain:
            self.look_at(chain)

    def find_fault(self, directory: Path) -> str:
        """Open a damaged copy: what is wrong; "" for right answers, or for a refusal that writes nothing."""
        before = hash_files(directory)
        try:
            with closing(Chain(directory)) as chain:
                before = {}
                self.look_at(chain)
        except (StoreCorrupt, BadGenesis) as error:
            if str(directory) not in str(error):
                return f"a refusal names no file: {error}"
            if before and before != hash_files(directory):  # it was not opened
                return f"files are changed before the refusal: {error}"
        except Exception as error:  # noqa: BLE001 -- whatever damage causes is what is looked for
            return "".join(traceback.format_exception(error))
        return ""

    def look_at(self, chain: Chain) -> None:
        """Compare state, history and journal with what they were. Raises RoundworkError where one refuses."""
        assert (self.rows, self.head) == (dump(chain.state), chain.state.head)
        if not chain.history.wait_for(self.head.height, 20):
            assert chain.history.failure is not None
            raise chain.history.failure
        for signature in self.signatures:
            [place] = chain.history.find_transaction(signature)
            entry = chain.journal.read(place.height)
            assert entry is not None
            assert signature in entry.block.transactions[place.position]
            assert (0, 5000) == (entry.receipts[place.position].kind, entry.receipts[place.position].fee)
        found = chain.history.find_address(self.faucet, None, 1000)
        assert len(self.signatures) == len(found)
        blocks = [
            entry.block.height
            for slot in range(self.head.slot + 1)
            for entry in chain.journal.find_slot(slot)
        ]
        assert list(range(1, self.head.height + 1)) == blocks


def make_kept(root: Path) -> Kept:
    """A ledger of 14 blocks below `root`, in both states, with the same keys and blocks in every run."""
    directories = {state: root / state for state in STATES}
    faucet_pair, producer_pair = (Keypair.from_seed(bytes([seed]) * 32) for seed in (1, 2))
    directories["stopped"].mkdir(parents=True)
    write_keypair(directories["stopped"] / FAUCET_FILE, faucet_pair)
    faucet, producer = faucet_pair.pubkey(), producer_pair.pubkey()
    grants = (Grant(str(faucet), FAUCET_BALANCE),)
    Chain.create(
        directories["stopped"],
        Genesis(time_ms=TIME_MS, producer=str(producer), faucet=str(faucet), accounts=grants),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain_module, "CHECKPOINT_BLOCKS", 6)
        with closing(Chain(directories["stopped"])) as chain:
            signatures = run_blocks(chain, 14)
            assert chain.history.wait_for(chain.journal.height, 20)
            chain._writer.submit(lambda: None).result()
            assert 0 < chain.checkpointed.height < chain.journal.height
            shutil.copytree(directories["stopped"], directories["killed"])
            return Kept(directories, dump(chain.state), chain.state.head, signatures, bytes(faucet))


def damage(raw: bytes, chance: random.Random) -> bytes:
    """The bytes with one bit changed, cut short, or with two pieces exchanged."""
    at = chance.randrange(len(raw))
    match chance.choice(("flip", "flip", "cut", "swap")):
        case "flip":
            return raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]
        case "cut":
            return raw[:at]
        case _:
            size = chance.choice((1, 64, 512, 4096))
            here, there = sorted(chance.randrange(0, max(len(raw), 1), size) for _ in range(2))
            pieces = raw[here : here + size], raw[there : there + size]
            if here == there or len(pieces[1]) < size:
                return raw
            return raw[:here] + pieces[1] + raw[here + size : there] + pieces[0] + raw[there + size :]


def hash_files(directory: Path) -> dict[str, str]:
    """What each file holds, but for what SQLite makes to read: an empty log and the index of a log."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if not path.name.endswith("-shm") and path.stat().st_size
    }
