"""What existing clients send, as it was recorded, is executed; its keys are known, so all of it is signed."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from roundwork.protocol.books import compute_owed
from roundwork.protocol.params import ASSOCIATED_TOKEN_PROGRAM, KOII, KPL_PROGRAM, TASK_PROGRAM, base58_of
from roundwork.protocol.programs.token_checks import get_account
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.transaction import decode_transaction

from .token_world import TokenWorld
from .world import World

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "instructions.json").read_text())
TOKEN_CASES = VECTORS["kpl_builders"]["cases"]
NATIVE_CASES = VECTORS["native_data_layouts"]
FLOWS = {flow["name"]: flow for flow in VECTORS["native_flows"]}

KEYS = {
    name: Keypair.from_seed(bytes([seed]) * 32)
    for name, seed in {
    "payer": 1, "claimer": 2, "payee": 3, "task": 4, "pot": 5, "voter": 6, "candidate": 7, "allowlister": 8,
    "payer.tokens": 9, "voter.tokens": 10, "successor": 11, "successor pot": 12, "mint": 13,
    }.items()
}  # fmt: skip
PEOPLE = ("payer", "claimer", "voter", "candidate", "allowlister")
VARIANTS = {"SubmitTask": "submit", "AuditSubmissions false": "audit", "AuditDistribution false": "auditDist",
            "UploadDistributionList": "upload", "SubmitDistributionList": "submitDist", "Payout": "payout",
            }  # fmt: skip
ASSOCIATED = TOKEN_CASES["fund"]["accounts"][2]["pubkey"]
"""The voter's associated account, from which the recorded contribution is paid."""
T, SW, AW = 2000, 600, 600


