"""Websockets: JSON-RPC, subscriptions, and notifications of blocks to them."""

import asyncio
import contextlib
import inspect
import itertools
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from ...host.connections import WRITE_TEXT
from ...host.front import LOG_SECONDS, Message, compute_name, get_address, is_local
from ...protocol.execute import Block, Outcome
from ...protocol.params import TaskKey
from ..limits import Limits
from .block_feeds import KINDS
from .budget import COST_SECONDS
from .commitments import Commitment, Reached
from .dispatch import METHODS, Method, Rpc
from .errors import InvalidParams, NodeUnhealthy, ReadAborted, TooManyCalls
from .feeds import TASK_HEAD, Changed, Subject, Topic, Topics, Unmade, UnmadeRead
from .ledger import Ledger
from .pace import SLICE_SECONDS, Pace
from .params import Params
from .rates import REFUSAL_SECONDS

POLICY_VIOLATION = 1008
"""The code that a websocket is closed with when it breaks a limit."""

FIRST_SECONDS = 0.05
"""How long after its answer a subscription sends what is due already. Some clients (@solana/kit on Node's ws)
lose a notification that arrives together with the answer, because they do not know its id yet."""

SUBSCRIPTION_COST = 4
"""Calls that a subscription counts as, beside its request: it makes work in blocks to come, too."""

NOTIFICATION_COST = 0.2
"""Calls that a notification counts as."""

SENDING_SECONDS = 0.000_02
"""About how long it takes to send a notification that is queued."""

WRITING_SECONDS = 0.000_007
"""About how long the system takes to send a notification that is written at once, later in the same turn."""

HEADS_SLICE_SECONDS = 0.000_4
"""Heads are pushed for this long at once: a transaction needs about ten turns of the event loop."""

PAUSE_SECONDS_MAX = 2.0
"""The longest pause between two pushes of heads."""

READY_SECONDS = 0.000_2
"""A call of `receive` that takes longer has waited, so other connections had their turn."""

BLOCKS_MAX = 100
"""Notifications of blocks, at all commitments together, that subscriptions may lag behind."""

Data = bytes | msgspec.Raw
"""A part of a message."""

log = logging.getLogger(__name__)
_ids = itertools.count(1)
_HEADS = {
    kind: b'{"jsonrpc":"2.0","method":"%sNotification","params":{"result":' % kind.encode() for kind in KINDS
}
"""How a notification of each kind begins."""


class Feed:
    """Subscriptions with the same subject, of any connections: they get the same results."""

    __slots__ = ("connections", "subject")

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.connections: dict[int, Connection] = {}
        """By the id of the subscription."""


class Fresh(NamedTuple):
    """What is due to a new subscription: results, and blocks that are not reported yet."""

    results: Collection[msgspec.Raw]
    blocks: list[tuple[Block, Outcome]]


def sees_open_slot(subject: Subject) -> bool:
    """Whether a subscription begins with the whole open slot.

    Then a client that sends a transaction while it subscribes is notified of it, as at the other commitments.
    """
    return subject.commitment == Commitment.PROCESSED and subject.topic[0] in ("account", "program", "logs")


