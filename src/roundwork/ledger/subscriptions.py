"""Websocket notifications: account, logs, program, root, signature, slot; and JSON-RPC beside them."""

import asyncio
import itertools
from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec

from ..protocol.execute import Block, Kind, Outcome, Receipt, decode_landed
from ..protocol.params import Key, base58_of
from ..protocol.transaction import Transaction
from ..wire import base58_encode, compose_logs, describe_error, get_account_data
from .desk import Desk, Params, RpcError, field, read_key, read_signature
from .recent import get_signature
from .rpc import METHODS, Rpc
from .rpc_accounts import compile_filter, describe_account, describe_data

SUBSCRIPTIONS_MAX = 1_000
"""Subscriptions of one connection."""

QUEUE_MAX = 10_000
"""Notifications that may wait for a slow reader; then its connection is closed."""

Message = MutableMapping[str, Any]
_encoder = msgspec.json.Encoder()
_numbers = itertools.count(1)


class Changed:
    """What a block changed, worked out once for all subscriptions."""

    def __init__(self, desk: Desk, block: Block, outcome: Outcome, before: int) -> None:
        self.desk = desk
        self.block = block
        self.before = before
        """The slot of the block before."""
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

    @property
    def transactions(self) -> list[tuple[Transaction, Receipt]]:
        """The transactions that ran, decoded when first asked for."""
        if self._decoded is None:
            self._decoded = [(decode_landed(wire, receipt), receipt) for wire, receipt in self._ran]
        return self._decoded


Notify = Callable[[Changed], list[Any]]
"""What a subscription has to say of a block."""


class Subscription:
    """One subscription of one connection; `ends` after its first notification if it is a signature's."""

    def __init__(self, kind: str, notify: Notify, ends: bool = False) -> None:
        self.number = next(_numbers)
        self.kind = kind
        self.notify = notify
        self.ends = ends


