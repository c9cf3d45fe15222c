"""Instructions of well-known programs in the parsed form that Solana documents, from one table each."""

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...protocol.params import (
    ASSOCIATED_TOKEN_PROGRAM,
    LOOKUP_PROGRAM,
    MEMO_PROGRAMS,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    Key,
    base58_of,
)  # fmt: skip
from ...protocol.transaction import Instruction
from ...wire import Json, base58_encode, describe_amount


class Shape(NamedTuple):
    """One kind of instruction.

    `accounts` names the accounts in their order ("?" may be missing). `fields` are the names
    and kinds of what lies in the data: B a byte, Q a number, T a number shown as text, A an amount of tokens
    with the decimals behind it, K a key, O a key that may be missing, N the same shown as null, S a text,
    U a text to the end, L a list of keys, R an authority's kind. `authority` names the account behind the
    named ones that disposes; if more follow, it is a multisig and they are its signers.
    """

    kind: str
    accounts: tuple[str, ...]
    fields: tuple[tuple[str, str], ...] = ()
    authority: str = ""


_SYSTEM = {
    0: Shape("createAccount", ("source", "newAccount"), (("lamports", "Q"), ("space", "Q"), ("owner", "K"))),
    1: Shape("assign", ("account",), (("owner", "K"),)),
    2: Shape("transfer", ("source", "destination"), (("lamports", "Q"),)),
    3: Shape(
        "createAccountWithSeed", ("source", "newAccount"),
        (("base", "K"), ("seed", "S"), ("lamports", "Q"), ("space", "Q"), ("owner", "K")),
    ),
    4: Shape("advanceNonce", ("nonceAccount", "recentBlockhashesSysvar", "nonceAuthority")),
    5: Shape(
        "withdrawFromNonce",
        ("nonceAccount", "destination", "recentBlockhashesSysvar", "rentSysvar", "nonceAuthority"),
        (("lamports", "Q"),),
    ),
    6: Shape(
        "initializeNonce", ("nonceAccount", "recentBlockhashesSysvar", "rentSysvar"),
        (("nonceAuthority", "K"),),
    ),
    7: Shape("authorizeNonce", ("nonceAccount", "nonceAuthority"), (("newAuthorized", "K"),)),
    8: Shape("allocate", ("account",), (("space", "Q"),)),
    9: Shape(
        "allocateWithSeed", ("account",), (("base", "K"), ("seed", "S"), ("space", "Q"), ("owner", "K"))
    ),
    10: Shape("assignWithSeed", ("account",), (("base", "K"), ("seed", "S"), ("owner", "K"))),
    11: Shape(
        "transferWithSeed", ("source", "sourceBase", "destination"),
        (("lamports", "Q"), ("sourceSeed", "S"), ("sourceOwner", "K")),
    ),
    12: Shape("upgradeNonce", ("nonceAccount",)),
}  # fmt: skip

_MINT = (("decimals", "B"), ("mintAuthority", "K"), ("freezeAuthority", "O"))

_TOKEN = {
    0: Shape("initializeMint", ("mint", "rentSysvar"), _MINT),
    1: Shape("initializeAccount", ("account", "mint", "owner", "rentSysvar")),
    2: Shape("initializeMultisig", ("multisig", "rentSysvar"), (("m", "B"),), "signers"),
    3: Shape("transfer", ("source", "destination"), (("amount", "T"),), "authority"),
    4: Shape("approve", ("source", "delegate"), (("amount", "T"),), "owner"),
    5: Shape("revoke", ("source",), (), "owner"),
    6: Shape("setAuthority", ("owned",), (("authorityType", "R"), ("newAuthority", "N")), "authority"),
    7: Shape("mintTo", ("mint", "account"), (("amount", "T"),), "mintAuthority"),
    8: Shape("burn", ("account", "mint"), (("amount", "T"),), "authority"),
    9: Shape("closeAccount", ("account", "destination"), (), "owner"),
    10: Shape("freezeAccount", ("account", "mint"), (), "freezeAuthority"),
    11: Shape("thawAccount", ("account", "mint"), (), "freezeAuthority"),
    12: Shape("transferChecked", ("source", "mint", "destination"), (("tokenAmount", "A"),), "authority"),
    13: Shape("approveChecked", ("source", "mint", "delegate"), (("tokenAmount", "A"),), "owner"),
    14: Shape("mintToChecked", ("mint", "account"), (("tokenAmount", "A"),), "mintAuthority"),
    15: Shape("burnChecked", ("account", "mint"), (("tokenAmount", "A"),), "authority"),
    16: Shape("initializeAccount2", ("account", "mint", "rentSysvar"), (("owner", "K"),)),
    17: Shape("syncNative", ("account",)),
    18: Shape("initializeAccount3", ("account", "mint"), (("owner", "K"),)),
    19: Shape("initializeMultisig2", ("multisig",), (("m", "B"),), "signers"),
    20: Shape("initializeMint2", ("mint",), _MINT),
    21: Shape("getAccountDataSize", ("mint",)),
    22: Shape("initializeImmutableOwner", ("account",)),
    23: Shape("amountToUiAmount", ("mint",), (("amount", "T"),)),
    24: Shape("uiAmountToAmount", ("mint",), (("uiAmount", "U"),)),
}
_AUTHORITIES = (
    ("mint", "mintTokens"),
    ("mint", "freezeAccount"),
    ("account", "accountOwner"),
    ("account", "closeAccount"),
)

_ASSOCIATED_ACCOUNTS = ("source", "account", "wallet", "mint", "systemProgram", "tokenProgram", "?rentSysvar")
_ASSOCIATED = {
    0: Shape("create", _ASSOCIATED_ACCOUNTS),
    1: Shape("createIdempotent", _ASSOCIATED_ACCOUNTS),
}