class Connection:
    """One websocket: its subscriptions, and what waits to be sent."""

    def __init__(
        self,
        subscriptions: "Subscriptions",
        address: str,
        write: Callable[[Sequence[Data]], bool] | None = None,
    ) -> None:
        """`write` writes a message at once, or returns False if it cannot; None if nothing can."""
        self.address = address
        self.name = compute_name(address)
        """The addresses that are counted together with its own."""
        self.subscriptions: dict[int, Feed] = {}
        """What it has subscribed to, by the id of the subscription."""
        self.waiting_bytes = 0
        self.drop_reason = ""
        """Why it is dropped; empty while it is not."""
        self._all = subscriptions
        self._limits = subscriptions.limits
        self._rpc = Rpc(subscriptions.ledger, {**METHODS, **_bind(self)}, subscriptions.rpc.rates)
        self._waiting: deque[tuple[Data, ...]] = deque()
        """Messages in parts, so that those with the same result share it."""
        self._write = write
        self._is_sending = False
        """Whether a message that was queued is on its way."""
        self._cost = 0.0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._fresh: dict[int, Fresh] = {}
        """What is due already, by the id of the new subscription."""

    def subscribe(self, subject: Subject) -> int:
        """Add a subscription; its id. Raises NodeUnhealthy."""
        if not self._all.rpc.rates.take(self.address, SUBSCRIPTION_COST, time.monotonic()):
            raise TooManyCalls(self.address, self._limits.calls_per_second)
        if len(self.subscriptions) >= self._limits.subscriptions:
            raise NodeUnhealthy(f"a connection has at most {self._limits.subscriptions} subscriptions")
        subscription_id = next(_ids)
        self.subscriptions[subscription_id] = self._all.add(self, subscription_id, subject)
        blocks = self._all.ledger.get_open_blocks() if sees_open_slot(subject) else []
        if subject.first or blocks:
            self._fresh[subscription_id] = Fresh(subject.first, blocks)
        return subscription_id

    def unsubscribe(self, kind: str, subscription_id: int) -> bool:
        """End a subscription. Raises InvalidParams if no subscription has that id and kind."""
        feed = self.subscriptions.get(subscription_id)
        if feed is None or feed.subject.topic[0] != kind:
            raise InvalidParams("Invalid subscription id.")
        self.end(subscription_id)
        return True

    def end(self, subscription_id: int) -> None:
        """Forget a subscription."""
        feed = self.subscriptions.pop(subscription_id, None)
        if feed is not None:
            self._all.remove(self, subscription_id, feed)

    def end_all(self) -> None:
        """Forget all subscriptions."""
        for subscription_id in list(self.subscriptions):
            self.end(subscription_id)

    def notify(self, subscription_id: int, kind: str, result: msgspec.Raw) -> None:
        """Queue a notification."""
        self.say(_HEADS[kind], result, b',"subscription":%d}}' % subscription_id)
        self.charge(NOTIFICATION_COST)

    def notify_now(self, subscription_id: int, kind: str, result: msgspec.Raw) -> float:
        """Notify in this turn of the event loop if nothing waits; the seconds that sending still takes."""
        parts = _HEADS[kind], result, b',"subscription":%d}}' % subscription_id
        is_free = self._write is not None and not (self._waiting or self._is_sending or self.drop_reason)
        if not (is_free and self._write is not None and self._write(parts)):
            self.notify(subscription_id, kind, result)
            return SENDING_SECONDS
        self.charge(NOTIFICATION_COST)
        return WRITING_SECONDS

    def charge(self, cost: float) -> None:
        """Count work as calls. A connection whose address owes too many calls is dropped."""
        self._cost += cost
        if self._cost >= 1.0:
            cost, self._cost = self._cost, 0.0
            if not self._all.rpc.rates.charge(self.address, cost, time.monotonic()):
                self.drop("its subscriptions need too much work")

    def say(self, *parts: Data) -> None:
        """Queue a message. A reader that is too slow to take it is dropped with all that waits for it."""
        size = sum([memoryview(part).nbytes for part in parts])
        if self._waiting and self.waiting_bytes + size > self._limits.waiting_bytes:
            self.drop("too slow to read")
        if not self.drop_reason:
            self._waiting.append(parts)
            self._count_waiting(size)
            self._news.set()
            self._all.check_waiting()

    async def wait_for_room(self) -> None:
        """Wait until little is left to send, so that a client that does not read gets no more answers."""
        while self.waiting_bytes * 2 > self._limits.waiting_bytes:
            self._room.clear()
            await self._room.wait()

    def drop(self, reason: str) -> None:
        """Drop a client, with everything that is kept for it."""
        if not self.drop_reason:
            self._all.note_drop(f"of {self.address or '?'}: {reason}; {self.waiting_bytes} bytes wait")
            self.drop_reason = reason
        self._waiting.clear()
        self._count_waiting(-self.waiting_bytes)
        self.end_all()
        self._news.set()
        self._room.set()

    def _count_waiting(self, size: int) -> None:
        self.waiting_bytes += size
        self._all.waiting_bytes += size

    async def take(self, body: bytes) -> None:
        """Answer a message. Notifications that are due already follow a moment later."""
        try:
            answer = await self._rpc.answer(body, self.address)
        except TooManyCalls as error:
            answer = self._rpc.refuse(error)
            await asyncio.sleep(REFUSAL_SECONDS)
        if answer is not None:
            self.say(answer)
        if self._fresh:
            fresh, self._fresh = self._fresh, {}
            asyncio.get_running_loop().call_later(FIRST_SECONDS, self._notify_first, fresh)

    def _notify_first(self, fresh: dict[int, Fresh]) -> None:
        for subscription_id, due in fresh.items():
            feed = self.subscriptions.get(subscription_id)
            if feed is None:
                continue
            for result in due.results:
                self.notify(subscription_id, feed.subject.topic[0], result)
            if due.blocks:
                self._all.report_blocks(self, subscription_id, feed.subject, due.blocks)
            if feed.subject.ends:
                self.end(subscription_id)

    async def send_all(self, send: Callable[[Message], Any]) -> None:
        """Send what is queued until the reader is gone.

        If it is dropped, close the websocket with the reason.
        """
        pace = self._all.ledger.pace
        with contextlib.suppress(OSError):  # the reader is gone
            while not self.drop_reason:
                await self._news.wait()
                self._news.clear()
                ends_at = time.perf_counter() + SLICE_SECONDS
                while self._waiting:
                    message = b"".join(self._waiting.popleft())
                    self._count_waiting(-len(message))
                    self._room.set()
                    self._is_sending = True
                    await send({"type": "websocket.send", "text": message.decode()})
                    self._is_sending = False
                    if time.perf_counter() > ends_at:
                        ends_at = await pace.wait()
            await close(send, self.drop_reason)

    def stop(self) -> None:
        """Forget what waits: the client has gone."""
        self._waiting.clear()
        self._count_waiting(-self.waiting_bytes)
        self.end_all()


