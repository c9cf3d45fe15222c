"""The life of a task: founded, funded, opened, updated, closed."""

from typing import Any

import pytest

from roundwork.protocol.params import TaskKey, base58_of
from roundwork.protocol.read import view_task
from roundwork.protocol.tasks import instructions as ins

from .registry import rejected, shows
from .stage import Stage
from .world import World, keypair_of, move, task_instruction


@shows("4.1")
def _task() -> None:
    world = World()
    world.run("n00", move(world, "n00", "task", 1))
    assert world.do("n00", ins.Withdraw(world.task, world.key("n00"))) == "UnknownTask"


def ask_creation(world: World) -> ins.CreateTask:
    return ins.CreateTask(
        world.key("manager"),
        world.task,
        world.key("pot"),
        b"",
        b"",
        b"",
        b"",
        5,
        5,
        9,
        4,
        4,
        1000,
        b"",
        b"",
        1,
    )


@shows("4.2")
def _created_once() -> None:
    world = Stage()
    rejected(world, "TaskExists", ("manager", "task"), task_instruction(ask_creation(world)))


@shows("4.3")
def _task_owner() -> None:
    world = World()
    rejected(world, "WrongOwner", ("manager", "task"), task_instruction(ask_creation(world)))


def refuses_task(expected: str, **changes: Any) -> None:
    world = World()
    assert expected == world.create_task(**changes).name


@shows("4.4")
def _windows() -> None:
    refuses_task("BadTask", submission_window=0)
    refuses_task("BadTask", audit_window=0)
    refuses_task("BadTask", round_time=7)
    refuses_task("BadTask", round_time=2**32 + 1)


@shows("4.5")
def _bounty() -> None:
    refuses_task("BadTask", total_bounty=99, bounty_per_round=100)


@shows("4.6")
def _minimum_stake() -> None:
    refuses_task("BadTask", minimum_stake=999)


@shows("4.7")
def _retries() -> None:
    refuses_task("BadTask", allowed_failed_distributions=101)


@shows("4.8")
def _rules_known() -> None:
    refuses_task("WrongRules", locals=b"rules:roundwork-9")


@shows("4.9")
def _texts() -> None:
    refuses_task("BadTask", description=b"\xff")


@shows("4.10")
def _funds() -> None:
    refuses_task("InsufficientFunds", total_bounty=10**15 + 1)


@shows("4.11")
def _payer_kind() -> None:
    world = Stage()
    world.run("manager", move(world, "manager", "task", 500))
    ask = ins.FundTask(world.task, world.task, world.key("pot"), 5)
    rejected(world, "WrongOwner", ("n00", "task"), task_instruction(ask))


@shows("4.12")
def _manager() -> None:
    world = Stage()
    world.expect("NotManager", "n00", ins.SetActive(world.task, world.key("n00"), 0))
    world.expect("NotManager", "n00", ins.CloseTask(world.task, world.key("n00"), world.key("pot")))


@shows("4.13")
def _living() -> None:
    world = Stage()
    pot = world.key("pot")
    world.expect("ok", "manager", ins.CloseTask(world.task, world.key("manager"), pot))
    world.expect("TaskClosed", "n00", world.stake("n00", 1000))
    world.expect("TaskClosed", "n00", ins.FundTask(world.task, world.key("n00"), pot, 5))
    world.expect("TaskClosed", "manager", ins.SetActive(world.task, world.key("manager"), 1))
    world.expect("TaskClosed", "manager", ins.CloseTask(world.task, world.key("manager"), pot))
    world.go(1).expect("TaskClosed", "n00", world.submit("n00", 0))


@shows("4.15")
def _open_rounds() -> None:
    world = Stage().submitted()
    world.expect("OpenRounds", "manager", ins.CloseTask(world.task, world.key("manager"), world.key("pot")))


@shows("4.16")
def _allowlister() -> None:
    world = Stage(allowlister=str(keypair_of("lister").pubkey()))
    world.expect("NotAllowlister", "n00", ins.Whitelist(world.task, world.key("n00"), 0))
    ask = task_instruction(ins.Whitelist(world.task, world.key("lister"), 0))
    assert not world.run(("n00", "lister"), ask).kind
    assert not world.state.tasks.rows[world.task].is_allowlisted


def update(world: Stage, successor: str, per_round: int = 100) -> str:
    made = world.create_account("manager", successor, 0, 100)
    pot = world.key("pot")
    ask = ins.UpdateTask(
        world.key("manager"), world.task, pot, world.key(successor), pot, b"next", b"", b"", b"", per_round,
        10, 4, 4, 1000, b"", b"", 1,
    )  # fmt: skip
    return world.run(("manager", successor), made, task_instruction(ask)).name or "ok"


