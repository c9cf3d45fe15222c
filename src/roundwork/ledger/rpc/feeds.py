"""The subjects of subscriptions, and the results of each block for all subscriptions of a subject."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator
from typing import Any, NamedTuple

import msgspec

from ...protocol.execute import Kind, Receipt, decode_landed
from ...protocol.params import Key, base58_of
from ...protocol.records import Account
from ...protocol.transaction import Transaction
from ..store.recent import get_signature
from .account_data import SHORT_BYTES, encode_data_of
from .account_forms import AccountData, Form, get_account_data, read_form
from .accounts import PROGRAM_OPTIONS, Filter, passes, read_filters
from .budget import Budget
from .commitments import Commitment, Reached
from .errors import InvalidParams
from .ledger import Ledger
from .params import Params, field, read_key, read_signature, show
from .task_accounts import encode_task_account
from .transaction_forms import compose_logs, describe_error, name_signatures
from .transactions import find_result

Topic = tuple[str, bytes]
"""What a block must touch to concern a subscription: its kind, and an address, a signature or nothing."""

Topics = dict[str, dict[bytes, dict[Hashable, Any]]]
"""What subscriptions are about: by kind, then by what a topic names, then by the details of their subject."""

_encoder = msgspec.json.Encoder()


class Ran(NamedTuple):
    """A transaction that ran: its slot, its bytes and its receipt."""

    slot: int
    wire: bytes
    receipt: Receipt


class Unmade(NamedTuple):
    """Data that is made on another thread before the report goes on."""

    key: Key
    form: Form | None = None
    """None: the data of a task, before it is encoded."""
    is_of_program: bool = False


class UnmadeRead(NamedTuple):
    """What is read on another thread before the report goes on."""

    read: Callable[[], Awaitable[None]]


Step = msgspec.Raw | Unmade | UnmadeRead | None
"""One step of a report: the JSON of a result, what must be made before the next step, or neither."""


class Changed:
    """What changed in the blocks that reached a commitment together, computed once for all subscriptions.

    Records are taken at that moment. They never change, so reports may be made later.
    """

    def __init__(self, ledger: Ledger, reached: Reached, time_ms: int, topics: Topics) -> None:
        """`ledger` stands at the commitment; `time_ms` is the time of the newest block."""
        self.topics = topics
        self.time_ms = time_ms
        self.slots = reached.slots
        """The slots that have reached the commitment."""
        self.owned: dict[Key, list[Key]] = defaultdict(list)
        """The accounts of each program that subscriptions are about."""
        self.accounts: list[Key] = []
        """The other accounts that subscriptions are about."""
        ran = [
            Ran(block.slot, wire, receipt)
            for block, outcome in reached.blocks
            for wire, receipt in zip(block.transactions, outcome.receipts, strict=True)
            if receipt.kind != Kind.VOID
        ]
        self.by_signature = {get_signature(each.wire): each for each in ran}
        self.ran: list[Ran] = ran if topics["logs"] else []
        """The transactions that ran, if subscriptions are about their logs."""
        self._ledger = ledger
        self._records: dict[Key, tuple[Account, AccountData | None]] = {}
        self._changed_in: dict[Key, int] = {}
        """The last slot in which each of these accounts changed."""
        self._view: Ledger | None = None
        self._shown: dict[tuple[Key, Form, bool], msgspec.Raw] = {}
        self._transactions: list[Transaction] = []
        self.mentions: dict[Key, list[int]] = defaultdict(list)
        """The transactions that ran, by the accounts that they name and that subscriptions are about."""
        self._logs: dict[int, msgspec.Raw] = {}
        for block, outcome in reached.blocks:
            for change in outcome.changes:
                for key in _find_changed(change.name, change.rows):
                    self._keep(key, block.slot)

    def _keep(self, key: Key, slot: int) -> None:
        state, topics = self._ledger.state, self.topics
        self._changed_in[key] = slot
        found = state.accounts.rows.get(key)
        account = found or Account(0)  # a closed account: clients read an empty one
        is_owned = found is not None and account.owner in topics["program"]
        if key in self._records or not (is_owned or key in topics["account"]):
            return
        if key in topics["account"]:
            self.accounts.append(key)
        if is_owned:
            self.owned[account.owner].append(key)
        if key in state.tasks.rows:
            self._view = self._ledger.get_view(self._make_budget())
            self._records[key] = account, None
        else:
            self._records[key] = account, get_account_data(state, key, account)

    # Accounts

    def get_data(self, key: Key) -> AccountData | None:
        """The data of a changed account; None if it must be made first."""
        return self._records[key][1]

    def describe(self, key: Key, form: Form, is_of_program: bool = False) -> msgspec.Raw | None:
        """The JSON of a changed account with its context; None if it must be made first.

        Raises AnswerTooLarge.
        """
        shown = self._shown.get((key, form, is_of_program))
        data = self._records[key][1]
        if shown is None and data is not None and form.measure(data) <= SHORT_BYTES:
            shown = self._shown[key, form, is_of_program] = self._encode(key, form, is_of_program)
        return shown

    async def make(self, unmade: Unmade) -> None:
        """Make what a report needs, on another thread. Raises AnswerTooLarge, WorkTooLong."""
        key, form, is_of_program = unmade
        if form is None:
            assert self._view is not None, "a task is kept with a view of the state"
            budget, state = self._make_budget(), self._view.state
            raw = await self._ledger.run_in_thread(budget, encode_task_account, state, key)
            self._records[key] = self._records[key][0], AccountData(raw, len(raw))
            return
        self._shown[key, form, is_of_program] = await self._ledger.run_in_thread(
            self._make_budget(), self._encode, key, form, is_of_program
        )

    def _make_budget(self) -> Budget:
        """No client waits for a notification: each piece of work has a budget of its own."""
        return Budget("", self._ledger.limits)

    def _encode(self, key: Key, form: Form, is_of_program: bool) -> msgspec.Raw:
        account, data = self._records[key]
        assert data is not None, "data is made before it is encoded"
        state = self._ledger.state if self._view is None else self._view.state
        shown: Any = encode_data_of(state, key, account, data, form, self._make_budget(), is_lenient=True)
        if is_of_program:
            shown = {"pubkey": base58_of(key), "account": shown}
        return encode_result(self._ledger, shown, self._changed_in[key])

    # Transactions

    def decode_transactions(self, wanted: Collection[Key]) -> Iterator[None]:
        """Decode the transactions that ran, one in each step, and note which accounts they name."""
        for at, ran in enumerate(self.ran):
            transaction = decode_landed(ran.wire, ran.receipt)
            self._transactions.append(transaction)
            for key in set(transaction.accounts).intersection(wanted):
                self.mentions[key].append(at)
            yield

    def describe_logs(self, at: int) -> msgspec.Raw:
        """The JSON of the logs of a transaction that ran, with its context."""
        if at not in self._logs:
            transaction, ran = self._transactions[at], self.ran[at]
            value = {
                "signature": name_signatures(transaction)[0],
                "err": describe_error(transaction, ran.receipt),
                "logs": compose_logs(transaction, ran.receipt),
            }
            self._logs[at] = encode_result(self._ledger, value, ran.slot)
        return self._logs[at]


def encode_result(ledger: Ledger, value: Any, slot: int) -> msgspec.Raw:
    """The JSON of a value with its context."""
    return msgspec.Raw(_encoder.encode({"context": ledger.describe_context(slot), "value": value}))


def _find_changed(name: bytes, rows: list[tuple[bytes, Any]]) -> list[Key]:
    """The accounts whose data changes for clients with the rows of a table.

    A task's tables change the task.
    """
    if name[:1] in b"AT":
        return [key for key, _ in rows]
    return [name[1:33]] if len(name) >= 33 else []


# What subscriptions are about


class Subject(NamedTuple):
    """What a subscription is about.

    Subscriptions with equal commitment, topic and details get the same results.
    """

    topic: Topic
    details: Hashable
    report: Callable[[Changed], Iterator[Step]]
    """The results of blocks that touch the topic, step by step. Raises AnswerTooLarge."""
    ends: bool = False
    """Whether a subscription ends with its first results."""
    first: Collection[msgspec.Raw] = ()
    """Results that are due already when the client subscribes."""
    commitment: Commitment = Commitment.PROCESSED
    """What a block must have reached before it is reported."""


def about_account(ledger: Ledger, params: Params) -> Subject:
    key, form = params.key(0), read_form(params.config(1, "encoding", "dataSlice"))

    def report(changed: Changed) -> Iterator[Step]:
        if changed.get_data(key) is None:
            yield Unmade(key)
        if changed.describe(key, form) is None:
            yield Unmade(key, form)
        yield changed.describe(key, form)

    return Subject(("account", key), form, report, commitment=ledger.commitment)


def about_program(ledger: Ledger, params: Params) -> Subject:
    program, config = params.key(0, "the program"), params.config(1, *PROGRAM_OPTIONS)
    form, filters = read_form(config), read_filters(config)

    def report(changed: Changed) -> Iterator[Step]:
        for key in sorted(changed.owned[program]):
            if changed.get_data(key) is None:
                yield Unmade(key)
            data = changed.get_data(key)
            if data is None or not passes(filters, data):
                yield None
                continue
            if changed.describe(key, form, is_of_program=True) is None:
                yield Unmade(key, form, is_of_program=True)
            yield changed.describe(key, form, is_of_program=True)

    details: tuple[Form, tuple[Filter, ...]] = form, tuple(filters)
    return Subject(("program", program), details, report, commitment=ledger.commitment)


def about_logs(ledger: Ledger, params: Params) -> Subject:
    wanted = params.values[0] if params.values else None
    params.config(1)
    mentioned: Key | None = None
    match wanted:
        case "all" | "allWithVotes":
            pass
        case {"mentions": [address], **others} if not others:
            mentioned = read_key(address, "the mention")
        case _:
            raise InvalidParams(
                f'Invalid params: {show(wanted)}; "all", "allWithVotes" or {{"mentions": [one address]}}',
            )

    def report(changed: Changed) -> Iterator[Step]:
        for at in range(len(changed.ran)) if mentioned is None else changed.mentions[mentioned]:
            yield changed.describe_logs(at)

    return Subject(("logs", mentioned or b""), None, report, commitment=ledger.commitment)


async def about_signature(ledger: Ledger, params: Params) -> Subject:
    signature = read_signature(params.get(0, str, "the signature"))
    config = params.config(1, "enableReceivedNotification")
    with_received = field(config, "enableReceivedNotification", bool, False)

    def compose(slot: int, error: Any) -> Iterator[msgspec.Raw]:
        if with_received:
            yield encode_result(ledger, "receivedSignature", slot)
        yield encode_result(ledger, {"err": error}, slot)

    def report(changed: Changed) -> Iterator[Step]:
        ran = changed.by_signature[signature]
        if ran.receipt.kind == Kind.OK:
            return compose(ran.slot, None)
        return compose(ran.slot, describe_error(decode_landed(ran.wire, ran.receipt), ran.receipt))

    result = await find_result(ledger, params.budget, signature)
    first = list(compose(*result)) if result is not None and result[0] <= ledger.slot else []
    return Subject(("signature", signature), with_received, report, True, first, ledger.commitment)


def about_slots(ledger: Ledger, params: Params) -> Subject:
    params.end(0)
    final = ledger.at(Commitment.FINALIZED)

    def report(changed: Changed) -> Iterator[Step]:
        for slot in changed.slots:
            root = max(min(final.slot, slot - Commitment.FINALIZED.value), 0)
            yield msgspec.Raw(_encoder.encode({"parent": slot - 1, "root": root, "slot": slot}))

    return Subject(("slot", b""), None, report)


def about_roots(ledger: Ledger, params: Params) -> Subject:
    params.end(0)

    def report(changed: Changed) -> Iterator[Step]:
        for slot in changed.slots:
            yield msgspec.Raw(_encoder.encode(slot))

    return Subject(("root", b""), None, report, commitment=Commitment.FINALIZED)


def about_slots_updates(ledger: Ledger, params: Params) -> Subject:
    params.end(0)

    def report(changed: Changed) -> Iterator[Step]:
        for slot in changed.slots:
            update = {"slot": slot, "timestamp": changed.time_ms, "type": "root", "parent": slot - 1}
            yield msgspec.Raw(_encoder.encode(update))

    return Subject(("slotsUpdates", b""), None, report, commitment=Commitment.FINALIZED)


def about_task_head(ledger: Ledger, params: Params) -> Subject:
    """Heads are pushed by `HeadPusher`, and not for each block."""
    task = params.task(0)
    params.end(1)
    if task not in ledger.newest.state.tasks.rows:
        raise InvalidParams(f"Invalid params: there is no task at {base58_of(task)}")
    return Subject((TASK_HEAD, task), None, lambda changed: iter(()))


TASK_HEAD = "taskHead"
"""The kind of subscriptions to heads."""

KINDS: dict[str, Callable[[Ledger, Params], Subject | Awaitable[Subject]]] = {
    "account": about_account,
    "program": about_program,
    "logs": about_logs,
    "signature": about_signature,
    "slot": about_slots,
    "root": about_roots,
    "slotsUpdates": about_slots_updates,
    TASK_HEAD: about_task_head,
}
"""Makes a subject from parameters, at once or when the past has been searched. Raises RpcError."""
