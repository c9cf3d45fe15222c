"""What a task under roundwork-1 may say of itself, and which instructions are its own."""

import pytest

from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.configuration import Terms, compute_terms

from .hardened import MINIMUM, SUBMISSION, Hardened
from .registry import shows
from .stage import Stage
from .token_world import TokenStage, TokenWorld


@shows("15.1")
def _rule_set() -> None:
    world = Hardened().go(1)
    key = world.key("n00")
    for ask in (
        ins.SubmitTask(world.task, key, b"in the open", 0),
        ins.AuditSubmission(world.task, key, world.key("n01"), 0, 0),
    ):
        world.expect("WrongRules", "n00", ask)


@shows("15.2")
def _terms() -> None:
    world = Hardened()
    for text in (b"slash:9", b"slash:101", b"slash:070", b"split:stake slash:50", b"slash:50  split:stake"):
        changes = {**world.fields, "locals": b"rules:roundwork-1 " + text}
        assert "BadTask" == world.create_task("new", **changes).name
    changes = {**world.fields, "locals": b"rules:roundwork-1 slash:100 split:stake"}
    assert "" == world.create_task("new", **changes).name


@shows("15.3")
def _long_windows() -> None:
    for change in ({"submission_window": 10}, {"audit_window": 47}, {"round_time": 59}):
        world = Hardened()
        assert "BadTask" == world.create_task("new", **{**world.fields, **change}).name
    roomy = Hardened(gap_slots_max=1)
    change = {"submission_window": 7, "audit_window": 32, "round_time": 40}
    assert "" == roomy.create_task("new", **{**roomy.fields, **change}).name


@shows("15.4")
def _stake_in_fees() -> None:
    world = Hardened()
    assert "BadTask" == world.create_task("new", **{**world.fields, "minimum_stake": 4999}).name
    assert "" == world.create_task("new", **{**world.fields, "minimum_stake": 5000}).name


@shows("15.5")
def _few_retries() -> None:
    world = Hardened()
    changes = {**world.fields, "allowed_failed_distributions": 4}
    assert "BadTask" == world.create_task("new", **changes).name


@shows("15.6")
def _whole_stake() -> None:
    world = Hardened()
    world.expect("BadAmount", "manager", world.ask_stake(world.task, "manager", MINIMUM - 1))
    world.expect("ok", "manager", world.ask_stake(world.task, "manager", MINIMUM))
    world.expect("ok", "manager", world.ask_stake(world.task, "manager", 1))


@shows("15.7")
def _hardened_task() -> None:
    world = Stage().go(1)
    ask = ins.Commit(world.task, world.key("n00"), 0, 0, bytes(32))
    world.expect("BadInstruction", "n00", ask)
    world.expect("BadInstruction", "n00", ins.Commit(world.key("pot"), world.key("n00"), 0, 0, bytes(32)))
    assert "unknown" not in world.run("n00", world.instruct(ask)).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"rules:roundwork-1", Terms(70, False)),
        (b"rules:roundwork-1 slash:10", Terms(10, False)),
        (b"rules:roundwork-1 split:stake", Terms(70, True)),
        (b"rules:roundwork-1 slash:100 split:stake", Terms(100, True)),
    ],
)
def test_terms_are_read_from_the_text(text: bytes, expected: Terms) -> None:
    assert expected == compute_terms(text)


def test_an_update_moves_a_task_to_roundwork_1() -> None:
    world = Stage()
    ask = world.ask_update(
        world.task, "next", locals=b"rules:roundwork-1", bounty_per_round=100, round_time=60, audit_window=48,
        submission_window=11, minimum_stake=1000,
    )  # fmt: skip

    receipt = world.run(
        ("manager", "next"), world.create_account("manager", "next", 0, 100), world.instruct(ask)
    )

    assert not receipt.kind, receipt
    assert "roundwork-1" == world.state.tasks.rows[world.key("next")].rules


def test_a_token_task_plays_by_the_same_rules() -> None:
    world = TokenWorld(("manager", "n00", "n01", "n02"), fee_per_signature=5)
    receipt = world.create_task(**Hardened.fields)
    assert not receipt.kind, receipt

    world.do("n00", world.ask_stake(world.task, "n00", MINIMUM))

    assert TokenStage.program == world.state.tasks.rows[world.task].program
    commit = ins.Commit(world.task, world.key("n00"), SUBMISSION, 0, bytes(32))
    world.wait(world.state.tasks.rows[world.task].timetable.compute_start(1) - 1)
    assert "ok" == world.do("n00", commit)
