"""A main.js has its node pay fees, and no more of the main key's money than a few signatures cost."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import Message, MessageV0
from solders.null_signer import NullSigner
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from roundwork.node.javascript.task_wallet import PRIORITY_FEE_MAX, SIGNATURES_MAX
from roundwork.protocol.params import COMPUTE_BUDGET_PROGRAM, ED25519_PROGRAM, KOII

from ..ledger.process import RunningLedger, running
from ..node.javascript.test_namespace import Room, use

SEND = "sendAndConfirmTransactionWrapper"
FEE_PER_SIGNATURE = 5_000
MAX_U64 = 2**64 - 1


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("fees") / "ledger") as ledger:
        yield ledger


def verify(signatures: int) -> Instruction:
    """An instruction that has the ledger verify so many signatures, of which none is there."""
    offsets = bytes(14) * signatures
    return Instruction(Pubkey(ED25519_PROGRAM), bytes((signatures, 0)) + offsets, [])


ALL_OF_IT = 90 * KOII * 1_000_000 // 1_400_000
"""A price at which a transaction without a limit costs nearly all that the main key of the test holds."""

GREEDY: dict[str, list[Instruction]] = {
    "a price": [set_compute_unit_limit(1_400_000), set_compute_unit_price(ALL_OF_IT)],
    "a price before a limit": [set_compute_unit_price(ALL_OF_IT), set_compute_unit_limit(1_400_000)],
    "a price without a limit": [set_compute_unit_price(ALL_OF_IT), *[verify(0)] * 7],
    "a limit beyond the greatest": [set_compute_unit_limit(2**32 - 1), set_compute_unit_price(ALL_OF_IT)],
    "the greatest price": [set_compute_unit_limit(1), set_compute_unit_price(MAX_U64)],
    "a price with further bytes": [
        Instruction(Pubkey(COMPUTE_BUDGET_PROGRAM), b"\x03" + ALL_OF_IT.to_bytes(8, "little") + b"x", []),
        set_compute_unit_limit(1_400_000),
    ],
    "signatures to verify": [verify(60)],
}


def write(room: Room, instructions: Sequence[Instruction], tick: str, kind: type[Message | MessageV0]) -> Any:
    """A transaction that the main key is to pay for, as a main.js hands it over."""
    payer, blockhash = room.payer.pubkey(), Hash.from_string(tick)
    message = (
        Message.new_with_blockhash(instructions, payer, blockhash)
        if kind is Message
        else MessageV0.try_compile(payer, instructions, [], blockhash)
    )
    wire = bytes(VersionedTransaction(message, [NullSigner(payer)]))
    return {"type": "Buffer", "data": list(wire)}


@pytest.mark.parametrize("kind", [Message, MessageV0])
def test_a_task_cannot_spend_the_main_key_by_fees(
    ledger: RunningLedger, tmp_path: Any, kind: type[Message | MessageV0]
) -> None:
    async def work(room: Room) -> None:
        tick, _ = await room.client.get_latest_blockhash()
        before = await room.client.get_balance(str(room.payer.pubkey()))
        assert before > 90 * KOII

        answers = {
            name: await room.ask(SEND, write(room, instructions, tick, kind), [])
            for name, instructions in GREEDY.items()
        }

        assert {} == {name: answer for name, answer in answers.items() if "the node pays" not in answer}
        assert before == await room.client.get_balance(str(room.payer.pubkey()))

    use(ledger, tmp_path, work)


def test_a_task_may_offer_a_small_price(ledger: RunningLedger, tmp_path: Any) -> None:
    async def work(room: Room) -> None:
        tick, _ = await room.client.get_latest_blockhash()
        before = await room.client.get_balance(str(room.payer.pubkey()))
        units = 100_000
        price = PRIORITY_FEE_MAX * 1_000_000 // units

        answer = await room.ask(
            SEND,
            write(room, [set_compute_unit_price(price), set_compute_unit_limit(units)], tick, Message),
            [],
        )

        assert 64 <= len(answer), answer
        spent = before - await room.client.get_balance(str(room.payer.pubkey()))
        assert FEE_PER_SIGNATURE + PRIORITY_FEE_MAX == spent
        assert spent <= SIGNATURES_MAX * FEE_PER_SIGNATURE + PRIORITY_FEE_MAX

    use(ledger, tmp_path, work)
