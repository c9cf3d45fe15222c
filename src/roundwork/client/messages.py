"""Instructions as a message carries them: those of the task programs, and what makes an account for one."""

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

from ..protocol.params import TASK_PROGRAM, Key
from ..protocol.table import PROGRAMS
from ..protocol.tasks.instructions import Instruction as TaskInstruction


def wrap(instruction: TaskInstruction, program: Key = TASK_PROGRAM) -> Instruction:
    """An instruction of the task program that the task belongs to."""
    accounts, data = PROGRAMS[program].encode(instruction)
    metas = [AccountMeta(Pubkey(account.key), account.is_signer, account.is_writable) for account in accounts]
    return Instruction(Pubkey(program), data, metas)


def make_account(payer: Keypair, account: Keypair, money: int, space: int, program: Key) -> Instruction:
    """The instruction that creates a program's account, with `money` roe from the payer."""
    params = CreateAccountParams(
        from_pubkey=payer.pubkey(),
        to_pubkey=account.pubkey(),
        lamports=money,
        space=space,
        owner=Pubkey(program),
    )
    return create_account(params)
