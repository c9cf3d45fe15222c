"""Commitments and reveals under roundwork-1."""

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from roundwork.protocol.params import NodeKey, TaskKey
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks import sealed
from roundwork.protocol.tasks.commitments import SealKind, compute_commitment
from roundwork.protocol.tasks.round import RoundState

from .hardened import MINIMUM, NODES, RECEIPT, STAKES, SUBMISSION, SW, VOTES, Hardened, eighth
from .registry import shows


@shows("16.1")
def _kind() -> None:
    world = Hardened().go(1)
    world.expect("BadInstruction", "n00", world.commit("n00", 3, b""))
    world.expect("BadInstruction", "n00", world.reveal("n00", 255, b""))


@shows("16.2")
def _window() -> None:
    world = Hardened().go(1)
    world.expect("WrongPhase", "n00", world.reveal("n00", SUBMISSION, b"too early"))
    world.go(1, SW // 2).expect("ok", "n00", world.commit("n00", SUBMISSION, b"in time"))
    world.expect("WrongPhase", "n01", world.commit("n01", SUBMISSION, b"too late"))
    world.go(1, SW).expect("ok", "n00", world.reveal("n00", SUBMISSION, b"in time"))
    world.expect("WrongPhase", "n00", world.reveal("n00", SUBMISSION, b"in time"))
    world.expect("WrongPhase", "n00", world.commit("n00", RECEIPT, b"\1"))
    world.go(1, eighth(4)).expect("WrongPhase", "n00", world.commit("n00", RECEIPT, b"\1"))
    world.go(1, eighth(7)).expect("WrongPhase", "n00", world.commit("n00", VOTES, b"\1"))


@shows("16.3")
def _not_over() -> None:
    world = Hardened().submitted(names=("n00", "n01"))
    world.expect("WrongPhase", "n00", world.challenge("n00", "n01"))
    world.go(1, eighth(3)).expect("WrongPhase", "n00", world.commit("n00", RECEIPT, b"\1"))


@shows("16.4")
def _half_stake() -> None:
    world = Hardened()
    world.go(1).expect("NotStaked", "manager", world.commit("manager", SUBMISSION, b"x"))
    stakes, key = world.state.get_stakes(world.task), world.key("n00")
    for amount, expected in ((MINIMUM // 2 - 1, "NotStaked"), (MINIMUM // 2, "ok")):
        world.supply += amount - stakes.rows[key].amount  # a stake that fines have shrunk to this
        stakes.rows[key] = msgspec.structs.replace(stakes.rows[key], amount=amount)
        world.expect(expected, "n00", world.commit("n00", SUBMISSION, b"x"))


@shows("16.5")
def _uncommitted() -> None:
    world = Hardened().committed()
    world.expect("AlreadyCommitted", "n00", world.commit("n00", SUBMISSION, b"another"), slots=0)


@shows("16.6")
def _submitter() -> None:
    world = Hardened().submitted(silent=("n04",))
    for name in ("n04", "manager"):  # who committed only, and a stranger
        world.expect("NotSubmitter", name, world.challenge(name, "n01"), slots=0)
    world.go(1, eighth(3)).expect("NotSubmitter", "n04", world.commit("n04", RECEIPT, b"\1"))
    world.go(1, eighth(4)).expect("NotSubmitter", "n04", world.accuse("n04", "n01"))
    world.go(2).expect("NotSubmitter", "n04", world.upload("n04", bytes(32)))


@shows("16.7")
def _duties() -> None:
    world = Hardened().submitted().checked().voted()
    world.expect("NothingToJudge", "n00", world.commit("n00", VOTES, b"\1"), slots=0)


@shows("16.8")
def _committed() -> None:
    world = Hardened().committed(names=NODES[:4]).go(1, SW)
    world.expect("WrongReveal", "n04", world.reveal("n04", SUBMISSION, b"x"))


@shows("16.9")
def _unrevealed() -> None:
    world = Hardened().committed().go(1, SW - 1)
    world.expect("ok", "n00", world.reveal("n00", SUBMISSION, b"the work"))
    world.expect("AlreadyRevealed", "n00", world.reveal("n00", SUBMISSION, b"the work"), slots=0)


@shows("16.10")
def _opens() -> None:
    world = Hardened().committed().go(1, SW - 1)
    world.expect("WrongReveal", "n00", world.reveal("n00", SUBMISSION, b"other work"))
    world.expect("WrongReveal", "n00", world.reveal("n00", SUBMISSION, b"the work "), slots=0)
    good = world.reveal("n00", SUBMISSION, b"the work")
    world.expect("WrongReveal", "n00", msgspec.structs.replace(good, salt=bytes(32)), slots=0)
    world.expect("ok", "n00", good, slots=0)


@shows("16.11")
def _bits() -> None:
    world = Hardened().submitted()
    checker = next(name for name in NODES if 1 <= len(world.duties(name, RECEIPT)) < 8)
    for payload in (b"", b"\1\0", b"\x80"):
        other = Hardened().submitted().go(1, eighth(3))
        other.expect("ok", checker, other.commit(checker, RECEIPT, payload))
        other.go(1, eighth(7)).expect("BadValue", checker, other.reveal(checker, RECEIPT, payload))


def test_a_value_is_committed_as_it_is_sent_and_kept_without_its_trailing_spaces() -> None:
    world = Hardened().submitted({"n00": b" a value  "})

    assert b" a value" == world.cursor().submissions.rows[world.key("n00")].value


def test_a_value_that_is_no_text_is_not_revealed() -> None:
    world = Hardened().committed({"n00": b"\xff"}).go(1, SW)

    world.expect("BadValue", "n00", world.reveal("n00", SUBMISSION, b"\xff"))


def test_a_round_opens_with_its_first_commitment_and_reserves_its_bounty() -> None:
    world = Hardened({"total_bounty": 1500}).submitted().judged()

    assert (0,) == world.state.tasks.rows[world.task].open_rounds
    world.go(2).expect("BountyExhausted", "n00", world.commit("n00", SUBMISSION, b"x", 1))


def test_a_closed_or_inactive_task_takes_no_commitment() -> None:
    world = Hardened()
    world.expect("ok", "manager", ins.SetActive(world.task, world.key("manager"), 0))

    world.go(1).expect("TaskInactive", "n00", world.commit("n00", SUBMISSION, b"x"))
    world.expect("ok", "manager", world.ask_close(world.task))
    world.expect("TaskClosed", "n00", world.commit("n00", SUBMISSION, b"x"))


def test_the_stake_at_risk_is_that_at_the_end_of_the_first_half() -> None:
    world = Hardened().committed()
    world.expect("ok", "n00", world.ask_stake(world.task, "n00", 500))
    world.go(1, SW // 2 + 1).expect("ok", "n01", world.ask_stake(world.task, "n01", 500))
    world.go(1, SW)
    for name in NODES:
        world.expect("ok", name, world.reveal(name, SUBMISSION, b"the work"), slots=0 if name > "n00" else 1)

    stakes = {name: world.cursor().submissions.rows[world.key(name)].stake for name in NODES}
    assert {**STAKES, "n00": STAKES["n00"] + 500} == stakes


def test_a_stake_is_locked_from_its_commitment_until_the_round_is_closed() -> None:
    world = Hardened().committed(names=("n00", "n01"))
    withdraw = ins.Withdraw(world.task, world.key("n00"))
    world.expect("StakeLocked", "n00", withdraw)
    world.expect("ok", "n02", ins.Withdraw(world.task, world.key("n02")))

    world.go(1, SW + 1).expect("ok", "n00", withdraw)  # fewer than three revealed: it is closed


def test_who_commits_and_does_not_reveal_pays_a_lapse() -> None:
    world = Hardened().submitted(silent=("n01",))

    assert STAKES["n01"] - MINIMUM // 10 == world.stake_of("n01")
    assert -MINIMUM // 10 == world.net_of("n01")
    assert 100_000 + MINIMUM // 10 == world.bounty


def test_a_round_with_fewer_than_three_submissions_closes_unpaid() -> None:
    world = Hardened().submitted(silent=("n00", "n01", "n02"))

    assert RoundState.UNPAID == world.cursor().opened.state
    assert () == world.state.tasks.rows[world.task].open_rounds
    assert world.cursor().heads.rows
    world.go(1, eighth(8)).block()  # nothing more falls due


def test_the_beacon_is_that_of_the_text() -> None:
    world = Hardened().submitted(silent=("n04",))
    first = blake3(b"roundwork/beacon/0" + world.state.genesis_hash + world.task).digest()
    mix = bytes(32)
    for name in NODES[:4]:
        part = blake3(world.salt(name, SUBMISSION, 0) + world.key(name)).digest()
        mix = bytes(a ^ b for a, b in zip(mix, part, strict=True))
    fixed = next(
        block
        for block, _, outcome in world.blocks
        if block.slot == world.start + 60 + SW + 1
    )  # fmt: skip

    expected = blake3(
        b"roundwork/beacon/2"
        + world.state.genesis_hash
        + world.task
        + first
        + bytes(8)
        + mix
        + fixed.parent_hash
    ).digest()

    assert expected == world.cursor().opened.beacon


def test_every_submission_has_three_checkers_and_never_its_own_node() -> None:
    world = Hardened().submitted()

    for name in NODES:
        assert 3 == len(world.checkers(name)) == len({*world.checkers(name)} - {name})


keys = st.binary(min_size=32, max_size=32)
fields = st.tuples(
    keys, keys, st.integers(0, 2**64 - 1), st.sampled_from(SealKind), keys, keys, st.binary(max_size=40)
)


@given(fields, fields)
def test_a_commitment_opens_for_one_chain_task_round_kind_node_salt_and_payload(
    first: tuple[bytes, TaskKey, int, SealKind, NodeKey, bytes, bytes],
    second: tuple[bytes, TaskKey, int, SealKind, NodeKey, bytes, bytes],
) -> None:
    commitment = compute_commitment(*first)

    assert commitment == compute_commitment(*first)
    for at in range(7):
        mixed = (*first[:at], second[at], *first[at + 1 :])
        assert (commitment == compute_commitment(*mixed)) is (mixed == first)  # type: ignore[arg-type]


def test_what_a_node_checks_is_found_out_once_in_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large node may check all of a large round, and every refused message pays one fee only."""
    world = Hardened().submitted().go(1, eighth(3))
    name = next(name for name in NODES if world.duties(name, RECEIPT))
    world.expect("ok", name, world.commit(name, RECEIPT, b"first"))
    looked: list[int] = []
    leave_out = sealed._leave_out

    def count(candidates: tuple[NodeKey, ...], missing: set[NodeKey]) -> tuple[NodeKey, ...]:
        looked.append(len(candidates))
        return leave_out(candidates, missing)

    monkeypatch.setattr(sealed, "_leave_out", count)
    for blocks in (1, 2):
        again = world.instruct(world.commit(name, RECEIPT, b"again"))
        receipts = world.block(*[world.wire([name], again) for _ in range(3)], slots=0).receipts
        assert ["AlreadyCommitted"] * 3 == [receipt.name for receipt in receipts]
        assert blocks == len(looked)
