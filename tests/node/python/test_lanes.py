"""A task's processes as the node's runtime drives them."""

import asyncio
import json
from typing import Any

import pytest
from blake3 import blake3
from solders.pubkey import Pubkey

from roundwork.errors import RemoteError, StoreFull, TaskFailed
from roundwork.node.answers import ServiceError
from roundwork.node.confinement.order import Limits
from roundwork.node.python.channel import Service
from roundwork.node.python.lanes import Lanes, Opinion
from roundwork.participant.seeds import compute_node_seed, compute_random_seed
from roundwork.views import SubmissionView

from ..house import NODE, SECRET, SEED, TASK, House

ME = str(NODE.pubkey())
OTHER = "11111111111111111111111111111112"

WHOLE = """
    @task.setup
    def setup(ctx):
        ctx.store["setups"] = ctx.store.get("setups", 0) + 1

    @task.work
    def work(ctx):
        ctx.state["seed"] = ctx.seed.hex()
        ctx.state["chance"] = ctx.random.getrandbits(64)
        (ctx.files / "kept").write_text("file")

    @task.submission
    async def submission(ctx):
        return ctx.state["seed"]

    @task.audit
    def audit(ctx, candidate):
        if candidate.stake == 0:
            raise Unavailable("no stake to look at")
        return candidate.value == candidate.seed.hex() and ctx.seconds_left() > 0

    task.distribution(equal_split())
"""


def test_a_round_goes_through_its_steps_in_two_processes(house: House) -> None:
    own = blake3(bytes.fromhex(SEED) + bytes(NODE.pubkey())).hexdigest()

    async def run(lanes: Lanes) -> None:
        await lanes.work(4, SEED, 20)
        value = await lanes.submit(4, SEED, 20)
        assert value == own
        assert await lanes.audit(4, SEED, ME, own, 5, 20) == Opinion("valid")
        assert await lanes.audit(4, SEED, OTHER, own, 5, 20) == Opinion("invalid")
        assert await lanes.audit(4, SEED, ME, own, 0, 20) == Opinion("unavailable", "no stake to look at")
        views = [SubmissionView(ME, own, 1, 9, 1, "untried", None, {})]
        assert await lanes.distribute(4, 100, views, 20) == {ME: 100}
        assert lanes.count_starts() == {"work": 1, "review": 1, "web": 0}

    house.run(WHOLE, run)

    assert (house.home / "files" / "kept").read_text() == "file"


def test_state_survives_the_processes_and_is_dropped_when_its_round_closes(house: House) -> None:
    house.run(WHOLE, lambda lanes: lanes.work(1, SEED, 20))
    house.run(WHOLE, lambda lanes: lanes.work(2, SEED, 20))

    async def forget(lanes: Lanes) -> str | None:
        await lanes.forget(2)
        with pytest.raises(TaskFailed, match="KeyError"):
            await lanes.submit(1, SEED, 20)
        return await lanes.submit(2, SEED, 20)

    assert house.run(WHOLE, forget) == compute_node_seed(SEED, ME).hex()


def test_the_seed_of_a_node_follows_from_the_rounds_seed_and_its_address() -> None:
    seed = compute_node_seed(SEED, ME)

    assert seed == blake3(bytes.fromhex(SEED) + bytes(Pubkey.from_string(ME))).digest()
    assert seed != compute_node_seed(SEED, str(Pubkey.default()))


def test_chance_is_the_same_after_a_crash_and_different_for_every_step(house: House) -> None:
    source = """
        @task.submission
        def submission(ctx):
            return str(ctx.random.getrandbits(64))
    """

    first, again = house.submit(source), house.submit(source)

    assert first == again
    seeds = {
        compute_random_seed(secret, task, round, step, candidate)
        for secret in (SECRET, b"other")
        for task in (TASK, ME)
        for round in (1, 2)
        for step in ("audit", "work")
        for candidate in ("", "a")
    }
    assert len(seeds) == 32


