"""A world with a task under way: who staked, who submitted, up to which step."""

import json
from typing import Any, Self

from roundwork.protocol.execute import Receipt
from roundwork.protocol.params import base58_of
from roundwork.protocol.tasks import instructions

from .world import World, upload_list

T, SW, AW = 10, 4, 4
STAKE = 5000
NODES = ("n00", "n01", "n02")


class Stage(World):
    """A task of windows T, SW, AW with three staked nodes, at the end of its ledger round 0."""

    def __init__(self, changes: dict[str, Any] | None = None, **genesis: Any) -> None:
        super().__init__(("manager", *NODES), **genesis)
        receipt = self.create_task(**(changes or {}))
        assert receipt.kind == 0, receipt
        self.start = self.state.head.slot
        for name in NODES:
            self.expect("ok", name, self.stake(name, STAKE), slots=0)

    def expect(self, expected: str, signer: str, ask: instructions.Instruction, slots: int = 1) -> None:
        """Run an instruction; it must end so, and a rejected one must change nothing but the fee."""
        self.block(slots=slots)  # what falls due by itself is not the instruction's doing
        before = self.dump()
        receipt = self.run(signer, self.instruct(ask), slots=0)
        assert expected == (receipt.name or "ok"), receipt.text
        if receipt.kind:
            assert _without_housekeeping(before) == _without_housekeeping(self.dump())

    def go(self, ledger_round: int, offset: int = 0) -> Self:
        """Stand one slot before an offset of a ledger round, so that the next instruction runs in it."""
        self.wait(self.start + ledger_round * T + offset - 1)
        return self

    # Asking, shortly

    def submit(self, name: str, number: int, value: bytes = b"proof") -> instructions.SubmitTask:
        return instructions.SubmitTask(self.task, self.key(name), value, number)

    def audit(self, name: str, number: int, of: str, valid: int = 0) -> instructions.AuditSubmission:
        return instructions.AuditSubmission(self.task, self.key(name), self.key(of), valid, number)

    def audit_list(self, name: str, number: int, of: str, valid: int = 0) -> instructions.AuditDistribution:
        return instructions.AuditDistribution(self.task, self.key(name), self.key(of), valid, number)

    def stake(self, name: str, amount: int) -> instructions.Instruction:
        return self.ask_stake(self.task, name, amount)

    def withdraw(self, name: str) -> instructions.Withdraw:
        return instructions.Withdraw(self.task, self.key(name))

    def claim(self, name: str) -> instructions.Instruction:
        return self.ask_claim(self.task, name)

    def hand_in(self, name: str, number: int, amounts: dict[str, int] | bytes, slots: int = 1) -> Receipt:
        """Upload a list and hand it in, in one transaction."""
        if isinstance(amounts, dict):
            amounts = json.dumps({base58_of(self.key(k)): v for k, v in amounts.items()}).encode()
        *uploads, hand_in = upload_list(self, name, number, amounts)
        while len(uploads) > 1:  # no two fit into a transaction
            self.run(name, uploads.pop(0), slots=slots)
            slots = 0
        return self.run(name, *uploads, hand_in, slots=slots)

    def expect_list(self, expected: str, name: str, number: int, amounts: dict[str, int] | bytes) -> None:
        self.block(slots=1)
        before = self.dump()
        receipt = self.hand_in(name, number, amounts, slots=0)
        assert expected == (receipt.name or "ok"), receipt.text
        if receipt.kind:
            assert _without_housekeeping(before) == _without_housekeeping(self.dump())

    # Being further on

    def submitted(self, number: int = 0) -> Self:
        """Everybody has submitted in a round; the next instruction runs in SUBMIT still."""
        self.go(number + 1)
        for name in NODES:
            self.expect("ok", name, self.submit(name, number), slots=1 if name == "n00" else 0)
        return self

    def listed(self, amounts: dict[str, int] | None = None) -> Self:
        """The list of round 0 stands, handed in by n00."""
        self.submitted().go(2)
        self.expect_list("ok", "n00", 0, {"n00": 40, "n01": 30} if amounts is None else amounts)
        return self

    def paid(self) -> Self:
        """Round 0 is paid."""
        self.listed().go(2, SW + AW + 2)
        return self


def _without_housekeeping(dump: dict[bytes, dict[bytes, bytes]]) -> dict[bytes, dict[bytes, bytes]]:
    """A dump without what every block changes: ticks and spent signatures."""
    return {name: rows for name, rows in dump.items() if name[:1] not in b"HX"}
