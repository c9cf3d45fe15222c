"""An answer has a size and a cost: what exceeds them is refused by name, and other clients are answered."""

import asyncio
import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import zstandard
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import Transaction

from roundwork.ledger.chain import Chain
from roundwork.ledger.embedded.producer import Producer
from roundwork.ledger.limits import LIMITS
from roundwork.ledger.rpc.answers import ANSWERS_MAX
from roundwork.ledger.rpc.budget import Budget
from roundwork.ledger.rpc.dispatch import METHODS, Rpc
from roundwork.ledger.rpc.ledger import READERS, Ledger
from roundwork.ledger.rpc.rates import Rates
from roundwork.ledger.rpc.reads import TaskReads
from roundwork.ledger.rpc.sending import reads_list
from roundwork.ledger.signatures import Verifier
from roundwork.protocol.params import KPL_PROGRAM, TASK_PROGRAM, NodeKey, TaskKey, base58_of
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.tasks.instructions import SubmitDistributionList
from roundwork.protocol.tasks.layouts import TASK_PROGRAMS
from roundwork.protocol.transaction import decode_transaction
from roundwork.views import PartKind, TaskHead

from ..ledger.process import NEWEST, RpcFailure, RunningLedger, running
from ..protocol.stage import Stage
from .fronts import HONEST, HOSTILE, compose_call

LARGE = 50_000_000
MEDIUM = 2_000_000
ANSWER_BYTES = 4 * 2**20
MEMORY_BYTES_MAX = 300 * 2**20
TOO_LARGE = -32012

LONG = {"encoding": "base64+zstd", "dataSlice": {"offset": 0, "length": 32_000_000}}
"""The form of a large account that takes long to make and is short: zeros, compressed."""


class Scene:
    """A ledger with a large account and a medium one, and the pair that paid for them."""

    def __init__(self, ledger: RunningLedger) -> None:
        self.ledger = ledger
        self.payer = Keypair()
        ledger.fund(self.payer, 10**12)
        self.large, self.medium = (self._create(size) for size in (LARGE, MEDIUM))
        ledger.wait_until_final()

    def _create(self, size: int) -> str:
        pair = Keypair()
        self.ledger.send(self.sign([compose_creation(self.payer, pair, size)], pair))
        return str(pair.pubkey())

    def sign(self, instructions: list[Instruction], *pairs: Keypair) -> bytes:
        tick = Hash.from_string(self.ledger.call("getLatestBlockhash")["value"]["blockhash"])
        message = Message.new_with_blockhash(instructions, self.payer.pubkey(), tick)
        return bytes(Transaction([self.payer, *pairs], message, tick))

    def pay(self, target: str, amount: int) -> None:
        """A transfer that no other equals, if amounts differ."""
        give = transfer(
            TransferParams(
                from_pubkey=self.payer.pubkey(), to_pubkey=Pubkey.from_string(target), lamports=amount
            )
        )
        self.ledger.send(self.sign([give]))

    def compose_unsigned(self) -> str:
        """A transfer that nobody has signed, as a simulation takes it."""
        tick = Hash.from_string(self.ledger.call("getLatestBlockhash")["value"]["blockhash"])
        give = transfer(
            TransferParams(from_pubkey=self.payer.pubkey(), to_pubkey=self.payer.pubkey(), lamports=1)
        )
        message = Message.new_with_blockhash([give], self.payer.pubkey(), tick)
        return encode(bytes(Transaction.populate(message, [Signature.default()])))

    def fail(self, method: str, *params: Any) -> RpcFailure:
        with pytest.raises(RpcFailure) as failure:
            self.ledger.call(method, *params)
        return failure.value


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("answers") / "ledger"
    with running(directory, None, "--limit", f"answer_bytes={ANSWER_BYTES}") as ledger:
        yield Scene(ledger)


