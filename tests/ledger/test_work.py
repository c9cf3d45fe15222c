"""Which transactions are nodes' work, and how a block is shared with everything else."""

from typing import NamedTuple

import pytest
from msgspec.structs import replace
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import Instruction

from roundwork.ledger.work import NODE_PART, compute_part, compute_price, fill, find_worker
from roundwork.protocol.params import Key, NodeKey, TaskKey, base58_of
from roundwork.protocol.tasks import instructions
from roundwork.protocol.transaction import decode_transaction

from ..protocol.hardened import MINIMUM, SUBMISSION, VOTES, Hardened
from ..protocol.stage import STAKE, Stage
from ..protocol.world import World, compact_submission, move


@pytest.fixture(scope="module")
def stage() -> Stage:
    stage = Stage()
    stage.go(0, 1)
    return stage


def find(stage: World, *asked: Instruction, signers: tuple[str, ...] = ("n00",)) -> NodeKey | None:
    return find_worker(stage.state, decode_transaction(stage.wire(signers, *asked)))


def test_what_a_node_says_in_a_round_of_its_task_is_work(stage: Stage) -> None:
    said: list[instructions.Instruction] = [
        stage.submit("n00", 0),
        stage.audit("n00", 0, "n01"),
        stage.audit_list("n00", 0, "n01"),
        instructions.UploadDistributionList(stage.task, stage.key("n00"), 0, 2, b"{}", 0),
        instructions.SubmitDistributionList(stage.task, stage.key("n00"), stage.key("n00"), 0),
        stage.stake("n00", 5),
        stage.withdraw("n00"),
        stage.claim("n00"),
    ]

    assert [stage.key("n00")] * len(said) == [find(stage, stage.instruct(message)) for message in said]


def test_a_budget_may_stand_beside_work_and_nothing_else_may(stage: Stage) -> None:
    work = stage.instruct(stage.submit("n00", 0))

    assert stage.key("n00") == find(stage, set_compute_unit_limit(5000), work, set_compute_unit_price(7))
    assert None is find(stage, work, move(stage, "n00", "n01", 1))
    assert None is find(stage, move(stage, "n00", "n01", 1))
    assert None is find(stage, set_compute_unit_limit(5000))
    both = [compact_submission(stage.submit(name, 0)) for name in ("n00", "n01")]
    assert None is find(stage, *both, signers=("n00", "n01"))


def test_what_only_looks_like_work_is_none(stage: Stage) -> None:
    """Strangers can write the same bytes: they have no stake, or not in this task."""
    stage.run("n00", move(stage, "n00", "stranger", STAKE))
    unknown = instructions.SubmitTask(TaskKey(bytes([7]) * 32), stage.key("n00"), b"proof", 0)
    fund = stage.ask_fund(stage.task, "n00", 1)
    cut = Instruction(stage.instruct(stage.submit("n00", 0)).program_id, b"\x01", [])

    assert None is find(stage, stage.instruct(stage.submit("stranger", 0)), signers=("stranger",))
    assert None is find(stage, stage.instruct(unknown))
    assert None is find(stage, stage.instruct(fund))
    assert None is find(stage, cut)


def test_a_stake_below_the_minimum_is_none() -> None:
    stage = Stage()
    stage.go(0, 1)
    work = stage.instruct(stage.submit("poor", 0))
    stage.run("n00", move(stage, "n00", "poor", 10_000))
    stage.do("poor", stage.stake("poor", 999))

    assert None is find(stage, work, signers=("poor",))

    assert "ok" == stage.do("poor", stage.stake("poor", 1))
    assert stage.key("poor") == find(stage, work, signers=("poor",))


def test_what_a_node_says_under_the_hardened_rules_is_work() -> None:
    world = Hardened().committed()
    said: list[instructions.Instruction] = [
        world.commit("n00", SUBMISSION, b"the work"),
        world.reveal("n00", SUBMISSION, b"the work"),
        world.challenge("n00", "n01"),
        world.answer("n00", "n01", 0, b"p"),
        world.accuse("n00", "n01"),
    ]

    assert [world.key("n00")] * len(said) == [find(world, world.instruct(each)) for each in said]


