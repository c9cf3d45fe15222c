"""The instructions that the creation of an associated token account stands for, as Solana calls them."""

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...protocol.execute import Kind, Receipt
from ...protocol.layout import Program
from ...protocol.params import ASSOCIATED_TOKEN_PROGRAM, SYSTEM_PROGRAM, TOKEN_PROGRAM, Key, base58_of
from ...protocol.programs.layouts import ASSOCIATED, SYSTEM, TOKEN
from ...protocol.programs.token import RESERVE
from ...protocol.programs.token_records import ACCOUNT_BYTES
from ...protocol.transaction import Instruction, Transaction

_SIZE = b"\x07\0"
"""The extension whose size an associated account has: it never changes its owner."""


class Creation(NamedTuple):
    """An associated account that an instruction creates if it is missing, and the inner calls for that."""

    name: str
    """The name that the program logs."""
    inner: list[Instruction]
    """Empty if there was such an account already."""


def find_creation(transaction: Transaction, receipt: Receipt, at: int) -> Creation | None:
    """The creation that an instruction did; None of any other instruction, and of a rejected one."""
    keys = transaction.keys + receipt.loaded
    instruction = transaction.instructions[at]
    was_done = receipt.kind == Kind.OK or (receipt.kind == Kind.REJECTED and at < receipt.instruction)
    if keys[instruction.program] != ASSOCIATED_TOKEN_PROGRAM or not was_done:
        return None
    codec = ASSOCIATED.find(instruction.data)
    assert codec is not None, "only instructions that the program has are done"
    name = codec.name[0].upper() + codec.name[1:]
    balance = receipt.pre[instruction.accounts[1]]
    has_programs = SYSTEM_PROGRAM in keys and TOKEN_PROGRAM in keys
    if not has_programs or (codec.name == "createIdempotent" and balance >= RESERVE):
        return Creation(name, [])
    return Creation(name, list(_list_calls(keys, instruction, balance)))


def _list_calls(keys: tuple[Key, ...], instruction: Instruction, balance: int) -> list[Instruction]:
    payer, account, wallet, mint = instruction.accounts[:4]
    owner = {"owner": TOKEN_PROGRAM}
    missing = max(RESERVE - balance, 0)
    if balance == 0:
        size = {"lamports": missing, "space": ACCOUNT_BYTES, **owner}
        created = [_compose(keys, SYSTEM, "createAccount", size, payer, account)]
    else:
        created = [
            *([_compose(keys, SYSTEM, "transfer", {"lamports": missing}, payer, account)] if missing else []),
            _compose(keys, SYSTEM, "allocate", {"space": ACCOUNT_BYTES}, account),
            _compose(keys, SYSTEM, "assign", owner, account),
        ]
    measured = _compose(keys, TOKEN, "getAccountDataSize", {}, mint)
    return [
        Instruction(measured.program, measured.accounts, measured.data + _SIZE),
        *created,
        _compose(keys, TOKEN, "initializeImmutableOwner", {}, account),
        _compose(keys, TOKEN, "initializeAccount3", {"owner": keys[wallet]}, account, mint),
    ]


def _compose(
    keys: tuple[Key, ...], program: Program, name: str, values: Mapping[str, Any], *accounts: int
) -> Instruction:
    return Instruction(keys.index(program.key), bytes(accounts), program.by_name[name].write(values))


def name_token_instruction(data: bytes) -> list[str]:
    """The line by which the token program logs what it does; none of an unknown instruction."""
    codec = TOKEN.find(data)
    return [] if codec is None else [f"Program log: Instruction: {codec.name[0].upper()}{codec.name[1:]}"]


def log_creation(keys: tuple[Key, ...], creation: Creation) -> list[str]:
    """What the associated token program logs for a creation, with its inner calls."""
    lines = [f"Program log: {creation.name}"]
    for called in creation.inner:
        program = base58_of(keys[called.program])
        named = name_token_instruction(called.data) if keys[called.program] == TOKEN_PROGRAM else []
        name = TOKEN.by_number[called.data[0]].name if named else ""
        if name == "initializeImmutableOwner":
            lines.append("Program log: Initialize the associated token account")
            named.append("Program log: Please upgrade to SPL Token 2022 for immutable owner support")
        if name == "getAccountDataSize":
            size = base64.b64encode(ACCOUNT_BYTES.to_bytes(8, "little")).decode()
            named.append(f"Program return: {program} {size}")
        lines += [f"Program {program} invoke [2]", *named, f"Program {program} success"]
    return lines
