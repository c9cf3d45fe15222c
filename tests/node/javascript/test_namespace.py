"""What a main.js gets when it asks its node, over a real socket and on a real ledger."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.null_signer import NullSigner
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from roundwork.client.operations import (
    airdrop,
    create_token,
    deploy,
    mint_tokens,
    read_task,
    set_active,
    stake,
    withdraw,
)
from roundwork.client.rpc import Client
from roundwork.client.token_operations import find_account
from roundwork.errors import WrongPhase
from roundwork.node.javascript.namespace import METHODS, Namespace
from roundwork.node.javascript.namespace_route import build_namespace_route
from roundwork.node.javascript.process import JavascriptSetting
from roundwork.node.javascript.task_files import BadCall, TaskFiles
from roundwork.node.javascript.task_wallet import TaskWallet
from roundwork.node.lookout import CurrentTask
from roundwork.node.peers.gateway import build_gateway
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.parts import PartBook
from roundwork.node.peers.payload import decode_base58
from roundwork.node.peers.storage import BlobStore, TaskBlobs
from roundwork.package.content import compute_content_id
from roundwork.package.folder import load_package
from roundwork.protocol.clock import DISTRIBUTION
from roundwork.protocol.params import KOII, KPL_PROGRAM, TASK_PROGRAM, Key, base58_of
from roundwork.views import TaskView

from ...ledger.process import SLOT_MS, RunningLedger, running
from ..peers.neighbours import serve

HELLO = Path(__file__).parents[3] / "examples" / "hello"
SECRET, OTHER_SECRET = "of this task", "of another task"
NODES = [{"data": {"url": "http://a"}}]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("namespace") / "ledger") as one:
        yield one


class CountingClient(Client):
    """Notes what the ledger is requested with."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.requests: list[str] = []
        """Methods, in their order."""

    async def __aenter__(self) -> "CountingClient":
        return self

    async def call(self, method: str, *params: Any) -> Any:
        self.requests.append(method)
        return await super().call(method, *params)


