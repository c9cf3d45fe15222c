"""What nodes read of a task: heads, parts of rounds, stakes and rows since a slot; a real ledger process."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import zstandard
from solders.keypair import Keypair
from websockets.sync.client import connect

from roundwork.client.messages import wrap
from roundwork.client.operations import airdrop, deploy, send, set_active, stake
from roundwork.client.rpc import Client
from roundwork.ledger.rpc.reads import StakeChanges, cut_pages, encode_part
from roundwork.package.content import compute_content_id
from roundwork.package.folder import load_package
from roundwork.participant.moment import compute_moment
from roundwork.participant.parts import compose_round
from roundwork.protocol.params import KOII, TASK_PROGRAM, NodeKey, TaskKey, key_of
from roundwork.protocol.records import Stake
from roundwork.protocol.tasks.instructions import SubmitTask
from roundwork.protocol.tasks.round import Activity
from roundwork.views import (
    PAGE_ROWS,
    ROUND_NODES_MAX,
    PartIndex,
    PartKey,
    PartKind,
    StakeNews,
    StakeView,
    SubmissionRow,
    TaskHead,
    compute_stakes_digest,
)
from tests.town import Town

from ..process import RunningLedger, running

ROOT = Path(__file__).resolve().parents[3]
WINDOWS = {"round_time": 60, "submission_window": 30, "audit_window": 29}
NODES = 3


class Place:
    """A ledger with a task whose nodes have all submitted in `round`, whose SUBMIT has ended."""

    def __init__(self, ledger: RunningLedger, task: str, nodes: list[Keypair], round_number: int) -> None:
        self.ledger = ledger
        self.task = task
        self.nodes = nodes
        self.round = round_number

    def get_head(self) -> TaskHead:
        return msgspec.convert(self.ledger.call("getTaskHead", self.task)["head"], TaskHead)

    def get(self, content_id: str, **headers: str) -> httpx2.Response:
        plain = {"accept-encoding": "identity", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.ledger.http.get(f"/ipfs/{content_id}", headers=plain)

    def find_part(self, kind: PartKind) -> str:
        [found] = [shown for shown in self.get_head().rounds if shown.round == self.round]
        return next(part.id for part in found.parts if part.kind == kind)

    def read_index(self, kind: PartKind) -> PartIndex:
        return msgspec.msgpack.decode(self.get(self.find_part(kind)).content, type=PartIndex)


async def submit_all(ledger: RunningLedger) -> tuple[str, list[Keypair], int]:
    """A task with nodes that have submitted; the task, the nodes, and the round, whose AUDIT has begun."""
    package = msgspec.structs.replace(load_package(ROOT / "examples" / "hello"), **WINDOWS)
    async with Client(ledger.url) as client:
        manager, nodes = Keypair(), [Keypair() for _ in range(NODES)]
        await airdrop(client, str(manager.pubkey()), 10_000 * KOII)
        task = await deploy(client, manager, package, "")
        await set_active(client, manager, task, True)
        for node in nodes:
            await stake(client, manager, node, task, package.minimum_stake, "http://127.0.0.1:1")

        async def look() -> tuple[TaskHead, int]:
            found = await client.get_head(task)
            assert found is not None
            return found.head, compute_moment(found.head, found.head.slot).ledger_round - 1

        head, round_number = await look()
        first = max(round_number + 1, 0)
        while round_number < first:
            head, round_number = await look()
        for at, node in enumerate(nodes):
            message = SubmitTask(
                TaskKey(key_of(task)), NodeKey(bytes(node.pubkey())), b"proof %d" % at, round_number
            )
            await send(client, [wrap(message, TASK_PROGRAM)], [manager, node])
        while not compute_moment(head, head.slot).is_open(Activity.AUDIT, round_number):
            head, _ = await look()
        return task, nodes, round_number


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running(tmp_path_factory.mktemp("reads") / "ledger") as ledger:
        yield Place(ledger, *asyncio.run(submit_all(ledger)))


def test_a_part_is_read_by_its_index_and_pages_and_is_the_round_that_the_ledger_shows(place: Place) -> None:
    index = place.read_index(PartKind.SUBMISSIONS)
    pages = [place.get(name).content for name in index.pages]

    rows = [row for page in pages for row in msgspec.msgpack.decode(page, type=list[SubmissionRow])]

    assert [compute_content_id(page) for page in pages] == index.pages
    assert (key_of(place.task), place.round, "submissions", 0, NODES) == (
        index.task, index.round, index.kind, index.attempt, index.rows,
    )  # fmt: skip
    shown = place.ledger.call("getRound", place.task, place.round)["submissions"]
    composed = compose_round({PartKind.SUBMISSIONS: rows}).submissions or ()
    assert [(each["node"], each["value"], each["stake"]) for each in shown] == [
        (each.node, each.value, each.stake) for each in composed
    ]


def test_a_part_is_immutable_and_comes_whole_in_ranges_or_compressed(place: Place) -> None:
    [name] = place.read_index(PartKind.SUBMISSIONS).pages
    whole = place.get(name)
    data = whole.content

    assert "immutable" in whole.headers["cache-control"]
    assert f'"{name}"' == whole.headers["etag"]
    assert (304, b"") == ((again := place.get(name, if_none_match=f'"{name}"')).status_code, again.content)
    for wanted, expected in (("bytes=0-9", data[:10]), ("bytes=10-", data[10:]), ("bytes=-7", data[-7:])):
        answer = place.get(name, range=wanted)
        assert (206, expected) == (answer.status_code, answer.content)
    assert 416 == place.get(name, range=f"bytes={len(data)}-").status_code
    assert data == place.get(name, range="bytes=x").content
    with place.ledger.http.stream("GET", f"/ipfs/{name}", headers={"accept-encoding": "zstd"}) as packed:
        assert "zstd" == packed.headers["content-encoding"]
        assert data == zstandard.ZstdDecompressor().decompress(b"".join(packed.iter_raw()))
    assert 404 == place.get("bafkrei" + "a" * 52).status_code


def test_a_head_has_the_same_bytes_for_every_reader_and_own_records_beside_it(place: Place) -> None:
    node = str(place.nodes[1].pubkey())
    while True:  # two requests may lie in two slots
        batch = [
            {"jsonrpc": "2.0", "id": at, "method": "getTaskHead", "params": params}
            for at, params in enumerate(([place.task], [place.task, node]))
        ]
        anonymous, named = (answer["result"] for answer in place.ledger.post(batch))
        if anonymous["head"]["slot"] == named["head"]["slot"]:
            break

    assert anonymous["head"] == named["head"]
    assert anonymous["own"] is None
    assert "proof 1" == next(own["value"] for own in named["own"]["rounds"] if own["round"] == place.round)
    assert place.ledger.call("getTaskHead", str(Keypair().pubkey())) is None


def test_heads_are_pushed_slot_by_slot(place: Place) -> None:
    with connect(f"ws://127.0.0.1:{place.ledger.port}") as websocket:
        request = {"jsonrpc": "2.0", "id": 1, "method": "taskHeadSubscribe", "params": [place.task]}
        websocket.send(json.dumps(request))
        answer = json.loads(websocket.recv())
        messages = [json.loads(websocket.recv()) for _ in range(4)]

    heads = [msgspec.convert(message["params"]["result"], TaskHead) for message in messages]
    assert {answer["result"]} == {message["params"]["subscription"] for message in messages}
    assert {"taskHeadNotification"} == {message["method"] for message in messages}
    slots = [head.slot for head in heads]
    assert slots == sorted(slots)
    assert len(set(slots)) >= 3


def test_a_round_is_read_page_by_page(place: Place) -> None:
    call, task, number = place.ledger.call, place.task, place.round
    whole = call("getRound", task, number)

    pages = [call("getRound", task, number, {"limit": 1})]
    while pages[-1]["next_after"] is not None:
        pages.append(call("getRound", task, number, {"limit": 1, "after": pages[-1]["next_after"]}))

    assert whole["submissions"] == [each for page in pages for each in page["submissions"]]
    assert NODES == len(pages) == len(whole["submissions"])
    for limit in (0, ROUND_NODES_MAX + 1):
        answer = place.ledger.post(
            {"jsonrpc": "2.0", "id": 1, "method": "getRound", "params": [task, number, {"limit": limit}]}
        )
        assert "a number from 1 to 1000" in answer["error"]["message"]


def test_stakes_and_rows_are_read_from_a_slot_on(place: Place) -> None:
    call, task = place.ledger.call, place.task
    known = call("getTaskStakes", task)

    assert {str(node.pubkey()) for node in place.nodes} == {each["node"] for each in known["stakes"]}
    assert [] == call("getTaskStakes", task, known["slot"] + 1)["stakes"]
    rows = call("getRoundRows", task, place.round, "submitted")["rows"]
    assert ["proof 0", "proof 1", "proof 2"] == sorted(row["value"] for row in rows)
    last = rows[-1]["slot"]
    later = call("getRoundRows", task, place.round, "submitted", last)["rows"]
    assert [row for row in rows if row["slot"] == last] == later
    assert [] == call("getRoundRows", task, place.round, "raised")["rows"]
    assert call("getTaskStakes", str(Keypair().pubkey())) is None
    assert call("getRoundRows", str(Keypair().pubkey()), 0, "raised") is None


def test_after_a_restart_a_reader_that_has_all_stakes_gets_none_again(tmp_path: Path) -> None:
    ledger = RunningLedger(tmp_path / "ledger")
    try:
        task, nodes, _ = asyncio.run(submit_all(ledger))
        known = read_stakes(ledger, task, 0)
    finally:
        ledger.kill()

    with running(tmp_path / "ledger", ledger.port) as again:
        wrong = [msgspec.structs.replace(known.stakes[0], endpoint="http://127.0.0.1:2"), *known.stakes[1:]]

        assert again.call("getTaskHead", task)["head"]["stakes_slot"] >= known.slot
        assert [] == read_stakes(again, task, known.slot, *reversed(known.stakes)).stakes
        for stakes in ([], wrong, known.stakes[1:]):
            found = read_stakes(again, task, known.slot, *stakes).stakes
            assert {str(node.pubkey()) for node in nodes} == {each.node for each in found}


def read_stakes(ledger: RunningLedger, task: str, since_slot: int, *known: StakeView) -> StakeNews:
    """What a reader gets that has these stakes."""

    async def read() -> StakeNews:
        async with Client(ledger.url) as client:
            news = await client.get_stakes(task, since_slot, compute_stakes_digest(known))
            assert news is not None
            return news

    return asyncio.run(read())


def test_a_ledger_that_was_killed_names_its_parts_alike_again(tmp_path: Path) -> None:
    ledger = RunningLedger(tmp_path / "ledger")
    try:
        place = Place(ledger, *asyncio.run(submit_all(ledger)))
        before = place.find_part(PartKind.SUBMISSIONS)
    finally:
        ledger.kill()

    with running(tmp_path / "ledger", ledger.port) as again:
        after = Place(again, place.task, place.nodes, place.round)
        assert before == after.find_part(PartKind.SUBMISSIONS)
        assert 200 == after.get(before).status_code


# Without a process


def test_the_encoding_of_a_part_is_pinned() -> None:
    town = Town(3)
    town.live_until(12, 1)
    state, task = town.world.state, town.world.task

    part = encode_part(state, task, PartKey(0, PartKind.SUBMISSIONS))

    assert VECTOR == part.id
    for content_id, blob in part.blobs.items():
        assert content_id == compute_content_id(blob.data)


VECTOR = "bafkreibipvej77zhzv5hpnzw4paak7ypej7hefzs4o5tmzxci6wcfx6rfy"


def test_pages_have_a_thousand_rows() -> None:
    rows: list[Any] = [SubmissionRow(bytes(32), b"x", 0, at) for at in range(2 * PAGE_ROWS + 1)]

    assert [1000, 1000, 1] == [len(page) for page in cut_pages(rows)]
    assert rows == [row for page in cut_pages(rows) for row in page]
    assert [] == cut_pages([])


def test_stakes_are_listed_by_their_last_change_and_not_for_other_changes() -> None:
    town = Town(3)
    state, task = town.world.state, town.world.task
    a, b, c = (NodeKey(bytes([at]) * 32) for at in range(3))
    changes = StakeChanges({a: Stake(1), b: Stake(1)}, 10)

    changes.note([(a, Stake(1, available=9, last_round=3))], 11)
    assert 10 == changes.last_slot
    changes.note([(a, Stake(2)), (c, Stake(1))], 12)
    changes.note([(b, Stake(1, endpoint=b"x"))], 13)
    changes.note([(c, None)], 14)

    assert [(0, ""), (1, "x"), (2, "")] == [
        (each.amount, each.endpoint) for each in changes.list_since(state, task, 10)
    ]
    assert 2 == len(changes.list_since(state, task, 13))
    assert 14 == changes.last_slot


def test_the_digest_of_stakes_follows_each_change_and_leaves_out_what_is_gone() -> None:
    town = Town(3)
    state, task = town.world.state, town.world.task
    a, b = (NodeKey(bytes([at]) * 32) for at in range(2))
    changes = StakeChanges({a: Stake(1)}, 10)

    first = changes.get_digest(state, task)
    changes.note([(b, Stake(1))], 11)
    second = changes.get_digest(state, task)
    changes.note([(b, None)], 12)

    assert first != second
    assert first == changes.get_digest(state, task)
