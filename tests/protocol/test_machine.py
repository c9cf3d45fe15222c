"""Whatever is asked, in whatever order: the laws that always hold."""

import json
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from roundwork.protocol.books import compute_owed, compute_supply
from roundwork.protocol.execute import Outcome, execute
from roundwork.protocol.genesis import create_state
from roundwork.protocol.params import (
    COMPUTE_BUDGET_PROGRAM,
    SYSTEM_PROGRAM,
    Genesis,
    NodeKey,
    TaskKey,
    base58_of,
)
from roundwork.protocol.read import view_round, view_task
from roundwork.protocol.state import ROUND_TABLES, State, TableChange
from roundwork.protocol.table import PROGRAMS
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.tasks.events import Paid
from roundwork.protocol.tasks.layouts import TASK_PROGRAMS
from roundwork.protocol.tasks.life import compute_reserved

from .stage import NODES, Stage
from .token_world import TokenStage, TokenWorld
from .world import World, keypair_of, task_instruction, upload_list

names = st.sampled_from(NODES)
everybody = st.sampled_from((*NODES, "manager", "stranger"))
back = st.integers(-1, 4)
LISTER = str(keypair_of("manager").pubkey())
amounts = st.one_of(st.integers(0, 120), st.sampled_from((1000, 5000, 10**9)))


class Laws(RuleBasedStateMachine):
    """What always holds, whatever the machine does with its world."""

    world: World
    genesis: Genesis
    task: str
    """The name of the task that the machine is at work on."""
    per_round: int
    rewarded: dict[tuple[bytes, int, bytes], int]
    """The rewards by task, round and node."""

    def run(self, signers: tuple[str, ...], *asked: Instruction) -> None:
        """One block with one transaction."""
        self.keep(self.world.block(self.world.wire(signers, *asked), slots=0))

    def do(self, name: str, ask: ins.Instruction) -> None:
        self.run((name,), self.world.instruct(ask))

    def keep(self, outcome: Outcome) -> None:
        for event in outcome.events:
            if isinstance(event, Paid):
                assert (event.task, event.round, event.node) not in self.rewarded
                self.rewarded[event.task, event.round, event.node] = event.amount

    @property
    def key(self) -> TaskKey:
        return TaskKey(self.world.key(self.task))

    @invariant()
    def money_is_constant(self) -> None:
        assert self.world.supply == compute_supply(self.world.state)

    @invariant()
    def nothing_is_negative(self) -> None:
        state = self.world.state
        assert all(account.balance >= 0 for account in state.accounts.rows.values())
        for key, task in state.tasks.rows.items():
            assert task.bounty >= compute_reserved(task)
            assert all(one.amount >= 0 and one.available >= 0 for one in state.get_stakes(key).rows.values())

    @invariant()
    def rewards_never_exceed_the_bounty_of_a_round(self) -> None:
        totals: dict[tuple[bytes, int], int] = {}
        for (task, number, _), amount in self.rewarded.items():
            totals[task, number] = totals.get((task, number), 0) + amount
        assert all(total <= self.per_round for total in totals.values())

    @invariant()
    def open_rounds_end_in_time(self) -> None:
        state = self.world.state
        for task in state.tasks.rows.values():
            ledger_round = task.timetable.compute_round(state.head.slot)
            late = 3 + task.allowed_failed_distributions
            assert all(ledger_round <= number + late for number in task.open_rounds)

    @invariant()
    def pruned_rounds_leave_nothing_behind(self) -> None:
        state = self.world.state
        for name, table in state.tables.items():
            if name[:1] in (*ROUND_TABLES, b"C") and table.rows:
                assert name[33:41] in RoundCursor(state, TaskKey(name[1:33]), 0).rounds.rows

    def the_same_blocks_give_the_same_hashes(self) -> None:
        half = len(self.world.blocks) // 2
        state = create_state(self.genesis)
        for block, verified, outcome in self.world.blocks[:half]:
            again = execute(state, block, verified)
            assert (outcome.block_hash, outcome.state_hash) == (again.block_hash, again.state_hash)
        state = reload(state)
        for block, verified, outcome in self.world.blocks[half:]:
            again = execute(state, block, verified)
            assert outcome.receipts == again.receipts
            assert (outcome.block_hash, outcome.state_hash) == (again.block_hash, again.state_hash)