class Recorded(World):
    """The keys of the recordings, and a task of theirs: rounds of T slots, ROUND the one they speak of."""

    known: ClassVar[dict[str, Any]] = KEYS
    ROUND = 7

    def __init__(self) -> None:
        allowlister = str(KEYS["allowlister"].pubkey())
        super().__init__(("manager",), gap_slots_max=100, allowlister=allowlister)
        self.block()
        for name in PEOPLE:
            ends = Pubkey(self.key("manager")), Pubkey(self.key(name))
            money = TransferParams(from_pubkey=ends[0], to_pubkey=ends[1], lamports=1000 * KOII)
            self.ok("manager", transfer(money))

    def ok(self, signers: str | tuple[str, ...], *asked: Instruction, slots: int = 0) -> None:
        receipt = self.run(signers, *asked, slots=slots)
        assert receipt.kind == 0, receipt

    def refused(self, expected: str, signer: str, asked: Instruction) -> None:
        assert expected == self.run(signer, asked, slots=0).name

    def found(self) -> None:
        """A task under the windows of the recorded one, founded by the recorded payer."""
        fields = {"name": b"native", "description": b"", "audit_program": b"", "executable_network": b"",
                  "metadata": b"", "locals": b""}  # fmt: skip
        create = ins.CreateTask(
            self.key("payer"), self.task, self.key("pot"), total_bounty=100 * KOII, bounty_per_round=KOII,
            round_time=T, audit_window=AW, submission_window=SW, minimum_stake=2 * KOII,
            allowed_failed_distributions=3, **fields,
        )  # fmt: skip
        made = self.create_account("payer", "task", 0, 1000)
        self.ok(("payer", "task"), made, self.instruct(create))
        self.ok("payer", self.instruct(ins.SetActive(self.task, self.key("payer"), 1)))

    def recorded(self, name: str) -> Instruction:
        """A recorded native instruction, with the accounts that the variant for tokens names."""
        data = next(one["data_hex"] for key, one in NATIVE_CASES.items() if key.startswith(name))
        if name in VARIANTS:
            accounts = read_accounts(TOKEN_CASES[VARIANTS[name]]["accounts"])
        else:
            accounts = self.instruct(self.ask_stake(self.task, "voter", 1)).accounts
        return Instruction(Pubkey(TASK_PROGRAM), bytes.fromhex(data), accounts)

    def stake_all(self) -> None:
        """The voter stakes as was recorded, in both layouts; the others as much."""
        self.ok("voter", self.recorded("Stake 1.9 KOII (cli"))
        self.ok("voter", self.recorded("Stake 1.9 KOII + endpoint"))
        assert 2 * 1_900_000_000 == self.state.get_stakes(self.task).rows[self.key("voter")].amount
        for name in ("candidate", "claimer"):
            self.ok(name, self.instruct(self.ask_stake(self.task, name, 4 * KOII)))

    submit, audit, audit_list = "SubmitTask", "AuditSubmissions false", "AuditDistribution false"
    upload, hand_in, payout = "UploadDistributionList", "SubmitDistributionList", "Payout"

    def go(self, ledger_round: int, offset: int) -> None:
        start = self.state.tasks.rows[self.task].timetable.compute_start(ledger_round) + offset
        while self.state.head.slot < start:
            self.block(slots=min(start - self.state.head.slot, 100))

    def hand_in_own(self, name: str, amount: int) -> None:
        """Another list than the recorded one, which pays the claimer; the payout of one chunk."""
        text = json.dumps({base58_of(self.key("claimer")): amount}).encode()
        upload = ins.UploadDistributionList(
            self.task, self.key(name), 0, len(text), text.ljust(508), self.ROUND
        )
        asked: list[ins.Instruction] = [upload]
        if name != "voter":
            asked.append(ins.SubmitDistributionList(self.task, self.key(name), self.key(name), self.ROUND))
        self.ok(name, *map(self.instruct, asked))

    def live(self) -> None:
        """The recorded round from its submissions to its payout, on the recorded instructions."""
        number = self.ROUND
        self.stake_all()
        self.go(number + 1, 0)
        self.ok("voter", self.recorded(self.submit))
        for name in ("candidate", "claimer"):
            self.ok(name, self.instruct(ins.SubmitTask(self.task, self.key(name), b"proof", number)))
        self.go(number + 1, SW + 1)
        self.ok("voter", self.recorded(self.audit))

        self.go(number + 2, 0)
        self.hand_in_own("candidate", 50)
        self.go(number + 2, SW + 1)
        self.ok("voter", self.recorded(self.audit_list))

        self.go(number + 3, 0)
        self.ok("voter", self.recorded(self.upload))
        self.refused("ListBadNode", "voter", self.recorded(self.hand_in))  # it was recorded for another round
        self.hand_in_own("voter", 60)
        self.ok("voter", self.recorded(self.hand_in))
        self.refused("NotDue", "payer", self.recorded(self.payout))
        self.go(number + 3, SW + AW + 2)
        self.ok("payer", self.recorded(self.payout))

        assert 60 == self.state.get_stakes(self.task).rows[self.key("claimer")].available


