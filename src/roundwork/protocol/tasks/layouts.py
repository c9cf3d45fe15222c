"""The instructions of the task programs, a row each, and the rules by which they are read.

Integers are u64 little endian, texts are fixed blobs padded with spaces. Where a number has several
layouts, the length of the data tells them apart. Source: docs/PROTOCOL.md 4 and 13.
"""

from collections.abc import Sequence

from ...errors import BadInstruction, MissingSigner
from ..layout import Call, Codec, Decoded, Layout, Program
from ..params import KPL_PROGRAM, TASK_PROGRAM, Key, base58_of
from ..rules import rule
from .instructions import (
    CHUNK_BYTES,
    VALUE_BYTES_MAX,
    Accuse,
    Answer,
    AuditDistribution,
    AuditSubmission,
    Challenge,
    Claim,
    ClaimTokens,
    CloseTask,
    Commit,
    CreateTask,
    CreateTokenTask,
    DeleteTask,
    FundTask,
    FundTokens,
    Instruction,
    Payout,
    Reveal,
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


def _row(number: int, build: type[Instruction], accounts: str, data: str) -> Layout:
    return Layout(number, build.__name__, accounts, data, build)


_TASK = (
    "name:24t description:64t audit_program:64t executable_network:64t {}bounty_per_round:Q round_time:Q "
    "audit_window:Q submission_window:Q minimum_stake:Q metadata:64t {}allowed_failed_distributions:Q"
)
_CREATE = _TASK.format("total_bounty:Q ", "locals:64t ")
_CHUNK = f"chunk:H size:H data:{CHUNK_BYTES}s"
_VOTE = "task:w node:sw candidate clockSysvar"

_SUBMIT = _row(1, SubmitTask, "task:w node:sw clockSysvar", "round:Q value:*t")
"""Of no existing client: a submission as long as its value, under either program."""

HARDENED_ROWS = (
    _row(32, Commit, "task:w node:sw clockSysvar", "kind:B round:Q commitment:32s"),
    _row(33, Reveal, "task:w node:sw clockSysvar", "kind:B round:Q salt:32s payload:*"),
    _row(34, Accuse, "task:w node:sw candidate clockSysvar", "round:Q"),
    _row(36, Challenge, "task:w node:sw candidate clockSysvar", "round:Q"),
    _row(37, Answer, "task:w node:sw candidate clockSysvar", "round:Q chunk:H data:*"),
)
"""The instructions that only `roundwork-1` has, under either program."""

NATIVE = (
    _row(0, CreateTask, "payer:sw task:sw pot:w clockSysvar", _CREATE),
    _row(1, SubmitTask, "task:w node:sw clockSysvar", f"value:{VALUE_BYTES_MAX}t round:Q"),
    _row(2, AuditSubmission, _VOTE, "is_valid:Q round:Q"),
    _row(2, AuditSubmission, _VOTE, "is_valid:B round:Q"),
    _row(3, AuditDistribution, _VOTE, "is_valid:Q round:Q"),
    _row(3, AuditDistribution, _VOTE, "is_valid:B round:Q"),
    _row(4, Payout, "task:w clockSysvar", "round:Q"),
    _row(5, Whitelist, "task:w program:s nativeManager", "flag:Q"),
    _row(5, Whitelist, "task:w program:s nativeManager", "flag:B"),
    _row(6, SetActive, "task:w manager:sw nativeManager", "active:Q"),
    _row(6, SetActive, "task:w manager:sw nativeManager", "active:B"),
    _row(7, Claim, "task:w node:sw pot:w beneficiary:w", ""),
    _row(8, FundTask, "task:w funder:sw pot:w", "amount:Q"),
    _row(9, Stake, "task:w node:sw pot:w clockSysvar", "amount:Q endpoint:64t"),
    _row(9, Stake, "task:w node:sw pot:w clockSysvar", "amount:Q"),
    _row(10, Withdraw, "task:w node:sw clockSysvar", ""),
    _row(11, UploadDistributionList, "task:w node:sw", f"{_CHUNK} round:Q"),
    _row(11, UploadDistributionList, "task:w node:sw", _CHUNK),
    _row(12, SubmitDistributionList, "task:w node:sw account:sw clockSysvar", "round:Q"),
    _row(14, UpdateTask, "payer:sw task:w pot:w clockSysvar successor:sw successor_pot:w",
           _TASK.format("", "locals:64t ")),
    _row(35, CloseTask, "task:w manager:sw pot:w", ""),
    _SUBMIT,
    *HARDENED_ROWS,
)  # fmt: skip

_PROGRAMS = "clockSysvar rentSysvar systemProgram tokenProgram"

KPL = (
    _row(0, CreateTokenTask, f"payer:sw source:w task:sw pot:sw authority:w mint {_PROGRAMS}",
           _CREATE + " seed:32s"),
    _row(1, SubmitTask, "task:w node:sw clockSysvar", f"value:{VALUE_BYTES_MAX}t round:Q"),
    _row(2, AuditSubmission, _VOTE, "is_valid:B round:Q"),
    _row(3, AuditDistribution, "task:w node:sw candidate:w clockSysvar", "is_valid:B round:Q"),
    _row(4, Payout, "task:w clockSysvar", "round:Q"),
    _row(5, Whitelist, "program:s kplManager:w task:sw", "flag:B"),
    _row(6, SetActive, "task:w manager:sw kplManager", "active:B"),
    _row(7, ClaimTokens, "task:w node:sw pot:w beneficiary:w authority tokenProgram", ""),
    _row(8, FundTokens, "task:w funder:sw source:w pot:w tokenProgram", "amount:Q"),
    _row(9, StakeTokens, "task:w node:sw source:w pot:w tokenProgram", "amount:Q endpoint:64t"),
    _row(10, Withdraw, "task:w node:sw clockSysvar", ""),
    _row(11, UploadDistributionList, "task:w node:sw", f"{_CHUNK} round:Q"),
    _row(12, SubmitDistributionList, "task:w node:sw account:sw clockSysvar", "round:Q"),
    _row(13, UpdateTokenTask, "payer:sw task:w pot:w authority:w successor:sw successor_pot:sw "
           f"successor_authority:w mint {_PROGRAMS}", _TASK.format("", "locals:64t ") + " seed:32s"),
    _row(14, DeleteTask, "task:w manager:sw pot:w authority kplManager:w mint:w tokenProgram", ""),
    _SUBMIT,
    *HARDENED_ROWS,
)  # fmt: skip


class TaskProgram(Program):
    """A task program: the length of the data tells apart the layouts of one number."""

    def __init__(self, key: Key, layouts: Sequence[Layout], shown: str) -> None:
        super().__init__(key, "task", layouts, decode_task_call, shown=shown)
        self.by_size = {(codec.number, codec.size): codec for codec in self.codecs if codec.is_sized}
        self.open_ended = {codec.number: codec for codec in self.codecs if not codec.is_sized}

    def find(self, data: bytes) -> Codec | None:
        """The codec whose number and length this data has, None if no layout has them."""
        codec = self.by_size.get((data[0], len(data))) or self.open_ended.get(data[0]) if data else None
        return codec if codec is not None and len(data) >= codec.size else None


def decode_task_call(program: TaskProgram, call: Call) -> Decoded:
    """The codec and the struct of an instruction. Raises BadInstruction, MissingSigner."""
    codec = check_layout(program, program.find(call.data), call.data)
    check_accounts(codec, call)
    check_signers(codec, call)
    return codec, [codec.read_struct(call)]


@rule("3.17")
def check_layout(program: TaskProgram, codec: Codec | None, data: bytes) -> Codec:
    """An instruction of a task program has a number and a length that a layout has."""
    if codec is None:
        number = data[0] if data else None
        sizes = sorted(size for known, size in program.by_size if known == number)
        expected = f"it has {' or '.join(map(str, sizes))}" if sizes else "no layout has that number"
        raise BadInstruction(f"instruction {number} came with {len(data)} bytes; {expected}")
    return codec


@rule("3.18")
def check_accounts(codec: Codec, call: Call) -> None:
    """It names as many accounts as its layout does."""
    if len(call.keys) < codec.needed:
        raise BadInstruction(
            f"instruction {codec.number} names {len(call.keys)} accounts; it needs {codec.needed}"
        )


@rule("3.19")
def check_signers(codec: Codec, call: Call) -> None:
    """Those of its accounts that must sign did."""
    places, signers = call.places, call.signers
    for at in codec.signers:
        if places[at] >= signers:
            raise MissingSigner(
                f"account {at} of instruction {codec.number}, {base58_of(call.keys[at])}, did not sign"
            )


TASKS = TaskProgram(TASK_PROGRAM, NATIVE, "task")
TOKEN_TASKS = TaskProgram(KPL_PROGRAM, KPL, "token-task")

TASK_PROGRAMS = {TASK_PROGRAM: TASKS, KPL_PROGRAM: TOKEN_TASKS}
"""Each task program by its address."""

TEXT_BYTES_MAX = TASKS.by_name["CreateTask"].widths | TASKS.by_name["Stake"].widths
"""Bytes that each text of a task or a stake has room for, by its name."""