class Ledger(Laws):
    """Three nodes, a manager and a stranger do to a task, and to its successor, whatever they like."""

    kind: ClassVar[type[World]] = World
    windows: ClassVar[dict[str, Any]] = {"round_time": 6, "submission_window": 2, "audit_window": 2}

    @initialize(
        slices=st.sampled_from((1, 2, 20_000)), retries=st.integers(0, 2), bounty=st.integers(0, 1000)
    )
    def begin(self, slices: int, retries: int, bounty: int) -> None:
        self.world = self.kind(
            ("manager", *NODES), settle_records_max=slices, fee_per_signature=3, allowlister=LISTER
        )
        world = self.world
        self.genesis = world.state.genesis
        self.rewarded = {}
        self.per_round = min(100, bounty)
        receipt = world.create_task(
            total_bounty=bounty,
            bounty_per_round=self.per_round,
            allowed_failed_distributions=retries,
            **self.windows,
        )
        assert receipt.kind == 0, receipt
        self.task, self.pot = "task", "pot"
        for name in NODES:
            self.do(name, world.ask_stake(world.task, name, 2000))

    def round_of(self, before: int) -> int:
        table = self.world.state.tasks.rows[self.key].timetable
        return max(table.compute_round(self.world.state.head.slot) - before, 0)

    # What anybody may do

    @rule(slots=st.integers(1, 3), times=st.integers(1, 4))
    def wait(self, slots: int, times: int) -> None:
        for _ in range(times):
            self.keep(self.world.block(slots=slots))

    @rule(name=everybody, before=back, value=st.sampled_from((b"good", b"bad", b"", b"\xff")))
    def submit(self, name: str, before: int, value: bytes) -> None:
        self.do(name, ins.SubmitTask(self.key, self.world.key(name), value, self.round_of(before)))

    @rule(before=st.just(1))
    def all_submit(self, before: int) -> None:
        for name in NODES:
            self.submit(name, before, b"good")

    @rule(name=everybody, of=everybody, before=st.integers(0, 2), valid=st.booleans())
    def audit(self, name: str, of: str, before: int, valid: bool) -> None:
        world = self.world
        number = self.round_of(before)
        self.do(name, ins.AuditSubmission(self.key, world.key(name), world.key(of), valid, number))

    @rule(
        name=names,
        before=st.integers(1, 4),
        listed=st.dictionaries(everybody, st.integers(-3000, 60), max_size=4),
    )
    def hand_in(self, name: str, before: int, listed: dict[str, int]) -> None:
        world = self.world
        text = json.dumps({base58_of(world.key(who)): amount for who, amount in listed.items()}).encode()
        task, world.keys["task"] = world.keys["task"], world.keys[self.task]
        asked = upload_list(world, name, self.round_of(before), text)
        world.keys["task"] = task
        self.run((name,), *asked)

    @rule(name=everybody, of=names, before=st.integers(1, 4), valid=st.booleans())
    def audit_list(self, name: str, of: str, before: int, valid: bool) -> None:
        world = self.world
        view = view_round(world.state, self.key, self.round_of(before))
        lister = Pubkey.from_string(view.lists[-1].submitter) if view.lists else Pubkey(world.key(of))
        self.do(
            name,
            ins.AuditDistribution(
                self.key, world.key(name), NodeKey(bytes(lister)), valid, self.round_of(before)
            ),
        )

    @rule(name=everybody, amount=amounts)
    def stake(self, name: str, amount: int) -> None:
        self.do(name, self.world.ask_stake(self.key, name, amount))

    @rule(name=everybody)
    def withdraw_and_claim(self, name: str) -> None:
        world = self.world
        asked = (ins.Withdraw(self.key, world.key(name)), world.ask_claim(self.key, name))
        self.run((name,), *map(world.instruct, asked))

    @rule(name=everybody)
    def claim(self, name: str) -> None:
        self.do(name, self.world.ask_claim(self.key, name))

    @rule(name=everybody, amount=amounts)
    def fund(self, name: str, amount: int) -> None:
        self.do(name, self.world.ask_fund(self.key, name, amount))

    @rule(name=everybody, active=st.booleans())
    def switch(self, name: str, active: bool) -> None:
        self.do(name, ins.SetActive(self.key, self.world.key(name), active))

    @rule(before=back)
    def ask_payout(self, before: int) -> None:
        self.do("n00", ins.Payout(self.key, self.round_of(before)))

    @rule(source=everybody, to=everybody, amount=amounts)
    def transfer(self, source: str, to: str, amount: int) -> None:
        keys = Pubkey(self.world.key(source)), Pubkey(self.world.key(to))
        move = transfer(TransferParams(from_pubkey=keys[0], to_pubkey=keys[1], lamports=amount))
        self.run((source,), move, move)

    @rule(name=everybody, flag=st.booleans())
    def allow(self, name: str, flag: bool) -> None:
        ask = ins.Whitelist(self.key, self.world.key(name), flag)
        self.run((name, self.task), self.world.instruct(ask))

    @rule(name=names, before=st.integers(1, 4), chunk=st.integers(0, 2), size=st.sampled_from((0, 2, 508)))
    def upload(self, name: str, before: int, chunk: int, size: int) -> None:
        key, number = self.world.key(name), self.round_of(before)
        self.do(name, ins.UploadDistributionList(self.key, key, chunk, size, b"{}".ljust(508), number))

    @rule(name=everybody, bounty=amounts)
    def create(self, name: str, bounty: int) -> None:
        """Somebody tries to create the task again, and one where no account is for it."""
        for task in (self.key, self.world.key("elsewhere")):
            ask = ins.CreateTask(
                self.world.key(name), task, self.world.key("pot"), b"", b"", b"", b"", bounty, 0, 6, 2, 2,
                1000, b"", b"", 1,
            )  # fmt: skip
            signer = self.task if task == self.key else "elsewhere"
            self.run((name, signer), task_instruction(ask))

    @rule()
    def update(self) -> None:
        world = self.world
        old, successor = self.task, f"{self.task}'"
        pot = f"pot of {successor}"
        ask = world.ask_update(
            self.key, successor, (self.pot, pot), bounty_per_round=self.per_round, round_time=6,
            audit_window=2, submission_window=2, minimum_stake=1000,
        )  # fmt: skip
        made = world.create_account("manager", successor, 0, 100)
        self.run(world.get_founders(successor, pot), made, world.instruct(ask))
        if world.key(successor) in world.state.tasks.rows:
            self.task, self.pot = successor, pot
            assert view_task(world.state, world.key(old)).migrated_to == base58_of(self.key)

    @rule()
    def close(self) -> None:
        self.do("manager", self.world.ask_close(self.key))

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.everything_can_be_got_out()
        self.the_same_blocks_give_the_same_hashes()

    def everything_can_be_got_out(self) -> None:
        self.wait(1, 60)
        for task in list(self.world.state.tasks.rows):
            for name in (*NODES, "manager", "stranger"):
                key = self.world.key(name)
                self.provide(name)
                self.do(name, ins.Withdraw(task, key))
                self.do(name, self.world.ask_claim(task, name))
            stakes = self.world.state.get_stakes(task).rows.values()
            assert all(one.amount == 0 and one.available == 0 for one in stakes)

    def provide(self, name: str) -> None:
        """What a claim needs beside a balance: the fee."""
        keys = Pubkey(self.world.key("manager")), Pubkey(self.world.key(name))
        move = transfer(TransferParams(from_pubkey=keys[0], to_pubkey=keys[1], lamports=1000))
        self.run(("manager",), move)


