"""RPC methods that read accounts and money."""

import base64
import heapq
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from ...protocol.books import compute_supply
from ...protocol.money import get_balance
from ...protocol.params import Key, base58_of, compute_rent
from ...protocol.programs.token_records import ACCOUNT_BYTES, STATE_AT
from ...protocol.records import Account
from ...protocol.state import State
from ...wire import Json, base58_decode
from .account_data import SHORT_BYTES, encode_account, encode_accounts, encode_data_of, measure_data
from .account_forms import BASE58_BYTES_MAX, AccountData, Form, get_account_data, read_form
from .errors import InvalidParams
from .ledger import Ledger, LongRead
from .params import CLIENTS_OWN, Params, check_fields, choice, field, read_key, show

ACCOUNT_OPTIONS = ("encoding", "dataSlice", *CLIENTS_OWN)
"""The fields of a configuration that says how accounts are shown."""

PROGRAM_OPTIONS = (*ACCOUNT_OPTIONS, "filters", "withContext", "sortResults")
KEYS_MAX = 100
FILTERS_MAX = 4
LARGEST = 20
BYTES = ("base58", "base64", "bytes", "binary")
"""The encodings of a filter's bytes. The last two are older names; with them a text is base58."""

FILTER_TEXT_MAX = 175
"""The most characters of a filter's bytes: 128 bytes in base58."""


class SizeFilter(NamedTuple):
    """Data has this many bytes."""

    size: int

    def matches(self, data: AccountData) -> bool:
        return data.size == self.size


class PartFilter(NamedTuple):
    """Data has these bytes at an offset."""

    offset: int
    wanted: bytes

    def matches(self, data: AccountData) -> bool:
        return data.cut(self.offset, len(self.wanted)) == self.wanted


class TokenFilter(NamedTuple):
    """Data is that of an initialized token account."""

    state_at: int = STATE_AT

    def matches(self, data: AccountData) -> bool:
        return data.size == ACCOUNT_BYTES and data.cut(self.state_at, 1) != b"\0"


Filter = SizeFilter | PartFilter | TokenFilter


def get_balance_of(ledger: Ledger, params: Params) -> Json:
    params.config(1, *CLIENTS_OWN)
    return ledger.with_context(get_balance(ledger.state, params.key(0)))


def get_account_info(ledger: Ledger, params: Params) -> msgspec.Raw:
    key, form = params.key(0), read_form(params.config(1, *ACCOUNT_OPTIONS))
    return ledger.encode_with_context(encode_account(ledger.state, key, form, params.budget))


def _is_small_account(ledger: Ledger, params: Params) -> bool:
    return (
        measure_data(ledger.state, params.key(0), read_form(params.config(1, *ACCOUNT_OPTIONS)))
        <= SHORT_BYTES
    )


def get_multiple_accounts(ledger: Ledger, params: Params) -> msgspec.Raw:
    keys, form = _read_keys(params)
    return ledger.encode_with_context(encode_accounts(ledger.state, keys, form, params.budget))


def _are_small_accounts(ledger: Ledger, params: Params) -> bool:
    keys, form = _read_keys(params)
    return sum(measure_data(ledger.state, key, form) for key in keys) <= SHORT_BYTES


def _read_keys(params: Params) -> tuple[list[Key], Form]:
    names = params.get(0, list, "the addresses")
    if len(names) > KEYS_MAX:
        raise InvalidParams(f"Too many inputs provided; max {KEYS_MAX}")
    form = read_form(params.config(1, *ACCOUNT_OPTIONS), default="base64")
    return [read_key(name, "the address") for name in names], form


def get_program_accounts(ledger: Ledger, params: Params) -> msgspec.Raw:
    program, config = params.key(0, "the program"), params.config(1, *PROGRAM_OPTIONS)
    form, filters = read_form(config), read_filters(config)
    found = params.budget.encode_list(
        {
            "pubkey": base58_of(key),
            "account": encode_data_of(ledger.state, key, account, data, form, params.budget),
        }
        for key, account in find_owned(ledger.state, program)
        if passes(filters, data := get_account_data(ledger.state, key, account))
    )
    return ledger.encode_with_context(found) if field(config, "withContext", bool, False) else found


