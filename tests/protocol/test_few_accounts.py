"""An instruction that names one account too few is refused as such, in every program."""

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from roundwork.protocol.params import (
    ASSOCIATED_TOKEN_PROGRAM,
    LOOKUP_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    Key,
)
from roundwork.protocol.table import PROGRAMS

from .world import World

NEEDED = [
    (key, codec.number, codec.needed)
    for key in (SYSTEM_PROGRAM, LOOKUP_PROGRAM, TOKEN_PROGRAM, ASSOCIATED_TOKEN_PROGRAM)
    for codec in PROGRAMS[key].codecs
]
"""What Solana's clients name at least, written down here a second time below."""

COUNTS = {
    SYSTEM_PROGRAM: (2, 1, 2, 2, 3, 5, 3, 2, 1, 1, 1, 3),
    LOOKUP_PROGRAM: (3, 2, 2, 2, 3),
    TOKEN_PROGRAM: (1, 3, 2, 3, 3, 2, 2, 3, 3, 3, 3, 3, 4, 4, 3, 3, 2, 1, 2, 1, 1, 1, 1, 1, 1),
    ASSOCIATED_TOKEN_PROGRAM: (4, 4),
}


@pytest.mark.parametrize(("program", "number", "accounts"), NEEDED)
def test_one_account_too_few_is_refused(program: Key, number: int, accounts: int) -> None:
    world = World()
    size = 4 if program in (SYSTEM_PROGRAM, LOOKUP_PROGRAM) else 1
    metas = [AccountMeta(Pubkey(world.key(f"n0{at % 3}")), False, True) for at in range(accounts - 1)]
    data = number.to_bytes(size, "little") + (b"" if program == ASSOCIATED_TOKEN_PROGRAM else bytes(128))

    receipt = world.run("n00", Instruction(Pubkey(program), data, metas))

    assert COUNTS[program][number] == accounts
    assert "BadInstruction" == receipt.name
