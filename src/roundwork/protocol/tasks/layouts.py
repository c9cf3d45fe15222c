"""How instructions lie in accounts and bytes: one table for each task program, and a codec made from it.

Integers are u64 little endian, texts are fixed blobs padded with spaces. Where a number has several
layouts, the length of the data tells them apart. Source: docs/PROTOCOL.md 4 and 13.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...errors import BadInstruction, MissingSigner
from ..params import (
    KPL_PROGRAM,
    SYSTEM_PROGRAM,
    SYSVAR_CLOCK,
    SYSVAR_RENT,
    TASK_PROGRAM,
    TOKEN_PROGRAM,
    Key,
    base58_of,
    key_of,
)  # fmt: skip
from ..rules import rule
from .instructions import (
    CHUNK_BYTES,
    VALUE_BYTES_MAX,
    AuditDistribution,
    AuditSubmission,
    Claim,
    ClaimTokens,
    CloseTask,
    CreateTask,
    CreateTokenTask,
    DeleteTask,
    FundTask,
    FundTokens,
    Instruction,
    Payout,
    SetActive,
    Stake,
    StakeTokens,
    SubmitDistributionList,
    SubmitTask,
    UpdateTask,
    UpdateTokenTask,
    UploadDistributionList,
    Whitelist,
    Withdraw,
)


class Account(NamedTuple):
    """An account that an instruction names: address, must it sign, may it be changed."""

    key: Key
    is_signer: bool
    is_writable: bool


class Layout(NamedTuple):
    """How one instruction lies in accounts and bytes.

    `accounts` lists `field:flags` in order, `s` must sign, `w` writable; names in capitals are fixed
    addresses that carry no meaning. `data` lists `field:format`, formats of the struct module, and
    `64t` for a text padded with spaces. `rest` names the field that takes what follows, without the
    spaces at its end if it `is_trimmed`.
    """

    number: int
    build: type[Instruction]
    accounts: str
    data: str
    rest: str = ""
    is_trimmed: bool = False


_TASK = (
    "name:24t description:64t audit_program:64t executable_network:64t {}bounty_per_round:Q round_time:Q "
    "audit_window:Q submission_window:Q minimum_stake:Q metadata:64t {}allowed_failed_distributions:Q"
)
_CREATE = _TASK.format("total_bounty:Q ", "locals:64t ")
_CHUNK = f"chunk:H size:H data:{CHUNK_BYTES}s"
_VOTE = "task:w node:sw candidate CLOCK"

_SUBMIT = Layout(1, SubmitTask, "task:w node:sw CLOCK", "round:Q", rest="value", is_trimmed=True)
"""Of no existing client: a submission as long as its value, under either program."""

NATIVE = (
    Layout(0, CreateTask, "payer:sw task:sw pot:w CLOCK", _CREATE),
    Layout(1, SubmitTask, "task:w node:sw CLOCK", f"value:{VALUE_BYTES_MAX}t round:Q"),
    Layout(2, AuditSubmission, _VOTE, "is_valid:Q round:Q"),
    Layout(2, AuditSubmission, _VOTE, "is_valid:B round:Q"),
    Layout(3, AuditDistribution, _VOTE, "is_valid:Q round:Q"),
    Layout(3, AuditDistribution, _VOTE, "is_valid:B round:Q"),
    Layout(4, Payout, "task:w CLOCK", "round:Q"),
    Layout(5, Whitelist, "task:w program:s MANAGER", "flag:Q"),
    Layout(5, Whitelist, "task:w program:s MANAGER", "flag:B"),
    Layout(6, SetActive, "task:w manager:sw MANAGER", "active:Q"),
    Layout(6, SetActive, "task:w manager:sw MANAGER", "active:B"),
    Layout(7, Claim, "task:w node:sw pot:w beneficiary:w", ""),
    Layout(8, FundTask, "task:w funder:sw pot:w", "amount:Q"),
    Layout(9, Stake, "task:w node:sw pot:w CLOCK", "amount:Q endpoint:64t"),
    Layout(9, Stake, "task:w node:sw pot:w CLOCK", "amount:Q"),
    Layout(10, Withdraw, "task:w node:sw CLOCK", ""),
    Layout(11, UploadDistributionList, "task:w node:sw", f"{_CHUNK} round:Q"),
    Layout(11, UploadDistributionList, "task:w node:sw", _CHUNK),
    Layout(12, SubmitDistributionList, "task:w node:sw account:sw CLOCK", "round:Q"),
    Layout(14, UpdateTask, "payer:sw task:w pot:w CLOCK successor:sw successor_pot:w",
           _TASK.format("", "locals:64t ")),
    Layout(35, CloseTask, "task:w manager:sw pot:w", ""),
    _SUBMIT,
)  # fmt: skip

_PROGRAMS = "CLOCK RENT SYSTEM TOKENS"

KPL = (
    Layout(0, CreateTokenTask, f"payer:sw source:w task:sw pot:sw authority:w mint {_PROGRAMS}",
           _CREATE + " seed:32s"),
    Layout(1, SubmitTask, "task:w node:sw CLOCK", f"value:{VALUE_BYTES_MAX}t round:Q"),
    Layout(2, AuditSubmission, _VOTE, "is_valid:B round:Q"),
    Layout(3, AuditDistribution, "task:w node:sw candidate:w CLOCK", "is_valid:B round:Q"),
    Layout(4, Payout, "task:w CLOCK", "round:Q"),
    Layout(5, Whitelist, "program:s KPL_MANAGER:w task:sw", "flag:B"),
    Layout(6, SetActive, "task:w manager:sw KPL_MANAGER", "active:B"),
    Layout(7, ClaimTokens, "task:w node:sw pot:w beneficiary:w authority TOKENS", ""),
    Layout(8, FundTokens, "task:w funder:sw source:w pot:w TOKENS", "amount:Q"),
    Layout(9, StakeTokens, "task:w node:sw source:w pot:w TOKENS", "amount:Q endpoint:64t"),
    Layout(10, Withdraw, "task:w node:sw CLOCK", ""),
    Layout(11, UploadDistributionList, "task:w node:sw", f"{_CHUNK} round:Q"),
    Layout(12, SubmitDistributionList, "task:w node:sw account:sw CLOCK", "round:Q"),
    Layout(13, UpdateTokenTask, "payer:sw task:w pot:w authority:w successor:sw successor_pot:sw "
           f"successor_authority:w mint {_PROGRAMS}", _TASK.format("", "locals:64t ") + " seed:32s"),
    Layout(14, DeleteTask, "task:w manager:sw pot:w authority KPL_MANAGER:w mint:w TOKENS", ""),
    _SUBMIT,
)  # fmt: skip

FIXED = {
    "CLOCK": SYSVAR_CLOCK,
    "RENT": SYSVAR_RENT,
    "SYSTEM": SYSTEM_PROGRAM,
    "TOKENS": TOKEN_PROGRAM,
    "MANAGER": key_of("AeHCRTPxCvpAWWvo6Arv21v5PXtXyDmWKAKfHLppyKUU"),
    "KPL_MANAGER": key_of("85pwxmwDnxqnQBe9xs7L9ipKeFVMfDSNLjxFeTc65662"),
}


class Codec:
    """One layout, compiled."""

    def __init__(self, layout: Layout) -> None:
        fields = [item.split(":") for item in layout.data.split()]
        self.number = layout.number
        self.build = layout.build
        self.rest = layout.rest
        self.is_trimmed = layout.is_trimmed
        self.rest_at = layout.build.__struct_fields__.index(layout.rest) if layout.rest else 0
        self.names = [name for name, _ in fields]
        self.widths = {name: int(form[:-1]) for name, form in fields if form[-1] == "t"}
        self.packer = struct.Struct("<B" + "".join(form.replace("t", "s") for _, form in fields))
        self.texts = [at for at, (_, form) in enumerate(fields, 1) if form[-1] == "t"]
        self.roles = [item.partition(":")[::2] for item in layout.accounts.split()]
        self.positions = [at for at, (name, _) in enumerate(self.roles) if name.islower()]
        self.signers = [at for at, (_, flags) in enumerate(self.roles) if "s" in flags]
        given = [self.roles[at][0] for at in self.positions] + self.names
        wanted = [name for name in layout.build.__struct_fields__ if name in given]
        self.order = [given.index(name) for name in wanted] if given != wanted else []
        """How the values are put in the order of the fields, where a layout has another one."""

    def decode(self, keys: Sequence[Key], signers: int, indices: bytes, data: bytes) -> Instruction:
        """The instruction of these bytes. `indices` point into `keys`, of which the first `signers` signed.

        Raises BadInstruction (too few accounts), MissingSigner.
        """
        check_accounts(self, indices)
        check_signers(self, keys, signers, indices)
        values: list[Any] = list(self.packer.unpack_from(data))
        for at in self.texts:
            values[at] = values[at].rstrip(b" ")
        values[:1] = [keys[indices[at]] for at in self.positions]
        if self.order:
            values = [values[at] for at in self.order]
        if self.rest:
            rest = data[self.packer.size :]
            values.insert(self.rest_at, rest.rstrip(b" ") if self.is_trimmed else rest)
        return self.build(*values)

    def encode(self, instruction: Instruction) -> tuple[list[Account], bytes]:
        """Its accounts and bytes. Raises ValueError if a text is longer than its field."""
        values = []
        for name in self.names:
            value = getattr(instruction, name)
            if name in self.widths:
                if len(value) > self.widths[name]:
                    raise ValueError(f"{name} has {len(value)} bytes; {self.widths[name]} fit")
                value = value.ljust(self.widths[name])
            values.append(value)
        rest = getattr(instruction, self.rest) if self.rest else b""
        accounts = [
            Account(FIXED.get(name) or getattr(instruction, name), "s" in flags, "w" in flags)
            for name, flags in self.roles
        ]
        return accounts, self.packer.pack(self.number, *values) + rest


class Codecs:
    """The codecs of one program: by number and length to decode, by class to encode."""

    def __init__(self, layouts: Sequence[Layout]) -> None:
        codecs = [Codec(layout) for layout in layouts]
        self.by_size = {(codec.number, codec.packer.size): codec for codec in codecs if not codec.rest}
        self.open_ended = {codec.number: codec for codec in codecs if codec.rest}
        self.by_class = {codec.build: codec for codec in reversed(codecs)}

    def decode(self, keys: Sequence[Key], signers: int, indices: bytes, data: bytes) -> Instruction:
        """The instruction of these bytes.

        Raises BadInstruction if no layout has its number and length, or accounts are missing; MissingSigner.
        """
        codec = check_layout(self, self.find(data), data)
        return codec.decode(keys, signers, indices, data)

    def find(self, data: bytes) -> Codec | None:
        """The codec whose number and length these bytes have."""
        codec = self.by_size.get((data[0], len(data))) or self.open_ended.get(data[0]) if data else None
        return codec if codec is not None and len(data) >= codec.packer.size else None

    def encode(self, instruction: Instruction) -> tuple[list[Account], bytes]:
        """Accounts and bytes in the first layout of its class."""
        return self.by_class[type(instruction)].encode(instruction)


@rule("3.17")
def check_layout(codecs: Codecs, codec: Codec | None, data: bytes) -> Codec:
    """An instruction of a task program has a number and a length that a layout has."""
    if codec is None:
        number = data[0] if data else None
        sizes = sorted(size for known, size in codecs.by_size if known == number)
        expected = f"it has {' or '.join(map(str, sizes))}" if sizes else "no layout has that number"
        raise BadInstruction(f"instruction {number} came with {len(data)} bytes; {expected}")
    return codec


@rule("3.18")
def check_accounts(codec: Codec, indices: bytes) -> None:
    """It names as many accounts as its layout does."""
    needed = codec.positions[-1] + 1
    if len(indices) < needed:
        raise BadInstruction(f"instruction {codec.number} names {len(indices)} accounts; it needs {needed}")


@rule("3.19")
def check_signers(codec: Codec, keys: Sequence[Key], signers: int, indices: bytes) -> None:
    """Those of its accounts that must sign did."""
    for at in codec.signers:
        if indices[at] >= signers:
            raise MissingSigner(
                f"account {at} of instruction {codec.number}, {base58_of(keys[indices[at]])}, did not sign"
            )


TASKS = Codecs(NATIVE)
TOKEN_TASKS = Codecs(KPL)

CODECS = {TASK_PROGRAM: TASKS, KPL_PROGRAM: TOKEN_TASKS}
"""The codecs of each task program."""

TEXT_BYTES_MAX = TASKS.by_class[CreateTask].widths | TASKS.by_class[Stake].widths
"""Bytes that each text of a task or a stake has room for, by its name."""
