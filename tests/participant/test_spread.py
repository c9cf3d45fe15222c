"""Nodes send their submissions at moments of their own, and none is paid later for it."""

from collections.abc import Sequence

import msgspec
import pytest

from roundwork.participant.sealed import SealedDuty, SealedMemory, SendCommitment, SendReveal
from roundwork.participant.spread import compute_sending_slot
from roundwork.participant.step import Duty, SendOpinion, SendValue
from roundwork.protocol.read import view_head
from roundwork.protocol.tasks import instructions
from roundwork.protocol.tasks.commitments import SealKind
from roundwork.protocol.tasks.round import RoundState
from roundwork.views import TaskHead

from ..protocol.hardened import NODES, Hardened
from ..town import Node, Town
from .test_sealed import Players

SECRETS = [bytes([at]) * 32 for at in range(200)]


def head_of(rules: str) -> TaskHead:
    """Rounds of 200 slots from slot 1000 on; SUBMIT has 80 slots."""
    if rules == "koii-1":
        town = Town(3)
        head = view_head(town.world.state, town.world.task)
    else:
        world = Hardened()
        head = view_head(world.state, world.task)
    return msgspec.structs.replace(
        head, starting_slot=1000, round_time=200, submission_window=79, audit_window=96
    )


@pytest.mark.parametrize(
    ("rules", "duty", "first", "slots"),
    [
        ("koii-1", SendValue(3, "value"), 1800, 20),
        ("roundwork-1", SendCommitment(3, SealKind.SUBMISSION, b""), 1800, 10),
        ("roundwork-1", SendReveal(3, SealKind.SUBMISSION, b""), 1840, 10),
    ],
)
def test_nodes_send_in_all_slots_of_a_quarter_of_the_window(
    rules: str, duty: Duty | SealedDuty, first: int, slots: int
) -> None:
    head = head_of(rules)

    sending = [compute_sending_slot(head, secret, duty) for secret in SECRETS]

    assert set(range(first, first + slots)) == set(sending)
    assert max(sending.count(slot) for slot in set(sending)) < 5 * len(SECRETS) / slots
    assert sending == [compute_sending_slot(head, secret, duty) for secret in SECRETS]


@pytest.mark.parametrize(
    ("rules", "duty"),
    [
        ("koii-1", SendOpinion(3, "node", False)),
        ("roundwork-1", SendCommitment(3, SealKind.RECEIPT, b"")),
        ("roundwork-1", SendReveal(3, SealKind.VOTES, b"")),
    ],
)
def test_nothing_else_waits(rules: str, duty: Duty | SealedDuty) -> None:
    assert {0} == {compute_sending_slot(head_of(rules), secret, duty) for secret in SECRETS}


def test_a_node_sends_at_another_moment_in_each_round() -> None:
    head, secret = head_of("koii-1"), SECRETS[0]
    offsets = {
        compute_sending_slot(head, secret, SendValue(number, "")) - 200 * number for number in range(20)
    }

    assert len(offsets) > 5


class SpreadTown(Town):
    """Nodes under koii-1 that wait for their slot."""

    def act(self, node: Node, duty: Duty) -> Sequence[list[instructions.Instruction]]:
        head = view_head(self.world.state, self.world.task)
        is_early = head.slot < compute_sending_slot(head, node.name.encode(), duty)
        return [] if is_early else super().act(node, duty)


def test_no_node_is_paid_later_under_koii_1() -> None:
    windows = {"round_time": 60, "submission_window": 23, "audit_window": 24}
    towns = [kind(9, **windows) for kind in (Town, SpreadTown)]

    for town in towns:
        town.live_until(0, 4)

    at_once, spread = (town.round(1) for town in towns)
    assert 1 == len({each.slot for each in at_once.submissions})
    assert 3 < len({each.slot for each in spread.submissions})
    assert at_once.slot == spread.slot
    assert [(each.node, each.reward) for each in at_once.payments] == [
        (each.node, each.reward) for each in spread.payments
    ]
    assert 9 == len(spread.payments)


class SpreadPlayers(Players):
    """Nodes under roundwork-1 that wait for their slot; rounds are of 130 slots."""

    def __init__(self) -> None:
        super().__init__({}, terms={"round_time": 130, "submission_window": 63, "audit_window": 48})

    def live(self) -> None:
        """Round 0 is worked on, reviewed and paid."""
        while self.state.head.slot < self.start + 3 * 130:
            self.block()
            for name in NODES:
                self.do_duties(name, 0)

    def send(self, name: str, number: int, duty: SealedDuty, memory: SealedMemory) -> None:
        head = view_head(self.state, self.task)
        if head.slot >= compute_sending_slot(head, name.encode(), duty):
            super().send(name, number, duty, memory)


def test_no_node_is_paid_later_or_fined_under_roundwork_1() -> None:
    world = SpreadPlayers()

    world.live()

    assert RoundState.PAID == world.cursor().opened.state
    assert 0 == world.cursor().opened.attempt
    assert len(NODES) == len(world.cursor().submissions.rows)
    assert set() == world.fined()
    slots = {seal.slot for key, seal in world.cursor().seals.rows.items() if not key[0]}
    assert len(slots) > 1
