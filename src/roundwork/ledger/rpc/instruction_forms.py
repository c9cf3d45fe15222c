"""Instructions in the parsed form that Solana documents, by the rows of the law's table."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

from ...protocol.layout import Codec, Field, Program
from ...protocol.params import MEMO_PROGRAMS, Key, base58_of
from ...protocol.table import PROGRAMS
from ...protocol.tasks.layouts import TASK_PROGRAMS
from ...protocol.transaction import Instruction
from ...wire import Json, base58_encode, describe_amount

_AUTHORITIES = (
    ("mint", "mintTokens"),
    ("mint", "freezeAccount"),
    ("account", "accountOwner"),
    ("account", "closeAccount"),
)
"""What has an authority of each kind, and the name of the kind."""


def parse_instruction(instruction: Instruction, keys: Sequence[Key]) -> Json:
    """An instruction in its parsed form if it has one, else with its raw data.

    An instruction of a task program has both: clients of the original network decode its data. `keys` are all
    accounts of the message, those from lookup tables among them.
    """
    key = keys[instruction.program]
    accounts = [base58_of(keys[at]) for at in instruction.accounts]
    shown: Json = {"programId": base58_of(key), "stackHeight": None}
    raw: Json = {"accounts": accounts, "data": base58_encode(instruction.data)}
    program = PROGRAMS.get(key)
    if program is None or not program.shown:
        return shown | raw
    try:
        parsed: Json = {"program": program.shown, "parsed": _parse(program, instruction.data, accounts)}
    except (LookupError, ValueError):
        return shown | raw
    return shown | parsed | (raw if key in TASK_PROGRAMS else {})


def _parse(program: Program, data: bytes, accounts: list[str]) -> str | Json:
    """The parsed form. Raises LookupError, ValueError if the bytes or the accounts have none."""
    codec = program.find(data)
    if codec is None:
        raise LookupError("no layout has this number and length")
    values = codec.read(data or codec.prefix)
    if program.key in MEMO_PROGRAMS:
        return str(values[0].decode())
    info = {**_name_accounts(codec, accounts), **_show_fields(codec, values)}
    if codec.name == "setAuthority":  # what the account is follows from the kind of authority
        owned, info["authorityType"] = info["authorityType"]
        info[owned] = info.pop("owned")
    return {"type": _name(codec.name), "info": {_name(name): value for name, value in info.items()}}


def _name(name: str) -> str:
    """A name of a row as Solana writes names: `SubmitTask` is submitTask, `is_valid` is isValid."""
    first, *others = name.split("_")
    return first[:1].lower() + first[1:] + "".join(map(str.capitalize, others))


def _name_accounts(codec: Codec, accounts: list[str]) -> Json:
    named: Json = {}
    for at, (name, flags) in enumerate(codec.roles):
        behind = accounts[at + 1 :]
        if "*" in flags:
            named[name] = accounts[at:]
        elif "m" in flags and behind:
            named["multisig" + name[0].upper() + name[1:]] = accounts[at]
            named["signers"] = behind
        elif "?" not in flags or at < len(accounts):
            named[name] = accounts[at]
    return named


def _show_fields(codec: Codec, values: list[Any]) -> Json:
    fields: Json = {}
    for field, value in zip(codec.fields, values, strict=True):
        if field.type == "D":  # the decimals of the amount before
            fields["tokenAmount"] = describe_amount(fields.pop("amount"), value)
        elif field.type == "*" and codec.build is not None:  # what task programs take to the end is bytes
            fields[field.name] = base64.b64encode(value).decode()
        elif value is not None or field.type == "N":
            fields[field.name] = _show(field, value)
    return fields


def _show(field: Field, value: Any) -> object:
    if value is None:
        return None
    show = _SHOW.get(field.type) or _SHOW_SIZED.get(field.type[-1])
    return value if show is None else show(value)


_SHOW: dict[str, Callable[[Any], object]] = {
    "T": str,
    "K": base58_of,
    "O": base58_of,
    "N": base58_of,
    "S": bytes.decode,
    "*": bytes.decode,
    "L": lambda keys: [base58_of(keys[at : at + 32]) for at in range(0, len(keys), 32)],
    "R": _AUTHORITIES.__getitem__,
}
"""How a value of each type is shown. Of the others, the integer itself is."""

_SHOW_SIZED: dict[str, Callable[[Any], object]] = {
    "t": bytes.decode,
    "s": lambda data: base64.b64encode(data).decode(),
}
"""How padded texts and bytes of a fixed size are shown, by the last letter of the type."""
