"""What CONTRIBUTING.md says that a new instruction, RPC method or window touches, holds."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from solders.instruction import AccountMeta
from solders.instruction import Instruction as Signed
from solders.pubkey import Pubkey

from roundwork.client.messages import instruct, wrap
from roundwork.ledger.rpc.dispatch import METHODS
from roundwork.ledger.rpc.instruction_forms import parse_instruction
from roundwork.protocol.execute import HANDLERS, Kind
from roundwork.protocol.layout import Call, Layout, Program, decode_plainly
from roundwork.protocol.money import credit, debit, get_balance
from roundwork.protocol.params import (
    SYSTEM_PROGRAM,
    SYSVAR_CLOCK,
    TASK_PROGRAM,
    Key,
    NodeKey,
    TaskKey,
    base58_of,
)
from roundwork.protocol.programs import layouts
from roundwork.protocol.state import State
from roundwork.protocol.table import PROGRAMS
from roundwork.protocol.tasks import instructions
from roundwork.protocol.tasks.layouts import NATIVE, TaskProgram
from roundwork.protocol.tasks.round import WINDOWS
from roundwork.protocol.tasks.stakes import add_to, get_stake
from roundwork.protocol.transaction import decode_transaction

from .protocol.stage import Stage
from .protocol.world import World

ROOT = Path(__file__).parents[1]

EXAMPLES = {
    "A new instruction of a program that stock clients know": r"approveChecked|\bapprove_checked\b",
    "A new instruction of the task programs": r"\bWhitelist\b|\blife\.allow\b|def allow\(",
    "A new RPC method": r"\bgetBlockTime\b|\bget_block_time\b",
    "A new window of a rule set": r"\bActivity\.SUBMIT\b|\bproofs are submitted\b",
}
"""How the example of each section is recognised in a file."""


class Section(NamedTuple):
    """A section of CONTRIBUTING.md: the files of its list, and every file that it names."""

    listed: list[str]
    named: list[str]


def read_sections() -> dict[str, Section]:
    parts = (ROOT / "CONTRIBUTING.md").read_text().split("\n### ")[1:]
    return {
        part.partition("\n")[0]: Section(
            re.findall(r"^- `([^`]+)`:", part, re.MULTILINE),
            re.findall(r"`((?:src|docs|tests)/[^`]*)`", part),
        )
        for part in parts
    }


def find_files(pattern: str, folders: Sequence[str]) -> set[str]:
    """The files of these folders in which the pattern occurs."""
    paths = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md")
    ]
    return {str(path.relative_to(ROOT)) for path in paths if re.search(pattern, path.read_text())}


def test_every_section_has_an_example_and_names_files_that_exist() -> None:
    sections = read_sections()

    assert set(EXAMPLES) == set(sections)
    assert [] == [
        path for section in sections.values() for path in section.named if not (ROOT / path).exists()
    ]


@pytest.mark.parametrize("title", EXAMPLES)
def test_the_example_of_a_section_is_in_the_files_of_its_list_and_in_no_other(title: str) -> None:
    listed = read_sections()[title].listed

    assert {path for path in listed if not path.startswith("tests/")} == find_files(
        EXAMPLES[title], ["src", "docs"]
    )
    for path in listed:
        assert re.search(EXAMPLES[title], (ROOT / path).read_text()), path


def test_the_examples_are_in_the_tables_that_the_lists_name() -> None:
    assert "approveChecked" in layouts.TOKEN.by_name
    assert "Whitelist" in PROGRAMS[TASK_PROGRAM].by_name
    assert "getBlockTime" in METHODS
    assert "proofs are submitted" in [window.doing for window in WINDOWS["koii-1"].values()]


# A row and a handler are enough


def put(monkeypatch: pytest.MonkeyPatch, program: Program, number: int, handler: object) -> None:
    """Put a program with a new row into the table, and its handler into the dictionary of `execute`."""
    monkeypatch.setitem(PROGRAMS, program.key, program)
    monkeypatch.setitem(HANDLERS, (program.key, number), handler)


def parse(world: World, signer: str, instruction: Signed) -> dict[str, Any]:
    """The parsed form of an instruction, as RPC shows it of a transaction."""
    transaction = decode_transaction(world.wire([signer], instruction))
    return parse_instruction(transaction.instructions[0], transaction.accounts)


def share(state: State, call: Call, amount: int, note: bytes) -> bytes:
    """Move money from the first account to the two others; returns the note."""
    for target in call.keys[1:]:
        debit(state, call.keys[0], amount)
        credit(state, target, amount)
    return note


SHARE = Layout(77, "share", "source:sw first:w second:w", "lamports:Q note:S")


def test_a_row_and_a_handler_are_an_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    world, old = World(), PROGRAMS[SYSTEM_PROGRAM]
    new = Program(old.key, old.name, [*old.layouts, SHARE], old.decode, number_bytes=4, shown=old.shown)
    source, first, second = (world.key(name) for name in ("n00", "n01", "n02"))
    values = {"source": source, "first": first, "second": second, "lamports": 5, "note": b"thanks"}
    with pytest.raises(KeyError, match="share"):
        instruct(SYSTEM_PROGRAM, "share", **values)

    put(monkeypatch, new, 77, share)
    before = get_balance(world.state, first), get_balance(world.state, second)
    encoded = instruct(SYSTEM_PROGRAM, "share", **values)
    receipt = world.run("n00", encoded)
    short = Signed(encoded.program_id, encoded.data[:-1], encoded.accounts)

    assert (77).to_bytes(4, "little") + (5).to_bytes(8, "little") == encoded.data[:12]
    assert (Kind.OK, (SYSTEM_PROGRAM, b"thanks")) == (receipt.kind, receipt.returned)
    assert before == (get_balance(world.state, first) - 5, get_balance(world.state, second) - 5)
    assert "BadInstruction" == world.run("n00", short).name
    assert parse(world, "n00", encoded) == {
        "program": "system",
        "programId": base58_of(SYSTEM_PROGRAM),
        "parsed": {
            "type": "share",
            "info": {
                "source": base58_of(source), "first": base58_of(first), "second": base58_of(second),
                "lamports": 5, "note": "thanks",
            },
        },
        "stackHeight": None,
    }  # fmt: skip


class Reward(instructions._Base, frozen=True, gc=False):
    """Adds to what a node can claim."""

    task: TaskKey
    node: NodeKey
    amount: int
    reason: bytes


def reward(state: State, call: Call, instruction: Reward) -> None:
    debit(state, instruction.node, instruction.amount)
    add_to(state, instruction.task, instruction.node, 0, instruction.amount)


def test_a_struct_a_row_and_a_handler_are_an_instruction_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Stage()
    row = Layout(77, "Reward", "task:w node:sw clockSysvar", "amount:Q reason:16t", Reward)
    task, node = TaskKey(world.key("task")), NodeKey(world.key("n00"))

    put(monkeypatch, TaskProgram(TASK_PROGRAM, (*NATIVE, row), "task"), 77, reward)
    encoded = wrap(Reward(task, node, 5, b"good work"))  # type: ignore[arg-type] # made up
    receipt = world.run("n00", encoded)
    unsigned = [AccountMeta(meta.pubkey, False, meta.is_writable) for meta in encoded.accounts]
    refused = world.run("n01", Signed(encoded.program_id, encoded.data, unsigned))

    assert b"M" + (5).to_bytes(8, "little") + b"good work       " == encoded.data
    assert {
        "type": "reward",
        "info": {
            "task": base58_of(task), "node": base58_of(node), "clockSysvar": base58_of(SYSVAR_CLOCK),
            "amount": 5, "reason": "good work",
        },
    } == parse(world, "n00", encoded)["parsed"]  # fmt: skip
    assert Kind.OK == receipt.kind
    assert 5 == get_stake(world.state, task, node).available
    assert "MissingSigner" == refused.name


def test_a_program_with_a_row_and_a_handler_is_a_program_of_the_ledger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    key: Key = world.key("made up")
    program = Program(key, "made up", [SHARE], decode_plainly, shown="made-up")
    accounts = {name: world.key("n00") for name in ("source", "first", "second")}
    node = Pubkey(world.key("n00"))
    metas = [AccountMeta(node, True, True), AccountMeta(node, False, True), AccountMeta(node, False, True)]
    by_hand = Signed(Pubkey(key), b"M" + bytes(16), metas)
    assert "UnknownProgram" == world.run("n00", by_hand).name

    put(monkeypatch, program, 77, share)
    encoded = instruct(key, "share", **accounts, lamports=0, note=b"")

    assert by_hand == encoded
    assert Kind.OK == world.run("n00", encoded).kind
    assert "made-up" in str(parse(world, "n00", encoded))