def test_lanes_run_side_by_side_and_a_hung_one_holds_up_no_other(house: House) -> None:
    source = """
        @task.work
        def work(ctx):
            while True: pass

        @task.submission
        def submission(ctx):
            return "meanwhile"
    """

    async def run(lanes: Lanes) -> str | None:
        work = asyncio.create_task(lanes.work(1, SEED, 6))
        value = await lanes.submit(0, SEED, 20)
        assert not work.done()
        with pytest.raises(TaskFailed, match="work was still running after 6 s"):
            await work
        return value

    assert house.run(source, run) == "meanwhile"


def test_calls_of_one_lane_wait_for_one_another(house: House) -> None:
    source = """
        @task.submission
        def submission(ctx):
            inside = ctx.store.get("inside", 0)
            ctx.store["inside"] = inside + 1
            import time; time.sleep(0.05)
            ctx.store["inside"] = inside
            return str(inside + 1)
    """

    async def run(lanes: Lanes) -> list[str | None]:
        return await asyncio.gather(*(lanes.submit(number, SEED, 20) for number in range(5)))

    assert house.run(source, run) == ["1"] * 5


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("this is no python", "SyntaxError"),
        ("import nothing_of_the_name", "ModuleNotFoundError: No module named 'nothing_of_the_name'"),
        ("import msgspec", "ModuleNotFoundError"),
        ("del task", "task.py has 0 Task objects"),
        ("other = Task('two')", "task.py has 2 Task objects"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("os._exit(7)", "its process ended (exit 7)"),
        ("while True: pass", "still running after 2 s"),
        ("@task.submission\ndef f(ctx, more): return 'x'", "TypeError: f() missing 1 required"),
        ("@task.submission\ndef f(ctx): return 5", "submission returned 5; it must return text"),
        ("@task.submission\ndef f(ctx): return ctx.state['x']", "KeyError: 'x'"),
        ("pass", "has no @task.submission"),
        ("@task.setup\ndef f(ctx): raise OSError('down')", "OSError: down"),
    ],
)
def test_a_failure_is_named_with_its_traceback(house: House, source: str, said: str) -> None:
    with pytest.raises(TaskFailed) as failure:
        house.submit(source, seconds=2 if "while" in source else 20)

    assert said in str(failure.value)
    assert "submission" in str(failure.value)


def test_a_traceback_begins_in_the_authors_file(house: House) -> None:
    with pytest.raises(TaskFailed) as failure:
        house.submit("@task.submission\ndef f(ctx):\n    return 1 / 0")

    lines = str(failure.value).splitlines()
    assert lines[0].endswith("Traceback (most recent call last):")
    assert "task.py" in lines[1]


@pytest.mark.parametrize(
    "amounts",
    ["{'" + OTHER + "': 1}", "{'" + ME + "': 1.5}", "{'" + ME + "': 2**63}", "[]", "{1: 1}", "None"],
)
def test_a_list_that_is_none_is_the_tasks_failure(house: House, amounts: str) -> None:
    views = [SubmissionView(ME, "v", 1, 9, 1, "untried", None, {})]

    with pytest.raises(TaskFailed, match="distribution"):
        house.run(
            f"task.distribution(lambda round: {amounts})", lambda lanes: lanes.distribute(1, 5, views, 20)
        )


def test_a_list_of_ten_thousand_goes_through_the_channel(house: House) -> None:
    from solders.pubkey import Pubkey

    keys = [str(Pubkey(number.to_bytes(32, "big"))) for number in range(1, 10_001)]
    views = [SubmissionView(key, "x" * 512, 1, 9, 1, "untried", None, {}) for key in keys]

    amounts = house.run(
        "task.distribution(equal_split())", lambda lanes: lanes.distribute(1, 10_000, views, 60)
    )

    assert amounts == dict.fromkeys(sorted(keys), 1)