def compose_creation(payer: Keypair, pair: Keypair, size: int) -> Instruction:
    return create_account(
        CreateAccountParams(
            from_pubkey=payer.pubkey(),
            to_pubkey=pair.pubkey(),
            lamports=1,
            space=size,
            owner=Pubkey(TASK_PROGRAM),
        )
    )


def encode(wire: bytes) -> str:
    return base64.b64encode(wire).decode()


def read_peak_memory(ledger: RunningLedger) -> int:
    """The most memory that the ledger's process has had, in bytes."""
    lines = Path(f"/proc/{ledger.process.pid}/status").read_text().splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kib) * 1024


# Bytes


def test_an_unsigned_simulation_cannot_have_a_large_account_shown_again_and_again(scene: Scene) -> None:
    shown = {"encoding": "base64", "addresses": [scene.large] * 15}
    wire = scene.compose_unsigned()

    failure = scene.fail("simulateTransaction", wire, {"encoding": "base64", "accounts": shown})

    assert TOO_LARGE == failure.code
    assert f"more than {ANSWER_BYTES} bytes" in failure.message
    assert read_peak_memory(scene.ledger) < MEMORY_BYTES_MAX
    few = {"encoding": "base64", "addresses": [scene.medium]}
    answer = scene.ledger.call("simulateTransaction", wire, {"encoding": "base64", "accounts": few})
    assert MEDIUM == len(base64.b64decode(answer["value"]["accounts"][0]["data"][0]))


@pytest.mark.parametrize("encoding", ["base64", "base64+zstd", "jsonParsed"])
def test_no_encoding_makes_a_large_account_of_any_read(scene: Scene, encoding: str) -> None:
    config = {"encoding": encoding}

    failures = [
        scene.fail("getAccountInfo", scene.large, config),
        scene.fail("getMultipleAccounts", [scene.medium, scene.large], config),
        scene.fail("getProgramAccounts", str(Pubkey(TASK_PROGRAM)), config),
    ]

    assert [TOO_LARGE] * 3 == [failure.code for failure in failures]
    assert read_peak_memory(scene.ledger) < MEMORY_BYTES_MAX


def test_many_medium_accounts_are_too_large_together(scene: Scene) -> None:
    assert TOO_LARGE == scene.fail("getMultipleAccounts", [scene.medium] * 100).code


def test_a_part_of_a_large_account_is_served(scene: Scene) -> None:
    for offset, length, expected in ((0, 100, 100), (LARGE - 7, 100, 7), (LARGE - MEDIUM, MEDIUM, MEDIUM)):
        config = {"encoding": "base64", "dataSlice": {"offset": offset, "length": length}}
        value = scene.ledger.call("getAccountInfo", scene.large, config)["value"]

        assert bytes(expected) == base64.b64decode(value["data"][0])
        assert LARGE == value["space"]


def test_an_account_is_the_same_in_every_encoding(scene: Scene) -> None:
    def read(encoding: str) -> Any:
        return scene.ledger.call("getAccountInfo", scene.medium, {"encoding": encoding})["value"]["data"]

    in_base64, compressed, parsed = read("base64"), read("base64+zstd"), read("jsonParsed")

    assert bytes(MEDIUM) == base64.b64decode(in_base64[0])
    assert in_base64 == parsed
    assert "base64+zstd" == compressed[1]
    assert bytes(MEDIUM) == zstandard.ZstdDecompressor().decompress(base64.b64decode(compressed[0]))


def test_a_batch_has_one_budget_and_each_request_beyond_it_its_own_error(scene: Scene) -> None:
    requests = [
        {"jsonrpc": "2.0", "id": at, "method": "getHealth"}
        if at % 2
        else {
            "jsonrpc": "2.0",
            "id": at,
            "method": "getAccountInfo",
            "params": [scene.medium, {"encoding": "base64"}],
        }
        for at in range(100)
    ]

    answers = scene.ledger.post(requests)

    assert list(range(100)) == [answer["id"] for answer in answers]
    assert ["ok"] * 50 == [answer["result"] for answer in answers[1::2]]
    assert "result" in answers[0]
    assert {TOO_LARGE} == {answer["error"]["code"] for answer in answers[2::2]}
    assert read_peak_memory(scene.ledger) < MEMORY_BYTES_MAX