class Connection:
    """One websocket: its subscriptions and what waits to be sent."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc
        self.desk = rpc.desk
        self.subscriptions: dict[int, Subscription] = {}
        self.outgoing: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MAX)
        self.first: list[tuple[Subscription, Any]] = []
        """Notifications that are due at once, after the answer to their subscribing."""

    def subscribe(self, subscription: Subscription) -> int:
        """Add a subscription; its number. Raises RpcError."""
        if len(self.subscriptions) >= SUBSCRIPTIONS_MAX:
            raise RpcError(-32005, f"a connection has at most {SUBSCRIPTIONS_MAX} subscriptions")
        self.subscriptions[subscription.number] = subscription
        return subscription.number

    def unsubscribe(self, number: int) -> bool:
        """End a subscription. Raises RpcError if there is none of that number."""
        if self.subscriptions.pop(number, None) is None:
            raise RpcError(-32602, "Invalid subscription id.")
        return True

    def see(self, changed: Changed) -> None:
        """Notify of a block."""
        for subscription in list(self.subscriptions.values()):
            for result in subscription.notify(changed):
                self.push(subscription, result)

    def push(self, subscription: Subscription, result: Any) -> None:
        """Queue one notification; a reader that is too slow is cut off."""
        note = {
            "jsonrpc": "2.0",
            "method": f"{subscription.kind}Notification",
            "params": {"result": result, "subscription": subscription.number},
        }
        if subscription.ends:
            self.subscriptions.pop(subscription.number, None)
        self.say(_encoder.encode(note))

    def say(self, text: bytes) -> None:
        """Queue a message, or the end of the connection."""
        if self.outgoing.full():
            self.subscriptions.clear()
            self.outgoing.get_nowait()
            self.outgoing.put_nowait(None)
            return
        self.outgoing.put_nowait(text)

    async def take(self, body: bytes) -> None:
        """Answer a message, then say what is due at once."""
        answer = await self.rpc.answer(body)
        if answer is not None:
            self.say(answer)
        for subscription, result in self.first:
            self.push(subscription, result)
        self.first.clear()


class Subscriptions:
    """All websockets of a ledger."""

    def __init__(self, rpc: Rpc) -> None:
        self._desk = rpc.desk
        self._connections: set[Connection] = set()
        self._slot = rpc.desk.slot
        rpc.desk.chain.listeners.append(self._publish)

    def _publish(self, block: Block, outcome: Outcome) -> None:
        if self._connections:
            changed = Changed(self._desk, block, outcome, self._slot)
            for connection in list(self._connections):
                connection.see(changed)
        self._slot = block.slot

    async def serve(self, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        """One connection, from its handshake to its end."""
        await receive()
        await send({"type": "websocket.accept"})
        connection = Connection(Rpc(self._desk))
        connection.rpc = Rpc(self._desk, {**METHODS, **_bind(connection)})
        self._connections.add(connection)
        sending = asyncio.create_task(_send_all(connection, send))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                text = message.get("text")
                await connection.take(text.encode() if text is not None else message.get("bytes") or b"")
        finally:
            self._connections.discard(connection)
            sending.cancel()


async def _send_all(connection: Connection, send: Callable[[Message], Any]) -> None:
    while (text := await connection.outgoing.get()) is not None:
        await send({"type": "websocket.send", "text": text.decode()})
    await send({"type": "websocket.close", "code": 1008, "reason": "too slow to read"})


def _bind(connection: Connection) -> dict[str, Callable[[Desk, Params], Any]]:
    """The methods of one connection."""

    def binder(build: Callable[[Connection, Params], Subscription]) -> Callable[[Desk, Params], int]:
        return lambda desk, params: connection.subscribe(build(connection, params))

    methods: dict[str, Callable[[Desk, Params], Any]] = {}
    for kind, build in KINDS.items():
        methods[f"{kind}Subscribe"] = binder(build)
        methods[f"{kind}Unsubscribe"] = lambda desk, params: connection.unsubscribe(
            params.get(0, int, "the subscription")
        )
    return methods


# The kinds


def _account(connection: Connection, params: Params) -> Subscription:
    key, config = params.key(0), params.config(1)
    desk = connection.desk

    def notify(changed: Changed) -> list[Any]:
        return [desk.with_context(describe_account(desk, key, config))] if key in changed.accounts else []

    return Subscription("account", notify)


def _program(connection: Connection, params: Params) -> Subscription:
    program, config = params.key(0, "the program"), params.config(1)
    filters = [compile_filter(one) for one in field(config, "filters", list, [])]
    desk = connection.desk

    def notify(changed: Changed) -> list[Any]:
        notes = []
        for key in sorted(changed.accounts):
            account = desk.state.accounts.rows.get(key)
            if account is None or account.owner != program:
                continue
            data = get_account_data(desk.state, key, account)
            if all(matches(data) for matches in filters):
                value = {"pubkey": base58_of(key), "account": describe_data(account, data, config)}
                notes.append(desk.with_context(value))
        return notes

    return Subscription("program", notify)


def _logs(connection: Connection, params: Params) -> Subscription:
    wanted = params.values[0] if params.values else None
    params.config(1)
    mentioned: Key | None = None
    match wanted:
        case "all" | "allWithVotes":
            pass
        case {"mentions": [one]}:
            mentioned = read_key(one, "the mention")
        case _:
            raise RpcError(-32602, 'Invalid params: "all", "allWithVotes" or {"mentions": [one address]}')
    desk = connection.desk

    def notify(changed: Changed) -> list[Any]:
        return [
            desk.with_context(
                {
                    "signature": base58_encode(transaction.signatures[0]),
                    "err": describe_error(receipt),
                    "logs": compose_logs(transaction, receipt),
                }
            )
            for transaction, receipt in changed.transactions
            if mentioned is None or mentioned in transaction.accounts
        ]

    return Subscription("logs", notify)


def _signature(connection: Connection, params: Params) -> Subscription:
    signature = read_signature(params.get(0, str, "the signature"))
    params.config(1)
    desk = connection.desk

    def notify(changed: Changed) -> list[Any]:
        receipt = changed.receipts.get(signature)
        return [desk.with_context({"err": describe_error(receipt)})] if receipt else []

    subscription = Subscription("signature", notify, ends=True)
    landed = desk.chain.recent.find(signature)
    if landed is not None:
        connection.first.append((subscription, desk.with_context({"err": describe_error(landed.receipt)})))
    return subscription


def _slot(connection: Connection, params: Params) -> Subscription:
    def notify(changed: Changed) -> list[Any]:
        return [
            {"parent": slot - 1, "root": slot, "slot": slot}
            for slot in range(changed.before + 1, changed.block.slot + 1)
        ]

    return Subscription("slot", notify)


def _root(connection: Connection, params: Params) -> Subscription:
    return Subscription("root", lambda changed: list(range(changed.before + 1, changed.block.slot + 1)))


def _slots_updates(connection: Connection, params: Params) -> Subscription:
    def notify(changed: Changed) -> list[Any]:
        return [
            {"slot": slot, "timestamp": changed.block.time_ms, "type": "root", "parent": slot - 1}
            for slot in range(changed.before + 1, changed.block.slot + 1)
        ]

    return Subscription("slotsUpdates", notify)


KINDS = {
    "account": _account,
    "program": _program,
    "logs": _logs,
    "signature": _signature,
    "slot": _slot,
    "root": _root,
    "slotsUpdates": _slots_updates,
}


def _changed_accounts(name: bytes, rows: list[tuple[bytes, Any]]) -> list[Key]:
    """The accounts that clients see change when rows of a table do: a task's tables are the task's."""
    if name[:1] in b"AT":
        return [key for key, _ in rows]
    return [name[1:33]] if len(name) >= 33 else []
