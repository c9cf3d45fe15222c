"""Every row of CometBFT's handshake, and a crash before and after every call: nothing lost, nothing doubled.

A stand-in for CometBFT drives the real application, in a process of its own, over the real socket. It is
killed with -9; its files are real. Checkpoints become durable at the first moment the order allows, so that
they get in the way as much as they can.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from solders.system_program import TransferParams, transfer

from roundwork.ledger.chain import Chain, replay_entry
from roundwork.ledger.comet.home import write_home
from roundwork.ledger.journal import Journal
from roundwork.protocol.execute import Outcome, execute, next_block
from roundwork.protocol.genesis import found
from roundwork.protocol.state import State

from ..laws.world import SLOT_MS, World, keypair_of
from .standin import HANDSHAKE_MOMENTS, MOMENTS, Crashed, Disk, Refused, StandIn

ROOT = Path(__file__).parents[2]
FROM = "manager"


class Ledger:
    """A ledger directory, the application on it, and the stand-in's disk; `world` runs the law beside it."""

    def __init__(self, directory: Path, mode: str = "eager") -> None:
        self.directory = directory
        self.mode = mode
        self.world = World(("manager", "n00", "n01"), fee_per_signature=5000)
        Chain.create(directory, self.world.state.genesis)
        write_home(directory, self.world.state.genesis, "tcp://127.0.0.1:0", keypair_of("validator"))
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
            command = [sys.executable, "-m", "tests.engines.application"]
            command += [str(self.directory), str(fd), self.mode]
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
            self.outcomes[block.height] = execute(state, block, [True] * len(stored.txs))

    def check(self) -> None:
        """The journal holds every block the engine has, once, with the hashes of the law beside it."""
        self.follow()
        journal = Journal(self.directory / "journal.db")
        state: State = found(self.world.state.genesis)
        assert journal.height == self.disk.block_height
        for entry in journal.read_from(1):
            outcome = replay_entry(state, entry, "the journal")
            assert outcome.state_hash == self.outcomes[entry.block.height].state_hash
            assert entry.block.transactions == self.disk.blocks[entry.block.height - 1].txs
        journal.close()
        assert state.head == self.world.state.head


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    yield ledger
    if ledger.process is not None:
        ledger.process.kill()
        ledger.process.wait(20)


def grow(ledger: Ledger, blocks: int) -> None:
    for _ in range(blocks):
        ledger.make_block(ledger.pay(1))


def crash(ledger: Ledger, moment: str, victim: str) -> bytes:
    """Make a block with a payment in it, and have the victim die at the moment. Returns the payment."""
    assert ledger.engine is not None
    paid = ledger.pay(7)
    ledger.engine.crash_at = moment
    with pytest.raises(Crashed):
        ledger.engine.make_block(ledger.world.state.head.began_ms + SLOT_MS, [paid])
    ledger.kill() if victim == "application" else ledger.stop()
    return paid


def test_a_ledger_is_founded_and_goes_on(ledger: Ledger) -> None:
    engine = ledger.start()
    grow(ledger, 3)
    ledger.stop()
    ledger.check()

    assert engine.row == "A = B = S"


# The rows of the handshake. A, S, B: heights of application, engine's state, block store


def test_before_any_block_the_chain_is_founded_again(ledger: Ledger) -> None:
    ledger.start()
    ledger.kill()

    engine = ledger.start()
    grow(ledger, 1)
    ledger.stop()
    ledger.check()

    assert engine.row == "A = B = S"


def test_an_application_without_a_checkpoint_is_given_everything_again(ledger: Ledger) -> None:
    ledger.mode = "usual"
    ledger.start()
    grow(ledger, 4)
    ledger.stop()

    engine = ledger.start()
    grow(ledger, 1)
    ledger.stop()
    ledger.check()

    assert engine.row == "B = S, A < B"
    assert engine.delivered == [1, 2, 3, 4, 5]


def test_an_application_at_its_checkpoint_is_given_the_rest(ledger: Ledger) -> None:
    ledger.start()
    grow(ledger, 4)
    ledger.stop()

    engine = ledger.start()
    grow(ledger, 1)
    ledger.stop()
    ledger.check()

    assert engine.row == "B = S, A < B"
    assert engine.delivered == [4, 5], "the checkpoint of block 4 waits for block 5"


@pytest.mark.parametrize(("mode", "row"), [("eager", "B = S + 1, A = S"), ("usual", "B = S + 1, A < S")])
def test_a_block_whose_state_was_not_saved_is_delivered_again(ledger: Ledger, mode: str, row: str) -> None:
    ledger.mode = mode
    ledger.start()
    grow(ledger, 3)
    crash(ledger, "after commit", "engine")

    engine = ledger.start()
    ledger.stop()
    ledger.check()

    assert engine.row == row
    assert engine.delivered[-1] == 4


def test_an_engine_that_lost_its_blocks_refuses_to_start(ledger: Ledger) -> None:
    ledger.start()
    grow(ledger, 4)
    ledger.stop()
    ledger.disk = Disk(ledger.directory / "comet")

    with pytest.raises(Refused, match="the application is at 3, the block store at 0"):
        ledger.start()


def test_the_row_in_which_a_block_is_never_delivered_again_is_impossible(ledger: Ledger) -> None:
    """With the order broken on purpose the stand-in walks into that row; with the order as it is, never."""
    for mode, is_reached in (("hasty", True), ("eager", False)):
        ledger.mode = mode
        ledger.start()
        grow(ledger, 1)
        crash(ledger, "after commit", "application")
        if is_reached:
            with pytest.raises(AssertionError, match="would never be delivered again"):
                ledger.start()
            ledger.disk.state_height += 1  # as CometBFT would go on, without the application
            ledger.disk.app_hash = ledger.disk.app_hashes[ledger.disk.block_height]
            ledger.stop()
            ledger.follow()
        else:
            ledger.start()
            ledger.stop()
    ledger.check()


# Crashes


@pytest.mark.parametrize("victim", ["engine", "application"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_crash_in_a_block_loses_and_doubles_nothing(ledger: Ledger, moment: str, victim: str) -> None:
    ledger.start()
    grow(ledger, 3)
    paid = crash(ledger, moment, victim)

    ledger.start()
    ledger.follow()
    if all(paid not in block.txs for block in ledger.disk.blocks):
        ledger.make_block(paid)  # whoever sent it sends it again: nobody has told them that it was done
    grow(ledger, 2)
    ledger.stop()
    ledger.check()

    assert [tx for block in ledger.disk.blocks for tx in block.txs if tx == paid] == [paid]
    assert {receipt.name for outcome in ledger.outcomes.values() for receipt in outcome.receipts} == {""}


@pytest.mark.parametrize("victim", ["engine", "application"])
@pytest.mark.parametrize("moment", [*HANDSHAKE_MOMENTS, *MOMENTS[MOMENTS.index("before finalize_block") :]])
def test_a_crash_in_the_handshake_loses_and_doubles_nothing(ledger: Ledger, moment: str, victim: str) -> None:
    """There is no checkpoint, so the chain is founded and all is delivered again, and they die over that."""
    ledger.mode = "usual"
    ledger.start()
    grow(ledger, 3)
    crash(ledger, "after block saved", "engine")

    with pytest.raises(Crashed):
        ledger.start(crash_at=moment)
    ledger.kill() if victim == "application" else ledger.stop()
    ledger.start()
    ledger.follow()
    grow(ledger, 1)
    ledger.stop()
    ledger.check()

    assert ledger.disk.block_height == 5