def test_a_task_shows_what_it_was_created_with() -> None:
    world = Stage()

    view = view_task(world.state, world.task)

    assert (view.name, view.rules, view.bounty, view.bounty_per_round) == ("hello", "koii-1", 1000, 100)
    assert sorted(base58_of(world.key(name)) for name in ("n00", "n01", "n02")) == sorted(
        one.node for one in view.stakes
    )
    assert view.is_active
    assert view.is_allowlisted


def test_a_task_on_a_production_ledger_waits_to_be_allow_listed() -> None:
    lister = str(keypair_of("lister").pubkey())
    world = World(kind="production", allowlister=lister)
    world.create_task()

    assert not view_task(world.state, world.task).is_allowlisted


def test_the_locals_name_the_rule_set_or_are_the_tasks_own() -> None:
    for text in (b"", b"anything", b"rules:koii-1 and more"):
        world = World()
        assert world.create_task(locals=text).kind == 0
        assert world.state.tasks.rows[world.task].rules == "koii-1"


def test_funding_adds_to_the_bounty() -> None:
    world = Stage()

    world.expect("ok", "n00", ins.FundTask(world.task, world.key("n00"), world.key("pot"), 25))

    assert world.state.tasks.rows[world.task].bounty == 1025


def test_a_throw_away_funder_is_emptied_to_the_fee_payer() -> None:
    world = Stage()
    fund = ins.FundTask(world.task, world.key("throwaway"), world.key("pot"), 25)
    before = world.state.accounts.rows[world.key("n00")].balance

    created = world.create_account("n00", "throwaway", 100, 100)
    receipt = world.run(("n00", "throwaway"), created, task_instruction(fund))

    assert receipt.kind == 0
    assert before - 25 == world.state.accounts.rows[world.key("n00")].balance
    assert world.key("throwaway") not in world.state.accounts.rows


def test_a_throw_away_funder_that_gives_all_it_has_is_gone() -> None:
    world = Stage()
    fund = ins.FundTask(world.task, world.key("throwaway"), world.key("pot"), 25)

    created = world.create_account("n00", "throwaway", 25, 0)
    receipt = world.run(("n00", "throwaway"), created, task_instruction(fund))

    assert receipt.kind == 0
    assert world.key("throwaway") not in world.state.accounts.rows


def test_a_staking_account_that_funds_its_task_keeps_what_is_left() -> None:
    world = Stage()
    stake = ins.Stake(world.task, world.key("staking"), world.key("pot"), 1000, b"http://here")
    created = world.create_account("n00", "staking", 5000, 100)
    world.run(("n00", "staking"), created, task_instruction(stake))

    fund = task_instruction(ins.FundTask(world.task, world.key("staking"), world.key("pot"), 25))
    world.run(("n00", "staking"), fund)

    assert world.state.accounts.rows[world.key("staking")].balance == 3975


def test_an_update_founds_a_successor_with_the_free_bounty_and_open_rounds_settle_at_the_old_address() -> (
    None
):
    world = Stage().submitted()
    assert update(world, "next") == "ok"

    old, new = world.state.tasks.rows[world.task], world.state.tasks.rows[world.key("next")]
    assert (old.bounty, new.bounty) == (100, 900)
    assert (world.key("next"), world.task) == (old.migrated_to, new.migrated_from)
    assert new.is_active
    assert base58_of(world.task) == view_task(world.state, world.key("next")).migrated_from
    world.go(1, 3).expect("TaskClosed", "n00", world.submit("n00", 0))
    world.expect("TaskClosed", "n00", world.stake("n00", 5))
    assert update(world, "another") == "TaskClosed"

    world.go(2).expect_list("ok", "n00", 0, {"n00": 70})
    world.go(3)
    assert world.state.tasks.rows[world.task].bounty == 0
    assert world.state.tasks.rows[world.key("next")].bounty == 930
    world.go(4).expect("ok", "n00", world.withdraw("n00"))
    world.expect("ok", "n00", world.claim("n00"))


def test_an_update_needs_a_free_bounty_for_a_round_and_the_manager() -> None:
    world = Stage()

    assert update(world, "next", per_round=1001) == "BadTask"
    made = world.create_account("n00", "mine", 0, 100)
    pot = world.key("pot")
    ask = ins.UpdateTask(
        world.key("n00"),
        world.task,
        pot,
        world.key("mine"),
        pot,
        b"",
        b"",
        b"",
        b"",
        1,
        10,
        4,
        4,
        1000,
        b"",
        b"",
        1,
    )
    assert world.run(("n00", "mine"), made, task_instruction(ask)).name == "NotManager"


def test_an_unknown_task_has_no_view() -> None:

    from roundwork.errors import UnknownTask

    with pytest.raises(UnknownTask):
        view_task(World().state, TaskKey(bytes(32)))