class Room:
    """A task's namespace behind the gateway, and what requests it. `pushed` gives the heads."""

    def __init__(
        self,
        client: CountingClient,
        pushed: Client,
        http: httpx2.AsyncClient,
        task: TaskView,
        home: Path,
        url: str,
        store: BlobStore,
        fetcher: Fetcher,
    ) -> None:
        self.client = client
        self.current = CurrentTask(task)
        self.store = store
        self.fetcher = fetcher
        self.http = http
        self.task = task.address
        self.home = home
        self.url = url
        self.payer, self.staking = Keypair(), Keypair()
        self.lines: list[str] = []
        self.parts = PartBook(client, fetcher, store, str(self.staking.pubkey()), dict)
        """The node has no head and no part before `look`."""
        self.requests = client.requests
        self._pushed = pushed

    def open_namespace(
        self, task: str, program: Key = TASK_PROGRAM, staking: Keypair | None = None
    ) -> Namespace:
        setting = JavascriptSetting(
            task=task, name="hello", program=HELLO, home=self.home, main_key=str(self.payer.pubkey()),
            secret=SECRET, ledger_url=self.client.url, service_url=self.url, web_port=1, node_port=1,
        )  # fmt: skip
        return Namespace(
            setting=setting,
            wallet=TaskWallet(self.client, self.payer, staking or self.staking, program),
            files=TaskFiles(self.home, 60_000_000),
            read_ledger=lambda method, params: self.client.call(method, *params),
            parts=self.parts,
            current=self.current,
            list_nodes=lambda: NODES,
            blobs=self.open_blobs(self.store, {}),
            log=self.lines.append,
        )

    def open_blobs(self, store: BlobStore, endpoints: dict[str, str]) -> TaskBlobs:
        async def find_endpoint(node: str) -> str:
            return ""

        node = str(self.staking.pubkey())
        return TaskBlobs(self.task, node, store, self.fetcher, lambda: endpoints, find_endpoint)

    async def look(self) -> None:
        """Take the newest head, as a node does in each slot."""
        found = await self._pushed.get_head(self.task)
        assert found is not None
        self.current.take_head(found.head)
        self.parts.need((), found.head, SLOT_MS / 1000)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Take a head again and again meanwhile."""

        async def look_on() -> None:
            while True:
                await self.look()

        looking = asyncio.create_task(look_on())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def post(self, body: Any) -> tuple[int, Any]:
        answer = await self.http.post("/namespace-wrapper", json=body)
        return answer.status_code, answer.json()

    async def ask(self, *args: Any, secret: str = SECRET) -> Any:
        """The response; what refuses it as text if it is refused."""
        status, answer = await self.post({"args": args, "taskId": self.task, "secret": secret})
        if status == 200:
            return answer.get("response")
        assert status == 422
        return answer["message"]


def use(
    ledger: RunningLedger, directory: Path, work: Callable[[Room], Awaitable[None]], amount: int = 5 * KOII
) -> None:
    async def run() -> None:
        async with open_room(ledger, directory, amount) as room:
            await work(room)

    asyncio.run(run())


@asynccontextmanager
async def open_room(ledger: RunningLedger, directory: Path, amount: int) -> AsyncIterator[Room]:
    manager = Keypair()
    store = BlobStore(directory / "blobs")
    namespaces: dict[str, Namespace] = {}
    app = build_gateway(
        store=store,
        get_tasks=dict,
        registrations={},
        get_metrics=dict,
        routes=[build_namespace_route(lambda: namespaces)],
    )
    async with (
        CountingClient(ledger.url) as client,
        Client(ledger.url) as pushed,
        serve(app) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as http,
    ):
        await airdrop(client, str(manager.pubkey()), 3000 * KOII)
        task = await deploy(client, manager, load_package(HELLO), "")
        await set_active(client, manager, task, True)
        home = directory / "home"
        home.mkdir()
        fetcher = Fetcher(is_development=True)
        room = Room(client, pushed, http, await read_task(client, task), home, url, store, fetcher)
        await airdrop(client, str(room.payer.pubkey()), 100 * KOII)
        await stake(client, room.payer, room.staking, task, amount, url)
        room.current.task = await read_task(client, task)
        namespaces[task] = room.open_namespace(task)
        yield room
        await room.parts.close()
        await fetcher.close()
        store.close()


def test_a_call_needs_its_method_its_task_and_its_secret(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        whole = {"args": ["getRpcUrl"], "taskId": room.task, "secret": SECRET}
        assert (200, {"response": ledger.url}) == await room.post(whole)
        for name in whole:
            answer = await room.post({key: value for key, value in whole.items() if key != name})
            assert (422, {"message": f"No {name} provided"}) == answer
        for name in whole:
            assert (422, {"message": f"No {name} provided"}) == await room.post({**whole, name: 5})
        assert 422 == (await room.http.post("/namespace-wrapper", content=b"{" * 9)).status_code
        assert 422 == (await room.post([]))[0]

    use(ledger, tmp_path, work)


def test_the_secret_of_another_task_is_refused(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        body = {"args": ["getSubmitterAccount"], "taskId": room.task, "secret": OTHER_SECRET}
        assert (401, {"message": "Invalid secret provided"}) == await room.post(body)
        elsewhere = {**body, "taskId": str(Keypair().pubkey()), "secret": SECRET}
        assert 422 == (await room.post(elsewhere))[0]

    use(ledger, tmp_path, work)


def test_a_method_off_the_list_or_for_the_nodes_key_is_refused_by_name(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        for method in ("mainSystemAccount", "getMainSystemAccount", "__init__", "call", "_wallet", 7, None):
            told = await room.ask(method)
            assert f"{method} is not served" in told
            assert "never for a key of the node's" in told
        assert "EACCES" in await room.ask("fs", "readFile", "../blobs/x")
        assert all(name.isidentifier() for name in METHODS)

    use(ledger, tmp_path, work)


def test_the_key_it_is_given_is_its_own_and_holds_its_stake(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        account = (await room.ask("getSubmitterAccount"))["_keypair"]
        secret = bytes(account["secretKey"][str(at)] for at in range(64))
        assert Keypair.from_bytes(secret) == room.staking
        assert [account["publicKey"][str(at)] for at in range(32)] == list(bytes(room.staking.pubkey()))
        assert str(room.payer.pubkey()) == await room.ask("getMainAccountPubkey")
        state = await room.ask("getTaskState", {"is_stake_list_required": True})
        assert {str(room.staking.pubkey()): 5 * KOII} == state["stake_list"]

    use(ledger, tmp_path, work)


def test_the_task_is_read_whole_or_in_the_parts_asked_for(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        whole, bare = await room.ask("getTaskState"), await room.ask("getTaskState", {})
        assert room.task == whole["task_id"] == bare["task_id"]
        assert await room.ask("getTaskState", None) == whole
        assert ({}, {}) == (bare["stake_list"], bare["submissions"])
        assert whole["stake_list"]
        by_id = await room.ask("getTaskStateById", room.task, {"is_stake_list_required": True}, "KOII")
        assert by_id["stake_list"] == whole["stake_list"]
        assert "there is no task" in await room.ask("getTaskStateById", str(Keypair().pubkey()), {}, "KOII")
        info = await room.ask("getTaskSubmissionInfo", 0)
        assert {"submissions", "submissions_audit_trigger"} == set(info)
        info = await room.ask("getTaskDistributionInfo", 0)
        assert "distributions_audit_record" in info
        assert "has handed in no list" in await room.ask("getDistributionList", str(room.staking.pubkey()), 0)
        assert "a round is an integer" in await room.ask("getTaskSubmissionInfo", 0.5)

    use(ledger, tmp_path, work)


def test_a_task_that_reads_in_every_slot_costs_the_ledger_no_request(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    """Balances are read in each ledger round once, rounds that are over once. Nothing pays meanwhile."""
    flags = ("is_submission_required", "is_distribution_required", "is_stake_list_required")

    async def work(room: Room) -> None:
        async def read_all(*options: Any) -> None:
            """Read in a loop until two ledger rounds have passed."""
            room.requests.clear()
            began = slots = await room.ask("getRound")
            while await room.ask("getRound") < began + 2:
                await room.look()
                slots += 1
                state = await room.ask("getTaskState", *options)
                assert room.task == state["task_id"]
                for number in (state["current_round"], state["current_round"] - 1):
                    await room.ask("getTaskSubmissionInfo", number)
                    await room.ask("getTaskDistributionInfo", number)
                await room.ask("nodeSelectionDistributionList", state["current_round"] - 1)
            assert slots > began + 2

        await room.look()
        await read_all()
        counts = Counter(room.requests)
        assert {"getTaskAccountInfo", "getTaskSubmissionInfo"} == counts.keys()
        assert counts["getTaskAccountInfo"] <= 3
        assert counts["getTaskSubmissionInfo"] <= 4, "rounds that no head has, each once"

        await read_all(dict.fromkeys(flags, True))
        counts = Counter(room.requests)
        assert {"getTaskSubmissionInfo"} >= counts.keys()
        assert counts["getTaskSubmissionInfo"] <= 4

    use(ledger, tmp_path, work)


def test_rows_that_come_in_a_slot_are_requested_once_and_none_twice(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        others = [Keypair() for _ in range(3)]
        for pair in others:
            await stake(room.client, room.payer, pair, room.task, 5 * KOII)
        names = {str(pair.pubkey()): room.open_namespace(room.task, staking=pair) for pair in others}
        async with room.looking():
            while True:
                room.requests.clear()
                number = await room.ask("getRound") - 1
                with contextlib.suppress(WrongPhase, BadCall):
                    for name, namespace in names.items():
                        await namespace.call("checkSubmissionAndUpdateRound", ["x", number])
                        shown = await room.ask("getTaskSubmissionInfo", number)
                        while name not in shown["submissions"].get(str(number), {}):
                            shown = await room.ask("getTaskSubmissionInfo", number)
                    break

        assert names.keys() == shown["submissions"][str(number)].keys()
        reads = [method for method in room.requests if method.startswith("getTask") or "Round" in method]
        assert {"getRoundRows", "getTaskHead"} >= {*reads}
        assert reads.count("getRoundRows") <= len(names)

    use(ledger, tmp_path, work)


def test_a_task_sees_at_once_what_came_of_its_own_and_requests_only_its_records(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        await room.look()
        async with room.looking():
            key = str(room.staking.pubkey())
            before = await room.ask("getTaskState")
            room.requests.clear()
            await room.ask("stakeOnChain", room.task, None, before["stake_pot_account"], 5)
            later = await room.ask("getTaskState", {"is_stake_list_required": True})
            assert before["stake_list"][key] + 5 == later["stake_list"][key]

            while True:
                number = await room.ask("getRound") - 1
                if number >= 0 and await room.ask("checkSubmissionAndUpdateRound", "x", number) is None:
                    break
            info = await room.ask("getTaskSubmissionInfo", number)
            state = await room.ask("getTaskState", {"is_submission_required": True})

            assert "x" == info["submissions"][str(number)][key]["submission_value"]
            assert info["submissions"][str(number)] == state["submissions"][str(number)]
            reads = {method for method in room.requests if method.startswith("getTask") or "Round" in method}
            assert {"getTaskHead", "getRoundRows"} >= reads

    use(ledger, tmp_path, work)


def test_arguments_that_a_method_has_no_parameter_for_are_dropped(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        node, other = str(room.staking.pubkey()), str(Keypair().pubkey())
        assert await room.ask("getRound") <= await room.ask("getRound", 1, [2])
        info = await room.ask("getTaskSubmissionInfo", 5, True)
        assert {"submissions": {}, "submissions_audit_trigger": {}} == info
        assert await room.ask("getSubmitterAccount") == await room.ask("getSubmitterAccount", "KOII")
        assert room.client.url == await room.ask("getRpcUrl", *range(9))
        assert "missing" in await room.ask("getTaskSubmissionInfo")
        for method in ("auditSubmission", "distributionListAuditSubmission"):
            for arguments in ((900,), (node, 900), (write_key(Keypair()), 900, "more")):
                assert "round 900" in await room.ask(method, other, False, *arguments)
        await room.ask("fs", "writeFile", "three", "x", {"encoding": "utf8"})
        assert b"x" == (room.home / "three").read_bytes()

    use(ledger, tmp_path, work)


def test_an_older_call_for_a_payout_names_no_round_and_sends_nothing(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        before = await room.client.get_balance(str(room.payer.pubkey()))

        assert (await room.ask("payloadTrigger")) is None

        assert before == await room.client.get_balance(str(room.payer.pubkey()))

    use(ledger, tmp_path, work)


def test_the_node_selects_by_the_published_rule(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        while True:
            number = await room.ask("getRound") - 1
            if number >= 0 and await room.ask("checkSubmissionAndUpdateRound", "x", number) is None:
                break

        assert str(room.staking.pubkey()) == await room.ask("nodeSelectionDistributionList", number, False)
        # The scan of a retry finds the second of one node: no node.
        assert "" == await room.ask("nodeSelectionDistributionList", number, True)
        assert "" == await room.ask("nodeSelectionDistributionList", number + 900)

    use(ledger, tmp_path, work)


def test_in_its_turn_a_node_is_shown_the_others_as_failed_so_the_published_rule_selects_it(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def submit(room: Room, namespaces: Iterable[Namespace]) -> int:
        """All nodes submit in a round; its number."""
        while True:
            round_number: int = await room.ask("getRound") - 1
            with contextlib.suppress(WrongPhase, BadCall):
                for namespace in namespaces:
                    await namespace.call("checkSubmissionAndUpdateRound", ["x", round_number])
                return round_number

    async def see_turn(room: Room, second: Namespace, round_number: int) -> tuple[Any, Any, str] | None:
        """The round's lists in both forms and the selected node, as the second sees them in its turn."""
        while await room.ask("getRound") <= round_number + DISTRIBUTION:
            info = await second.call("getTaskDistributionInfo", [round_number])
            if info["distributions_audit_record"].get(str(round_number)) == "PayoutFailed":
                selected = await second.call("nodeSelectionDistributionList", [round_number])
                state = await second.call("getTaskState", [])
                if await room.ask("getRound") == round_number + DISTRIBUTION:
                    return info, state, selected
        return None  # the machine was too slow

    async def work(room: Room) -> None:
        other = Keypair()
        await stake(room.client, room.payer, other, room.task, 5 * KOII)
        pairs = {str(pair.pubkey()): pair for pair in (room.staking, other)}
        namespaces = {name: room.open_namespace(room.task, staking=pair) for name, pair in pairs.items()}
        seen = None
        while seen is None:
            round_number = await submit(room, namespaces.values())
            first = await namespaces[str(other.pubkey())].call(
                "nodeSelectionDistributionList", [round_number]
            )
            [second] = pairs.keys() - {first}
            seen = await see_turn(room, namespaces[second], round_number)

            if seen is not None:
                info, state, selected = seen
                for shown in (info, state):
                    entry = shown["distribution_rewards_submission"][str(round_number)]
                    assert {first} == entry.keys()
                    assert (first, round_number) == (entry[first]["submission_value"], entry[first]["round"])
                assert second == selected

    use(ledger, tmp_path, work)


