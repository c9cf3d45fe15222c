"""A ledger directory with the application on it, the stand-in that drives it, and the law beside them."""

import socket
import subprocess
import sys
from pathlib import Path

from solders.system_program import TransferParams, transfer

from roundwork.errors import Undecodable
from roundwork.ledger.chain import Chain, replay_entry
from roundwork.ledger.comet.home import write_home
from roundwork.ledger.store.journal import Journal
from roundwork.protocol.execute import Outcome, execute, next_block
from roundwork.protocol.genesis import create_state
from roundwork.protocol.params import Genesis
from roundwork.protocol.state import State
from roundwork.protocol.transaction import decode_transaction, is_signed

from ...protocol.world import SLOT_MS, World, keypair_of
from .standin import Disk, StandIn

ROOT = Path(__file__).parents[3]
FROM = "manager"


class Ledger:
    """A ledger directory, the application on it, and the stand-in's disk; `world` runs the law beside it."""

    def __init__(self, directory: Path, mode: str = "eager", genesis: Genesis | None = None) -> None:
        self.directory = directory
        self.mode = mode
        self.world = World(("manager", "n00", "n01"), fee_per_signature=5000)
        genesis = genesis or self.world.state.genesis
        Chain.create(directory, genesis)
        write_home(directory, genesis, "tcp://127.0.0.1:0", keypair_of("validator"))
        self.disk = Disk(directory / "comet")
        self.outcomes: dict[int, Outcome] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.engine: StandIn | None = None

    def start(self, crash_at: str = "") -> StandIn:
        """Start the pair and let the engine shake hands."""
        path = self.directory / "app.sock"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            fd = listening.fileno()
            command = [sys.executable, "-m", "tests.ledger.comet.application"]
            command += [self.mode, str(self.directory), str(fd)]
            self.process = subprocess.Popen(command, cwd=ROOT, pass_fds=[fd])
        self.engine = StandIn(self.disk, path)
        self.engine.crash_at = crash_at
        self.engine.handshake()
        return self.engine

    def kill(self) -> None:
        """Kill the application with -9; the engine's connections break."""
        assert self.process is not None
        self.process.kill()
        self.stop()

    def stop(self) -> int:
        """End the engine; the application sees that and ends by itself."""
        if self.engine is not None:
            self.engine.close()
        assert self.process is not None
        return self.process.wait(20)

    def pay(self, amount: int) -> bytes:
        source, target = keypair_of(FROM).pubkey(), keypair_of("somebody").pubkey()
        return self.world.wire(
            [FROM], transfer(TransferParams(from_pubkey=source, to_pubkey=target, lamports=amount))
        )

    def make_block(self, *wires: bytes) -> None:
        """A block of the next slot, by the engine; the law beside it must reach the same hashes."""
        assert self.engine is not None
        head = self.world.state.head
        self.engine.make_block(head.began_ms + SLOT_MS, wires)
        self.follow()

    def follow(self) -> None:
        """Run the blocks on the engine's disk that the law beside it has not seen."""
        state = self.world.state
        for stored in self.disk.blocks[state.head.height :]:
            block = next_block(
                state, stored.time_ns // 10**6, stored.txs, bytes(keypair_of("producer").pubkey())
            )
            self.outcomes[block.height] = execute(state, block, [is_signed_wire(wire) for wire in stored.txs])

    def check(self) -> None:
        """The journal holds every block the engine has, once, with the hashes of the law beside it."""
        self.follow()
        journal = Journal(self.directory / "journal.db")
        state: State = create_state(self.world.state.genesis)
        assert journal.height == self.disk.block_height
        for entry in journal.read_from(1):
            outcome = replay_entry(state, entry, "the journal")
            assert outcome.state_hash == self.outcomes[entry.block.height].state_hash
            assert entry.block.transactions == self.disk.blocks[entry.block.height - 1].txs
        journal.close()
        assert state.head == self.world.state.head


def is_signed_wire(wire: bytes) -> bool:
    """Whether bytes are a transaction whose signatures verify."""
    try:
        return is_signed(decode_transaction(wire))
    except Undecodable:
        return False
