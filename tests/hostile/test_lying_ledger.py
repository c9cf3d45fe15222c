"""Views that cannot be true, of a ledger that errs or lies, do not end a node: it acts on the next one."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from solders.keypair import Keypair
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from roundwork.client.rpc import Client
from roundwork.errors import RemoteError, StoreCorrupt
from roundwork.ledger.rpc.reads import encode_part
from roundwork.node.lookout import CurrentTask, Identity
from roundwork.node.loop import Loop
from roundwork.node.peers.outgoing import Fetcher
from roundwork.node.peers.parts import PartBook
from roundwork.node.peers.reasons import SlashNotices
from roundwork.node.peers.storage import BlobStore
from roundwork.participant.decisions import Memory
from roundwork.participant.plays import HONEST, play_sealed_step
from roundwork.participant.sealed_parts import compose_drawn, list_sealed_parts
from roundwork.participant.sealed_step import Bounds
from roundwork.participant.step import View
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import read_part, view_head, view_own, view_task
from roundwork.views import GROWING, PartKey, PartKind

from ..node.peers.neighbours import serve
from ..protocol.hardened import PROOF, Hardened, eighth, name_proof

NAME = "n02"
"""The node whose ledger lies."""

Views = dict[str, Any]
"""What the ledger answers: "head" and "own"."""

LIES_OF_A_HEAD: dict[str, Callable[[Views], Any]] = {
    "rounds without slots": lambda views: views["head"].update(round_time=0),
    "an unknown rule set": lambda views: views["head"].update(rules="none"),
    "another rule set": lambda views: views["head"].update(rules="koii-1"),
    "windows without an end": lambda views: views["head"].update(submission_window=10**30),
    "a round without submissions": lambda views: get_round(views).update(submissions=0),
    "a start before time": lambda views: views["head"].update(starting_slot=-(10**30)),
}
LIES_OF_A_ROUND: dict[str, Callable[[Views], Any]] = {
    "a round of other rules": lambda views: get_round(views).update(hardened=None),
    "fewer accusations than none": lambda views: get_round(views).update(raised=-1),
    "checks of strangers": lambda views: get_drawn(views).update(checks=["nobody"]),
    "trials of strangers": lambda views: get_drawn(views).update(trials=["nobody"] * 9),
    "checks of all twice": lambda views: get_drawn(views).update(checks=2 * get_drawn(views)["checks"]),
    "unknown commitments": lambda views: get_drawn(views).update(committed=[9], revealed=[9]),
    "an attempt that never was": lambda views: get_round(views).update(attempt=-(10**30)),
}


def get_round(views: Views) -> Views:
    """The head of round 0."""
    [shown] = [each for each in views["head"]["rounds"] if each["round"] == 0]
    return dict_of(shown)


def get_drawn(views: Views) -> Views:
    """What the node was drawn for in round 0."""
    [own] = [each for each in views["own"]["rounds"] if each["round"] == 0]
    return dict_of(own["assignments"])


def dict_of(shown: Any) -> Views:
    assert isinstance(shown, dict)
    return shown


def show(world: Hardened) -> Views:
    """What the law answers."""
    own = view_own(world.state, world.task, world.key(NAME))
    head = view_head(world.state, world.task, lambda part: encode_part(world.state, world.task, part).id)
    shown: Views = json.loads(msgspec.json.encode({"head": head, "own": own}))
    return shown


class Ledger:
    """Answers over HTTP what `views` holds."""

    def __init__(self, views: Views, world: Hardened) -> None:
        self.views = views
        self.slot_ms = 20
        self.world = world
        self.stakes: Any = []
        self.stakes_read = 0
        """How often stakes were requested."""

    @property
    def app(self) -> Starlette:
        part = Route("/ipfs/{content_id}", self.serve, methods=["GET"])
        return Starlette(routes=[Route("/", self.answer, methods=["POST"]), part])

    async def serve(self, request: Request) -> Response:
        """The submissions, which are true."""
        part = PartKey(0, PartKind.SUBMISSIONS)
        blobs = encode_part(self.world.state, self.world.task, part).blobs
        return Response(blobs[request.path_params["content_id"]].data)

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        if isinstance(body, list):
            return JSONResponse([self.reply(each) for each in body])
        return JSONResponse(self.reply(body))

    def reply(self, call: Any) -> Any:
        fields: Views = {"slot_ms": self.slot_ms, "faucet": None}
        numbers = ("decimals", "gap_slots_max", "fee_per_signature", "slot", "height", "supply")
        texts = ("chain", "genesis_hash", "kind", "symbol", "state_hash")
        results = {
            "getLedger": {**dict.fromkeys(numbers, 1), **dict.fromkeys(texts, ""), **fields},
            "getTaskHead": self.views,
            "getTaskStakes": {"slot": 0, "stakes": self.stakes},
        }
        self.stakes_read += call["method"] == "getTaskStakes"
        if call["method"] == "getRoundRows":
            part = PartKey(0, PartKind(call["params"][2]))
            assert part.kind in GROWING
            rows = read_part(self.world.state, self.world.task, part)
            results["getRoundRows"] = json.loads(msgspec.json.encode({"slot": 0, "rows": rows}))
        return {"jsonrpc": "2.0", "id": call["id"], "result": results[call["method"]]}

    def step(self, views: Views) -> None:
        """Show these views, a slot later than those before. Own records are as old as the last head."""
        slot = self.views["head"]["slot"] + 1
        views["head"]["slot"], views["own"]["slot"] = slot, slot - 1
        self.views = views


class Node:
    """The loop of a node, over real HTTP, which owes what an honest node owes."""

    def __init__(self, client: Client, fetcher: Fetcher, world: Hardened, directory: Path) -> None:
        self.seen: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        """Of each view that was taken: its slot, and that of the round at hand."""
        self.done: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
        """The same, of each view whose duties were found."""
        node = base58_of(world.key(NAME))
        current = CurrentTask(view_task(world.state, world.task))
        store = BlobStore(directory / "blobs")
        self.loop: Loop[Any] = Loop(
            client,
            Identity(Keypair(), Keypair(), bytes(32), 0, ""),
            current,
            directory,
            SlashNotices(fetcher, node, dict, client.get_round),
            PartBook(client, fetcher, store, node, dict),
        )

    def act(self, view: View) -> None:
        slot = self.loop.slot
        self.seen.put_nowait((slot, -1))
        drawn = compose_drawn(self.loop.show_parts(view, list_sealed_parts(view, slot)), slot)
        if not drawn:
            return
        slots = slot, min(shown.round.slot for shown in drawn.values())
        self.seen.put_nowait(slots)
        play_sealed_step(HONEST, Memory(), view, drawn, {}, Bounds(), slot)
        self.done.put_nowait(slots)


async def live(lie: Callable[[Views], Any], world: Hardened, directory: Path) -> None:
    """A node sees a lie, then the truth, whose duties it finds."""
    truth, lies = show(world), show(world)
    lie(lies)
    ledger = Ledger(truth, world)
    fetcher = Fetcher(is_development=True)
    async with serve(ledger.app) as url, Client(url) as client:
        node = Node(client, fetcher, world, directory)
        running = asyncio.create_task(node.loop.run(node.act))
        slot = truth["head"]["slot"]
        await wait(running, node.done, (slot, slot))
        with node.loop.sending():  # so own records are read again
            ledger.step(lies)
        is_of_round = lie in LIES_OF_A_ROUND.values()
        await wait(running, node.seen, (slot + 1, slot + 1 if is_of_round else -1))
        with node.loop.sending():
            ledger.step(show(world))
        await wait(running, node.done, (slot + 2, slot + 2))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await fetcher.close()


async def wait(
    running: asyncio.Task[None], queue: asyncio.Queue[tuple[int, int]], slots: tuple[int, int]
) -> None:
    """Until the node has taken a view of these slots. Raises what ends the node."""
    while True:
        taking = asyncio.create_task(queue.get())
        await asyncio.wait({running, taking}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            taking.cancel()
            running.result()
        if all(taken >= wanted for taken, wanted in zip(taking.result(), slots, strict=True)):
            return


@pytest.mark.parametrize("name", [*LIES_OF_A_HEAD, *LIES_OF_A_ROUND])
@pytest.mark.parametrize("part", [1, 4, 6], ids=["challenges", "checks", "trials"])
def test_a_view_that_cannot_be_true_does_not_end_a_node(name: str, part: int, tmp_path: Path) -> None:
    world = Hardened().submitted({"n01": name_proof(PROOF)}).go(1, eighth(part) + 1)
    world.block()

    asyncio.run(live((LIES_OF_A_HEAD | LIES_OF_A_ROUND)[name], world, tmp_path))


def test_stakes_that_cannot_be_read_keep_no_node_from_its_duties(tmp_path: Path) -> None:
    world = Hardened().submitted()

    async def run() -> int:
        ledger, fetcher = Ledger(show(world), world), Fetcher(is_development=True)
        ledger.stakes = "none that can be read"
        async with serve(ledger.app) as url, Client(url) as client:
            node = Node(client, fetcher, world, tmp_path)
            running = asyncio.create_task(node.loop.run(node.act))
            while ledger.stakes_read < 2:
                views = show(world)
                views["head"]["stakes_slot"] = 10**9  # they change again and again
                ledger.step(views)
                slot = views["head"]["slot"]
                await wait(running, node.done, (slot, slot))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await fetcher.close()
        return ledger.stakes_read

    assert 2 <= asyncio.run(run())


def test_an_error_in_a_duty_is_logged_once_and_the_duty_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = Hardened().submitted()
    done: list[str] = []

    async def fail(error: Exception) -> None:
        done.append(type(error).__name__)
        raise error

    async def run() -> None:
        ledger, fetcher = Ledger(show(world), world), Fetcher(is_development=True)
        async with serve(ledger.app) as url, Client(url) as client:
            node = Node(client, fetcher, world, tmp_path)

            def act(view: View) -> None:
                failure = KeyError("x") if len(done) < 2 else StoreCorrupt("y")
                assert not node.loop.has("duty")
                assert len(done) == 0 or not node.loop.postponed.is_due("duty", node.loop.slot)
                node.loop.start("duty", fail(failure))
                ledger.step(show(world))

            with pytest.raises(StoreCorrupt, match="y"):  # what an operator has to mend still ends the node
                await node.loop.run(act)
        await fetcher.close()

    asyncio.run(run())

    assert ["KeyError", "KeyError", "StoreCorrupt"] == done
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "this node has a fault: str" in record.getMessage()


@pytest.mark.parametrize("slot_ms", [0, -5])
def test_a_ledger_whose_slots_have_no_length_is_refused(slot_ms: int) -> None:
    async def run() -> None:
        world = Hardened()
        ledger = Ledger(show(world), world)
        ledger.slot_ms = slot_ms
        async with serve(ledger.app) as url, Client(url) as client:
            with pytest.raises(RemoteError, match=f"slots of {slot_ms} ms"):
                await client.get_ledger()

    asyncio.run(run())
