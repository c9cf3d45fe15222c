"""Websocket notifications: account, logs, program, root, signature, slot; and JSON-RPC beside them."""

import asyncio
import contextlib
import inspect
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ...host.front import Message, compute_name, get_address, is_local
from ...protocol.execute import Block, Kind, Outcome, Receipt, decode_landed
from ...protocol.params import Key, base58_of
from ...protocol.records import Account
from ...protocol.transaction import Transaction
from ..limits import Limits
from ..store.recent import get_signature
from .account_forms import Form, describe_data, get_account_data, read_form
from .accounts import passes, read_filters
from .dispatch import METHODS, Method, Rpc
from .errors import InvalidParams, NodeUnhealthy, TooManyCalls
from .ledger import Ledger
from .params import Params, field, read_key, read_signature, show
from .transaction_forms import compose_logs, describe_error, name_signatures
from .transactions import find_all

POLICY_VIOLATION = 1008
"""The code that a websocket is closed with when it breaks a limit."""

FIRST_SECONDS = 0.05
"""How long after its answer a subscription sends what is due already. Some clients (@solana/kit on Node's ws)
lose a notification that arrives together with the answer, because they do not know its id yet."""

Topic = tuple[str, bytes]
"""What a block must touch to concern a subscription: its kind, and an account, a signature or nothing."""

log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()
_ids = itertools.count(1)


class Changed:
    """What a block changed, computed once for all subscriptions."""

    def __init__(self, ledger: Ledger, block: Block, outcome: Outcome, before: int) -> None:
        self.ledger = ledger
        self.block = block
        self.slots = range(before + 1, block.slot + 1)
        """The slots that have begun since the block before."""
        self.accounts = {
            key for change in outcome.changes for key in _changed_accounts(change.name, change.rows)
        }
        ran = [
            (wire, receipt)
            for wire, receipt in zip(block.transactions, outcome.receipts, strict=True)
            if receipt.kind != Kind.VOID
        ]
        self.receipts: dict[bytes, Receipt] = {get_signature(wire): receipt for wire, receipt in ran}
        self._ran = ran
        self._decoded: list[tuple[Transaction, Receipt]] | None = None
        self._shown: dict[tuple[Key, Form], msgspec.Raw] = {}

    @property
    def transactions(self) -> list[tuple[Transaction, Receipt]]:
        """The transactions that ran, decoded at the first use."""
        if self._decoded is None:
            self._decoded = [(decode_landed(wire, receipt), receipt) for wire, receipt in self._ran]
        return self._decoded

    def describe(self, key: Key, form: Form) -> msgspec.Raw:
        """An account with its context, encoded once for each form."""
        if (key, form) not in self._shown:
            state = self.ledger.state
            account = state.accounts.rows.get(key) or Account(
                0
            )  # a closed account: clients read an empty one
            data = get_account_data(state, key, account)
            shown = describe_data(state, key, account, data, form, is_lenient=True)
            self._shown[key, form] = msgspec.Raw(_encoder.encode(self.ledger.with_context(shown)))
        return self._shown[key, form]


Notify = Callable[[Changed], list[Any]]
"""The notifications of a subscription about a block that touches its topic. It never raises."""


class Subscription:
    """One subscription of one connection; `ends` after its first notification if it is a signature's."""

    def __init__(self, topic: Topic, notify: Notify, ends: bool = False) -> None:
        self.id = next(_ids)
        self.topic = topic
        self.notify = notify
        self.ends = ends
        self.first: list[Any] = []
        """Notifications that are due already when the client subscribes."""