def test_a_node_whose_stake_lies_in_bonds_still_works_in_its_round() -> None:
    """Two accusations of large stakes leave it too little to submit with; reveals and votes follow."""
    world = Hardened().submitted().checked().accused("n00", "n03", "n04")
    assert 2 * world.stake_of("n00") < MINIMUM
    voting = world.instruct(world.commit("n00", VOTES, b"\1"))

    assert world.key("n00") == find(world, voting)
    assert None is find(world, world.instruct(world.commit("stranger", VOTES, b"\1")), signers=("stranger",))


def test_where_tasks_are_allow_listed_the_work_of_others_is_none() -> None:
    """Who makes a task for himself has as many nodes in it as he likes, with stakes of no worth."""
    world = Stage(kind="production", allowlister=base58_of(bytes(32)))
    work = world.instruct(world.submit("n00", 0))

    assert None is find(world, work)
    task = world.state.tasks.rows[world.task]
    world.state.put(world.state.tasks, world.task, replace(task, is_allowlisted=True))
    assert world.key("n00") == find(world, work)


def test_a_price_is_what_is_paid_above_the_signatures(stage: Stage) -> None:
    asked = [set_compute_unit_limit(1_000_000), set_compute_unit_price(3_000_000)]
    offered = stage.wire(["n00"], *asked, move(stage, "n00", "n01", 1))

    assert 3_000_000 == compute_price(decode_transaction(offered))
    assert 0 == compute_price(decode_transaction(stage.wire(["n00"], move(stage, "n00", "n01", 1))))


class Offered(NamedTuple):
    """An offer of a worker, or of nobody's work."""

    name: str
    worker: NodeKey | None = None
    payer: Key = b"payer"
    size: int = 1


def share(work: list[Offered], others: list[Offered], room: int) -> str:
    return " ".join(offered.name for offered in fill(work, others, room, lambda offered: True))


def test_half_of_a_block_is_kept_for_work_and_what_is_left_of_a_half_serves_the_other() -> None:
    work = [Offered(f"w{n}", NodeKey(b"%d" % n), b"p%d" % n) for n in range(6)]
    others = [Offered(f"o{n}") for n in range(6)]

    assert "w0 w1 o0 o1" == share(work, others, 4)
    assert "w0 o0 o1 o2" == share(work[:1], others, 4)
    assert "w0 w1 o0 w2" == share(work, others[:1], 4)
    assert "w0 w1 w2 w3" == share(work, [], 4)
    assert "o0 o1 o2 o3" == share([], others, 4)


def test_a_node_and_a_fee_payer_have_a_part_of_the_half() -> None:
    room = 2 * NODE_PART * 2
    part = compute_part(room)
    greedy = [Offered("greedy", NodeKey(b"greedy"), b"p%d" % n) for n in range(room)]
    payer = [Offered("payer", NodeKey(b"n%d" % n), b"one payer") for n in range(room)]
    honest = [Offered("honest", NodeKey(b"h%d" % n), b"q%d" % n) for n in range(50)]
    others = [Offered("other") for _ in range(room)]

    shared = share(greedy + payer + honest, others, room).split()

    assert 2 == part
    assert (part, part) == (shared.count("greedy"), shared.count("payer"))
    assert (50, room - 50 - 2 * part) == (shared.count("honest"), shared.count("other"))


def test_room_is_counted_in_what_is_taken_of_it() -> None:
    work = [Offered("w0", NodeKey(b"0"), b"0", 30), Offered("w1", NodeKey(b"1"), b"1", 30)]
    others = [Offered("o0", size=40), Offered("o1", size=40)]

    assert "w0 o0" == share(work, others, 100)
    assert "w0 w1 o0" == share(work, others, 120)