def test_a_task_keeps_values_by_key(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        assert (await room.ask("storeGet", "a")) is None
        for value in ("text", {"a": [1, "ü"]}, None, 5):
            assert (await room.ask("storeSet", "../a/ü" * 99, value)) is None
            assert value == await room.ask("storeGet", "../a/ü" * 99)
        await room.ask("storeSet", "b", "other")
        assert (5, "other") == (await room.ask("storeGet", "../a/ü" * 99), await room.ask("storeGet", "b"))
        assert "a key of the store is text" in await room.ask("storeSet", 5, "x")
        # The task may do anything with its files.
        (room.home / "stored").rename(room.home / "elsewhere")
        (tmp_path / "outside").mkdir()
        (room.home / "stored").symlink_to(tmp_path / "outside")
        assert "ENOTDIR" in await room.ask("storeSet", "b", "x")
        assert not list((tmp_path / "outside").iterdir())

    use(ledger, tmp_path, work)


def test_a_task_keeps_blobs_that_the_other_nodes_of_the_task_get(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        text = await room.ask("storagePut", "grüezi")
        raw = await room.ask("storagePut", {"type": "Buffer", "data": [0, 255]})

        assert compute_content_id("grüezi".encode()) == text
        assert "grüezi" == await room.ask("storageGet", text, "utf8")
        assert {"type": "Buffer", "data": [0, 255]} == await room.ask("storageGet", raw)
        assert "AP8=" == await room.ask("storageGet", raw, "base64")
        with closing(BlobStore(tmp_path / "other")) as store:
            node = str(Keypair().pubkey())
            other = room.open_blobs(store, {node: room.url})
            assert b"\x00\xff" == await other.get(raw, 0, node)
        assert "Unavailable: no node serves" in await room.ask("storageGet", compute_content_id(b"nowhere"))
        assert "InvalidSubmission: 'x' is not a content id" in await room.ask("storageGet", "x")
        assert "an encoding is utf8 or base64" in await room.ask("storageGet", raw, "latin1")
        assert "neither a Buffer nor an array" in await room.ask("storagePut", 5)

    use(ledger, tmp_path, work)


def test_slashes_are_a_part_of_the_stake_at_submission_whatever_is_staked_since(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        node = str(room.staking.pubkey())
        while True:
            number = await room.ask("getRound") - 1
            if number >= 0 and await room.ask("checkSubmissionAndUpdateRound", "x", number) is None:
                break
        await room.ask("checkSubmissionAndUpdateRound", "another", number)  # once is enough
        submissions = (await room.ask("getTaskSubmissionInfo", number))["submissions"][str(number)]
        assert "x" == submissions[node]["submission_value"]
        await stake(room.client, room.payer, room.staking, room.task, KOII)
        while await room.ask("getRound") < number + DISTRIBUTION:
            pass

        shown = (await room.ask("getTaskState", {"is_stake_list_required": True}))["stake_list"]

        assert {node: 5 * KOII} == shown
        [mine] = (await read_task(room.client, room.task)).stakes
        assert 6 * KOII == mine.amount

    use(ledger, tmp_path, work)


def test_clock_nodes_and_paths_are_told(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        task = await read_task(room.client, room.task)
        slot, number = await room.ask("getCurrentSlot"), await room.ask("getRound")
        assert task.slot <= slot
        assert number == (slot - task.starting_slot) // task.round_time
        assert 0 < await room.ask("getAverageSlotTime") < 60_000
        assert NODES == await room.ask("getNodes") == await room.ask("getNodes", "http://anywhere.example")
        assert str(room.home) == await room.ask("getBasePath")
        assert f"{room.home}/KOIIDB" == await room.ask("getTaskLevelDBPath")
        assert "1.11.19" == await room.ask("getTaskNodeVersion")
        assert (await room.ask("defaultTaskSetup")) is None
        assert await room.ask("logger", "warn", "a\nb", "c")
        assert not await room.ask("logger", "shout", "x", None)
        found = await room.ask("getProgramAccounts")
        assert room.task in {each["pubkey"] for each in found}

    use(ledger, tmp_path, work)


def test_files_of_50_megabytes_cross(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        text = "x" * 49_000_000
        assert (await room.ask("fs", "writeFile", "large", text)) is None
        assert 49_000_000 == (room.home / "large").stat().st_size
        body = {
            "args": ["fs", "writeFile", "larger", "x" * 53_000_000],
            "taskId": room.task,
            "secret": SECRET,
        }
        assert 413 == (await room.post(body))[0]
        assert not (room.home / "larger").exists()
        await room.ask("fsStaking", "writeFile", "small", "y")
        assert {"type": "Buffer", "data": [121]} == await room.ask("fsReadStream", "small")
        await room.ask("fsWriteStream", "empty")
        assert b"" == (room.home / "empty").read_bytes()

    use(ledger, tmp_path, work)


def test_payloads_are_signed_by_the_main_key_as_published_and_verified(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        node = str(room.payer.pubkey())
        signed = await room.ask("signData", {"a": "ü"})
        raw = decode_base58(signed)
        assert '{"a":"ü"}'.encode() == raw[64:]
        assert str(room.payer.pubkey()) == await room.ask("getMainAccountPubkey") == node
        assert Signature.from_bytes(raw[:64]).verify(room.payer.pubkey(), raw[64:])
        assert {"data": '{"a":"ü"}'} == await room.ask("verifySignedData", signed, node)
        assert "error" in await room.ask("verifySignedData", signed, str(Keypair().pubkey()))
        assert "error" in await room.ask("verifySignedData", "0", node)
        assert "is not a public key" in await room.ask("verifySignedData", signed, "0")

    use(ledger, tmp_path, work)


def test_a_list_that_is_none_or_not_of_integers_is_never_sent(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        node = str(room.staking.pubkey())
        for amounts in (None, [1], {node: 1.5}, {node: "1"}, {node: True}):
            told = await room.ask("uploadDistributionList", amounts, 0)
            assert "integer" in told

    use(ledger, tmp_path, work)


def test_what_the_ledger_refuses_is_told_with_its_reason(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        other = str(Keypair().pubkey())
        assert "round 900 takes" in await room.ask("checkSubmissionAndUpdateRound", "x", 900)
        assert "900" in await room.ask("auditSubmission", other, False, 900)
        assert "900" in await room.ask("distributionListAuditSubmission", other, False, 900)
        assert "900" in await room.ask("distributionListSubmissionOnChain", 900)
        assert "900" in await room.ask("payloadTrigger", 900)
        assert "a submission is text" in await room.ask("checkSubmissionAndUpdateRound", 5, 900)

    use(ledger, tmp_path, work)


def test_money_of_its_key_moves_and_that_of_the_main_key_never(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        before = await room.client.get_balance(str(room.payer.pubkey()))
        target, node, main = str(Keypair().pubkey()), str(room.staking.pubkey()), str(room.payer.pubkey())
        own = Keypair()
        await airdrop(room.client, str(own.pubkey()), KOII)
        for _ in range(2):
            assert 64 <= len(await room.ask("sendTransaction", write_key(own), target, 1_000_000))
        assert 2_000_000 == await room.client.get_balance(target)
        assert "only a plain system account pays" in await room.ask("sendTransaction", node, target, 5)
        assert "the money of no other key" in await room.ask("sendTransaction", main, target, 5)
        assert "above 0" in await room.ask("sendTransaction", node, target, -5)
        task = await read_task(room.client, room.task)
        told = await room.ask("claimReward", task.pot, target, None)
        assert "doesn't have any balance" in told or len(told) >= 64
        await room.ask("stakeOnChain", room.task, None, task.pot, 1000)
        [mine] = (await read_task(room.client, room.task)).stakes
        assert 5 * KOII + 1000 == mine.amount
        spent = before - await room.client.get_balance(main)
        assert 0 < spent < 100_000

    use(ledger, tmp_path, work)


def test_a_task_that_pays_in_a_token_is_spoken_to_in_its_program_and_its_money_is_tokens(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        client, payer, staking = room.client, room.payer, room.staking
        token = await create_token(client, payer, 9)
        await mint_tokens(client, payer, token, str(payer.pubkey()), 5000 * KOII)
        hello = msgspec.structs.replace(load_package(HELLO), task_type="KPL", token_type=token)
        task = await read_task(client, await deploy(client, payer, hello, ""))
        await stake(client, payer, staking, task.address, 2 * KOII)
        await mint_tokens(client, payer, token, str(staking.pubkey()), 1000)
        room.current = CurrentTask(task)
        namespace = room.open_namespace(task.address, KPL_PROGRAM)

        await namespace.call("stakeOnChain", [task.address, None, task.pot, 1000])

        [mine] = (await read_task(client, task.address)).stakes
        assert 2 * KOII + 1000 == mine.amount
        with pytest.raises(WrongPhase, match="round 900 takes"):
            await namespace.call("checkSubmissionAndUpdateRound", ["x", 900])
        assert [task.address] == [each["pubkey"] for each in await namespace.call("getProgramAccounts", [])]
        await withdraw(client, payer, staking, task.address)
        account = base58_of(find_account(bytes(payer.pubkey()), token))
        before = await client.get_token_balance(account)
        await namespace.call("claimReward", [task.pot, account])
        assert before + 2 * KOII + 1000 == await client.get_token_balance(account)

    use(ledger, tmp_path, work)


def test_the_node_pays_the_fee_of_what_the_task_made_and_nothing_else(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    async def work(room: Room) -> None:
        own, target = Keypair(), Keypair().pubkey()
        main, node = room.payer.pubkey(), own.pubkey()
        await airdrop(room.client, str(node), KOII)
        tick = Hash.from_string((await room.client.get_latest_blockhash())[0])

        def make(source: Pubkey, payer: Pubkey) -> dict[str, Any]:
            ask = transfer(TransferParams(from_pubkey=source, to_pubkey=target, lamports=1_000_000))
            message = Message.new_with_blockhash([ask], payer, tick)
            signers = [
                NullSigner(key) for key in message.account_keys[: message.header.num_required_signatures]
            ]
            wire = bytes(VersionedTransaction(message, signers))
            return {"type": "Buffer", "data": list(wire)}

        send = "sendAndConfirmTransactionWrapper"
        assert 64 <= len(await room.ask(send, make(node, main), [write_key(own)]))
        assert 1_000_000 == await room.client.get_balance(str(target))
        assert "no instruction may name it" in await room.ask(send, make(main, main), [])
        assert f"the fee payer must be {main}" in await room.ask(send, make(node, node), [])
        assert "this is not a transaction" in await room.ask(send, {"type": "Buffer", "data": [1]}, [])
        assert "cannot be read as bytes" in await room.ask(send, "text", [])

    use(ledger, tmp_path, work)


def write_key(pair: Keypair) -> Any:
    """A keypair as JSON.stringify writes it."""
    return {"_keypair": {"secretKey": {str(at): byte for at, byte in enumerate(bytes(pair))}}}


def test_every_method_that_is_listed_is_documented_and_the_other_way_round() -> None:
    text = (Path(__file__).parents[3] / "docs" / "JAVASCRIPT.md").read_text()
    rows = {line.split("`")[1].partition("(")[0] for line in text.splitlines() if line.startswith("| `")}

    assert set(METHODS) == rows
    [served] = re.findall(r"one of `fs.promises` in the task's own directory: ([\w, ]+\w)", text)
    with pytest.raises(BadCall) as refused:
        TaskFiles(Path(), 0).call("chmod", ".")
    assert str(refused.value).endswith(f"there are {served}")