_TABLE = ("lookupTableAccount", "lookupTableAuthority")
_PAYER = ("payerAccount", "systemProgram")
_LOOKUP_TABLE = {
    0: Shape("createLookupTable", (*_TABLE, *_PAYER), (("recentSlot", "Q"), ("bumpSeed", "B"))),
    1: Shape("freezeLookupTable", _TABLE),
    2: Shape("extendLookupTable", (*_TABLE, "?payerAccount", "?systemProgram"), (("newAddresses", "L"),)),
    3: Shape("deactivateLookupTable", _TABLE),
    4: Shape("closeLookupTable", (*_TABLE, "recipient")),
}

_PROGRAMS: dict[Key, tuple[str, int, dict[int, Shape]]] = {
    SYSTEM_PROGRAM: ("system", 4, _SYSTEM),
    TOKEN_PROGRAM: ("spl-token", 1, _TOKEN),
    ASSOCIATED_TOKEN_PROGRAM: ("spl-associated-token-account", 1, _ASSOCIATED),
    LOOKUP_PROGRAM: ("address-lookup-table", 4, _LOOKUP_TABLE),
}
"""By program: its name, how many bytes the instruction's number takes, and its instructions.

Compute-budget instructions have no parsed form in Solana either.
"""


def parse_instruction(instruction: Instruction, keys: Sequence[Key]) -> Json:
    """An instruction in its parsed form if it is a well-known one, else with its raw data.

    `keys` are all accounts of the message, those from lookup tables among them.
    """
    program = keys[instruction.program]
    accounts = [base58_of(keys[at]) for at in instruction.accounts]
    shown: Json = {"programId": base58_of(program), "stackHeight": None}
    try:
        name, parsed = _parse(program, instruction.data, accounts)
    except (LookupError, ValueError, struct.error):
        return {**shown, "accounts": accounts, "data": base58_encode(instruction.data)}
    return {**shown, "program": name, "parsed": parsed}


def _parse(program: Key, data: bytes, accounts: list[str]) -> tuple[str, str | Json]:
    """The program's name and the parsed form. Raises LookupError, ValueError, struct.error if it has none."""
    if program in MEMO_PROGRAMS:
        return "spl-memo", data.decode()
    name, size, shapes = _PROGRAMS[program]
    if program == ASSOCIATED_TOKEN_PROGRAM:
        data = data or b"\0"  # the oldest form of create has no data
    shape = shapes[int.from_bytes(data[:size], "little")]
    info = {
        **_name_accounts(shape, accounts),
        **_read_fields(shape, data[size:]),
        **_name_authority(shape, accounts),
    }
    if shape.kind == "setAuthority":  # what the account is follows from the kind of authority
        owned, info["authorityType"] = info["authorityType"]
        info[owned] = info.pop("owned")
    return name, {"type": shape.kind, "info": info}


def _name_accounts(shape: Shape, accounts: list[str]) -> Json:
    named: Json = {}
    for at, name in enumerate(shape.accounts):
        if not name.startswith("?"):
            named[name] = accounts[at]
        elif at < len(accounts):
            named[name[1:]] = accounts[at]
    return named


def _name_authority(shape: Shape, accounts: list[str]) -> Json:
    behind = accounts[len(shape.accounts) :]
    if not shape.authority:
        return {}
    if shape.authority == "signers":
        return {"signers": behind}
    if len(behind) > 1:
        multisig = "multisig" + shape.authority[0].upper() + shape.authority[1:]
        return {multisig: behind[0], "signers": behind[1:]}
    return {shape.authority: behind[0]}


def _read_fields(shape: Shape, data: bytes) -> Json:
    fields: Json = {}
    at = 0
    for name, kind in shape.fields:
        value, at = _READERS[kind](data, at)
        if value is not None or kind == "N":
            fields[name] = value
    return fields


def _read_byte(data: bytes, at: int) -> tuple[int, int]:
    return data[at], at + 1


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    return struct.unpack_from("<Q", data, at)[0], at + 8


def _read_key(data: bytes, at: int) -> tuple[str, int]:
    return base58_of(struct.unpack_from("<32s", data, at)[0]), at + 32


def _read_optional_key(data: bytes, at: int) -> tuple[str | None, int]:
    return _read_key(data, at + 1) if data[at] else (None, at + 1)


def _read_amount_text(data: bytes, at: int) -> tuple[str, int]:
    return str(_read_number(data, at)[0]), at + 8


def _read_token_amount(data: bytes, at: int) -> tuple[Json, int]:
    return describe_amount(_read_number(data, at)[0], data[at + 8]), at + 9


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    size, at = _read_number(data, at)
    if at + size > len(data):
        raise ValueError("the text is longer than the data")
    return data[at : at + size].decode(), at + size


def _read_rest(data: bytes, at: int) -> tuple[str, int]:
    return data[at:].decode(), len(data)


def _read_keys(data: bytes, at: int) -> tuple[list[str], int]:
    count, at = _read_number(data, at)
    if at + 32 * count > len(data):
        raise ValueError("the list is longer than the data")
    return [_read_key(data, at + 32 * index)[0] for index in range(count)], at + 32 * count


def _read_authority_kind(data: bytes, at: int) -> tuple[tuple[str, str], int]:
    return _AUTHORITIES[data[at]], at + 1


_READERS: dict[str, Callable[[bytes, int], tuple[object, int]]] = {
    "B": _read_byte,
    "Q": _read_number,
    "T": _read_amount_text,
    "A": _read_token_amount,
    "K": _read_key,
    "O": _read_optional_key,
    "N": _read_optional_key,
    "S": _read_text,
    "U": _read_rest,
    "L": _read_keys,
    "R": _read_authority_kind,
}
