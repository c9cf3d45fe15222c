"""Nodes at work on a real ledger with real sandboxes: what fails costs a step, never the node."""

import asyncio
import logging
from pathlib import Path

import msgspec
import pytest

from roundwork.client.operations import build_stake, deliver, read_task, sign
from roundwork.node.python.environments import Environment
from roundwork.node.python.lanes import Lanes
from roundwork.node.standing import read_standing
from roundwork.participant.moment import compute_timetable
from roundwork.protocol.params import KOII, ROUNDWORK_1
from roundwork.views import RoundView

from ..house import SEED, House, require_sandbox
from .crew import HONEST, MONEY, STAKE, TRIES, WINDOWS, Crew, open_crew

SLOTS_OPEN = 5
"""When so many slots of a window have passed, a node has seen that it is open."""

WINDOW = 3 * WINDOWS["submission_window"] + 1
"""The slots of COMMIT and REVEAL together, in a crew whose windows are three times as long as usual."""


@pytest.fixture(autouse=True)
def sandbox() -> None:
    require_sandbox("sandlock")


def test_honest_nodes_are_paid_and_a_liar_is_slashed(tmp_path: Path, environment: Environment) -> None:
    async def run() -> None:
        async with open_crew(tmp_path, environment, HONEST, (None, None, None, "lie")) as crew:
            liar = crew.members[3].identity.node
            view = await crew.settle(0, lambda view: len(view.submissions) == 4)
            paid = {one.node: (one.reward, one.slash) for one in view.payments}
            [stake] = [each.stake for each in view.submissions if each.node == liar]
            assert paid.pop(liar) == (0, stake * 7 // 10)
            assert list(paid.values()) == [(2 * KOII, 0)] * 3

    asyncio.run(run())


@pytest.mark.slow
def test_work_that_fails_costs_its_round_and_no_other(
    tmp_path: Path, environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    source = HONEST.replace('] = "truth"', '] = "truth" * (1 // (ctx.round != 1))')

    async def run() -> None:
        async with open_crew(tmp_path, environment, source) as crew:
            await crew.settle(2)
            assert (await crew.read(1)).status == "Unopened"

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert "work of round 1: ZeroDivisionError: integer division or modulo by zero" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.slow
def test_a_proof_that_hangs_its_auditors_does_not_keep_them_from_others(
    tmp_path: Path, environment: Environment
) -> None:
    hangs = '    import time\n    time.sleep(60 * (candidate.value == "hang"))\n    return candidate'
    source = HONEST.replace("    return candidate", hangs)

    async def run() -> None:
        lies = ("hang", None, None, "wrong")
        async with open_crew(tmp_path, environment, source, lies, stretch=2) as crew:

            def is_convicted(view: RoundView) -> bool:
                verdicts = {each.value: each.verdict for each in view.submissions}
                return verdicts == {"hang": "untried", "truth": "untried", "wrong": "convicted"}

            await crew.settle(0, is_convicted)

    asyncio.run(run())


@pytest.mark.slow
def test_garbage_from_the_task_never_reaches_the_ledger(
    tmp_path: Path, environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    source = HONEST.replace(
        'task.distribution(equal_split(slash="70%"))',
        "@task.distribution\ndef distribute(round):\n    return {'nobody that submitted': round.bounty}",
    ).replace('return ctx.state["value"]', 'return ctx.state["value"] * (1000 if ctx.round == 0 else 1)')

    async def run() -> None:
        async with open_crew(tmp_path, environment, source) as crew:
            view = await crew.finish(1)
            assert [view.status, view.lists] == ["Open", []]
            assert (await crew.read(0)).status == "Unopened"

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert "submission returned 5000 bytes" in caplog.text
    assert "who submitted nothing" in caplog.text


@pytest.mark.slow
def test_a_list_that_the_ledger_would_refuse_is_not_uploaded_and_the_reason_is_shown(
    tmp_path: Path, environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    source = HONEST.replace(
        'task.distribution(equal_split(slash="70%"))',
        "@task.distribution\ndef distribute(round):\n"
        "    return {round.submitters[0].public_key: round.bounty + 1}",
    )
    failures: dict[str, str] = {}

    async def run() -> str:
        async with open_crew(tmp_path, environment, source) as crew:
            [member] = crew.members

            async def is_refused() -> bool:
                standing = read_standing(member.directory)
                failures.update(standing.failures if standing else {})
                return bool(failures)

            await crew.reach(is_refused)
            sent = await crew.client.call("getSignaturesForAddress", crew.task, {"limit": 1000})
            config = {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0}
            return str([await crew.client.call("getTransaction", each["signature"], config) for each in sent])

    with caplog.at_level(logging.WARNING):
        sent = asyncio.run(run())
    [(subject, reason)] = failures.items()
    assert subject.startswith("sending the list of round ")
    assert reason.startswith("ListOverBounty: the task's list of round ")
    assert f"{subject}: {reason}" in caplog.text
    assert "submission" in sent.lower()
    assert "uploaddistributionlist" not in sent.lower()
    assert read_standing(tmp_path / "node-0") is None  # the node has ended


def test_a_node_that_is_stopped_and_started_goes_on_with_its_rounds(
    tmp_path: Path, environment: Environment
) -> None:
    async def run() -> None:
        async with open_crew(tmp_path, environment, HONEST, (None, None)) as crew:
            member = crew.members[0]
            await crew.reach(lambda: crew.has_submitted(member, 0))
            await member.stop()
            assert member.memory.load().values == {0: "truth"}
            await member.start()
            view = await crew.settle(0, lambda view: len(view.payments) == 2)
            assert {one.reward for one in view.payments} == {3 * KOII}
            assert (await crew.read_stake(member)).amount == STAKE

    asyncio.run(run())


@pytest.mark.parametrize("has_arrived", [False, True])
def test_a_stake_that_was_on_its_way_when_the_node_was_killed_is_paid_once(
    tmp_path: Path, environment: Environment, has_arrived: bool
) -> None:
    async def run() -> None:
        async with open_crew(tmp_path, environment, starts=False) as crew:
            [member] = crew.members
            identity = member.identity
            asked = await build_stake(
                crew.client, identity.payer, identity.staking, crew.task, STAKE, identity.endpoint
            )
            signed = await sign(crew.client, asked, [identity.payer, identity.staking])
            memory = member.memory
            memory.on_its_way = signed
            memory.close()
            if has_arrived:
                await deliver(crew.client, signed)
            await member.start()
            await crew.reach(lambda: crew.has_submitted(member, 0))
            assert (await crew.read_stake(member)).amount == STAKE
            spent = MONEY - await crew.client.get_balance(str(identity.payer.pubkey()))
            assert STAKE < spent < STAKE + KOII // 10

    asyncio.run(run())


def test_an_endpoint_goes_to_the_ledger_with_the_stake_or_to_a_stake_that_has_none(
    tmp_path: Path, environment: Environment
) -> None:
    async def run() -> None:
        async with open_crew(tmp_path, environment, starts=False) as crew:
            [member] = crew.members
            for endpoint in ("", "http://127.0.0.1:98"):
                member.identity = msgspec.structs.replace(member.identity, endpoint=endpoint)
                await member.start()

                async def is_known(endpoint: str = endpoint) -> bool:
                    view = await read_task(crew.client, crew.task)
                    return [stake.endpoint for stake in view.stakes] == [endpoint]

                await crew.reach(is_known)
                await member.stop()
            assert (await crew.read_stake(member)).amount == STAKE + 1

    asyncio.run(run())


def test_a_lane_may_be_given_up_while_it_starts(house: House) -> None:
    async def use(lanes: Lanes) -> str | None:
        asking = asyncio.create_task(lanes.submit(0, SEED, 20))
        lane = lanes._lanes["review"]
        while lane._process is None:  # noqa: ASYNC110 # the moment is over before an event would be heard of
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking}, timeout=20)
        assert asking.cancelled()
        return await lanes.submit(0, SEED, 20)

    assert house.run("@task.submission\ndef submission(ctx):\n    return 'here'\n", use) == "here"


def test_a_submission_that_still_runs_when_its_window_opens_is_not_started_again(
    tmp_path: Path, environment: Environment
) -> None:
    source = HONEST.replace(
        'return ctx.state["value"]',
        """
    import time
    with open(f"calls-{ctx.round}", "a") as calls:
        calls.write("x")
    while not os.path.exists(f"go-{ctx.round}"):
        time.sleep(0.01)
    return ctx.state["value"]""",
    )

    async def try_round(crew: Crew, round_number: int) -> bool:
        """Whether the function began before its window, ended in it, and was not killed before."""
        [member] = crew.members
        calls = member.directory / "task" / f"calls-{round_number}"
        opens = compute_timetable(await read_task(crew.client, crew.task)).compute_start(round_number + 1)

        async def has_passed(slot: int) -> bool:
            return (await read_task(crew.client, crew.task)).slot >= slot

        async def has_begun() -> bool:
            return calls.exists() or await has_passed(opens)

        await crew.reach(has_begun)
        is_early = calls.exists() and not await has_passed(opens)
        await crew.reach(lambda: has_passed(opens + SLOTS_OPEN))
        (calls.parent / f"go-{round_number}").touch()
        await crew.reach(lambda: has_passed(opens + WINDOW))
        if not is_early or member.lanes.count_starts()["review"] > 1:
            return False
        assert "x" == calls.read_text()
        return await crew.has_submitted(member, round_number)

    async def run() -> None:
        async with open_crew(tmp_path, environment, source, stretch=3, rules=ROUNDWORK_1.name) as crew:
            for round_number in range(TRIES):
                if await try_round(crew, round_number):
                    return
            raise AssertionError(f"in none of {TRIES} rounds")

    asyncio.run(run())
