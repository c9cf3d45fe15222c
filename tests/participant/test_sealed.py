"""What a node owes under roundwork-1, in a town whose ledger is the law."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from roundwork.participant.decisions import Memory
from roundwork.participant.sealed import (
    AccuseList,
    CheckSubmission,
    DecideSealedList,
    DecideSealedValue,
    FetchProof,
    PostProof,
    Seal,
    SealedDuty,
    SealedMemory,
    SealedView,
    SendAccusation,
    SendAmounts,
    SendChallenge,
    SendCommitment,
    SendReveal,
    VoteOnList,
    compute_salt,
    list_sealed_duties,
)
from roundwork.participant.sealed_step import Bounds, step_sealed
from roundwork.participant.step import TopUp
from roundwork.protocol.params import NodeKey, base58_of, key_of
from roundwork.protocol.read import view_round
from roundwork.protocol.read_hardened import view_assignments
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.events import Fined
from roundwork.protocol.tasks.round import RoundState

from ..protocol.hardened import AUDIT_END, AW, NODES, PROOF, STAKES, SW, Hardened, T, name_proof
from .test_step import view_of

GOOD, GARBAGE = "the work", "garbage"
SERVED, HIDDEN = name_proof(PROOF).decode(), name_proof(b"nobody has this").decode()


class Players(Hardened):
    """Nodes that do their duties in every slot; each memory goes to the disk and back after each of them."""

    def __init__(
        self, values: dict[str, str], served_to: tuple[str, ...] = NODES, terms: dict[str, int] | None = None
    ) -> None:
        super().__init__({"allowed_failed_distributions": 3, **(terms or {})})
        self.named = {**dict.fromkeys(NODES, GOOD), **values}
        self.served_to = served_to
        self.disk: dict[tuple[str, int], bytes] = {}
        self.does_first_rank_steal = False
        self.done: Counter[tuple[str, str]] = Counter()

    def recall(self, name: str, number: int) -> SealedMemory:
        stored = self.disk.get((name, number))
        return msgspec.msgpack.decode(stored, type=SealedMemory) if stored else SealedMemory()

    def view(self, name: str, number: int) -> SealedView:
        shown = view_round(self.state, self.task, number)
        own = view_assignments(self.state, self.task, number, self.key(name))
        table = self.state.tasks.rows[self.task].timetable
        return SealedView(base58_of(self.key(name)), table, shown, own, challenges_max=2, accusations_max=2)

    def go_through(self, ledger_rounds: int, numbers: tuple[int, ...] = (0,)) -> None:
        """Every node does its duties for these rounds in every slot of some ledger rounds."""
        self.go(1)
        while self.state.head.slot < self.start + ledger_rounds * T:
            self.block()
            for number in numbers:
                for name in NODES:
                    self.do_duties(name, number)

    def do_duties(self, name: str, number: int) -> None:
        for _ in range(4):  # one leads to another: decide, write down, send
            memory, view = self.recall(name, number), self.view(name, number)
            duties = list_sealed_duties(memory, view, self.state.head.slot)
            for duty in duties:
                memory = self.carry_out(name, number, duty, memory, view)
                self.disk[name, number] = msgspec.msgpack.encode(memory)
            if not duties:
                return

    def carry_out(
        self, name: str, number: int, duty: SealedDuty, memory: SealedMemory, view: SealedView
    ) -> SealedMemory:
        self.done[name, type(duty).__name__] += 1
        replace = msgspec.structs.replace
        match duty:
            case DecideSealedValue():
                own = {view.node} if self.named[name] == SERVED else set()
                return replace(memory, value=self.named[name], fetched=memory.fetched | own)
            case Seal():
                assert duty.kind not in memory.sealed, "what is written down never changes"
                return replace(memory, sealed={**memory.sealed, duty.kind: duty.payload})
            case FetchProof():
                is_served = view.get_value(duty.node) == SERVED and name in self.served_to
                if is_served or view.find(duty.node).is_posted:
                    return replace(memory, fetched=memory.fetched | {duty.node})
            case CheckSubmission():
                is_valid = view.get_value(duty.node) in (GOOD, SERVED)
                return replace(memory, found={**memory.found, duty.node: is_valid})
            case DecideSealedList():
                is_theft = self.does_first_rank_steal and view.node == view.hardened.ranks[0].nodes[0]
                return replace(memory, amounts={view.node: 1000} if is_theft else self.compute_list(view))
            case _:
                self.send(name, number, duty, memory)
        return memory

    def compute_list(self, view: SealedView) -> dict[str, int]:
        paid = [each.node for each in view.hardened.submissions if each.votes > 0]
        return dict.fromkeys(paid, 1000 // len(paid))

    def send(self, name: str, number: int, duty: SealedDuty, memory: SealedMemory) -> None:
        for ask in self.ask(name, number, duty, memory):
            receipt = self.run(name, self.instruct(ask), slots=0)
            assert not receipt.kind or isinstance(duty, PostProof), (name, duty, receipt.text)

    def ask(self, name: str, number: int, duty: SealedDuty, memory: SealedMemory) -> list[ins.Instruction]:
        """The instructions of a duty that sends something."""
        task, key = self.task, self.key(name)
        match duty:
            case SendCommitment():
                return [self.commit(name, duty.kind, duty.payload, number)]
            case SendReveal():
                return [self.reveal(name, duty.kind, duty.payload, number)]
            case SendChallenge():
                return [ins.Challenge(task, key, node_of(duty.node), number)]
            case PostProof():
                pieces = enumerate((PROOF[:800], PROOF[800:]))
                return [ins.Answer(task, key, node_of(duty.node), number, at, data) for at, data in pieces]
            case SendAccusation():
                return [ins.Accuse(task, key, node_of(duty.node), number)]
            case SendAmounts():
                assert memory.amounts is not None
                amounts = {self.name_of(node_of(node)): amount for node, amount in memory.amounts.items()}
                return [self.upload(name, amounts, number), self.hand_in(name, number)]
            case AccuseList():
                return [ins.AuditDistribution(task, key, node_of(duty.node), 0, number)]
            case VoteOnList():
                return [ins.AuditDistribution(task, key, node_of(duty.node), int(duty.is_valid), number)]
            case _:
                raise AssertionError(f"{duty} sends nothing")

    def salt(self, name: str, kind: int, number: int) -> bytes:
        return compute_salt(name.encode().ljust(32), base58_of(self.task), number, kind)

    def fined(self) -> set[str]:
        events = [event for _, _, outcome in self.blocks for event in outcome.events]
        return {self.name_of(event.node) for event in events if isinstance(event, Fined)}


def node_of(address: str) -> NodeKey:
    return NodeKey(key_of(address))


def test_honest_nodes_play_stacked_rounds_and_are_paid_by_the_first_rank() -> None:
    world = Players({"n01": SERVED})

    world.go_through(5, (0, 1, 2))

    for number in (0, 1, 2):
        assert RoundState.PAID == world.cursor(number).opened.state
        lister = world.cursor(number).lists.rows[b"\0"].submitter
        assert world.name_of(lister) == world.ranks(number)[0]
    assert set() == world.fined()
    assert STAKES == {name: world.stake_of(name) for name in NODES}
    assert [600] * 5 == [sum(world.held_of(name, paid) for paid in (2, 3, 4)) for name in NODES]


def test_a_liar_is_accused_by_a_checker_and_convicted() -> None:
    world = Players({"n01": GARBAGE})

    world.go_through(3)

    assert ("CONVICTED", -1) == world.verdict("n01")
    assert STAKES["n01"] * 30 // 100 == world.stake_of("n01")
    assert all(world.net_of(name) >= 250 for name in NODES if name != "n01")
    assert set() == world.fined()


def test_who_hides_its_proof_is_challenged_and_missing() -> None:
    world = Players({"n01": HIDDEN})

    world.go_through(3)

    assert ("MISSING", 0) == world.verdict("n01")
    assert {"n01"} == world.fined()
    assert 1 == sum(count for (_, duty), count in world.done.items() if duty == "SendChallenge")


def test_a_proof_that_some_cannot_get_is_posted_when_it_is_challenged() -> None:
    world = Players({"n01": SERVED}, served_to=("n01", "n04"))

    world.go_through(3)

    assert ("UNTRIED", 1) == world.verdict("n01")
    assert world.key("n01") in world.cursor().proofs.rows
    assert set() == world.fined()
    assert {"n01"} == {name for name, duty in world.done if duty == "PostProof"}, "the fees of one are paid"


class AwayForAnswers(Players):
    """The node n01 does nothing while challenges are made and answered."""

    def do_duties(self, name: str, number: int) -> None:
        offset = self.state.head.slot - self.start - (number + 1) * T
        if name != "n01" or not SW < offset <= SW + AW // 4:
            super().do_duties(name, number)


def test_the_others_post_a_challenged_proof_if_its_own_node_does_not() -> None:
    world = AwayForAnswers({"n01": SERVED}, served_to=("n04",))

    world.go_through(3)

    assert ("UNTRIED", 1) == world.verdict("n01")
    assert "n04" == world.name_of(world.cursor().proofs.rows[world.key("n01")].poster)
    assert set() == world.fined()


def test_a_wrong_list_is_accused_and_voted_down_and_the_retry_pays() -> None:
    world = Players({})
    world.does_first_rank_steal = True

    world.go_through(4)

    thief = world.ranks()[0]

    assert RoundState.PAID == world.cursor().opened.state
    bond = 1000  # it accuses the right list of the retry in vain
    assert STAKES[thief] * 30 // 100 - bond == world.stake_of(thief)
    assert [200] * 5 == [world.held_of(name, 3) for name in NODES]


def test_a_node_that_is_down_for_some_windows_goes_on_where_it_was() -> None:
    world = Players({})
    world.go(1, 2).block()
    world.do_duties("n00", 0)
    before = world.recall("n00", 0)

    world.go_through(3)

    assert before.sealed[0] == world.recall("n00", 0).sealed[0]
    assert 1 == world.done["n00", "DecideSealedValue"]
    assert set() == world.fined()


def test_nothing_is_owed_before_the_review_and_after_the_round_is_over() -> None:
    world = Players({})
    assert [] == list_sealed_duties(SealedMemory(), world.view("n00", 0), world.start + T - 1)

    world.go_through(3)
    world.go(3, AUDIT_END).block()

    assert [] == list_sealed_duties(SealedMemory(), world.view("n00", 0), world.state.head.slot)


def test_a_salt_follows_from_the_secret_and_from_what_it_is_for() -> None:
    salts = {
        compute_salt(secret, task, number, kind)
        for secret in (b"a" * 32, b"b" * 32)
        for task in ("Task", "Other")
        for number in (0, 1)
        for kind in (0, 1, 2)
    }

    assert 24 == len(salts)
    assert compute_salt(b"a" * 32, "Task", 0, 0) in salts


@pytest.mark.parametrize(
    ("seen", "offset", "stake", "is_owed"),
    [
        (0, 0, 900, True),
        (0, SW, 900, True),
        (0, SW + 1, 900, False),
        (SW + AW, SW + AW, 900, False),
        (SW + AW, SW + AW + 1, 900, False),
        (SW + AW + 1, SW + AW + 1, 900, True),
        (SW + 1, SW + 1, 0, True),
        (0, 0, 1000, False),
    ],
)
def test_a_node_fills_up_its_stake_while_no_bond_of_it_can_be_set_aside(
    seen: int, offset: int, stake: int, is_owed: bool
) -> None:
    """`seen` is the offset of its own records, which are as old as that."""
    start = 100 + 2 * (T + 1)
    view = view_of(
        stake=stake,
        minimum_stake=1000,
        rules="roundwork-1",
        round_time=T + 1,
        submission_window=SW,
        audit_window=AW,
    )
    view = msgspec.structs.replace(view, own=msgspec.structs.replace(view.own, slot=start + seen))

    _, duties = step_sealed(Memory(), view, {}, {}, Bounds(), start + offset)

    assert is_owed == any(isinstance(duty, TopUp) for duty in duties)


class Counted(list[Any]):
    """Submissions that count how often one of them is looked at."""

    looks = 0

    def __iter__(self) -> Iterator[Any]:
        for each in super().__iter__():
            self.looks += 1
            yield each


def test_a_node_that_checks_a_whole_round_looks_at_each_submission_once() -> None:
    world = Players({"n01": SERVED})
    world.submitted({name: name_proof(name.encode()) for name in NODES})
    view = world.view("n00", 0)
    names, count = [each.node for each in view.round.submissions], len(NODES)
    submissions, found = Counted(view.round.submissions), Counted(view.hardened.submissions)
    shown = msgspec.structs.replace(
        view.round,
        submissions=submissions,
        hardened=msgspec.structs.replace(view.hardened, submissions=found),
    )
    own = msgspec.structs.replace(view.own, checks=[name for name in names if name != view.node] * 20)
    view = msgspec.structs.replace(view, round=shown, own=own)

    duties = list_sealed_duties(SealedMemory(), view, world.start + T + SW + AW // 8)

    assert 20 * (count - 1) == sum(isinstance(duty, FetchProof) for duty in duties)
    assert submissions.looks <= 3 * count
    assert found.looks <= 3 * count
