"""RPC methods that read tokens."""

from collections.abc import Callable
from typing import Any

import msgspec

from ...protocol.params import TOKEN_PROGRAM, Key, base58_of
from ...protocol.programs.token_checks import get_data
from ...protocol.programs.token_records import ACCOUNT_BYTES, Mint, TokenAccount, decode_account, decode_mint
from ...protocol.records import Account
from ...protocol.state import State
from ...wire import Json, describe_amount
from .account_data import encode_account
from .account_forms import read_form
from .errors import InvalidParams
from .ledger import Ledger, LongRead
from .params import Params, check_fields, read_key

LARGEST = 20


def get_token_account_balance(ledger: Ledger, params: Params) -> Json:
    params.config(1)
    account = _get_account(ledger.state, params.key(0))
    return ledger.with_context(
        describe_amount(account.amount, _get_mint(ledger.state, account.mint).decimals)
    )


def get_token_supply(ledger: Ledger, params: Params) -> Json:
    params.config(1)
    mint = _get_mint(ledger.state, params.key(0, "the mint"))
    return ledger.with_context(describe_amount(mint.supply, mint.decimals))


def get_token_accounts_by_owner(ledger: Ledger, params: Params) -> msgspec.Raw:
    key = params.key(0, "the owner")
    return _describe_found(ledger, params, lambda account: account.owner == key)


def get_token_accounts_by_delegate(ledger: Ledger, params: Params) -> msgspec.Raw:
    key = params.key(0, "the delegate")
    return _describe_found(ledger, params, lambda account: account.delegate == key)


def get_token_largest_accounts(ledger: Ledger, params: Params) -> Json:
    params.config(1)
    key = params.key(0, "the mint")
    decimals = _get_mint(ledger.state, key).decimals
    found = _find(ledger.state, lambda account: account.mint == key)
    held = [(-account.amount, address) for address, _, account in found]
    return ledger.with_context(
        [
            {"address": base58_of(at), **describe_amount(-owed, decimals)}
            for owed, at in sorted(held)[:LARGEST]
        ]
    )


def _describe_found(ledger: Ledger, params: Params, wanted: Callable[[TokenAccount], bool]) -> msgspec.Raw:
    chosen = check_fields(params.get(1, dict, "mint or programId"), "the filter", ("mint", "programId"))
    form = read_form(params.config(2, "encoding", "dataSlice"))
    if len(chosen) != 1:
        raise InvalidParams("Invalid params: a filter has one condition: mint or programId")
    mint = read_key(chosen["mint"], "mint") if "mint" in chosen else None
    if mint is not None:
        _get_mint(ledger.state, mint, missing="could not find mint")
    elif read_key(chosen["programId"], "programId") != TOKEN_PROGRAM:
        raise InvalidParams("Invalid param: unrecognized Token program id")
    found = _find(ledger.state, lambda account: mint in (None, account.mint) and wanted(account))
    shown = params.budget.encode_list(
        {"pubkey": base58_of(key), "account": encode_account(ledger.state, key, form, params.budget)}
        for key, _, _ in found
    )
    return ledger.encode_with_context(shown)


def _find(state: State, wanted: Callable[[TokenAccount], bool]) -> list[tuple[Key, Account, TokenAccount]]:
    """The token accounts for which `wanted` is true, by address."""
    found = []
    for key, stored in state.accounts.rows.items():
        if stored.owner == TOKEN_PROGRAM and stored.space == ACCOUNT_BYTES:
            account = decode_account(stored.data.ljust(ACCOUNT_BYTES, b"\0"))
            if account is not None and wanted(account):
                found.append((key, stored, account))
    return sorted(found, key=lambda row: row[0])


def _get_account(state: State, key: Key) -> TokenAccount:
    stored = state.accounts.rows.get(key)
    if stored is None:
        raise InvalidParams("Invalid param: could not find account")
    account = decode_account(get_data(state, key))
    if account is None:
        raise InvalidParams("Invalid param: not a Token account")
    return account


def _get_mint(state: State, key: Key, missing: str = "not a Token mint") -> Mint:
    stored = state.accounts.rows.get(key)
    if stored is None:
        raise InvalidParams(f"Invalid param: {missing}")
    mint = decode_mint(get_data(state, key))
    if mint is None:
        raise InvalidParams("Invalid param: not a Token mint")
    return mint


METHODS: dict[str, Any] = {
    "getTokenAccountBalance": get_token_account_balance,
    "getTokenSupply": get_token_supply,
    "getTokenAccountsByOwner": LongRead(get_token_accounts_by_owner),
    "getTokenAccountsByDelegate": LongRead(get_token_accounts_by_delegate),
    "getTokenLargestAccounts": LongRead(get_token_largest_accounts),
}
