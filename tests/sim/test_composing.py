"""Transactions that are composed without a library: the same bytes as Solana's own library makes."""

from typing import Any

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction as SignedTransaction

from roundwork.client.messages import wrap
from roundwork.protocol.params import Key, NodeKey, TaskKey
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.transaction import decode_transaction, is_signed
from roundwork.sim.composing import encode_transaction
from roundwork.sim.ledger import MemoryLedger, Party, make_keypair

KEYS = [Key(bytes(make_keypair(7, f"account {at}").pubkey())) for at in range(4)]
TASK, POT, ACCOUNT = TaskKey(KEYS[0]), KEYS[1], KEYS[2]
NODE = make_keypair(7, "node")
PAYER = make_keypair(7, "payer")
ME, OTHER = NodeKey(bytes(NODE.pubkey())), NodeKey(KEYS[3])

INSTRUCTIONS = [
    ins.SubmitTask(TASK, ME, "größer".encode(), 3),
    ins.AuditSubmission(TASK, ME, OTHER, 0, 3),
    ins.AuditDistribution(TASK, ME, OTHER, 1, 2**64 - 1),
    ins.AuditSubmission(TASK, ME, ME, 1, 3),
    ins.Stake(TASK, ME, POT, 10**9),
    ins.Withdraw(TASK, ME),
    ins.Claim(TASK, ME, POT, ACCOUNT),
    ins.UploadDistributionList(TASK, ME, 2, 5, b"chunk".ljust(ins.CHUNK_BYTES, b"\0"), 3),
    ins.SubmitDistributionList(TASK, ME, ME, 3),
    ins.Commit(TASK, ME, 1, 3, bytes(range(32))),
    ins.Reveal(TASK, ME, 0, 3, bytes(32), b"payload" * 40),
    ins.Accuse(TASK, ME, OTHER, 3),
    ins.Answer(TASK, ME, OTHER, 3, 4, b"piece" * 20),
    ins.SubmitTask(TaskKey(ME), ME, b"x", 0),
]


@pytest.fixture(scope="module")
def ledger() -> MemoryLedger:
    ledger = MemoryLedger(7, [Party("a", 10**12)])
    ledger.make_block([])
    return ledger


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("signers", [[NODE], [PAYER, NODE]], ids=["itself", "payer"])
def test_a_composed_transaction_is_what_solanas_library_makes(
    ledger: MemoryLedger, instruction: Any, signers: list[Keypair]
) -> None:
    payer = signers[0].pubkey()

    composed = ledger.compose(instruction, signers, bytes(payer))
    again = ledger.compose(instruction, signers, bytes(payer))

    tick = Hash(composed.tick)
    message = Message.new_with_blockhash([wrap(instruction)], payer, tick)
    assert bytes(SignedTransaction(signers, message, tick)) == encode_transaction(composed)
    assert decode_transaction(encode_transaction(composed)) == composed == again
    assert is_signed(composed)


def test_made_up_signatures_differ_by_message() -> None:
    ledger = MemoryLedger(7, [Party("a", 10**12)], are_signatures_real=False)
    ledger.make_block([])

    first, second = (
        ledger.compose(ins.SubmitTask(TASK, ME, value, 3), [PAYER, NODE], bytes(PAYER.pubkey()))
        for value in (b"first", b"second")
    )

    assert decode_transaction(encode_transaction(first)) == first
    assert 2 == len(first.signatures)
    assert first.signatures != second.signatures
