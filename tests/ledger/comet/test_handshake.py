"""Every row of CometBFT's handshake, and a crash before and after every call: nothing lost, nothing doubled.

A stand-in for CometBFT drives the real application, in a process of its own, over the real socket. It is
killed with -9; its files are real. Checkpoints become durable at the first moment the order allows, so that
they get in the way as much as they can.
"""

import pytest

from ...protocol.world import SLOT_MS
from .driven import Ledger
from .standin import HANDSHAKE_MOMENTS, MOMENTS, Crashed, Disk, Refused


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