class Connection:
    """One websocket: its subscriptions, and what waits to be sent."""

    def __init__(self, subscriptions: "Subscriptions", address: str) -> None:
        self.address = address
        self.subscriptions: dict[int, Subscription] = {}
        self.is_dropped = False
        self._all = subscriptions
        self._limits = subscriptions.limits
        self._rpc = Rpc(subscriptions.ledger, {**METHODS, **_bind(self)}, subscriptions.rpc.rates)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._fresh: list[Subscription] = []

    def subscribe(self, subscription: Subscription) -> int:
        """Add a subscription; its id. Raises NodeUnhealthy."""
        if len(self.subscriptions) >= self._limits.subscriptions:
            raise NodeUnhealthy(f"a connection has at most {self._limits.subscriptions} subscriptions")
        self._all.add(self, subscription)
        self.subscriptions[subscription.id] = subscription
        self._fresh.append(subscription)
        return subscription.id

    def unsubscribe(self, kind: str, subscription_id: int) -> bool:
        """End a subscription. Raises InvalidParams if there is none of that id and kind."""
        subscription = self.subscriptions.get(subscription_id)
        if subscription is None or subscription.topic[0] != kind:
            raise InvalidParams("Invalid subscription id.")
        self.end(subscription)
        return True

    def end(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        if self.subscriptions.pop(subscription.id, None) is not None:
            self._all.remove(subscription)

    def notify(self, subscription: Subscription, results: list[Any]) -> None:
        """Queue notifications of one subscription."""
        for result in results:
            note = {
                "jsonrpc": "2.0",
                "method": f"{subscription.topic[0]}Notification",
                "params": {"result": result, "subscription": subscription.id},
            }
            self.say(_encoder.encode(note))
        if results and subscription.ends:
            self.end(subscription)

    def say(self, text: bytes) -> None:
        """Queue a message. A reader that is too slow to take it is dropped with all that waits for it."""
        if self._waiting and self._waiting_bytes + len(text) > self._limits.waiting_bytes:
            self.drop()
        if not self.is_dropped:
            self._waiting.append(text)
            self._waiting_bytes += len(text)
            self._news.set()

    async def wait_for_room(self) -> None:
        """Wait until little is left to send, so that a client that does not read gets no more answers."""
        while self._waiting_bytes * 2 > self._limits.waiting_bytes:
            self._room.clear()
            await self._room.wait()

    def drop(self) -> None:
        """Give up a reader, and keep nothing more for it."""
        if not self.is_dropped:
            log.warning("websocket of %s dropped: %d bytes wait", self.address or "?", self._waiting_bytes)
        self.is_dropped = True
        self._waiting.clear()
        self._waiting_bytes = 0
        for subscription in list(self.subscriptions.values()):
            self.end(subscription)
        self._news.set()
        self._room.set()

    async def take(self, body: bytes) -> None:
        """Answer a message. Notifications that are due already follow a moment later."""
        try:
            answer = await self._rpc.answer(body, self.address)
        except TooManyCalls as error:
            answer = self._rpc.refuse(error)
        if answer is not None:
            self.say(answer)
        fresh, self._fresh = self._fresh, []
        if any(subscription.first for subscription in fresh):
            asyncio.get_running_loop().call_later(FIRST_SECONDS, self._notify_first, fresh)

    def _notify_first(self, fresh: list[Subscription]) -> None:
        for subscription in fresh:
            if subscription.id in self.subscriptions:
                self.notify(subscription, subscription.first)

    async def send_all(self, send: Callable[[Message], Any]) -> None:
        """Send what is queued until the reader is gone.

        If it is dropped, close the websocket with the reason.
        """
        with contextlib.suppress(OSError):  # the reader is gone
            while not self.is_dropped:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    text = self._waiting.popleft()
                    self._waiting_bytes -= len(text)
                    self._room.set()
                    await send({"type": "websocket.send", "text": text.decode()})
            await close(send, "too slow to read")


class Subscriptions:
    """All websockets of a ledger, and their subscriptions by topic."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc
        self.ledger = rpc.ledger
        self.limits: Limits = rpc.ledger.limits
        self.count = 0
        self._connections: set[Connection] = set()
        self._topics: dict[str, dict[bytes, dict[int, tuple[Connection, Subscription]]]] = {
            kind: {} for kind in KINDS
        }
        self._slot = rpc.ledger.slot
        rpc.ledger.chain.listeners.append(self._publish)

    def add(self, connection: Connection, subscription: Subscription) -> None:
        """Let a subscription see blocks. Raises NodeUnhealthy."""
        if self.count >= self.limits.subscriptions_in_all:
            raise NodeUnhealthy(f"a ledger has at most {self.limits.subscriptions_in_all} subscriptions")
        kind, name = subscription.topic
        self._topics[kind].setdefault(name, {})[subscription.id] = connection, subscription
        self.count += 1

    def remove(self, subscription: Subscription) -> None:
        """Let a subscription see no more blocks."""
        kind, name = subscription.topic
        row = self._topics[kind][name]
        del row[subscription.id]
        if not row:
            del self._topics[kind][name]
        self.count -= 1

    def _publish(self, block: Block, outcome: Outcome) -> None:
        if self.count:
            changed = Changed(self.ledger, block, outcome, self._slot)
            for kind, name in self._find_topics(changed):
                for connection, subscription in list(self._topics[kind][name].values()):
                    connection.notify(subscription, subscription.notify(changed))
        self._slot = block.slot

    def _find_topics(self, changed: Changed) -> list[Topic]:
        """The topics of subscriptions that a block touches."""
        signatures = self._topics["signature"].keys() & changed.receipts.keys()
        accounts = self._topics["account"].keys() & changed.accounts
        found = [("signature", signature) for signature in signatures]
        found += [("account", key) for key in sorted(accounts)]
        return found + [(kind, b"") for kind, names in self._topics.items() if b"" in names]

    async def serve(self, scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        """Serve one connection, from its handshake to its end."""
        await receive()
        await send({"type": "websocket.accept"})
        address = get_address(scope)
        refusal = self._refuse(address)
        if refusal is not None:
            await close(send, refusal)
            return
        connection = Connection(self, address)
        self._connections.add(connection)
        sending = asyncio.create_task(connection.send_all(send))
        try:
            while (message := await receive())["type"] == "websocket.receive" and not connection.is_dropped:
                text = message.get("text")
                await connection.take(text.encode() if text is not None else message.get("bytes") or b"")
                await connection.wait_for_room()
        finally:
            self._connections.discard(connection)
            for subscription in list(connection.subscriptions.values()):
                connection.end(subscription)
            if connection.is_dropped:
                await sending
            sending.cancel()

    def _refuse(self, address: str) -> str | None:
        """The reason to refuse a websocket of an address; None if it may open."""
        name = compute_name(address)
        if is_local(name):
            return None
        count = sum(1 for connection in self._connections if compute_name(connection.address) == name)
        most = self.limits.websockets_per_address
        return f"{most} websockets of {address} are open" if count >= most else None


async def close(send: Callable[[Message], Any], reason: str) -> None:
    """End a websocket that breaks a limit; `reason` says which."""
    await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason})


def _bind(connection: Connection) -> dict[str, Method]:
    """The methods of one connection."""

    def bind(kind: str, build: "Build") -> None:
        async def subscribe(ledger: Ledger, params: Params) -> int:
            built = build(ledger, params)
            return connection.subscribe(await built if inspect.isawaitable(built) else built)

        methods[f"{kind}Subscribe"] = subscribe
        methods[f"{kind}Unsubscribe"] = lambda ledger, params: connection.unsubscribe(
            kind, params.get(0, int, "the subscription")
        )

    methods: dict[str, Method] = {}
    for kind, build in KINDS.items():
        bind(kind, build)
    return methods


# The kinds


def _account(ledger: Ledger, params: Params) -> Subscription:
    key, form = params.key(0), read_form(params.config(1))
    return Subscription(("account", key), lambda changed: [changed.describe(key, form)])


def _program(ledger: Ledger, params: Params) -> Subscription:
    program, config = params.key(0, "the program"), params.config(1)
    form, filters = read_form(config), read_filters(config)

    def notify(changed: Changed) -> list[Any]:
        notes = []
        for key in sorted(changed.accounts):
            account = ledger.state.accounts.rows.get(key)
            if account is None or account.owner != program:
                continue
            data = get_account_data(ledger.state, key, account)
            if passes(filters, data):
                shown = describe_data(ledger.state, key, account, data, form, is_lenient=True)
                notes.append(ledger.with_context({"pubkey": base58_of(key), "account": shown}))
        return notes

    return Subscription(("program", b""), notify)


def _logs(ledger: Ledger, params: Params) -> Subscription:
    wanted = params.values[0] if params.values else None
    params.config(1)
    mentioned: Key | None = None
    match wanted:
        case "all" | "allWithVotes":
            pass
        case {"mentions": [address]}:
            mentioned = read_key(address, "the mention")
        case _:
            raise InvalidParams(
                f'Invalid params: {show(wanted)}; "all", "allWithVotes" or {{"mentions": [one address]}}',
            )

    def notify(changed: Changed) -> list[Any]:
        return [
            ledger.with_context(
                {
                    "signature": name_signatures(transaction)[0],
                    "err": describe_error(receipt),
                    "logs": compose_logs(transaction, receipt),
                }
            )
            for transaction, receipt in changed.transactions
            if mentioned is None or mentioned in transaction.accounts
        ]

    return Subscription(("logs", b""), notify)


async def _signature(ledger: Ledger, params: Params) -> Subscription:
    signature = read_signature(params.get(0, str, "the signature"))
    is_received_told = field(params.config(1), "enableReceivedNotification", bool, False)

    def compose(receipt: Receipt) -> list[Any]:
        received = [ledger.with_context("receivedSignature")] if is_received_told else []
        return [*received, ledger.with_context({"err": describe_error(receipt)})]

    subscription = Subscription(
        ("signature", signature), lambda changed: compose(changed.receipts[signature]), ends=True
    )
    recent = ledger.chain.recent
    landed = (
        None if recent.find(signature) else (await find_all(ledger, params.budget, [signature]))[signature]
    )
    newest = recent.find(signature)  # a block may have come meanwhile, which notified nobody
    if newest is not None:
        subscription.first = compose(newest.receipt)
    elif landed is not None:
        subscription.first = compose(landed.receipt)
    return subscription


def _slot(ledger: Ledger, params: Params) -> Subscription:
    return Subscription(
        ("slot", b""),
        lambda changed: [{"parent": slot - 1, "root": slot, "slot": slot} for slot in changed.slots],
    )


def _root(ledger: Ledger, params: Params) -> Subscription:
    return Subscription(("root", b""), lambda changed: list(changed.slots))


def _slots_updates(ledger: Ledger, params: Params) -> Subscription:
    return Subscription(
        ("slotsUpdates", b""),
        lambda changed: [
            {"slot": slot, "timestamp": changed.block.time_ms, "type": "root", "parent": slot - 1}
            for slot in changed.slots
        ],
    )


Build = Callable[[Ledger, Params], Subscription | Awaitable[Subscription]]
"""Makes a subscription from its parameters, at once or when the past has been searched. Raises RpcError."""

KINDS: dict[str, Build] = {
    "account": _account,
    "program": _program,
    "logs": _logs,
    "signature": _signature,
    "slot": _slot,
    "root": _root,
    "slotsUpdates": _slots_updates,
}


def _changed_accounts(name: bytes, rows: list[tuple[bytes, Any]]) -> list[Key]:
    """The accounts whose data changes for clients with the rows of a table.

    A task's tables change the task.
    """
    if name[:1] in b"AT":
        return [key for key, _ in rows]
    return [name[1:33]] if len(name) >= 33 else []
