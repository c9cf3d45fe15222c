"""The life of a task, and of money in it."""

import msgspec
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from roundwork.protocol.execute import TEXT_MAX
from roundwork.protocol.params import TASK_PROGRAM, base58_of
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.tasks.layouts import TASKS
from roundwork.protocol.tasks.life import compute_reserved
from roundwork.protocol.views import view_round, view_task

from .stage import AW, STAKE, SW, Stage
from .world import START, World, keypair_of, task_instruction


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


def test_an_endpoint_stays_until_another_is_given() -> None:
    world = Stage()
    pot = world.key("pot")
    for endpoint in (b"http://one", b"", b"http://two"):
        world.expect("ok", "n00", ins.Stake(world.task, world.key("n00"), pot, 1, endpoint))
        kept = world.state.get_stakes(world.task).rows[world.key("n00")].endpoint
        assert (endpoint or b"http://one") == kept


def test_a_round_is_paid_and_slashed_as_its_list_says() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n02"))
    world.expect("ok", "n01", world.audit("n01", 0, "n02"), slots=0)
    world.go(2).expect_list("ok", "n01", 0, {"n00": 60, "n01": 40, "n02": -700})
    world.go(2, SW + AW + 2)

    view = view_round(world.state, world.task, 0)

    assert view.status == "PayoutSuccessful"
    assert {
        name: (one.reward, one.slash)
        for name in ("n00", "n01", "n02")
        for one in view.payments
        if one.node == base58_of(world.key(name))
    } == {"n00": (60, 0), "n01": (40, 0), "n02": (0, 700)}
    assert world.state.tasks.rows[world.task].bounty == 1000 - 100 + 700
    assert world.state.get_stakes(world.task).rows[world.key("n02")].amount == STAKE - 700


def test_a_slash_takes_at_most_what_is_there() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n02"))
    world.expect("ok", "n01", world.audit("n01", 0, "n02"), slots=0)
    world.go(2).expect_list("ok", "n01", 0, {"n02": -(10**12)})
    world.go(3)

    assert world.state.get_stakes(world.task).rows[world.key("n02")].amount == 0


def test_a_slash_of_nothing_leaves_no_trace() -> None:
    world = Stage().submitted().go(1, SW + 1)
    world.expect("ok", "n00", world.audit("n00", 0, "n02"))
    world.expect("ok", "n01", world.audit("n01", 0, "n02"), slots=0)
    world.go(2).expect_list("ok", "n01", 0, {"n02": -STAKE})
    world.submitted(1)
    world.go(2, SW + 1).expect("ok", "n00", world.audit("n00", 1, "n02"))
    world.expect("ok", "n01", world.audit("n01", 1, "n02"), slots=0)
    world.go(3).expect_list("ok", "n01", 1, {"n02": -STAKE})
    world.go(4)

    assert view_round(world.state, world.task, 1).payments == []


def test_a_list_that_is_voted_down_is_tried_again_and_after_the_last_retry_the_round_closes_unpaid() -> None:
    world = Stage().submitted()
    for attempt in range(3):
        world.go(2 + attempt).expect_list("ok", "n00", 0, {"n00": 100})
        world.go(2 + attempt, SW + 1).expect("ok", "n01", world.audit_list("n01", 0, "n00"))
        assert attempt == view_round(world.state, world.task, 0).attempt
    world.go(5)

    assert view_round(world.state, world.task, 0).status == "ClosedUnpaid"
    assert world.state.tasks.rows[world.task].bounty == 1000
    assert world.state.tasks.rows[world.task].open_rounds == ()


def test_payouts_are_worked_off_in_bounded_slices() -> None:
    world = Stage(settle_records_max=2).listed({"n00": 10, "n01": 20, "n02": 30}).go(2, SW + AW + 1)
    world.block()
    assert world.state.tasks.rows[world.task].settling == 1
    assert len(RoundCursor(world.state, world.task, 0).payments.rows) == 2

    world.block()

    assert world.state.tasks.rows[world.task].settling == 0
    assert view_round(world.state, world.task, 0).status == "PayoutSuccessful"


def test_a_round_is_pruned_when_nobody_can_need_it_and_not_while_it_is_paid() -> None:
    world = Stage({"allowed_failed_distributions": 0}).paid()
    world.go(4)
    assert view_round(world.state, world.task, 0).status == "PayoutSuccessful"
    world.go(4, 1)

    assert view_round(world.state, world.task, 0).status == "Unopened"
    assert not any(name[:1] in b"SUVNLMWP" for name in world.dump())


def test_a_block_is_the_same_in_whatever_order_the_records_came_into_the_state() -> None:
    """A state from a checkpoint has its records in the order of their keys, not of their making."""
    worlds = [Stage({"allowed_failed_distributions": 0}).paid() for _ in range(2)]
    for table in worlds[1].state.tables.values():
        table.rows = dict(reversed(table.rows.items()))

    done = [[outcome for _, _, outcome in world.go(4, 1).blocks[-100:]] for world in worlds]

    assert "pruned" in {event.kind for outcome in done[0] for event in outcome.events}
    assert msgspec.msgpack.encode(done[0]) == msgspec.msgpack.encode(done[1])