def asking(method: str, params: str = "{}") -> str:
    return f"""
        @task.submission
        def submission(ctx):
            try:
                return "got " + repr(ctx._request("{method}", {params}))
            except (Unavailable, Refused, InvalidSubmission) as error:
                return type(error).__name__ + ": " + str(error)
    """


def serving(answer: object) -> dict[str, Service]:
    async def service(params: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return {"service": service}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"a": [1]}, "got {'a': [1]}"),
        (b"bytes", "got 'Ynl0ZXM='"),
        (None, "got None"),
        (ServiceError("Unavailable", "not now"), "Unavailable: not now"),
        (ServiceError("Refused", "never"), "Refused: never"),
        (ServiceError("InvalidSubmission", "junk"), "InvalidSubmission: junk"),
        (RemoteError("ledger is down"), "Unavailable: service: ledger is down"),
        (StoreFull("no room"), "Refused: no room"),
    ],
)
def test_what_a_service_answers_reaches_the_author(house: House, answer: object, expected: str) -> None:
    assert house.submit(asking("service"), services=serving(answer)) == expected


def test_a_service_that_there_is_not_is_refused(house: House) -> None:
    assert house.submit(asking("nonsense")) == "Refused: 'nonsense' is not a service"


def test_services_may_be_asked_from_many_threads_at_once(house: House) -> None:
    waiting: list[asyncio.Event] = []

    async def service(params: Any) -> int:
        """Answers only once four are asking."""
        waiting.append(asyncio.Event())
        if len(waiting) == 4:
            for event in waiting:
                event.set()
        await waiting[-1].wait()
        return 1

    answer = house.submit(
        """
        from concurrent.futures import ThreadPoolExecutor

        @task.submission
        def submission(ctx):
            with ThreadPoolExecutor(4) as pool:
                return str(sum(pool.map(lambda _: ctx._request("service", {}), range(4))))
        """,
        services={"service": service},
    )

    assert answer == "4"


def test_a_large_answer_goes_both_ways(house: House) -> None:
    received: list[bytes] = []

    async def service(params: Any) -> str:
        received.append(bytes(params))
        return "y" * 3_000_000

    source = """
        @task.submission
        def submission(ctx):
            return str(len(ctx._request("service", {"data": "x" * 3_000_000})))
    """

    assert house.submit(source, services={"service": service}) == "3000000"
    assert json.loads(received[0]) == {"data": "x" * 3_000_000}
    assert list((house.home / "spill-review").iterdir()) == []


def test_the_deadline_counts_the_wait_for_a_service(house: House) -> None:
    async def service(params: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TaskFailed, match="still running after 2 s"):
        house.submit(asking("service"), seconds=2, services={"service": service})


def test_a_cancelled_call_leaves_no_process(house: House) -> None:
    begun = asyncio.Event()

    async def service(params: Any) -> None:
        begun.set()

    async def run(lanes: Lanes) -> int:
        call = asyncio.create_task(lanes.work(0, SEED, 60))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return lanes.count_starts()["work"]

    source = """
        @task.work
        def work(ctx):
            ctx._request("begun", {})
            while True: pass
    """

    assert house.run(source, run, services={"begun": service}) == 1


def test_memory_is_bounded_by_name(house: House) -> None:
    with pytest.raises(TaskFailed, match="MemoryError"):
        house.submit(
            "@task.submission\ndef f(ctx): return str(len(bytearray(1 << 30)))",
            limits=Limits(memory_bytes=256 * 1024 * 1024),
        )


def test_a_task_that_outgrows_its_disk_while_it_runs_is_stopped(house: House) -> None:
    with pytest.raises(TaskFailed, match="bytes of disk; 4000000 are allowed"):
        house.submit(
            """
            @task.submission
            def submission(ctx):
                for number in range(8):
                    open(f"data-{number}", "wb").write(bytes(1_000_000))
                while True: pass
            """,
            limits=Limits(disk_bytes=4_000_000),
        )
