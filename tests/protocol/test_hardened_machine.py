"""Whatever nodes do under roundwork-1, in whatever order: the laws that always hold."""

from hashlib import sha256
from random import Random
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from roundwork.protocol.clock import DISTRIBUTION, REVIEW, Timetable
from roundwork.protocol.params import NodeKey, TaskKey
from roundwork.protocol.state import TABLE_KINDS
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.commitments import SealKind, compute_commitment
from roundwork.protocol.tasks.round import WINDOWS, Activity, Period, find_window
from roundwork.protocol.tasks.sealed import list_duties

from .hardened import NODES, Hardened, HardenedTokens, make_bits, name_proof
from .test_machine import LISTER, Laws

WINDOW = WINDOWS["roundwork-1"]
PROOF = b"p" * 900
VALUES = (b"the work", name_proof(PROOF), name_proof(PROOF, b"too"), name_proof(b"hidden"), b"\xff")
PER_ROUND = 1000
TRUE = 2**8
"""Stands for the bits that tell the truth: one node is guilty, the others are not."""

names = st.sampled_from(NODES)
everybody = st.sampled_from((*NODES, "manager"))


class HardenedLedger(Laws):
    """Five nodes and the manager do what the window of the slot is for, well or badly, or not at all."""

    kind: ClassVar[type[Hardened]] = Hardened
    world: Hardened

    @initialize(
        slices=st.sampled_from((1, 3, 20_000)),
        retries=st.integers(0, 2),
        terms=st.sampled_from((b"", b" slash:100 split:stake")),
    )
    def begin(self, slices: int, retries: int, terms: bytes) -> None:
        self.world = self.kind(
            {
                "round_time": 40,
                "submission_window": 7,
                "audit_window": 32,
                "total_bounty": 20 * PER_ROUND,
                "bounty_per_round": PER_ROUND,
                "allowed_failed_distributions": retries,
                "locals": b"rules:roundwork-1" + terms,
            },
            gap_slots_max=1,
            settle_records_max=slices,
            allowlister=LISTER,
        )
        self.genesis = self.world.state.genesis
        self.per_round = PER_ROUND
        self.rewarded = {}
        self.payloads: dict[tuple[str, int, int], tuple[bytes, bytes]] = {}
        self.task = "task"
        self.guilty = NODES[0]
        self.go_on(1, 40)

    # Where the task is

    @property
    def table(self) -> Timetable:
        return self.world.state.tasks.rows[self.key].timetable

    def activity(self, period: Period) -> Activity:
        """What the window of the present slot is for, in a period."""
        slot = self.world.state.head.slot
        window = find_window(WINDOW, self.table, slot, period)
        return next(activity for activity, each in WINDOW.items() if each is window)

    def number(self, later: int) -> int:
        """The round that is reviewed or distributed now."""
        return max(self.table.compute_round(self.world.state.head.slot) - later, 0)

    # What happens

    @rule(slots=st.integers(1, 2), times=st.integers(1, 6))
    def go_on(self, slots: int, times: int) -> None:
        for _ in range(times):
            self.keep(self.world.block(slots=slots))

    @rule(
        name=everybody,
        value=st.sampled_from(VALUES),
        bits=st.integers(0, TRUE),
        of=names,
        chunk=st.integers(0, 1),
    )
    def review(self, name: str, value: bytes, bits: int, of: str, chunk: int) -> None:
        """A node does something that fits into the window of the round under review."""
        world, number, activity = self.world, self.number(REVIEW), self.activity(Period.REVIEW)
        if activity is Activity.COMMIT:
            self.commit(name, SealKind.SUBMISSION, number, value)
        elif activity is Activity.REVEAL:
            self.reveal(name, SealKind.SUBMISSION, number)
        elif activity is Activity.CHALLENGE and bits % 2:
            self.do(name, world.challenge(name, of, number))
        elif activity in (Activity.CHALLENGE, Activity.ANSWER, Activity.ACCUSE) and bits % 4:
            self.do(name, world.answer(name, of, chunk, PROOF[800 * chunk : 800 * chunk + 800], number))
        elif activity is Activity.ACCUSE:
            self.do(name, world.accuse(name, of, number))
        elif activity in (Activity.CHECK, Activity.JUDGE):
            self.commit_bits(name, number, activity, bits)
        elif activity is Activity.DISCLOSE:
            self.reveal(name, SealKind.RECEIPT, number)
            self.reveal(name, SealKind.VOTES, number)

    @rule(seed=st.integers(0, 2**32), windows=st.integers(1, 12), diligence=st.sampled_from((0.7, 0.95, 1.0)))
    def live(self, seed: int, windows: int, diligence: float) -> None:
        """For some windows each node does, or does not, what the window is for."""
        chance = Random(seed)
        for _ in range(windows):
            self.guilty = chance.choice(NODES)
            for name in NODES:
                if chance.random() < diligence:
                    bits = chance.choice((TRUE, TRUE, TRUE, chance.randrange(TRUE)))
                    value = chance.choice((VALUES[0], *VALUES[:4]))
                    self.review(name, value, bits, chance.choice(NODES), chance.randrange(2))
                    self.distribute(name, [chance.randrange(200) for _ in NODES], name, chance.random() < 0.5)
            self.go_to_next_window()

    def go_to_next_window(self) -> None:
        before = self.activity(Period.REVIEW)
        while self.activity(Period.REVIEW) is before:
            self.keep(self.world.block(slots=1))

    @rule(
        name=names,
        amounts=st.lists(st.integers(0, 300), min_size=5, max_size=5),
        of=names,
        valid=st.booleans(),
    )
    def distribute(self, name: str, amounts: list[int], of: str, valid: bool) -> None:
        """A node does something that fits into the window of the round under distribution, or of a retry."""
        world = self.world
        for later in (DISTRIBUTION, DISTRIBUTION + 1):
            number = self.number(later)
            if self.activity(Period.DISTRIBUTION) is Activity.LIST:
                listed = dict(zip(NODES, amounts, strict=True))
                asked = world.upload(name, listed, number), world.hand_in(name, number)
                self.run((name,), *map(world.instruct, asked))
            else:
                lists = [
                    row for key, row in sorted(world.cursor(number).lists.rows.items()) if key != b"\xff"
                ]
                lister = world.name_of(lists[-1].submitter) if lists else of
                self.do(name, world.audit_list(name, lister, valid, number))

    @rule(name=everybody, amount=st.sampled_from((1, 999, 10_000)))
    def stake(self, name: str, amount: int) -> None:
        self.do(name, self.world.ask_stake(self.key, name, amount))

    @rule(name=everybody)
    def withdraw_and_claim(self, name: str) -> None:
        world = self.world
        asked = (ins.Withdraw(self.key, world.key(name)), world.ask_claim(self.key, name))
        self.run((name,), *map(world.instruct, asked))

    @rule(active=st.booleans())
    def switch(self, active: bool) -> None:
        self.do("manager", ins.SetActive(self.key, self.world.key("manager"), active))

    def commit(self, name: str, kind: SealKind, number: int, payload: bytes) -> None:
        salt = sha256(f"{name} {kind} {number}".encode()).digest()
        world = self.world
        digest = compute_commitment(
            world.state.genesis_hash, self.key, number, kind, world.key(name), salt, payload
        )
        self.payloads.setdefault((name, kind, number), (salt, payload))
        self.do(name, ins.Commit(self.key, world.key(name), kind, number, digest))

    def commit_bits(self, name: str, number: int, activity: Activity, bits: int) -> None:
        kind = SealKind.RECEIPT if activity is Activity.CHECK else SealKind.VOTES
        candidates = list_duties(self.world.cursor(number), kind, self.world.key(name))
        guilty = self.world.key(self.guilty)
        is_honest = bits == TRUE
        found = [each != guilty if is_honest else bool(bits >> at & 1) for at, each in enumerate(candidates)]
        self.commit(name, kind, number, make_bits(found))

    def reveal(self, name: str, kind: SealKind, number: int) -> None:
        salt, payload = self.payloads.get((name, kind, number), (bytes(32), b""))
        self.do(name, ins.Reveal(self.key, self.world.key(name), kind, number, salt, payload))

    # What always holds

    @invariant()
    def what_is_set_aside_belongs_to_an_open_round(self) -> None:
        state = self.world.state
        for kind, field in (("bonds", "amount"), ("challenges", "held")):
            for name, table in state.tables.items():
                is_kind = name[:1] == TABLE_KINDS[kind].letter
                if is_kind and any(getattr(record, field) for record in table.rows.values()):
                    task, number = TaskKey(name[1:33]), int.from_bytes(name[33:], "big")
                    assert number in state.tasks.rows[task].open_rounds

    @invariant()
    def a_stake_at_risk_is_locked(self) -> None:
        """Who committed in an open round has its stake there, less what was taken from it for a reason."""
        world = self.world
        for number in world.state.tasks.rows[self.key].open_rounds:
            for key in world.cursor(number).seals.rows:
                assert NodeKey(key[1:]) in world.state.get_stakes(self.key).rows

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.everything_can_be_got_out()
        self.the_same_blocks_give_the_same_hashes()

    def everything_can_be_got_out(self) -> None:
        self.go_on(1, 40 * 9)
        for name in (*NODES, "manager"):
            self.do(name, ins.Withdraw(self.key, self.world.key(name)))
            self.do(name, self.world.ask_claim(self.key, name))
        stakes = self.world.state.get_stakes(self.key).rows.values()
        assert all(stake.amount == 0 and stake.available == 0 for stake in stakes)
        assert () == self.world.state.tasks.rows[self.key].open_rounds


class HardenedTokenLedger(HardenedLedger):
    """The same of a task that pays in a token."""

    kind = HardenedTokens


HARD = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
for machine in (HardenedLedger, HardenedTokenLedger):
    machine.TestCase.settings = HARD
TestHardened = pytest.mark.timeout(300)(HardenedLedger.TestCase)
TestHardenedTokens = pytest.mark.timeout(300)(HardenedTokenLedger.TestCase)
