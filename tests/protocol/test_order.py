"""Where two refusals apply, the text says which one is told, and the law keeps to it."""

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from roundwork.errors import Undecodable
from roundwork.protocol.execute import Kind, simulate, simulated
from roundwork.protocol.params import (
    ASSOCIATED_TOKEN_PROGRAM,
    KPL_PROGRAM,
    LOOKUP_PROGRAM,
    SYSTEM_PROGRAM,
    TASK_PROGRAM,
    TOKEN_PROGRAM,
    Key,
)  # fmt: skip
from roundwork.protocol.rules import RULES
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.tasks.distribution import compute_bytes_max, get_upload
from roundwork.protocol.transaction import decode_transaction

from .scenes import list_scenes
from .stage import SW, Stage
from .test_aliases import name_kind
from .world import World, keypair_of, upload_list

PROGRAMS = {
    "system": SYSTEM_PROGRAM,
    "lookup": LOOKUP_PROGRAM,
    "token": TOKEN_PROGRAM,
    "associated": ASSOCIATED_TOKEN_PROGRAM,
    "task": TASK_PROGRAM,
    "KPL": KPL_PROGRAM,
}

Sequence = tuple[str, ...]


def read_orders() -> dict[tuple[Key, int], Sequence]:
    """The table of PROTOCOL.md: the rules of each instruction in the order in which they are asked."""
    text = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\d+) [^|]*\| ([\d., ]+) \|$", text, re.MULTILINE)
    return {(PROGRAMS[name], int(number)): tuple(rules.split(", ")) for name, number, rules in rows}


class Recorder:
    """Which rules are asked while an instruction runs, of every accepted transaction of the scenes."""

    def __init__(self) -> None:
        self.numbers = {rule.check.__code__: rule.number for rule in RULES.values()}
        self.seen: dict[tuple[Key, int], set[Sequence]] = {}
        self._running: list[tuple[tuple[Key, int], list[str]]] = []

    def watch(self, world: World, wires: tuple[bytes, ...], slot: int) -> None:
        for wire in wires:
            try:
                transaction = decode_transaction(wire)
            except Undecodable:
                continue
            self._running = []
            sys.setprofile(self._profile)
            try:
                with simulated(world.state, transaction, slot) as receipt:
                    sys.setprofile(None)
            finally:
                sys.setprofile(None)
            if receipt.kind == Kind.OK:
                for kind, rules in self._running:
                    self.seen.setdefault(kind, set()).add(tuple(rules))

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        if frame.f_code.co_name == "_run_instruction":
            kind = name_kind(frame.f_locals["keys"], frame.f_locals["instruction"])
            self._running.append((kind, []))
        elif self._running and frame.f_code in self.numbers:
            asked = self._running[-1][1]
            number = self.numbers[frame.f_code]
            if number not in asked:
                asked.append(number)


def record() -> dict[tuple[Key, int], set[Sequence]]:
    recorder = Recorder()
    World.watchers.append(recorder.watch)
    try:
        for play in list_scenes():
            play()
    finally:
        World.watchers.remove(recorder.watch)
    return {kind: seen for kind, seen in recorder.seen.items() if kind[0] in PROGRAMS.values()}


def test_rules_are_asked_in_the_order_that_the_text_says() -> None:
    orders, recorded = read_orders(), record()

    assert set(orders) == set(recorded)
    for kind, sequences in recorded.items():
        for sequence in sequences:
            assert list(sequence) == [rule for rule in orders[kind] if rule in sequence], kind
        assert set(orders[kind]) == {rule for sequence in sequences for rule in sequence}, kind


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ({"manager": 1000}, "ListBadNode"),  # pays a stranger, and more than there is
        ({"manager": -1}, "ListBadNode"),  # slashes a stranger
        ({"n01": -1, "n00": 1000}, "ListBadSlash"),  # slashes who is untried, and pays too much
        (b"x" * 3000, "ListTooLong"),  # is no JSON either
        (b'{"x": 1, "x": 2}', "ListMalformed"),  # names a stranger, twice
    ],
)
def test_of_two_faults_of_a_list_the_earlier_one_is_told(
    amounts: dict[str, int] | bytes, expected: str
) -> None:
    world = Stage().submitted().go(2)

    assert expected == world.hand_in("n00", 0, amounts).name