def test_a_simulation_shows_a_large_account_that_it_makes(scene: Scene) -> None:
    pair = Keypair()
    wire = encode(scene.sign([compose_creation(scene.payer, pair, MEDIUM)], pair))
    shown = {"encoding": "base64", "addresses": [str(pair.pubkey()), str(Keypair().pubkey())]}

    answer = scene.ledger.call("simulateTransaction", wire, {"encoding": "base64", "accounts": shown})

    made, missing = answer["value"]["accounts"]
    assert (MEDIUM, 1, None) == (len(base64.b64decode(made["data"][0])), made["lamports"], missing)
    assert scene.ledger.call("getAccountInfo", str(pair.pubkey()), NEWEST)["value"] is None


# Work


def count_calls_beside(ledger: RunningLedger, body: bytes) -> tuple[int, Any]:
    """How many calls of another client are answered while a body is, and the answer to that."""
    with ThreadPoolExecutor(1) as pool:
        answering = pool.submit(
            httpx2.post, ledger.url, content=body, headers={"content-type": "application/json"}, timeout=100
        )
        count = 0
        while not answering.done():
            assert "ok" == ledger.call("getHealth")
            count += 1
        return count, answering.result().json()


def compose_batch(count: int, method: str, *params: Any) -> bytes:
    return b"[" + b",".join([compose_call(method, *params)] * count) + b"]"


def test_others_are_answered_while_long_reads_run(scene: Scene) -> None:
    config = {"encoding": "base64+zstd"}
    batch = compose_batch(300, "getAccountInfo", scene.medium, config)

    count, answers = count_calls_beside(scene.ledger, batch)

    assert 300 == sum("result" in answer for answer in answers)
    assert count >= 5


def test_others_are_answered_while_a_batch_of_short_reads_runs(scene: Scene) -> None:
    config = {"encoding": "base64", "sigVerify": True}
    batch = compose_batch(1_000, "simulateTransaction", scene.compose_unsigned(), config)

    count, answers = count_calls_beside(scene.ledger, batch)

    assert {"SignatureFailure": 1_000} == Counter(answer["result"]["value"]["err"] for answer in answers)
    assert count >= 5


def test_an_answer_has_a_budget_of_work(tmp_path: Path) -> None:
    with running(tmp_path / "ledger", None, *compose_limits(work_seconds=1)) as ledger:
        scene = Scene(ledger)
        answers = ledger.post(json.loads(compose_batch(1_000, "getAccountInfo", scene.large, LONG)))

        kinds = Counter(answer.get("error", {}).get("code", 0) for answer in answers)
        assert {0, TOO_LARGE} == kinds.keys()
        assert "needs more than 1 seconds of work" in answers[-1]["error"]["message"]
        assert "ok" == ledger.call("getHealth")


def test_an_address_whose_calls_take_long_may_make_fewer_of_them(tmp_path: Path) -> None:
    with running(tmp_path / "ledger", None, *compose_limits(calls_per_second=1, calls_at_once=30)) as ledger:
        scene = Scene(ledger)
        call = compose_call("getAccountInfo", scene.large, LONG)

        statuses = [post_from(HOSTILE, ledger, call).status_code for _ in range(30)]

        assert 200 == statuses[0]
        assert 429 == statuses[-1]
        assert 200 == post_from(HONEST, ledger, compose_call("getHealth")).status_code


def test_the_rest_of_a_batch_is_refused_when_its_address_owes_too_much(tmp_path: Path) -> None:
    with running(tmp_path / "ledger", None, *compose_limits(calls_per_second=1, calls_at_once=300)) as ledger:
        scene = Scene(ledger)
        answers = post_from(HOSTILE, ledger, compose_batch(200, "getAccountInfo", scene.large, LONG)).json()

        assert "result" in answers[0]
        assert -32005 == answers[-1]["error"]["code"]


