"""RPC methods that read transactions and their results."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ...errors import Undecodable
from ...protocol.execute import Kind, Receipt, decode_landed
from ...protocol.params import Key
from ...protocol.transaction import Transaction
from ...wire import Json
from ..store.history import Place
from ..store.journal import Entry
from .budget import Budget
from .commitments import Commitment
from .errors import InvalidParams, NodeUnhealthy, TransactionNotFound, UnsupportedTransactionVersion
from .ledger import Ledger
from .params import Params, choice, field, read_signature
from .transaction_forms import (
    ENCODINGS,
    describe_accounts,
    describe_error,
    describe_memo,
    describe_meta,
    describe_status,
    encode_transaction,
    name_signatures,
)  # fmt: skip

TRANSACTION_OPTIONS = ("encoding", "maxSupportedTransactionVersion")
"""The fields of a configuration that says how transactions are shown."""

STATUSES_MAX = 256
SIGNATURES_MAX = 1_000
HISTORY_SECONDS = 2.0
"""How long a read of the past waits for the history to catch up."""


class Landed(NamedTuple):
    """A transaction that ran, its place and the block at that place."""

    place: Place
    entry: Entry
    transaction: Transaction

    @property
    def receipt(self) -> Receipt:
        """The transaction's receipt."""
        return self.entry.receipts[self.place.position]

    @property
    def error(self) -> str | Json | None:
        """Its error by the names that stock clients know; None if there is none."""
        return describe_error(self.transaction, self.receipt)

    @property
    def seconds(self) -> int:
        """The time of its block, in seconds since 1970."""
        return self.entry.block.time_ms // 1000


async def get_transaction(ledger: Ledger, params: Params) -> msgspec.Raw | None:
    signature = read_signature(params.get(0, str, "the signature"))
    config = params.config_or_encoding(1, *TRANSACTION_OPTIONS)
    check_transaction_options(config)
    [landed] = (await find_all(ledger, params.budget, [signature])).values()
    if landed is None or landed.entry.block.slot > ledger.slot:
        return None
    return await ledger.read_encoded(params.budget, _compose_transaction, landed, config)


def _compose_transaction(landed: Landed, config: Json) -> Json:
    return {"slot": landed.entry.block.slot, "blockTime": landed.seconds, **describe_landed(landed, config)}


async def get_signature_statuses(ledger: Ledger, params: Params) -> Json:
    """Statuses from memory, else from the history, with and without `searchTransactionHistory`."""
    names = params.get(0, list, "the signatures")
    params.config(1, "searchTransactionHistory")
    if len(names) > STATUSES_MAX:
        raise InvalidParams(f"Too many inputs provided; max {STATUSES_MAX}")
    signatures = [read_signature(name) for name in names]
    statuses = {signature: find_recent_status(ledger, signature) for signature in signatures}
    missing = [signature for signature, status in statuses.items() if status is None]
    if missing:
        found = await find_all(ledger, params.budget, missing)
        statuses |= {
            signature: compose_status(ledger, landed.entry.block.slot, landed.error) if landed else None
            for signature, landed in found.items()
        }
    return ledger.with_context([statuses[signature] for signature in signatures])


async def get_signatures_for_address(ledger: Ledger, params: Params) -> msgspec.Raw:
    address, config = params.key(0), params.config(1, "limit", "before", "until")
    limit = field(config, "limit", int, SIGNATURES_MAX)
    if not 1 <= limit <= SIGNATURES_MAX:
        raise InvalidParams(f"Invalid limit; max {SIGNATURES_MAX}")
    await wait_for_history(ledger)
    return await ledger.read_encoded(
        params.budget, _find_signatures, ledger, address, limit, config, params.budget
    )


def _find_signatures(ledger: Ledger, address: Key, limit: int, config: Json, budget: Budget) -> list[Json]:
    before = _find_bound(ledger, config, "before")
    until = _find_bound(ledger, config, "until")
    found: list[Json] = []
    landed = None
    while len(found) < limit:
        places = ledger.chain.history.find_address(address, before, limit - len(found))
        for place in places:
            budget.check_time()
            before = place
            if until is not None and place <= until:
                return found
            landed = _read_place(ledger, place, landed)
            if landed is None or landed.entry.block.slot > ledger.slot:
                continue
            if address in landed.transaction.accounts:
                found.append(_describe_signature(ledger, landed))
        if not places:
            break
    return found


async def get_transaction_count(ledger: Ledger, params: Params) -> int:
    params.config(0)
    return await count_transactions(ledger)


async def count_transactions(ledger: Ledger) -> int:
    """Transactions that ran since genesis. Raises NodeUnhealthy."""
    await wait_for_history(ledger)
    return ledger.chain.history.count


# Finding


async def wait_for_history(ledger: Ledger) -> None:
    """Wait until the history holds every block that is durable now.

    Raises NodeUnhealthy after HISTORY_SECONDS, because an answer "none" would be wrong while the history is
    incomplete.
    """
    height, history = ledger.chain.journal.height, ledger.chain.history
    for _ in range(int(HISTORY_SECONDS * 100)):
        if history.failure is not None:
            raise history.failure
        if history.height >= height:
            return
        await asyncio.sleep(0.01)
    raise NodeUnhealthy(
        f"the history has come to block {history.height} of {height}; send the same request again later"
    )