def test_of_two_faults_of_a_submission_the_earlier_one_is_told() -> None:
    world = Stage().submitted()

    world.expect("AlreadySubmitted", "n00", world.submit("n00", 0, b""))  # submitted already; no value
    world.expect("NotStaked", "manager", world.submit("manager", 0, b""))  # no stake; no value
    world.go(1, SW + 1).expect("WrongPhase", "n00", world.submit("n00", 0))  # too late; submitted already


def test_of_two_faults_of_an_audit_the_earlier_one_is_told() -> None:
    world = Stage().submitted().go(1, SW + 1)

    world.expect("NotStaked", "manager", world.audit("manager", 0, "pot"))  # no stake; nobody to audit
    world.expect("OwnSubmission", "n00", world.audit("n00", 0, "n00", valid=1))  # its own; no audit raised
    world.go(2).expect("WrongPhase", "manager", world.audit("manager", 0, "n00"))  # too late; no stake


def test_of_two_faults_of_a_stake_or_a_claim_the_earlier_one_is_told() -> None:
    world = Stage()
    elsewhere = ins.Stake(world.key("elsewhere"), world.key("n00"), world.key("pot"), 0)

    world.expect("UnknownTask", "n00", elsewhere)  # no task there; nothing staked
    world.expect("BadAmount", "n00", world.stake("n00", 0))
    world.expect("InsufficientFunds", "n00", world.stake("n00", 2**63))
    world.expect("NotStaked", "manager", world.withdraw("manager"))


def test_of_two_faults_of_a_new_task_the_earlier_one_is_told() -> None:
    world = Stage()

    assert "WrongRules" == world.create_task("new", locals=b"rules:none", round_time=0).name
    assert "BadTask" == world.create_task("new", round_time=0, total_bounty=10**18).name


def test_a_simulated_list_is_not_read_for_the_block() -> None:
    world = Stage().submitted().go(2)
    upload, hand_in = upload_list(world, "n00", 0, b"nonsense")
    assert not world.run("n00", upload).kind
    wire = world.wire(["n00"], hand_in)

    for _ in range(2):
        simulated_receipt = simulate(world.state, decode_transaction(wire), world.state.head.slot + 1)
        assert "ListMalformed" == simulated_receipt.name


def test_a_list_that_is_too_long_is_counted_no_further_than_its_bound() -> None:
    world = Stage().submitted().go(2)
    world.block()
    for number in range(40):
        ask = ins.UploadDistributionList(world.task, world.key("n00"), number, 508, bytes(508), 0)
        world.expect("ok", "n00", ask, slots=0)
    most = compute_bytes_max(3)

    upload = get_upload(RoundCursor(world.state, world.task, 0), world.key("n00"), most)

    assert most < upload.size <= most + 508
    assert len(upload.keys) == most // 508 + 1


def test_an_upload_ends_with_its_first_short_chunk_and_at_its_bound() -> None:
    world = Stage().submitted().go(2)
    world.block()
    node, cursor = world.key("n00"), RoundCursor(world.state, world.task, 0)
    for number, size in enumerate((508, 508, 20, 508)):
        ask = ins.UploadDistributionList(world.task, node, number, size, bytes(508), 0)
        world.expect("ok", "n00", ask, slots=0)

    assert (3, 1036) == (len(get_upload(cursor, node, 5000).keys), get_upload(cursor, node, 5000).size)
    assert (2, 1016) == (len(get_upload(cursor, node, 508).keys), get_upload(cursor, node, 508).size)
    assert (1, 508) == (len(get_upload(cursor, node, 507).keys), get_upload(cursor, node, 507).size)


def test_a_list_that_comes_too_early_is_told_its_window() -> None:
    world = Stage().submitted().go(1, 3)
    ask = ins.SubmitDistributionList(world.task, world.key("n00"), world.key("n00"), 0)

    text = world.run("n00", world.instruct(ask)).text

    assert text.startswith("the list is handed in for round 0 in slots ")


def test_who_allow_lists_is_named() -> None:
    for lister, named in ((None, "no key"), (str(keypair_of("lister").pubkey()),) * 2):
        world = Stage(allowlister=lister)
        ask = ins.Whitelist(world.task, world.key("n00"), 0)
        assert world.run("n00", world.instruct(ask)).text.endswith(f"genesis names {named}")


def test_a_receipt_keeps_400_characters_of_a_text() -> None:
    world = Stage().submitted().go(2)

    receipt = world.hand_in("n00", 0, b'{"' + b"x" * 480 + b'": 1}')

    assert ("ListBadNode", 400) == (receipt.name, len(receipt.text))
