"""Signatures: the same verdicts here and in workers, in order, whatever becomes of the workers."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

import pytest
import uvloop
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction as SignedTransaction

from roundwork.ledger.signatures import COMMAND, FRAME, INLINE_MAX, Stage, Verifier
from roundwork.ledger.verifying import READY, encode_frame, work
from roundwork.protocol.transaction import Transaction, decode_transaction, is_signed

from .process import give

PAIR = Keypair()
DEAD = (sys.executable, "-c", "")
"""A worker that ends before it is ready."""
HUNG = (sys.executable, "-c", "import sys; sys.stdin.read()")
"""A worker that never says that it is ready."""
MISSING = ("/nowhere/python",)
BRIEF = (
    sys.executable,
    "-c",
    "import sys; sys.stdout.buffer.write(b'\\x01'); sys.stdout.flush(); sys.stdin.read(9)",
)
"""A worker that says that it is ready and ends at what it is asked first."""

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def make_transactions(count: int) -> tuple[list[Transaction], list[bool]]:
    """So many transactions, every third of them with a signature of something else, and the verdicts."""
    verdicts = [at % 3 != 1 for at in range(count)]
    return [make_transaction(at, verdict) for at, verdict in enumerate(verdicts)], verdicts


def make_transaction(amount: int, is_right: bool) -> Transaction:
    message = Message.new_with_blockhash([give(PAIR, PAIR.pubkey(), amount)], PAIR.pubkey(), Hash.default())
    wire = bytes(SignedTransaction([PAIR], message, Hash.default()))
    if not is_right:
        wire = wire[:1] + bytes(PAIR.sign_message(b"another one")) + wire[65:]
    return decode_transaction(wire)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    """Runs a coroutine on the standard loop, and on the one that a ledger has."""

    def run(coroutine: Awaitable[None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(coroutine)  # type: ignore[arg-type]

    return run


async def get_ready(verifier: Verifier, workers: int = 1) -> None:
    """Ask until so many workers are ready."""
    transactions, _ = make_transactions(FRAME)
    while sum(worker.stage is Stage.READY for worker in verifier.workers) < workers:
        await asyncio.gather(*[verifier.verify(transactions) for _ in range(2 * workers)])


def test_whoever_asks_gets_his_own_verdicts_in_the_order_of_his_transactions(
    run: Callable[[Awaitable[None]], None],
) -> None:
    transactions, expected = make_transactions(3 * FRAME)
    sizes = [1, INLINE_MAX, 0, FRAME, 2, INLINE_MAX + 1, 3 * FRAME, 1, FRAME + 1]

    async def scene() -> None:
        async with Verifier(2) as verifier:
            for workers in (0, 2):
                await get_ready(verifier, workers)
                alone = [await verifier.verify(transactions[:size]) for size in sizes]
                together = await asyncio.gather(*[verifier.verify(transactions[:size]) for size in sizes])
                assert [expected[:size] for size in sizes] == alone == together

    run(scene())


def test_nobody_waits_for_a_worker_to_start(run: Callable[[Awaitable[None]], None]) -> None:
    transactions, expected = make_transactions(FRAME + 1)

    async def scene() -> None:
        async with Verifier(2, HUNG) as verifier:
            for _ in range(3):
                assert expected == await verifier.verify(transactions)
            assert [Stage.STARTING] == [worker.stage for worker in verifier.workers]

    run(scene())


@pytest.mark.parametrize("command", [DEAD, MISSING], ids=["dead", "missing"])
def test_workers_that_cannot_start_are_done_without(
    run: Callable[[Awaitable[None]], None], command: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    transactions, expected = make_transactions(INLINE_MAX + 1)

    async def scene() -> None:
        async with Verifier(2, command) as verifier:
            while [Stage.UNFIT] * 2 != [worker.stage for worker in verifier.workers]:
                assert expected == await verifier.verify(transactions)
            assert expected == await verifier.verify(transactions)
            assert 2 == len(verifier.workers)

    with caplog.at_level(logging.WARNING):
        run(scene())
    assert 2 == sum(record.name == "roundwork.ledger.signatures" for record in caplog.records)


def test_what_a_killed_worker_was_asked_is_verified_all_the_same(
    run: Callable[[Awaitable[None]], None],
) -> None:
    transactions, expected = make_transactions(FRAME)

    async def scene() -> None:
        async with Verifier(1) as verifier:
            await get_ready(verifier)
            process = verifier.workers[0].process
            assert process is not None
            process.kill()
            verifying = [verifier.verify(transactions) for _ in range(5)]  # the loop knows nothing of it yet
            assert [expected] * 5 == await asyncio.gather(*verifying)
            await get_ready(verifier)
            assert process is not verifier.workers[0].process

    run(scene())


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_goes_on_when_all_processes_are_asked_to_end(
    run: Callable[[Awaitable[None]], None], signal_number: signal.Signals
) -> None:
    transactions, expected = make_transactions(FRAME)

    async def scene() -> None:
        async with Verifier(1) as verifier:
            await get_ready(verifier)
            [worker] = verifier.workers
            assert worker.process is not None
            worker.process.send_signal(signal_number)
            assert expected == await verifier.verify(transactions)
            assert worker.is_open

    run(scene())


def test_a_worker_that_ends_at_its_first_frame_costs_no_verdict(
    run: Callable[[Awaitable[None]], None],
) -> None:
    transactions, expected = make_transactions(FRAME)

    async def scene() -> None:
        async with Verifier(1, BRIEF) as verifier:
            await get_ready(verifier)
            assert expected == await verifier.verify(transactions)

    run(scene())


def test_who_no_longer_waits_holds_nobody_up(run: Callable[[Awaitable[None]], None]) -> None:
    transactions, expected = make_transactions(FRAME)

    async def scene() -> None:
        async with Verifier(1) as verifier:
            await get_ready(verifier)
            gone = [asyncio.create_task(verifier.verify(transactions)) for _ in range(3)]
            staying = asyncio.create_task(verifier.verify(transactions))
            await asyncio.wait([asyncio.create_task(verifier.verify(transactions[:1]))])
            for task in gone:
                task.cancel()
            assert expected == await staying

    run(scene())


def test_workers_end_with_their_verifier(run: Callable[[Awaitable[None]], None]) -> None:
    processes: list[Any] = []

    async def scene() -> None:
        async with Verifier(2) as verifier:
            await get_ready(verifier, 2)
            processes.extend(worker.process for worker in verifier.workers)

    run(scene())

    assert all(process is not None and process.returncode is not None for process in processes)


def test_a_worker_answers_whole_frames_and_ends_with_the_last() -> None:
    transactions, expected = make_transactions(5)
    frame = encode_frame(
        [(transaction.signatures, transaction.keys[:1], transaction.message) for transaction in transactions]
    )
    said = BytesIO()

    work(BytesIO(frame + frame + frame[:-1]), said)

    assert READY + bytes(expected + expected) == said.getvalue()


def test_a_transaction_of_several_signers_needs_all_their_signatures() -> None:
    other = Keypair()
    message = Message([give(PAIR, other.pubkey(), 1), give(other, PAIR.pubkey(), 1)], PAIR.pubkey())
    right = SignedTransaction([PAIR, other], message, Hash.default())
    wire = bytes(right)

    assert is_signed(decode_transaction(wire))
    assert not is_signed(decode_transaction(wire[:65] + wire[1:65] + wire[129:]))


def test_the_command_of_a_worker_is_the_module_that_is_tested() -> None:
    assert work.__module__ == COMMAND[-1]
