"""Transactions of one instruction, composed in the form in which the law reads them, and their bytes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ..protocol.layout import Account, Codec
from ..protocol.params import TASK_PROGRAM, Key
from ..protocol.table import PROGRAMS
from ..protocol.tasks.instructions import Instruction as TaskInstruction
from ..protocol.transaction import Instruction, Transaction

Sign = Callable[[bytes, Sequence[Key]], tuple[bytes, ...]]
"""The signatures of a message by these keys."""


class Frame(NamedTuple):
    """What transactions with the same accounts have in common."""

    header: bytes
    """How many accounts sign, how many of these are not changed, and how many of the others."""
    keys: tuple[Key, ...]
    program: int
    """The place of the program in `keys`."""
    places: bytes
    """The places of the accounts of the instruction."""


class Composer:
    """Composes transactions of an instruction of the task program.

    Their frames are kept: in most rounds a node sends the same instructions with the same accounts.
    """

    def __init__(self) -> None:
        self._frames: dict[tuple[Any, ...], Frame] = {}

    def compose(self, instruction: TaskInstruction, payer: Key, tick: bytes, sign: Sign) -> Transaction:
        """A transaction with the tick of a recent slot, whose fee the payer pays."""
        codec = PROGRAMS[TASK_PROGRAM].by_name[type(instruction).__name__]
        values = msgspec.structs.asdict(instruction)
        frame = self._find_frame(codec, values, payer)
        keys, places, data = frame.keys, frame.places, codec.write(values)
        parts = (
            *(frame.header, _compute_length(len(keys)), *keys, tick),
            *(b"\1", bytes([frame.program]), _compute_length(len(places)), places),
            *(_compute_length(len(data)), data),
        )
        message = b"".join(parts)
        signers, readonly_signed, readonly_unsigned = frame.header
        return Transaction(
            sign(message, keys[:signers]),
            signers,
            readonly_signed,
            readonly_unsigned,
            keys,
            tick,
            (Instruction(frame.program, places, data),),
            message,
        )

    def _find_frame(self, codec: Codec, values: Mapping[str, Any], payer: Key) -> Frame:
        if "candidate" in values:  # it is another one each time
            return compute_frame(codec.list_accounts(values), payer)
        named = (codec, payer, *[values.get(name) for name, _ in codec.roles])
        frame = self._frames.get(named)
        if frame is None:
            frame = self._frames[named] = compute_frame(codec.list_accounts(values), payer)
        return frame


def compute_frame(accounts: Sequence[Account], payer: Key) -> Frame:
    """The frame of an instruction with these accounts: each is named once, in the order of Solana's clients.

    The payer stands first, then the signers that may be changed, the other signers, the accounts that may be
    changed, and the rest; each group is ordered by address.
    """
    flags = {payer: (True, True), TASK_PROGRAM: (False, False)}
    for key, is_signer, is_writable in accounts:
        signs, changes = flags.get(key, (False, False))
        flags[key] = signs or is_signer, changes or is_writable
    others = sorted(flags.keys() - {payer}, key=lambda key: (*[not flag for flag in flags[key]], key))
    keys = (payer, *others)
    counts = [list(flags.values()).count(each) for each in ((True, True), (True, False), (False, False))]
    header = bytes([counts[0] + counts[1], counts[1], counts[2]])
    places = bytes([keys.index(account.key) for account in accounts])
    return Frame(header, keys, keys.index(TASK_PROGRAM), places)


def encode_transaction(transaction: Transaction) -> bytes:
    """The bytes of a transaction as they are sent."""
    signatures = transaction.signatures
    return b"".join((_compute_length(len(signatures)), *signatures, transaction.message))


def _compute_length(count: int) -> bytes:
    """A count in seven bits a byte, the lowest first, as Solana's messages have it."""
    if count < 0x80:
        return _SHORT_LENGTHS[count]
    return bytes([count & 0x7F | 0x80]) + _compute_length(count >> 7)


_SHORT_LENGTHS = tuple(bytes([count]) for count in range(0x80))
