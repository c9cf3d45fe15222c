"""Instructions as a message carries them, from the rows of the law's table."""

import secrets
from collections.abc import Sequence
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from ..protocol.layout import Account
from ..protocol.params import COMPUTE_BUDGET_PROGRAM, SYSTEM_PROGRAM, TASK_PROGRAM, Key, NodeKey, TaskKey
from ..protocol.table import PROGRAMS
from ..protocol.tasks.instructions import CHUNK_BYTES, UploadDistributionList
from ..protocol.tasks.instructions import Instruction as TaskInstruction


def wrap(instruction: TaskInstruction, program: Key = TASK_PROGRAM) -> Instruction:
    """An instruction of the task program that the task belongs to."""
    return _compose(program, *PROGRAMS[program].encode(instruction))


def instruct(program: Key, name: str, **values: Any) -> Instruction:
    """The instruction of this name in the table, with its accounts (as 32 bytes) and its fields by name."""
    return _compose(program, *PROGRAMS[program].compose(name, values))


def _compose(program: Key, accounts: Sequence[Account], data: bytes) -> Instruction:
    metas = [AccountMeta(Pubkey(account.key), account.is_signer, account.is_writable) for account in accounts]
    return Instruction(Pubkey(program), data, metas)


def make_account(payer: Keypair, account: Keypair, money: int, space: int, program: Key) -> Instruction:
    """The instruction that creates a program's account, with `money` roe from the payer."""
    return instruct(
        SYSTEM_PROGRAM,
        "createAccount",
        source=bytes(payer.pubkey()),
        newAccount=bytes(account.pubkey()),
        lamports=money,
        space=space,
        owner=program,
    )


def pay(source: Keypair, target: Pubkey, amount: int) -> Instruction:
    """The instruction that moves roe."""
    return instruct(
        SYSTEM_PROGRAM,
        "transfer",
        source=bytes(source.pubkey()),
        destination=bytes(target),
        lamports=amount,
    )


PRICED_UNITS = 1_000_000
"""Compute units of a transaction with a priority fee: a millionth of a roe for each unit makes one roe."""


def make_unique() -> Instruction:
    """An instruction that does nothing, and differs by chance: equal requests become two transactions."""
    return instruct(COMPUTE_BUDGET_PROGRAM, "setLoadedAccountsDataSizeLimit", bytes=secrets.randbits(32))


def offer(priority_fee: int) -> list[Instruction]:
    """The instructions that add so many roe to the fee of a transaction, so that it comes before others."""
    if not priority_fee:
        return []
    return [
        instruct(COMPUTE_BUDGET_PROGRAM, "setComputeUnitLimit", units=PRICED_UNITS),
        instruct(COMPUTE_BUDGET_PROGRAM, "setComputeUnitPrice", microLamports=priority_fee),
    ]


def build_uploads(task: TaskKey, node: NodeKey, round_number: int, text: bytes) -> list[TaskInstruction]:
    """The instructions that upload a list, chunk by chunk; each fits into a transaction of its own."""
    pieces = [text[at : at + CHUNK_BYTES] for at in range(0, len(text), CHUNK_BYTES)]
    if not pieces or len(pieces[-1]) == CHUNK_BYTES:
        pieces.append(b"")  # a short chunk says that the list ends
    return [
        UploadDistributionList(task, node, at, len(piece), piece, round_number)
        for at, piece in enumerate(pieces)
    ]
