"""Whole lives of a task under koii-1, event by event, as two independent models of it agree."""

import json
from pathlib import Path
from typing import Any

import pytest
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from roundwork.protocol.execute import Receipt
from roundwork.protocol.params import NodeKey, base58_of
from roundwork.protocol.read import view_round
from roundwork.protocol.tasks import instructions
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.tasks.events import Paid, Slashed
from roundwork.views import RoundView

from .token_world import TokenWorld
from .world import START, World, compact_submission, upload_list

CASES = json.loads((Path(__file__).parent.parent / "vectors" / "cycles-koii-1.json").read_text())

STATUS = {"PayoutSuccessful": "PayoutSuccessful", "ClosedUnpaid": "closed unpaid"}

COMMIT = b"\x20"
WORDS = {"WrongRules": "BadInstruction"}
"""What the models call otherwise: to them Commit is an instruction, of another rule set."""


class Cycle:
    """One case, played through the law."""

    def __init__(self, case: dict[str, Any], kind: type[World]) -> None:
        self.case = case
        self.world = kind([*case["nodes"], "manager"])
        receipt = self.world.create_task(
            slots=1,
            round_time=case["T"],
            submission_window=case["sw"],
            audit_window=case["aw"],
            minimum_stake=case["minimum_stake"],
            bounty_per_round=case["bounty_per_round"],
            total_bounty=case["total_bounty"],
            allowed_failed_distributions=case["allowed_failed_distributions"],
        )
        assert receipt.kind == 0, receipt
        self.start = self.world.state.head.slot
        self.rounds: dict[int, RoundView] = {}
        self.net: dict[int, dict[str, int]] = {}

    def play(self) -> list[tuple[list[Any], str]]:
        """Run every event; those whose result differs, with what came."""
        wrong = []
        for event in self.case["events"]:
            slot, expected = event[0], WORDS.get(event[4], event[4])
            self.wait(slot - 1 if slot else 0)
            receipt = self.step([self.build(event)], slots=self.start + slot - self.world.state.head.slot)
            actual = receipt[0].name or "ok"
            if actual != expected:
                wrong.append((event, actual))
        self.wait(self.case["end_slot"])
        return wrong

    def wait(self, slot: int) -> None:
        while self.world.state.head.slot < self.start + slot:
            self.step([], slots=1)

    def step(self, wires: list[bytes], slots: int) -> list[Receipt]:
        outcome = self.world.block(*wires, slots=slots)
        names = {bytes(pair.pubkey()): name for name, pair in self.world.keys.items()}
        for event in outcome.events:
            if isinstance(event, Paid | Slashed):
                amount = event.amount if isinstance(event, Paid) else -event.amount
                books = self.net.setdefault(event.round, {})
                books[names[event.node]] = books.get(names[event.node], 0) + amount
        for key in RoundCursor(self.world.state, self.world.task, 0).rounds.rows:
            number = int.from_bytes(key, "big")
            self.rounds[number] = view_round(self.world.state, self.world.task, number)
        return outcome.receipts

    def build(self, event: list[Any]) -> bytes:
        _, name, signer, arguments, _ = event
        world, me = self.world, self.world.key(event[2])
        number = arguments.get("round")
        task = world.task
        if name == "SubmitDistributionList":
            listed = {base58_of(world.key(node)): amount for node, amount in arguments["list"].items()}
            return world.wire([signer], *upload_list(world, signer, number, json.dumps(listed).encode()))
        is_valid = int(arguments.get("is_valid", 0))
        match name:
            case "Stake":
                ask = world.ask_stake(task, signer, arguments["amount"])
            case "Withdraw":
                ask = instructions.Withdraw(task, me)
            case "Claim":
                ask = world.ask_claim(task, signer)
            case "FundTask":
                ask = world.ask_fund(task, signer, arguments["amount"])
            case "SetActive":
                ask = instructions.SetActive(task, me, int(arguments["active"]))
            case "SubmitTask":
                ask = instructions.SubmitTask(task, me, arguments["value"].encode(), number)
                if len(ask.value) > 512:  # only the layout without padding can carry it
                    return world.wire([signer], compact_submission(ask, world.program))
            case "AuditSubmission":
                ask = instructions.AuditSubmission(
                    task, me, world.key(arguments["candidate"]), is_valid, number
                )
            case "AuditDistribution":
                ask = instructions.AuditDistribution(task, me, self.find_lister(number), is_valid, number)
            case "Payout":
                ask = instructions.Payout(task, number)
            case "Commit":  # an instruction that the law does not have
                return world.wire([signer], Instruction(Pubkey(world.program), COMMIT, []))
            case _:
                raise AssertionError(name)
        return world.wire([signer], world.instruct(ask))

    def find_lister(self, number: int) -> NodeKey:
        view = view_round(self.world.state, self.world.task, number)
        listed = [one for one in view.lists if one.attempt == view.attempt]
        return NodeKey(bytes(Pubkey.from_string(listed[0].submitter)) if listed else bytes(32))

    def books(self) -> dict[str, Any]:
        """The final books in the shape of the case."""
        state, world = self.world.state, self.world
        stakes = state.get_stakes(world.task).rows
        names = {base58_of(world.key(name)): name for name in self.case["nodes"]}
        people = [*self.case["nodes"], "manager"]
        return {
            "wallet": {name: world.wallet(name) for name in people},
            "stake": {
                name: stakes[k].amount if (k := world.key(name)) in stakes else 0
                for name in self.case["nodes"]
            },
            "available": {
                name: stakes[k].available if (k := world.key(name)) in stakes else 0
                for name in self.case["nodes"]
            },
            "bounty": state.tasks.rows[world.task].bounty,
            "rounds": {
                str(number): {
                    "verdicts": {names[one.node]: one.verdict for one in view.submissions},
                    "votes": {names[one.node]: one.votes for one in view.submissions},
                    "status": STATUS[view.status],
                    "attempt": view.attempt,
                    "net": self.net.get(number, {}),
                }
                for number, view in sorted(self.rounds.items())
            },
        }


@pytest.mark.parametrize("kind", [World, TokenWorld])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_event_of_a_cycle_has_the_agreed_result_and_the_books_agree_at_the_end(
    case: dict[str, Any], kind: type[World]
) -> None:
    cycle = Cycle(case, kind)

    wrong = cycle.play()

    assert wrong == []
    assert cycle.world.supply // (len(case["nodes"]) + 1) == START
    assert case["final"] == cycle.books()