def test_long_reads_that_wait_are_bounded_by_address(tmp_path: Path) -> None:
    with running(tmp_path / "ledger", None, *compose_limits(reads_per_address=1)) as ledger:
        scene = Scene(ledger)
        batch = compose_batch(50, "getAccountInfo", scene.large, LONG)
        begin = threading.Barrier(6)

        def post() -> Any:
            begin.wait()
            return post_from(HOSTILE, ledger, batch).json()

        with ThreadPoolExecutor(6) as pool:
            posting = [pool.submit(post) for _ in range(6)]
            answers = [answer for posted in posting for answer in posted.result()]

        kinds = Counter(answer.get("error", {}).get("code", 0) for answer in answers)
        assert {0, -32005} == kinds.keys()
        assert "ok" == ledger.call("getHealth")


def compose_limits(**limits: int) -> list[str]:
    return [part for name, value in limits.items() for part in ("--limit", f"{name}={value}")]


def post_from(address: str, ledger: RunningLedger, content: bytes) -> httpx2.Response:
    """The response to a body from an address."""
    transport = httpx2.HTTPTransport(local_address=address)
    with httpx2.Client(transport=transport, timeout=60, trust_env=False) as client:
        return client.post(ledger.url, content=content, headers={"content-type": "application/json"})


@pytest.mark.parametrize("program", [TASK_PROGRAM, KPL_PROGRAM], ids=["native", "token"])
def test_a_transaction_that_has_a_list_read_is_known(program: bytes) -> None:
    task, pair = Pubkey.new_unique(), Keypair()
    node = NodeKey(bytes(pair.pubkey()))
    submit = SubmitDistributionList(TaskKey(bytes(task)), node, node, 0)
    accounts, data = TASK_PROGRAMS[program].encode(submit)
    metas = [AccountMeta(Pubkey(each.key), each.is_signer, each.is_writable) for each in accounts]
    message = Message.new_with_blockhash(
        [Instruction(Pubkey(program), data, metas)], pair.pubkey(), Hash.default()
    )

    assert reads_list(decode_transaction(bytes(Transaction([pair], message, Hash.default()))))
    give = transfer(TransferParams(from_pubkey=pair.pubkey(), to_pubkey=task, lamports=1))
    message = Message.new_with_blockhash([give], pair.pubkey(), Hash.default())
    assert not reads_list(decode_transaction(bytes(Transaction([pair], message, Hash.default()))))


def bring(chain: Chain, world: Stage, first: int) -> None:
    """Bring the blocks of a world from the one numbered `first` on into a ledger."""
    for block, verified, _ in world.blocks[first:]:
        outcome = chain.execute(block, verified)
        chain.persist(block, outcome)
        chain.publish(block, outcome)


def test_long_reads_of_clients_hold_up_no_head(tmp_path: Path) -> None:
    """Every node waits for the head; a client's reads may take long on all threads that read the past."""
    world = Stage().submitted().go(2)
    Chain.create(tmp_path, world.state.genesis)
    ended = threading.Event()

    async def run(chain: Chain) -> TaskHead:
        ledger = Ledger(chain, Producer(chain, Verifier(workers=0)))
        bring(chain, world, 0)
        reads = [asyncio.create_task(ledger.read(Budget("", LIMITS), ended.wait)) for _ in range(READERS)]
        await asyncio.sleep(0)  # they have their threads
        try:
            raw = await asyncio.wait_for(ledger.reads.get_head(world.task), 20)
        finally:
            ended.set()
            await asyncio.gather(*reads)
        assert raw is not None
        return msgspec.json.decode(raw, type=TaskHead)

    with closing(Chain(tmp_path)) as chain:
        head = asyncio.run(run(chain))

    assert PartKind.SUBMISSIONS in [part.kind for shown in head.rounds for part in shown.parts]