def test_a_round_whose_payout_still_waits_is_pruned_later() -> None:
    world = Stage({"allowed_failed_distributions": 0}, settle_records_max=1, gap_slots_max=50)
    world.listed({"n00": 10, "n01": 20, "n02": 30}).go(2, SW + AW + 1)
    world.block()  # one of three
    world.block(slots=20)  # two of three, when the round should be pruned
    assert "Open" == view_round(world.state, world.task, 0).status
    world.block(slots=0)
    assert "PayoutSuccessful" == view_round(world.state, world.task, 0).status
    world.block()

    assert "Unopened" == view_round(world.state, world.task, 0).status


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


def test_what_returns_follows_the_chain_of_successors_to_its_end() -> None:
    world = Stage().submitted()
    assert update(world, "next") == "ok"
    world.keys["task"], first = world.keys["next"], world.keys["task"]
    assert update(world, "last") == "ok"
    world.keys["task"] = first
    world.go(2).expect_list("ok", "n00", 0, {"n00": 70})
    world.go(3)

    assert world.state.tasks.rows[world.key("last")].bounty == 930
    assert world.state.tasks.rows[world.key("next")].bounty == 0


def test_what_returns_to_a_closed_end_goes_to_the_manager() -> None:
    world = Stage().submitted()
    assert update(world, "next") == "ok"
    world.expect("ok", "manager", ins.CloseTask(world.key("next"), world.key("manager"), world.key("pot")))
    world.go(2).expect_list("ok", "n00", 0, {"n00": 70})
    world.go(3)

    assert world.state.accounts.rows[world.key("manager")].balance == START - 1000 + 900 + 30


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


def test_the_beacon_is_fixed_when_submit_ends_and_seeds_the_work_that_begins_after_it() -> None:
    world = Stage().submitted()
    assert view_round(world.state, world.task, 0).beacon == ""
    seed = view_task(world.state, world.task).seed
    world.go(1, SW + 2)
    beacon = view_round(world.state, world.task, 0).beacon
    assert beacon
    assert seed == view_task(world.state, world.task).seed  # round 1 is worked on already

    world.submitted(1)

    assert beacon == view_task(world.state, world.task).seed
    assert seed == view_round(world.state, world.task, 1).seed
    world.submitted(2)
    assert beacon == view_round(world.state, world.task, 2).seed


def test_a_list_without_a_round_is_taken_from_the_older_layout() -> None:
    world = Stage().submitted().go(2)
    node = world.key("n00")
    upload = ins.UploadDistributionList(world.task, node, 0, 2, b"{}", ins.NO_ROUND)
    accounts, data = TASKS.encode(upload)

    metas = [AccountMeta(Pubkey(one.key), one.is_signer, one.is_writable) for one in accounts]
    older = Instruction(Pubkey(TASK_PROGRAM), data[:513], metas)
    hand_in = task_instruction(ins.SubmitDistributionList(world.task, node, node, 0))

    assert world.run("n00", older, hand_in).kind == 0
    assert RoundCursor(world.state, world.task, ins.NO_ROUND).chunks.rows == {}


def test_a_list_of_several_chunks_is_put_together() -> None:
    world = Stage().submitted().go(2)
    node = world.key("n00")

    for number, chunk in enumerate((b" " * 508, b" " * 508, b"{}".ljust(508))):  # the last one is full too
        ask = ins.UploadDistributionList(world.task, node, number, 508, chunk, 0)
        world.expect("ok", "n00", ask, slots=0 if number else 1)
    world.expect("ok", "n00", ins.SubmitDistributionList(world.task, node, node, 0), slots=0)

    assert {} == view_round(world.state, world.task, 0).lists[0].amounts


def test_whatever_a_list_names_its_receipt_can_be_written_and_stays_short() -> None:
    world = Stage().submitted().go(2)
    names = (rb'"\ud800"', b'"' + b"x" * 500 + b'"', '"\u202e"'.encode())

    for name in names:
        receipt = world.hand_in("n00", 0, b"{" + name + b": 1}")

        assert receipt.name == "ListBadNode"
        assert len(receipt.text) <= TEXT_MAX
        assert receipt == msgspec.msgpack.decode(msgspec.msgpack.encode(receipt), type=type(receipt))


def test_views_of_a_list_are_shown_in_their_order() -> None:
    world = Stage().listed().go(2, SW + 1)
    world.expect("ok", "n02", world.audit_list("n02", 0, "n00"))
    world.expect("ok", "n01", world.audit_list("n01", 0, "n00", 1), slots=0)

    [listed] = view_round(world.state, world.task, 0).lists

    assert list(listed.auditors.values()) == [False, True]
    assert (1, base58_of(world.key("n02"))) == (listed.votes, listed.trigger_by)


def test_an_unknown_task_has_no_view() -> None:
    import pytest

    from roundwork.errors import UnknownTask

    with pytest.raises(UnknownTask):
        view_task(World().state, bytes(32))


def test_what_a_payout_has_paid_is_not_reserved_any_more() -> None:
    world = Stage({"total_bounty": 250}, settle_records_max=1).submitted()
    world.go(2).expect_list("ok", "n00", 0, {"n00": 30, "n01": 30, "n02": 40})
    world.go(2, SW + AW + 1).block()

    task = world.state.tasks.rows[world.task]
    assert (220, 30, 70) == (task.bounty, task.paid, compute_reserved(task))
    assert update(world, "next") == "ok"
    assert 150 == world.state.tasks.rows[world.key("next")].bounty
    world.block()
    world.block()
    assert (0, 0) == (world.state.tasks.rows[world.task].bounty, world.state.tasks.rows[world.task].paid)
