"""A small town of nodes that plan with `participant.step` on a ledger in memory, slot by slot."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from roundwork.client.messages import build_uploads
from roundwork.participant import step as duties
from roundwork.participant.decisions import ListDecided, Memory, OpinionDecided, ValueDecided, Worked, learn
from roundwork.participant.moment import compute_timetable
from roundwork.participant.parts import RoundParts, compose_round, compose_rounds
from roundwork.participant.plays import HONEST, LIAR, list_parts, play_step
from roundwork.participant.step import Duty, View
from roundwork.protocol.params import NodeKey, base58_of, key_of
from roundwork.protocol.read import read_part, view_head, view_own, view_round, view_task
from roundwork.protocol.tasks import instructions
from roundwork.views import PartKey, PartKind, RoundView, TaskView

from .protocol.world import World, task_instruction

MINIMUM = 1_000
TARGET = 10_000
BOUNTY = 90


class Node:
    """One node: what it remembers, how it plays, whether it is there at all."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.memory = Memory()
        self.play = HONEST
        self.is_silent = False
        self.list_bonus = 0
        """What it adds to the first reward of its lists."""
        self.target = TARGET
        self.owed: list[Duty] = []
        self.results: list[str] = []
        """What the law said to what it sent."""


class Town:
    """`live(slots)` lets everybody do what is owed, one block a slot."""

    def __init__(self, count: int = 4, retries: int = 2, **task: Any) -> None:
        names = [f"n{at:02}" for at in range(count)]
        self.world = World(("manager", *names))
        windows: dict[str, Any] = {"round_time": 20, "submission_window": 8, "audit_window": 8}
        money = {"total_bounty": 100 * BOUNTY, "bounty_per_round": BOUNTY, "minimum_stake": MINIMUM}
        self.world.create_task(**{**windows, **money, "allowed_failed_distributions": retries, **task})
        self.over: dict[int, RoundView] = {}
        self.nodes = {name: Node(name, base58_of(self.world.key(name))) for name in names}

    @property
    def task(self) -> TaskView:
        return view_task(self.world.state, self.world.task)

    def round(self, number: int) -> RoundView:
        """A round; as it was when it closed, also if its records are pruned."""
        return self.over.get(number) or view_round(self.world.state, self.world.task, number)

    def name(self, address: str) -> str:
        return next(node.name for node in self.nodes.values() if node.address == address)

    def compose(self, number: int, *kinds: PartKind) -> RoundParts:
        """Parts of a round, put together."""
        state, task = self.world.state, self.world.task
        return compose_round({kind: read_part(state, task, PartKey(number, kind)) for kind in kinds})

    def view(self, node: Node) -> View:
        state, task = self.world.state, self.world.task
        head, own = view_head(state, task), view_own(state, task, NodeKey(key_of(node.address)))
        view = View(node.address, head, own, {}, node.name.encode(), node.target)
        parts = {
            part: read_part(state, task, part)
            for part in list_parts(node.play, node.memory, view, self.task.slot)
        }
        attempts = {shown.round: shown.attempt for shown in head.rounds}
        return msgspec.structs.replace(view, rounds=compose_rounds(parts, attempts))

    def live(self, slots: int) -> None:
        """Let so many slots pass."""
        for _ in range(slots):
            self.live_slot()

    def live_until(self, offset: int, ledger_round: int) -> None:
        """Let slots pass until the one at this offset in this ledger round is over."""
        table = compute_timetable(self.task)
        while self.task.slot < table.compute_start(ledger_round) + offset:
            self.live_slot()

    def live_slot(self) -> None:
        asked: list[tuple[Node, list[instructions.Instruction]]] = []
        for node in self.nodes.values():
            if not node.is_silent:
                node.memory, node.owed = play_step(node.play, node.memory, self.view(node), self.task.slot)
                asked += [(node, sent) for duty in node.owed for sent in self.act(node, duty)]
        wires = [self.world.wire([node.name], *map(task_instruction, asks)) for node, asks in asked]
        before = set(self.task.open_rounds)
        receipts = self.world.block(*wires).receipts
        self.over |= {number: self.round(number) for number in before - set(self.task.open_rounds)}
        for (node, _), receipt in zip(asked, receipts, strict=True):
            node.results.append(receipt.name or "ok")

    def act(self, node: Node, duty: Duty) -> Sequence[list[instructions.Instruction]]:
        """Do what a node does for a duty; the instructions of each transaction that it sends."""
        task, key = self.world.task, NodeKey(key_of(node.address))
        match duty:
            case duties.Work():
                node.memory = learn(node.memory, Worked(duty.round))
            case duties.DecideValue():
                node.memory = learn(
                    node.memory, ValueDecided(duty.round, "lie" if node.play is LIAR else "truth")
                )
            case duties.DecideOpinion():
                kind = "valid" if duty.value == "truth" else "invalid"
                node.memory = learn(node.memory, OpinionDecided(duty.round, duty.node, kind))
            case duties.DecideList():
                node.memory = learn(node.memory, ListDecided(duty.round, self.distribute(node, duty.round)))
            case duties.SendValue():
                return [[instructions.SubmitTask(task, key, duty.value.encode(), duty.round)]]
            case duties.SendOpinion():
                of = NodeKey(key_of(duty.node))
                return [[instructions.AuditSubmission(task, key, of, duty.is_valid, duty.round)]]
            case duties.SendList():
                text = json.dumps(node.memory.lists[duty.round]).encode()
                uploads = build_uploads(task, key, duty.round, text)
                handed = instructions.SubmitDistributionList(task, key, key, duty.round)
                return [[each] for each in (*uploads, handed)]
            case duties.SendListOpinion():
                of = NodeKey(key_of(duty.node))
                return [[instructions.AuditDistribution(task, key, of, duty.is_valid, duty.round)]]
            case duties.TopUp():
                pot = self.world.key("pot")
                return [[instructions.Stake(task, key, pot, duty.amount, b"http://there")]]
            case duties.ClaimAvailable() | duties.Forget():
                pass
        return []

    def distribute(self, node: Node, number: int) -> dict[str, int]:
        one = self.round(number)
        paid = [each.node for each in one.submissions if each.votes > 0]
        amounts = {each: BOUNTY // len(paid) for each in paid}
        slashes = {
            each.node: -each.stake * 7 // 10 for each in one.submissions if each.verdict == "convicted"
        }
        for first in sorted(amounts)[:1]:
            amounts[first] += node.list_bonus
        return {**amounts, **slashes}