def reload(state: State) -> State:
    """The state as a checkpoint would bring it back."""
    tables = [TableChange(name, False, list(table.rows.items())) for name, table in state.tables.items()]
    loaded = State(state.genesis, state.genesis_hash, state.head)
    loaded.load(tables)
    return loaded


class TokenLedger(Ledger):
    """The same of a task that pays in a token."""

    kind = TokenWorld
    world: TokenWorld

    @initialize()
    def begin_without_gifts(self) -> None:
        self.gifts: dict[bytes, int] = {}

    @rule(source=everybody, to=st.sampled_from((*NODES, "manager", "pot")), amount=amounts)
    def give(self, source: str, to: str, amount: int) -> None:
        """Tokens go from hand to hand, and straight to a pot, where they are nobody's."""
        world, task = self.world, self.key
        target = self.pot if to == "pot" else f"{to}.tokens"
        before = world.in_pot(task)
        data = b"\x03" + amount.to_bytes(8, "little")
        self.run((source,), world.token(data, f"{source}.tokens", target, source, signer=source))
        if to == "pot":
            self.gifts[task] = self.gifts.get(task, 0) + world.in_pot(task) - before

    @rule(name=everybody, amount=amounts)
    def burn(self, name: str, amount: int) -> None:
        data = b"\x08" + amount.to_bytes(8, "little")
        self.run((name,), self.world.token(data, f"{name}.tokens", "mint", name, signer=name))

    @rule(name=everybody, of=names, amount=amounts)
    def stake_what_another_approved(self, name: str, of: str, amount: int) -> None:
        world = self.world
        approve = world.token(b"\x04" + amount.to_bytes(8, "little"), f"{of}.tokens", name, of, signer=of)
        ask = world.ask_stake(self.key, name, amount)
        staked = msgspec.structs.replace(ask, source=world.key(f"{of}.tokens"))
        self.run((name, of), approve, world.instruct(staked))

    @rule(number=st.sampled_from((b"\x0a", b"\x0b")))
    def freeze_or_thaw_the_pot(self, number: bytes) -> None:
        self.run(("manager",), self.world.token(number, self.pot, "mint", "manager", signer="manager"))

    def everything_can_be_got_out(self) -> None:
        for task in self.world.state.tasks.rows.values():
            pot = next(name for name, pair in self.world.keys.items() if bytes(pair.pubkey()) == task.pot)
            self.run(("manager",), self.world.token(b"\x0b", pot, "mint", "manager", signer="manager"))
        super().everything_can_be_got_out()

    def provide(self, name: str) -> None:
        """The fee, and an account for the tokens."""
        super().provide(name)
        if self.world.key(f"{name}.tokens") not in self.world.state.accounts.rows:
            self.world.open_account(f"{name}.tokens", name, "mint")

    @invariant()
    def a_pot_holds_what_its_task_does(self) -> None:
        for key in self.world.state.tasks.rows:
            assert self.world.in_pot(key) == compute_owed(self.world.state, key) + self.gifts.get(key, 0)