class RecordedTokens(Recorded, TokenWorld):
    """The same in a token, by the recorded builders of every instruction."""

    submit, audit, audit_list = "submit", "audit", "auditDist"
    upload, hand_in, payout = "upload", "submitDist", "payout"

    def __init__(self) -> None:
        super().__init__()
        for name in ("payer", "voter", "candidate", "claimer"):
            self.open_account(f"{name}.tokens", name, "mint")
            self.mint_to(f"{name}.tokens", 1000 * KOII)
        self.open_account("payee", "claimer", "mint")
        voter = Pubkey(self.key("voter"))
        metas = [
            AccountMeta(voter, True, True),
            AccountMeta(Pubkey.from_string(ASSOCIATED), False, True),
            AccountMeta(voter, False, False),
            AccountMeta(Pubkey(self.key("mint")), False, False),
        ]
        self.ok("voter", Instruction(Pubkey(ASSOCIATED_TOKEN_PROGRAM), b"", metas))
        give = self.token(
            b"\x03" + KOII.to_bytes(8, "little"), "voter.tokens", "payee", "voter", signer="voter"
        )
        metas = [give.accounts[0], AccountMeta(Pubkey.from_string(ASSOCIATED), False, True), give.accounts[2]]
        self.ok("voter", Instruction(give.program_id, give.data, metas))

    def found(self) -> None:
        self.ok(("payer", "task"), self.create_account("payer", "task", 1_000_000, 0))
        self.ok(("payer", "task", "pot"), self.recorded("create"))
        self.ok("payer", self.recorded("setActive"))

    def recorded(self, name: str) -> Instruction:
        case = TOKEN_CASES[name]
        return Instruction(
            Pubkey(KPL_PROGRAM), bytes.fromhex(case["data_hex"]), read_accounts(case["accounts"])
        )

    def stake_all(self) -> None:
        for _ in range(2):
            self.ok("voter", self.recorded("stake"))
        for name in ("candidate", "claimer"):
            self.ok(name, self.instruct(self.ask_stake(self.task, name, 4_000_000)))


def read_accounts(accounts: list[dict[str, Any]]) -> list[AccountMeta]:
    return [
        AccountMeta(Pubkey.from_string(one["pubkey"]), one["is_signer"], one["is_writable"])
        for one in accounts
    ]


def test_recorded_native_instructions_run_through_a_round() -> None:
    world = Recorded()
    world.found()

    world.live()


@pytest.mark.parametrize("ending", ["update", "delete"])
def test_recorded_instructions_for_tokens_run_through_the_life_of_a_task(ending: str) -> None:
    world = RecordedTokens()
    world.found()
    world.ok(("allowlister", "task"), world.recorded("allow"))
    world.ok("voter", world.recorded("fund"))
    world.live()
    world.ok("claimer", world.recorded("claim"))
    world.go(11, 0)
    world.ok("voter", world.recorded("withdraw"))
    left = 105_000_000 - 60

    if ending == "delete":
        world.ok("payer", world.recorded("delete"))

        assert left == world.state.get_stakes(world.task).rows[world.key("payer")].available
    else:
        world.ok(("payer", "successor"), world.create_account("payer", "successor", 1_000_000, 0))
        world.ok(("payer", "successor", "successor pot"), world.recorded("update"))

        assert left == world.in_pot(world.key("successor"))

    assert 60 == get_account(world.state, world.key("payee")).amount
    assert 2 * 1_900_000 == world.state.get_stakes(world.task).rows[world.key("voter")].available
    assert world.in_pot(world.task) == compute_owed(world.state, world.task)


@pytest.mark.parametrize("name", FLOWS)
def test_recorded_transactions_run_as_they_were_signed(name: str) -> None:
    world = Recorded()
    if name != "create-task":
        world.found()
        world.ok("claimer", world.instruct(world.ask_stake(world.task, "claimer", 5)))
        world.ok("claimer", world.instruct(ins.Withdraw(world.task, world.key("claimer"))))
    tick = b""
    for recorded in FLOWS[name]["transactions"]:
        wire = bytes.fromhex(recorded["wire_hex"])
        tick = decode_transaction(wire).tick
        world.state.tick_slots[tick] = world.state.head.slot - 1  # it was recorded on another ledger

        receipt = world.block(wire, slots=0).receipts[0]

        assert receipt.kind == 0, receipt
    world.state.tick_slots.pop(tick)
    if name == "create-task":
        [task] = world.state.tasks.rows.values()
        assert (100 * KOII, 1_500_000_000, b"EZ Testing Task") == (
            task.bounty,
            task.bounty_per_round,
            task.name,
        )
        assert 10**6 == world.state.accounts.rows[task.pot].balance
    elif name == "claim-reward":
        assert 5 == world.state.accounts.rows[world.key("payee")].balance
    else:
        assert world.state.tasks.rows[world.task].is_active
