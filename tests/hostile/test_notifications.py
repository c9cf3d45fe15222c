"""Notifications have a size and a cost: a websocket that exceeds them is closed with the reason."""

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from solders.keypair import Keypair
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from ..ledger.process import NEWEST, RunningLedger, running
from .fronts import HONEST, HOSTILE, connect_from
from .test_answers import MEDIUM, Scene, compose_limits

SYSTEM = "11111111111111111111111111111111"


@contextmanager
def open_websocket(ledger: RunningLedger, address: str, **options: Any) -> Iterator[ClientConnection]:
    options = {"max_size": None, "compression": None, "close_timeout": 1, **options}
    with (
        connect_from(address, ledger.port) as sock,
        connect(f"ws://127.0.0.1:{ledger.port}", sock=sock, **options) as websocket,
    ):
        yield websocket


def subscribe(websocket: ClientConnection, kind: str, *params: list[Any]) -> list[dict[str, Any]]:
    """Subscribe once for each list of parameters; the answers in their order."""
    for at, each in enumerate(params):
        websocket.send(json.dumps({"jsonrpc": "2.0", "id": at, "method": f"{kind}Subscribe", "params": each}))
    answers: list[dict[str, Any]] = []
    while len(answers) < len(params):
        message = json.loads(websocket.recv(timeout=60))
        if "id" in message:
            answers.append(message)
    return answers


def compose_filter(at: int) -> dict[str, Any]:
    """A filter that no other equals and that no account passes."""
    return {"encoding": "base64", "filters": [{"memcmp": {"offset": at, "bytes": "2"}}]}


def read_until_closed(websocket: ClientConnection) -> str:
    """The code and the reason that a websocket is closed with."""
    try:
        while True:
            websocket.recv(timeout=60)
    except ConnectionClosed:
        return f"{websocket.close_code} {websocket.close_reason}"


def pay_until(scene: Scene, target: str, is_over: Callable[[], bool]) -> None:
    """Change an account until something is so."""
    for amount in range(1, 5000):
        if is_over():
            return
        scene.pay(target, amount)
    raise AssertionError("5,000 payments changed nothing")


def test_an_address_has_its_share_of_subscriptions_over_all_its_websockets(tmp_path: Path) -> None:
    with running(tmp_path / "ledger", None, *compose_limits(subscriptions_per_address=50)) as ledger:
        slots: list[list[Any]] = [[] for _ in range(40)]
        with (
            open_websocket(ledger, HOSTILE) as first,
            open_websocket(ledger, HOSTILE) as second,
            open_websocket(ledger, HONEST) as honest,
        ):
            answers = subscribe(first, "slot", *slots) + subscribe(second, "root", *slots)
            allowed = subscribe(honest, "slot", *slots)

        refused = [answer["error"] for answer in answers if "error" in answer]
        assert 30 == len(refused)
        assert {(-32005, "127.0.0.2 has 50 subscriptions")} == {
            (error["code"], error["message"]) for error in refused
        }
        assert all("result" in answer for answer in allowed)
        with open_websocket(ledger, HOSTILE) as again:  # they come free with their websockets
            assert all("result" in answer for answer in subscribe(again, "slot", *slots))


def test_a_subscription_counts_as_five_calls_and_who_owes_calls_opens_no_websocket(tmp_path: Path) -> None:
    limits = compose_limits(calls_per_second=1, calls_at_once=200)
    with running(tmp_path / "ledger", None, *limits) as ledger:
        silent: list[list[Any]] = [[str(Keypair().pubkey())] for _ in range(60)]  # nothing happens to them
        with open_websocket(ledger, HOSTILE) as hostile, open_websocket(ledger, HONEST) as honest:
            answers = subscribe(hostile, "account", *silent)
            allowed = subscribe(honest, "account", *silent[:30])
            with open_websocket(ledger, HOSTILE) as again:
                closed = read_until_closed(again)

        refused = {answer["error"]["message"] for answer in answers if "error" in answer}
        assert {"too many calls from 127.0.0.2: 1 a second are answered"} == refused
        assert 30 <= sum("result" in answer for answer in answers) <= 45  # time gives some calls back
        assert "1008 too many calls" == closed
        assert all("result" in answer for answer in allowed)


