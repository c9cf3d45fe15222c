"""The table of instructions: each row has a handler, and is written and read alike."""

from typing import Any

import pytest

from roundwork.protocol.execute import HANDLERS
from roundwork.protocol.genesis import FIXED as GENESIS_ACCOUNTS
from roundwork.protocol.layout import FIXED, Codec, Layout
from roundwork.protocol.table import PROGRAMS

KEY = bytes(range(32))
ROWS = [(program, codec) for program in PROGRAMS.values() for codec in program.codecs if codec.build is None]

VALUES: dict[str, Any] = {
    "B": 200, "H": 60_000, "I": 2**32 - 1, "Q": 2**64 - 2, "T": 2**64 - 3, "D": 9, "R": 3, "K": KEY, "O": KEY,
    "N": None, "S": b"sown", "L": 2 * KEY, "*": b"to the end",
}  # fmt: skip
"""A value of each type."""


def test_each_row_has_a_handler_and_each_handler_a_row() -> None:
    assert {(program.key, codec.number) for program in PROGRAMS.values() for codec in program.codecs} == set(
        HANDLERS
    )


def test_each_program_has_an_account_from_the_first_block_on() -> None:
    assert all(GENESIS_ACCOUNTS[key].is_executable for key in PROGRAMS)


@pytest.mark.parametrize(("program", "codec"), ROWS, ids=lambda each: getattr(each, "name", None))
def test_a_row_reads_what_it_writes_and_needs_the_accounts_it_names(program: Any, codec: Codec) -> None:
    values = {field.name: VALUES[field.type] for field in codec.fields}
    keys: dict[str, Any] = {name: KEY for name, _ in codec.roles if name not in FIXED}
    keys["signers"] = [KEY, KEY]

    accounts, data = program.compose(codec.name, {**keys, **values})

    assert program.by_number[program.find_number(data)] is codec
    assert list(values.values()) == codec.read(data)
    assert codec.needed <= len(accounts)
    for short in range(codec.size):
        with pytest.raises(ValueError, match="too early"):
            codec.read(data[:short])


def test_the_accounts_of_an_instruction_are_those_of_its_row() -> None:
    layout = Layout(7, "made", "first:sw clockSysvar other:? owner:m rentSysvar:?", "owner:K")
    codec = Codec(layout, 1)
    multisig = {"first": b"f" * 32, "owner": b"o" * 32, "signers": [b"1" * 32, b"2" * 32]}

    alone, data = codec.encode({"first": b"f" * 32, "owner": b"o" * 32})
    several, _ = codec.encode({**multisig, "other": b"x" * 32})

    assert b"\7" + b"o" * 32 == data
    assert [(b"f" * 32, True, True), (FIXED["clockSysvar"], False, False), (b"o" * 32, True, False)] == alone
    assert [b"x" * 32, b"o" * 32, b"1" * 32, b"2" * 32] == [account.key for account in several[2:]]
    assert [False, False, True, True] == [account.is_signer for account in several[2:]]
    assert 4 == codec.needed


def test_a_name_that_no_row_has_is_a_fault_of_the_caller() -> None:
    with pytest.raises(KeyError, match="fly"):
        PROGRAMS[bytes(32)].compose("fly", {})
    with pytest.raises(AssertionError, match="transfer has no lamport, target"):
        PROGRAMS[bytes(32)].compose("transfer", {"source": KEY, "target": KEY, "lamport": 5})


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 95, 255, 256, 257, 480, 509, 512])
def test_a_padded_text_loses_the_spaces_at_its_end_and_no_others(count: int) -> None:
    codec = Codec(Layout(1, "made", "", "text:512t"), 1)
    text = (b" a\n" + b" " * count)[:512] if count < 512 else b" " * 512

    values = codec.read(b"\1" + text.ljust(512))

    assert [text.rstrip(b" ")] == values
