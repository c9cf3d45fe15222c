"""Accounts as JSON, made in pieces, so that large accounts do not delay other threads or exceed a budget."""

import base64
from collections.abc import Iterator, Sequence

import msgspec
import zstandard

from ...protocol.params import Key, TaskKey
from ...protocol.records import Account
from ...protocol.state import State
from .account_forms import PARSED_BYTES_MAX, AccountData, Form, describe_data, get_account_data
from .budget import Budget, join
from .task_forms import count_rows

SHORT_BYTES = 2**16
"""This many bytes of data are shown on the event loop; more are shown on another thread."""

ROW_BYTES = 200
"""About as many bytes of a task's JSON come from one of its records."""

PIECE_BYTES = 3 * 2**16
"""Data is encoded in pieces of this size: whole groups of base64."""

_NO_DATA = Form("base64", 0, 0)


def measure_data(state: State, key: Key, form: Form) -> int:
    """About how many bytes must be made to show an account."""
    if key in state.tasks.rows:
        return ROW_BYTES * count_rows(state, TaskKey(key))
    account = state.accounts.rows.get(key)
    if account is None:
        return 0
    return account.space if form.length is None else min(form.length, account.space)


def encode_account(state: State, key: Key, form: Form, budget: Budget) -> msgspec.Raw:
    """The JSON of an account, or null. Raises RpcError for more data than base58 or the budget takes."""
    account = state.accounts.rows.get(key)
    if account is None:
        return msgspec.Raw(b"null")
    return encode_data_of(state, key, account, get_account_data(state, key, account), form, budget)


def encode_accounts(state: State, keys: Sequence[Key], form: Form, budget: Budget) -> msgspec.Raw:
    """The JSON of an array of accounts. Raises RpcError as above."""
    return budget.encode_list(encode_account(state, key, form, budget) for key in keys)


def encode_data_of(
    state: State,
    key: Key,
    account: Account,
    data: AccountData,
    form: Form,
    budget: Budget,
    is_lenient: bool = False,
) -> msgspec.Raw:
    """The JSON of an account with this data. Raises RpcError as above.

    More data than base58 takes is shown as a text if `is_lenient`.
    """
    is_text = form.encoding in ("binary", "base58")
    is_parsed = form.encoding == "jsonParsed" and data.size <= PARSED_BYTES_MAX
    if is_text or is_parsed or form.measure(data) <= SHORT_BYTES:
        return budget.encode(describe_data(state, key, account, data, form, is_lenient))
    shown = describe_data(state, key, account, data, _NO_DATA)
    return budget.encode({**shown, "data": _encode_pieces(data, form, budget)})


def _encode_pieces(data: AccountData, form: Form, budget: Budget) -> msgspec.Raw:
    budget.check_bytes(form.measure(data))
    is_compressed = form.encoding == "base64+zstd"
    pieces = _compress(data, form, budget) if is_compressed else _cut(data, form, budget)
    parts, size = [], 0
    for piece in pieces:
        parts.append(base64.b64encode(piece))
        size += len(parts[-1])
        budget.check_bytes(size)
    return join(b'["', *parts, b'","base64+zstd"]' if is_compressed else b'","base64"]')


def _cut(data: AccountData, form: Form, budget: Budget) -> Iterator[bytes]:
    end = form.offset + form.measure(data)
    for at in range(form.offset, end, PIECE_BYTES):
        budget.check_time()
        yield data.cut(at, min(PIECE_BYTES, end - at))


def _compress(data: AccountData, form: Form, budget: Budget) -> Iterator[bytes]:
    """What the data compresses to, in pieces of whole groups of base64."""
    compressor = zstandard.ZstdCompressor().compressobj(size=form.measure(data))
    waiting = b""
    for piece in _cut(data, form, budget):
        waiting += compressor.compress(piece)
        whole = len(waiting) - len(waiting) % 3
        yield waiting[:whole]
        waiting = waiting[whole:]
    yield waiting + compressor.flush()