class Subscriptions:
    """All websockets of a ledger, their subscriptions by subject, and the blocks to notify them of."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc
        self.ledger = rpc.ledger
        self.limits: Limits = rpc.ledger.limits
        self.count = 0
        self.waiting_bytes = 0
        """Bytes that wait to be sent, for all websockets."""
        self._drops = 0
        """Websockets that were dropped since the last line in the log."""
        self._logged_at = -LOG_SECONDS
        self._connections: set[Connection] = set()
        self._by_address = Counter[str]()
        """Subscriptions by address."""
        self._topics: dict[Commitment, Topics] = {each: {kind: {} for kind in KINDS} for each in Commitment}
        """Feeds by what subscriptions to them are about, for each commitment."""
        self._heads = HeadPusher(rpc.ledger, self._topics[Commitment.PROCESSED][TASK_HEAD])
        self._blocks: deque[Changed] = deque()
        self._notifying: asyncio.Task[None] | None = None
        rpc.ledger.listeners.append(self._publish)

    def add(self, connection: Connection, subscription_id: int, subject: Subject) -> Feed:
        """Notify a subscription of blocks from now on. Raises NodeUnhealthy."""
        name, most = connection.name, self.limits.subscriptions_per_address
        if self.count >= self.limits.subscriptions_in_all:
            raise NodeUnhealthy(f"a ledger has at most {self.limits.subscriptions_in_all} subscriptions")
        if not is_local(name) and self._by_address[name] >= most:
            raise NodeUnhealthy(f"{connection.address} has {most} subscriptions")
        kind, about = subject.topic
        feeds = self._topics[subject.commitment][kind].setdefault(about, {})
        feed: Feed = feeds.setdefault(subject.details, Feed(subject))
        feed.connections[subscription_id] = connection
        self.count += 1
        self._by_address[name] += 1
        return feed

    def remove(self, connection: Connection, subscription_id: int, feed: Feed) -> None:
        """Stop notifying a subscription of blocks."""
        del feed.connections[subscription_id]
        kind, about = feed.subject.topic
        if not feed.connections:
            topics = self._topics[feed.subject.commitment]
            feeds = topics[kind][about]
            del feeds[feed.subject.details]
            if not feeds:
                del topics[kind][about]
        self.count -= 1
        self._by_address[connection.name] -= 1
        if not self._by_address[connection.name]:
            del self._by_address[connection.name]

    def note_drop(self, description: str) -> None:
        """Log that a websocket is dropped: one line in LOG_SECONDS, so that strangers cannot fill the log."""
        self._drops += 1
        now = time.monotonic()
        if now - self._logged_at >= LOG_SECONDS:
            log.warning("%d websockets dropped; the last %s", self._drops, description)
            self._drops, self._logged_at = 0, now

    def check_waiting(self) -> None:
        """Drop the websockets for which the most waits, until no more waits than may in all."""
        while self.waiting_bytes > self.limits.waiting_bytes_in_all:
            largest = max(self._connections, key=lambda connection: connection.waiting_bytes)
            largest.drop("too slow to read")

    # Notifications

    def _publish(self, commitment: Commitment, reached: Reached) -> None:
        """Take what has changed at a commitment, and notify of it in the background."""
        topics = self._topics[commitment]
        if topics[TASK_HEAD]:
            self._heads.push()
        if any(feeds for kind, feeds in topics.items() if kind != TASK_HEAD):
            self._report(self.ledger.at(commitment), reached, topics)

    def report_blocks(
        self,
        connection: Connection,
        subscription_id: int,
        subject: Subject,
        blocks: list[tuple[Block, Outcome]],
    ) -> None:
        """Report blocks to one subscription."""
        feed = Feed(subject)
        feed.connections[subscription_id] = connection
        kind, about = subject.topic
        topics: Topics = {**{kind: {} for kind in KINDS}, kind: {about: {subject.details: feed}}}
        self._report(self.ledger, Reached(range(0), blocks), topics)

    def _report(self, ledger: Ledger, reached: Reached, topics: Topics) -> None:
        self._blocks.append(Changed(ledger, reached, self.ledger.chain.state.head.time_ms, topics))
        if self._notifying is None or self._notifying.done():
            if self._notifying is not None:
                self._notifying.result()  # a mistake of ours stops the ledger
            self._notifying = asyncio.get_running_loop().create_task(self._notify_all())
        if len(self._blocks) > BLOCKS_MAX:
            busiest = max(self._connections, key=lambda connection: len(connection.subscriptions))
            busiest.drop("its subscriptions need too much work")

    async def _notify_all(self) -> None:
        while self._blocks:
            await Notifier(self.ledger.pace, self._blocks[0]).run()
            self._blocks.popleft()

    async def serve(self, scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        """Serve one connection, from its handshake to its end."""
        await receive()
        await send({"type": "websocket.accept"})
        address = get_address(scope)
        refusal = self._refuse(address)
        if refusal is not None:
            await close(send, refusal)
            return
        extension = scope.get("extensions", {}).get(WRITE_TEXT)
        connection = Connection(self, address, None if extension is None else extension["write"])
        self._connections.add(connection)
        sending = asyncio.create_task(connection.send_all(send))
        next_message = in_turns(receive, self.ledger.pace)
        try:
            while (message := await next_message())["type"] == "websocket.receive":
                if connection.drop_reason:
                    break
                text = message.get("text")
                await connection.take(text.encode() if text is not None else message.get("bytes") or b"")
                await connection.wait_for_room()
        finally:
            self._connections.discard(connection)
            connection.stop()
            if connection.drop_reason:
                await sending
            sending.cancel()

    def _refuse(self, address: str) -> str | None:
        """The reason to refuse a websocket of an address; None if it may open."""
        name = compute_name(address)
        if is_local(name):
            return None
        if not self.rpc.rates.has_left(address, 1, time.monotonic()):
            return "too many calls"
        count = sum(1 for connection in self._connections if connection.name == name)
        most = self.limits.websockets_per_address
        return f"{most} websockets of {address} are open" if count >= most else None


class Notifier:
    """Notifies of what reached a commitment at once, a little in each turn of the event loop."""

    def __init__(self, pace: Pace, changed: Changed) -> None:
        self._pace = pace
        self._changed = changed
        self._topics = changed.topics
        self._ends_at = 0.0

    async def run(self) -> None:
        """Notify all subscriptions that the blocks concern."""
        self._ends_at = await self._pace.wait()
        for _ in self._changed.decode_transactions(self._topics["logs"].keys()):
            await self._rest()
        for kind, about in self._find_topics():
            for feed in list(self._topics[kind].get(about, {}).values()):
                await self._report(feed)

    def _find_topics(self) -> list[Topic]:
        """The topics of subscriptions that the blocks concern, in the order of their reports."""
        changed, topics = self._changed, self._topics
        return [
            *(
                ("signature", signature)
                for signature in topics["signature"].keys() & changed.by_signature.keys()
            ),
            *(("account", key) for key in sorted(changed.accounts)),
            *(("slot", b""), ("root", b""), ("slotsUpdates", b""), ("block", b"")),
            *(("logs", key) for key in sorted(changed.mentions)),
            *(("program", key) for key in sorted(changed.owned)),
            ("logs", b""),
        ]

    async def _report(self, feed: Feed) -> None:
        kind = feed.subject.topic[0]
        began = time.perf_counter()
        try:
            for step in feed.subject.report(self._changed):
                self._charge(feed, time.perf_counter() - began)
                if not feed.connections:
                    return
                if isinstance(step, Unmade):
                    await self._changed.make(step)
                elif isinstance(step, UnmadeRead):
                    await step.read()
                elif step is not None:
                    await self._notify(feed, kind, step)
                await self._rest()
                began = time.perf_counter()
        except ReadAborted as error:
            for connection in set(feed.connections.values()):
                connection.drop(f"a notification is too large: {error}")
        if feed.subject.ends:
            for subscription_id, connection in list(feed.connections.items()):
                connection.end(subscription_id)

    async def _notify(self, feed: Feed, kind: str, result: msgspec.Raw) -> None:
        for subscription_id, connection in list(feed.connections.items()):
            if subscription_id in connection.subscriptions:  # else it has ended meanwhile
                connection.notify(subscription_id, kind, result)
                self._ends_at -= SENDING_SECONDS
            await self._rest()

    def _charge(self, feed: Feed, seconds: float) -> None:
        """Count the work for a feed as calls of the connection that began it."""
        connection = next(iter(feed.connections.values()), None)
        if connection is not None:
            connection.charge(seconds / COST_SECONDS)

    async def _rest(self) -> None:
        if time.perf_counter() > self._ends_at:
            self._ends_at = await self._pace.wait()


class HeadPusher:
    """Pushes heads of tasks: the newest to all subscriptions, then the newest again.

    It takes at most half of the time, so with very many subscriptions not every slot has its head.
    """

    def __init__(self, ledger: Ledger, feeds: dict[bytes, dict[Any, Feed]]) -> None:
        """`feeds` are those about heads, by task."""
        self._ledger = ledger
        self._feeds = feeds
        self._pushed_slot = -1
        self._pushing: asyncio.Task[None] | None = None

    def push(self) -> None:
        """Push the heads of the present slot, if they are not pushed yet."""
        if self._pushing is None or self._pushing.done():
            if self._pushing is not None:
                self._pushing.result()  # a mistake of ours stops the ledger
            self._pushing = asyncio.get_running_loop().create_task(self._push_newest())

    async def _push_newest(self) -> None:
        while self._pushed_slot != self._ledger.newest.slot:
            self._pushed_slot = self._ledger.newest.slot
            began = time.perf_counter()
            for task, feeds in list(self._feeds.items()):
                head = await self._ledger.reads.get_head(TaskKey(task))
                assert head is not None, "a task is never taken out of the state"
                for feed in list(feeds.values()):
                    await self._push_head(feed, head)
            await asyncio.sleep(min(time.perf_counter() - began, PAUSE_SECONDS_MAX))

    async def _push_head(self, feed: Feed, head: msgspec.Raw) -> None:
        ends_at = await self._begin_slice()
        for subscription_id, connection in list(feed.connections.items()):
            if subscription_id in connection.subscriptions:  # else it has ended meanwhile
                ends_at -= connection.notify_now(subscription_id, TASK_HEAD, head)
            if time.perf_counter() > ends_at:
                ends_at = await self._begin_slice()

    async def _begin_slice(self) -> float:
        """Wait for a turn of the event loop. Returns when its part for heads ends."""
        return await self._ledger.pace.wait() - SLICE_SECONDS + HEADS_SLICE_SECONDS


def in_turns(receive: Callable[[], Any], pace: Pace) -> Callable[[], Any]:
    """Receives messages; many that came at once are given out a few in each turn of the event loop."""
    ends_at = 0.0

    async def receive_next() -> Any:
        nonlocal ends_at
        begun_at = time.perf_counter()
        message = await receive()
        now = time.perf_counter()
        if now - begun_at > READY_SECONDS:
            ends_at = now  # what follows at once waits for its turn
        elif now > ends_at:
            ends_at = await pace.wait()
        return message

    return receive_next


async def close(send: Callable[[Message], Any], reason: str) -> None:
    """End a websocket that breaks a limit; `reason` says which."""
    await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason})


def _bind(connection: Connection) -> dict[str, Method]:
    """The methods of one connection."""

    def bind(kind: str, build: Callable[[Ledger, Params], Subject | Awaitable[Subject]]) -> None:
        def subscribe(ledger: Ledger, params: Params) -> int | Awaitable[int]:
            subject = build(ledger, params)
            return subscribe_later(subject) if inspect.isawaitable(subject) else connection.subscribe(subject)

        def unsubscribe(ledger: Ledger, params: Params) -> bool:
            params.end(1)
            return connection.unsubscribe(kind, params.get(0, int, "the subscription"))

        methods[f"{kind}Subscribe"] = subscribe
        methods[f"{kind}Unsubscribe"] = unsubscribe

    async def subscribe_later(subject: Awaitable[Subject]) -> int:
        return connection.subscribe(await subject)

    methods: dict[str, Method] = {}
    for kind, build in KINDS.items():
        bind(kind, build)
    return methods