def test_subscriptions_that_need_too_much_work_close_their_websocket_and_no_other(tmp_path: Path) -> None:
    limits = compose_limits(calls_per_second=1, calls_at_once=5_700)
    with running(tmp_path / "ledger", None, *limits) as ledger:
        scene = Scene(ledger)
        with open_websocket(ledger, HOSTILE) as hostile, open_websocket(ledger, HONEST) as honest:
            subscribe(hostile, "program", *[[SYSTEM, compose_filter(at)] for at in range(1_000)])
            target = str(Keypair().pubkey())
            [answer] = subscribe(honest, "account", [target, {**NEWEST, "encoding": "base64"}])

            pay_until(scene, target, lambda: hostile.state.name != "OPEN")

            assert "1008 its subscriptions need too much work" == read_until_closed(hostile)
            note = json.loads(honest.recv(timeout=60))
            assert answer["result"] == note["params"]["subscription"]
            assert 1 == note["params"]["result"]["value"]["lamports"]


def test_a_notification_that_is_larger_than_an_answer_may_be_closes_its_websocket(tmp_path: Path) -> None:
    with running(tmp_path / "ledger") as ledger:
        scene = Scene(ledger)
        with open_websocket(ledger, HOSTILE) as hostile, open_websocket(ledger, HONEST) as honest:
            subscribe(hostile, "account", [scene.large, {"encoding": "base64"}])
            part = {"encoding": "base64", "dataSlice": {"offset": 0, "length": 5}}
            subscribe(honest, "account", [scene.large, part], [scene.medium, {"encoding": "base64"}])

            scene.pay(scene.large, 1)
            scene.pay(scene.medium, 1)

            reason = read_until_closed(hostile)
            assert reason.startswith("1008 a notification is too large: the answer has more")
            notes = [json.loads(honest.recv(timeout=60))["params"]["result"]["value"] for _ in range(2)]
            sent = [base64.b64decode(note["data"][0]) for note in notes]
            assert [bytes(5), bytes(MEDIUM)] == sorted(sent, key=len)


def test_equal_subscriptions_get_equal_notifications(tmp_path: Path) -> None:
    with running(tmp_path / "ledger") as ledger:
        scene = Scene(ledger)
        target = str(Keypair().pubkey())
        form = {"encoding": "base64", "filters": [{"dataSize": 0}]}
        with open_websocket(ledger, HOSTILE) as first, open_websocket(ledger, HONEST) as second:
            ids = [
                answer["result"]
                for websocket in (first, second)
                for answer in subscribe(websocket, "program", *[[SYSTEM, form]] * 3)
            ]

            scene.pay(target, 5)  # changes the target, the payer and the producer

            notes = [
                json.loads(websocket.recv(timeout=60))["params"]
                for websocket in (first, second)
                for _ in range(9)
            ]
        by_subscription: dict[int, dict[str, Any]] = {each: {} for each in ids}
        for note in notes:
            by_subscription[note["subscription"]][note["result"]["value"]["pubkey"]] = note["result"]
        assert {target, str(scene.payer.pubkey())} < by_subscription[ids[0]].keys()
        assert all(seen == by_subscription[ids[0]] for seen in by_subscription.values())


def test_what_waits_for_all_websockets_is_bounded_and_the_largest_is_dropped(tmp_path: Path) -> None:
    limits = compose_limits(waiting_bytes=8_000_000, waiting_bytes_in_all=10_000_000)
    with running(tmp_path / "ledger", None, *limits) as ledger:
        scene = Scene(ledger)
        config = {"encoding": "base64"}
        with (
            open_websocket(ledger, HOSTILE, max_queue=1) as first,
            open_websocket(ledger, HOSTILE, max_queue=1) as second,
            open_websocket(ledger, HONEST) as honest,
        ):
            for websocket in (first, second):
                subscribe(websocket, "account", [scene.medium, config])
            subscribe(honest, "account", [scene.medium, {**config, "dataSlice": {"offset": 0, "length": 1}}])

            for amount in range(1, 12):
                scene.pay(scene.medium, amount)
                json.loads(honest.recv(timeout=60))  # is served throughout

            assert "1008 too slow to read" == read_until_closed(find_closed(first, second))


def find_closed(*websockets: ClientConnection) -> ClientConnection:
    """The first of the websockets that the ledger closes; all are read meanwhile."""
    for websocket in itertools.cycle(websockets):
        try:
            websocket.recv(timeout=0.2)
        except TimeoutError:
            continue
        except ConnectionClosed:
            return websocket
    raise AssertionError("a cycle ended")