for machine in (Ledger, TokenLedger):
    machine.TestCase.settings = settings(
        max_examples=40,
        stateful_step_count=60,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
TestLedger = pytest.mark.timeout(300)(Ledger.TestCase)
TestTokenLedger = pytest.mark.timeout(300)(TokenLedger.TestCase)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    program=st.sampled_from(sorted(PROGRAMS)),
    number=st.integers(0, 40),
    data=st.binary(max_size=600),
    accounts=st.lists(st.tuples(everybody, st.booleans()), max_size=6),
)
def test_no_bytes_make_the_law_raise_anything_but_a_rejection(
    program: bytes, number: int, data: bytes, accounts: list[tuple[str, bool]]
) -> None:
    world = Stage()
    head = number.to_bytes(4, "little") if program == SYSTEM_PROGRAM else bytes([number])
    metas = [AccountMeta(Pubkey(world.key(name)), signs and name in NODES, True) for name, signs in accounts]
    signers = ["n00", *{name for name, signs in accounts if signs and name in NODES} - {"n00"}]

    receipt = world.run(signers, Instruction(Pubkey(program), head + data, metas))

    assert receipt.kind in (0, 1) or (program == COMPUTE_BUDGET_PROGRAM and receipt.fee == 0)


@pytest.mark.parametrize("kind", [Stage, TokenStage])
@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data(), fill=st.binary(min_size=520, max_size=520))
def test_no_field_of_an_instruction_makes_the_law_raise_anything_but_a_rejection(
    kind: Any, data: st.DataObject, fill: bytes
) -> None:
    world = kind().submitted()
    number, length = data.draw(st.sampled_from(sorted(TASK_PROGRAMS[world.program].by_size)))
    known = (*NODES, "manager", "task", "pot", *world.keys)
    few = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=5))
    accounts = data.draw(st.lists(st.sampled_from(few), min_size=12, max_size=12))
    metas = [AccountMeta(Pubkey(world.key(name)), True, True) for name in accounts]
    signers = ["n00", *sorted({*accounts} - {"n00"})]

    receipt = world.run(
        signers, Instruction(Pubkey(world.program), bytes([number]) + fill[: length - 1], metas)
    )

    assert receipt.kind in (0, 1)