def get_rent(ledger: Ledger, params: Params) -> int:
    params.config(1)
    return compute_rent(params.get(0, int, "the size"))


def get_supply(ledger: Ledger, params: Params) -> Json:
    params.config(0, "excludeNonCirculatingAccountsList")
    total = compute_supply(ledger.state)
    value = {"total": total, "circulating": total, "nonCirculating": 0, "nonCirculatingAccounts": []}
    return ledger.with_context(value)


def get_largest_accounts(ledger: Ledger, params: Params) -> Json:
    config = params.config(0, "filter", "sortResults")
    which = choice(config, "filter", ("circulating", "nonCirculating"), "circulating")
    rows = ledger.state.accounts.rows.items() if which == "circulating" else ()
    largest = heapq.nsmallest(LARGEST, rows, key=lambda item: (-item[1].balance, item[0]))
    value = [{"address": base58_of(key), "lamports": account.balance} for key, account in largest]
    return ledger.with_context(value)


def find_owned(state: State, program: Key) -> list[tuple[Key, Account]]:
    """The accounts of a program, by address."""
    owned = [(key, account) for key, account in state.accounts.rows.items() if account.owner == program]
    return sorted(owned, key=lambda row: row[0])


# Filters


def read_filters(config: Json) -> list[Filter]:
    """The filters of a configuration. Raises InvalidParams."""
    entries = field(config, "filters", list, [])
    if len(entries) > FILTERS_MAX:
        raise InvalidParams(f"Too many filters provided; max {FILTERS_MAX}")
    return [_read_filter(entry) for entry in entries]


def passes(filters: Iterable[Filter], data: AccountData) -> bool:
    """Whether data passes all filters."""
    return all(each.matches(data) for each in filters)


def _read_filter(entry: Any) -> Filter:
    if entry == "tokenAccountState":
        return TokenFilter()
    kind, *others = list(entry) if entry and isinstance(entry, dict) else [""]
    if others:
        raise InvalidParams(
            f"Invalid params: a filter has one condition; this one has {kind} and {others[0]}"
        )
    match kind:
        case "dataSize":
            return SizeFilter(field(entry, kind, int))
        case "memcmp":
            compared = check_fields(field(entry, kind, dict), kind, ("offset", "bytes", "encoding"))
            offset, encoding = field(compared, "offset", int), choice(compared, "encoding", BYTES, "base58")
            return PartFilter(offset, _decode(compared.get("bytes"), encoding))
        case "tokenAccountState":
            return TokenFilter()
        case _:
            raise InvalidParams(
                f"Invalid params: filter {show(entry)}; dataSize, memcmp or tokenAccountState is expected"
            )


def _decode(raw: Any, encoding: str) -> bytes:
    """The bytes that a memcmp looks for, from a text or a list of numbers. Raises InvalidParams."""
    if raw is None:
        raise InvalidParams("Invalid params: missing field `bytes` in memcmp")
    try:
        if isinstance(raw, list):
            wanted = bytes(raw)
        elif len(raw) > FILTER_TEXT_MAX:
            raise InvalidParams("Invalid param: encoded binary data should be less than 129 bytes")
        elif encoding == "base64":
            wanted = base64.b64decode(raw, validate=True)
        else:
            wanted = base58_decode(raw)
    except (ValueError, TypeError, AttributeError):
        raise InvalidParams(f"Invalid params: the bytes of a memcmp are not {encoding}") from None
    if len(wanted) > BASE58_BYTES_MAX:
        raise InvalidParams("Invalid param: decoded binary data should be less than 129 bytes")
    return wanted


METHODS: dict[str, Any] = {
    "getBalance": get_balance_of,
    "getAccountInfo": LongRead(get_account_info, _is_small_account),
    "getMultipleAccounts": LongRead(get_multiple_accounts, _are_small_accounts),
    "getProgramAccounts": LongRead(get_program_accounts),
    "getMinimumBalanceForRentExemption": get_rent,
    "getSupply": LongRead(get_supply),
    "getLargestAccounts": LongRead(get_largest_accounts),
}