async def find_all(ledger: Ledger, budget: Budget, signatures: Sequence[bytes]) -> dict[bytes, Landed | None]:
    """Where transactions ran; None for one that never ran. Raises NodeUnhealthy while that is not known."""
    found: dict[bytes, Landed | None] = dict.fromkeys(signatures)
    chain = ledger.chain
    while True:
        missing = [signature for signature, landed in found.items() if landed is None]
        indexed = chain.history.height
        found |= await ledger.read(budget, _find_each, ledger, missing)
        oldest = chain.recent.oldest or chain.journal.height + 1
        if indexed >= oldest - 1 or None not in found.values():
            return found
        await wait_for_history(ledger)


def _find_each(ledger: Ledger, signatures: list[bytes]) -> dict[bytes, Landed | None]:
    return {signature: find_landed(ledger, signature) for signature in signatures}


def find_landed(ledger: Ledger, signature: bytes) -> Landed | None:
    """A transaction that ran, found in memory or in the history; None if neither has it."""
    recent = ledger.chain.recent.find(signature)
    places = [Place(recent.height, recent.position)] if recent else []
    for place in places or ledger.chain.history.find_transaction(signature):
        landed = _read_place(ledger, place)
        if landed is not None and landed.transaction.signatures[0] == signature:
            return landed
    return None


def find_recent_status(ledger: Ledger, signature: bytes) -> Json | None:
    """The status of a transaction that was carried out recently; None for any other.

    Why a transaction was rejected follows from its bytes, which only the journal has.
    """
    recent = ledger.chain.recent.find(signature)
    is_known = recent is not None and recent.receipt.kind == Kind.OK
    return compose_status(ledger, recent.slot, None) if recent is not None and is_known else None


async def find_result(
    ledger: Ledger, budget: Budget, signature: bytes
) -> tuple[int, str | Json | None] | None:
    """The slot and the error of a transaction; None if no block has it yet. Raises NodeUnhealthy."""
    recent = ledger.chain.recent
    while True:
        newest = recent.find(signature)
        if newest is not None and newest.receipt.kind == Kind.OK:
            return newest.slot, None
        landed = (await find_all(ledger, budget, [signature]))[signature]
        if landed is not None:
            return landed.entry.block.slot, landed.error
        if recent.find(signature) is None:  # else a block came meanwhile
            return None


def _find_bound(ledger: Ledger, config: Json, name: str) -> Place | None:
    if config.get(name) is None:
        return None
    landed = find_landed(ledger, read_signature(config[name]))
    if landed is None:
        raise TransactionNotFound(config[name])
    return landed.place


def _read_place(ledger: Ledger, place: Place, last: Landed | None = None) -> Landed | None:
    """The transaction at a place.

    If the `last` transaction is in the same block, the block is not read again.
    """
    if last is not None and last.place.height == place.height:
        entry: Entry | None = last.entry
    else:
        entry = ledger.chain.journal.read(place.height)
    if entry is None:
        return None
    try:
        wire, receipt = entry.block.transactions[place.position], entry.receipts[place.position]
        return Landed(place, entry, decode_landed(wire, receipt))
    except Undecodable:
        return None


# Shapes


def check_transaction_options(config: Json) -> None:
    """Raises InvalidParams for bad options, also where there is no transaction to show."""
    choice(config, "encoding", ENCODINGS, "json")


def describe_landed(landed: Landed, config: Json, is_brief: bool = False) -> Json:
    """A transaction with its result; brief where a block shows accounts only. Raises RpcError."""
    transaction = landed.transaction
    newest = field(config, "maxSupportedTransactionVersion", int, None)
    if transaction.version is not None and newest is None:
        raise UnsupportedTransactionVersion(transaction.version)
    wire = landed.entry.block.transactions[landed.place.position]
    encoding = field(config, "encoding", str, "json")
    shown = describe_accounts(transaction) if is_brief else encode_transaction(wire, transaction, encoding)
    answer: Json = {
        "transaction": shown,
        "meta": describe_meta(transaction, landed.receipt, encoding, is_brief),
    }
    if newest is not None:
        answer["version"] = "legacy" if transaction.version is None else transaction.version
    return answer


def compose_status(ledger: Ledger, slot: int, error: str | Json | None) -> Json:
    """The status of a transaction that is durable. Its confirmations are the slots that are over."""
    commitment = ledger.find_commitment(slot)
    return {
        "slot": slot,
        "confirmations": None if commitment == Commitment.FINALIZED else commitment.value,
        "err": error,
        "status": describe_status(error),
        "confirmationStatus": commitment.name.lower(),
    }


def _describe_signature(ledger: Ledger, landed: Landed) -> Json:
    return {
        "signature": name_signatures(landed.transaction)[0],
        "slot": landed.entry.block.slot,
        "err": landed.error,
        "memo": describe_memo(landed.transaction),
        "blockTime": landed.seconds,
        "confirmationStatus": ledger.find_commitment(landed.entry.block.slot).name.lower(),
    }


METHODS: dict[str, Any] = {
    "getTransaction": get_transaction,
    "getConfirmedTransaction": get_transaction,
    "getTransactionCount": get_transaction_count,
    "getSignatureStatuses": get_signature_statuses,
    "getSignaturesForAddress": get_signatures_for_address,
    "getConfirmedSignaturesForAddress2": get_signatures_for_address,
}
