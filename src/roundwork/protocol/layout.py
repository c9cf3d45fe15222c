"""How an instruction lies in accounts and bytes: a row that says it, and the codec that is made from the row.

From the same row the law decodes, clients encode, and RPC shows an instruction in its parsed form.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from .params import (
    SYSTEM_PROGRAM,
    SYSVAR_CLOCK,
    SYSVAR_RECENT_BLOCKHASHES,
    SYSVAR_RENT,
    TOKEN_PROGRAM,
    Key,
    key_of,
)  # fmt: skip
from .transaction import Instruction

FIXED = {
    "clockSysvar": SYSVAR_CLOCK,
    "rentSysvar": SYSVAR_RENT,
    "recentBlockhashesSysvar": SYSVAR_RECENT_BLOCKHASHES,
    "systemProgram": SYSTEM_PROGRAM,
    "tokenProgram": TOKEN_PROGRAM,
    "nativeManager": key_of("AeHCRTPxCvpAWWvo6Arv21v5PXtXyDmWKAKfHLppyKUU"),
    "kplManager": key_of("85pwxmwDnxqnQBe9xs7L9ipKeFVMfDSNLjxFeTc65662"),
}
"""Accounts whose address is fixed, by their names in rows."""


class Call(msgspec.Struct, frozen=True, gc=False):
    """An instruction as the law carries it out: its accounts, which of them signed, and its data."""

    keys: list[Key]
    """The accounts that it names, in order."""
    places: bytes
    """Where each of them stands in the message."""
    signers: int
    """How many accounts of the message signed; they are its first."""
    data: bytes
    slot: int
    """The slot of its block."""
    payer: Key
    """The account that pays the fee of the transaction."""
    instructions: Sequence[Instruction] = ()
    """All instructions of the transaction, for a program that points into their data."""

    def is_signed(self, at: int) -> bool:
        """Whether the account at this place in `keys` signed."""
        return self.places[at] < self.signers

    def list_signers(self) -> list[Key]:
        """Those of its accounts that signed."""
        return [key for key, place in zip(self.keys, self.places, strict=True) if place < self.signers]


class Account(NamedTuple):
    """An account that an instruction names: address, must it sign, may it be changed."""

    key: Key
    is_signer: bool
    is_writable: bool


class Layout(NamedTuple):
    """One instruction: a row of the table.

    `accounts` lists `name:flags` in order. A name in FIXED stands for that address. The flags:
    s signs; w may be changed; ? may be missing; ! must be named although its address is fixed; m is an
    authority, and if more accounts follow, it is a multisig and they are its signers; * all that follow.
    `data` lists `name:type` in order, as `Field` says. An account and a field of one name have one value.
    """

    number: int
    """The number that its data begins with; 0 if the program has one instruction and no number."""
    name: str
    """Its name in the parsed form."""
    accounts: str = ""
    data: str = ""
    build: type[msgspec.Struct] | None = None
    """The struct that it decodes to; without it, it decodes to the values of `data`."""


class Field(NamedTuple):
    """A field of the data.

    The types: B, H, I, Q an unsigned integer of 1, 2, 4, 8 bytes, little endian; T a Q, shown as text;
    D a B, the decimals of the amount before it; R a B, the kind of an authority; K a key; O a key that may be
    missing; N the same, shown as null; S a text behind its size; L keys behind their count; 508s bytes;
    64t a text padded with spaces; * the bytes to the end; *t the same without the spaces at its end.
    """

    name: str
    type: str


class Codec:
    """One layout, compiled. The data of a program without numbers has `number_bytes` 0."""

    def __init__(self, layout: Layout, number_bytes: int) -> None:
        self.number = layout.number
        self.name = layout.name
        self.build = layout.build
        self.fields = [Field(*item.split(":")) for item in layout.data.split()]
        self.names = [field.name for field in self.fields]
        self.prefix = layout.number.to_bytes(number_bytes, "little")
        """The bytes of its number."""
        formats = [_FORMATS.get(field.type) or _compute_format(field.type) for field in self.fields]
        count = formats.index("") if "" in formats else len(formats)
        self._head = struct.Struct(f"<{number_bytes}x" + "".join(formats[:count]))
        self._texts = [at for at, field in enumerate(self.fields[:count]) if field.type[-1] == "t"]
        self._tail = self.fields[count:]
        self._get_head = _make_getter([field.name for field in self.fields[:count]])
        """Takes the values of the fields of a fixed size."""
        self._readers = [_READERS[field.type] for field in self._tail]
        self.size = self._head.size
        """The least bytes of its data; all of them if `is_sized`."""
        self.is_sized = not self._tail
        self.widths = {name: int(kind[:-1]) for name, kind in self.fields if _is_padded(kind)}
        """The bytes that each padded text has room for."""
        self._pads = [(self.names.index(name), name, width) for name, width in self.widths.items()]
        self.roles = [item.partition(":")[::2] for item in layout.accounts.split()]
        """The name and the flags of each account."""
        self.needed = 1 + max((at for at, role in enumerate(self.roles) if _is_needed(*role)), default=-1)
        """The accounts that the law asks for."""
        self.signers = [at for at, (_, flags) in enumerate(self.roles) if "s" in flags]
        if self.build is not None:
            self._prepare_struct(self.build)

    def _prepare_struct(self, build: type[msgspec.Struct]) -> None:
        places = [at for at, (name, _) in enumerate(self.roles) if name not in FIXED]
        self._pick = _make_picker(places)
        """Takes the accounts that are fields of the struct."""
        given = [self.roles[at][0] for at in places] + self.names
        wanted = [name for name in build.__struct_fields__ if name in given]
        self._sort = _make_picker([given.index(name) for name in wanted])
        """Puts the values in the order of the struct, where the row has another order."""
        self._is_sorted = given == wanted

    def read(self, data: bytes) -> list[Any]:
        """The values of the fields. Raises ValueError if the data ends too early."""
        if len(data) < self.size:
            raise ValueError("the data ends too early")
        values = list(self._head.unpack_from(data))
        for at in self._texts:
            values[at] = _strip(values[at])
        at = self.size
        for reader in self._readers:
            value, at = reader(data, at)
            values.append(value)
        return values

    def read_struct(self, call: Call) -> Any:
        """The struct of an instruction: its accounts and its fields. Raises ValueError as `read` does."""
        assert self.build is not None
        values = [*self._pick(call.keys), *self.read(call.data)]
        return self.build(*(values if self._is_sorted else self._sort(values)))

    def write(self, values: Mapping[str, Any]) -> bytes:
        """The data of these fields. Raises ValueError if a text is longer than its field."""
        head = list(self._get_head(values))
        for at, name, width in self._pads:
            head[at] = _pad(head[at], name, width)
        tail = [_WRITERS[field.type](values[field.name]) for field in self._tail]
        return self.prefix + self._head.pack(*head)[len(self.prefix) :] + b"".join(tail)

    def encode(self, values: Mapping[str, Any]) -> tuple[list[Account], bytes]:
        """The accounts and the data of an instruction with these accounts and fields by name.

        An account with the flag ? is left out if it is not given. Raises ValueError if a text is longer than
        its field.
        """
        unknown = values.keys() - {"signers", *self.names, *(name for name, _ in self.roles)}
        assert not unknown, f"{self.name} has no {', '.join(sorted(unknown))}"
        return self.list_accounts(values), self.write(values)

    def list_accounts(self, values: Mapping[str, Any]) -> list[Account]:
        """The accounts of an instruction with these accounts by name."""
        accounts: list[Account] = []
        for name, flags in self.roles:
            is_signer, is_writable = "s" in flags, "w" in flags
            if "*" in flags:
                accounts += [Account(key, is_signer, is_writable) for key in values[name]]
            elif "m" in flags:
                signers = values.get("signers", ())
                accounts.append(Account(values[name], not signers, is_writable))
                accounts += [Account(key, True, False) for key in signers]
            elif "?" not in flags or name in values:
                accounts.append(Account(FIXED.get(name) or values[name], is_signer, is_writable))
        return accounts


Decoded = tuple[Codec, list[Any]]
"""The codec of an instruction, and what its handler takes: the values of its fields, or its struct."""


class Program:
    """A program: its instructions, and how they are distinguished."""

    def __init__(
        self,
        key: Key,
        name: str,
        layouts: Sequence[Layout],
        decode: Callable[[Any, Call], Decoded],
        number_bytes: int = 1,
        shown: str = "",
        default: int = -1,
    ) -> None:
        self.key = key
        self.name = name
        """Its name in refusals."""
        self.shown = shown
        """Its name in the parsed form; empty if its instructions have none."""
        self._number_bytes = number_bytes
        self._default = default
        self.decode = decode
        """The rule by which its instructions are read: it raises, or returns what it has read."""
        self.layouts = layouts
        self.codecs = [Codec(layout, number_bytes) for layout in layouts]
        self.by_number = {codec.number: codec for codec in reversed(self.codecs)}
        self.by_name = {codec.name: codec for codec in reversed(self.codecs)}
        """The first codec of each number and of each name."""

    def find_number(self, data: bytes) -> int:
        """The number that data begins with. Data that is too short for one has the default, or -1."""
        size = self._number_bytes
        return int.from_bytes(data[:size], "little") if len(data) >= size else self._default

    def find(self, data: bytes) -> Codec | None:
        """The codec of an instruction with this data, None if no layout has its number."""
        return self.by_number.get(self.find_number(data))

    def encode(self, instruction: msgspec.Struct) -> tuple[list[Account], bytes]:
        """The accounts and the data of a struct, in the first layout that decodes to it.

        Raises ValueError, as `Codec.encode` does.
        """
        return self.compose(type(instruction).__name__, msgspec.structs.asdict(instruction))

    def compose(self, name: str, values: Mapping[str, Any]) -> tuple[list[Account], bytes]:
        """The accounts and the data of the instruction of a name. Raises ValueError as `encode` does."""
        return self.by_name[name].encode(values)


def decode_plainly(program: Program, call: Call) -> Decoded:
    """An instruction that another rule has read before, or whose only field is its whole data."""
    codec = program.by_number[program.find_number(call.data)]
    return codec, codec.read(call.data)


# Fields

_FORMATS = {"B": "B", "H": "H", "I": "I", "Q": "Q", "T": "Q", "D": "B", "R": "B", "K": "32s"}
"""The format of the struct module for each type of a fixed size."""


def _compute_format(kind: str) -> str:
    """The format of bytes or of a padded text; empty for a type of no fixed size."""
    return f"{kind[:-1]}s" if kind[:-1].isdecimal() else ""


def _make_picker(places: list[int]) -> Callable[[list[Any]], Sequence[Any]]:
    """Takes the values at these places, of which there is at least one."""
    first, last = places[0], places[-1]
    is_slice = places == list(range(first, last + 1))
    return itemgetter(slice(first, last + 1)) if is_slice else itemgetter(*places)


def _make_getter(names: list[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Takes the values of these names."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: [values[name] for name in names]


def _pad(text: bytes, name: str, width: int) -> bytes:
    """A text with the spaces that fill its field. Raises ValueError if it is longer than that."""
    if len(text) > width:
        raise ValueError(f"{name} has {len(text)} bytes; {width} fit")
    return text.ljust(width)


def _is_padded(kind: str) -> bool:
    return kind[-1] == "t" and kind != "*t"


def _is_needed(name: str, flags: str) -> bool:
    return "!" in flags or not (name in FIXED or "?" in flags or "*" in flags)


Reader = Callable[[bytes, int], tuple[Any, int]]
"""Reads a value at a position; returns it and the position behind. Raises ValueError."""


_SPACES = tuple(b" " * count for count in (256, 128, 64, 32))


def _strip(text: bytes) -> bytes:
    """A text without the spaces at its end: `rstrip` alone looks at each of the 450 of a usual submission."""
    for spaces in _SPACES:
        text = text.removesuffix(spaces)
    return text.rstrip(b" ")


def _cut(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise ValueError("the data ends too early")
    return data[at : at + size]


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    return int.from_bytes(_cut(data, at, 8), "little"), at + 8


def _read_key(data: bytes, at: int) -> tuple[Key, int]:
    return _cut(data, at, 32), at + 32


def _read_option(data: bytes, at: int) -> tuple[Key | None, int]:
    return _read_key(data, at + 1) if _cut(data, at, 1) != b"\0" else (None, at + 1)


def _read_sized(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _read_number(data, at)
    return _cut(data, at, size), at + size


def _read_keys(data: bytes, at: int) -> tuple[bytes, int]:
    count, at = _read_number(data, at)
    return _cut(data, at, 32 * count), at + 32 * count


_READERS: dict[str, Reader] = {
    "Q": _read_number,
    "K": _read_key,
    "O": _read_option,
    "N": _read_option,
    "S": _read_sized,
    "L": _read_keys,
    "*": lambda data, at: (data[at:], len(data)),
    "*t": lambda data, at: (_strip(data[at:]), len(data)),
}
"""How the types that may stand behind one of no fixed size are read. L are the bytes of its keys."""


def _write_option(key: Key | None) -> bytes:
    return b"\0" if key is None else b"\1" + key


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "Q": lambda value: value.to_bytes(8, "little"),
    "K": bytes,
    "O": _write_option,
    "N": _write_option,
    "S": lambda text: len(text).to_bytes(8, "little") + text,
    "L": lambda keys: (len(keys) // 32).to_bytes(8, "little") + keys,
    "*": bytes,
    "*t": bytes,
}