def test_a_part_that_could_not_be_made_is_made_for_the_next_head(tmp_path: Path) -> None:
    world = Stage().submitted().go(2)
    Chain.create(tmp_path, world.state.genesis)

    async def run(chain: Chain) -> TaskHead:
        ledger = Ledger(chain, Producer(chain, Verifier(workers=0)))
        bring(chain, world, 0)
        ledger.reads._encoder.shutdown()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="after shutdown"):
                await ledger.reads.get_head(world.task)
        ledger.reads._encoder = ThreadPoolExecutor(1)
        raw = await ledger.reads.get_head(world.task)
        assert raw is not None
        return msgspec.json.decode(raw, type=TaskHead)

    with closing(Chain(tmp_path)) as chain:
        head = asyncio.run(run(chain))

    assert PartKind.SUBMISSIONS in [part.kind for shown in head.rounds for part in shown.parts]


def test_a_view_that_could_not_be_copied_is_copied_for_the_next_reader(tmp_path: Path) -> None:
    world = Stage().submitted()
    Chain.create(tmp_path, world.state.genesis)
    with closing(Chain(tmp_path)) as chain:
        ledger = Ledger(chain, Producer(chain, Verifier(workers=0)))
        bring(chain, world, 0)
        tables: dict[bytes, Any] = chain.state.tables  # a table that cannot be copied
        tables[b"?"] = None
        with pytest.raises(AttributeError):
            ledger.get_view(Budget("", LIMITS))
        del tables[b"?"]

        view = ledger.get_view(Budget("", LIMITS))

        assert view.is_view
        assert view.state is not chain.state


@pytest.mark.parametrize("method", ["getRoundRows", "getTaskStakes"])
def test_what_is_kept_between_two_blocks_is_bounded_however_many_requests_differ(
    tmp_path: Path, method: str
) -> None:
    world = Stage().submitted()
    Chain.create(tmp_path, world.state.genesis)
    middle = [0, "submitted"] if method == "getRoundRows" else []

    async def run(chain: Chain) -> int:
        ledger = Ledger(chain, Producer(chain, Verifier(workers=0)))
        bring(chain, world, 0)
        rpc = Rpc(ledger, METHODS, Rates(LIMITS))
        answers = [
            await rpc.answer(compose_call(method, base58_of(world.task), *middle, slot), "")
            for slot in range(ANSWERS_MAX + 50)
        ]
        assert all(answer is not None and b'"result":{' in answer for answer in answers)
        held = [value for value in vars(ledger.reads).values() if isinstance(value, dict)]
        return max(len(ledger.answers._made), *map(len, held))

    with closing(Chain(tmp_path)) as chain:
        assert ANSWERS_MAX == asyncio.run(run(chain))


def test_a_part_that_is_made_until_its_round_is_pruned_stops_no_head(tmp_path: Path) -> None:
    world = Stage({"allowed_failed_distributions": 0}).submitted().go(2)
    Chain.create(tmp_path, world.state.genesis)

    async def run(chain: Chain) -> tuple[Any, Any, Any]:
        async def on_disk() -> None:
            """Every block of this test is on disk."""

        reads = TaskReads(chain, on_disk)
        bring(chain, world, 0)
        count = len(world.blocks)
        slow = asyncio.create_task(reads.get_head(world.task))
        await asyncio.sleep(0)  # its part is being made; until this function waits again, it is not taken in
        world.go(12)
        bring(chain, world, count)
        assert RoundCursor(chain.state, world.task, 0).record is None
        assert not slow.done()
        meanwhile = await reads.get_head(world.task)
        late = await slow
        world.block()
        bring(chain, world, len(world.blocks) - 1)
        return meanwhile, late, await reads.get_head(world.task)

    with closing(Chain(tmp_path)) as chain:
        heads = asyncio.run(run(chain))

    assert None not in heads
