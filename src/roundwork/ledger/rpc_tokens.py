"""RPC methods that read tokens."""

from typing import Any

from ..protocol.params import TOKEN_PROGRAM, Key, base58_of
from ..protocol.records import Account
from ..protocol.token_records import Mint, TokenAccount, decode_account, decode_mint
from ..wire import Json, describe_amount, get_account_data, parse_account
from .desk import Desk, Params, RpcError, field, read_key
from .rpc_accounts import describe_data

LARGEST = 20


def get_token_account_balance(desk: Desk, params: Params) -> Json:
    params.config(1)
    account = _get_account(desk, params.key(0))
    return desk.with_context(describe_amount(account.amount, _get_mint(desk, account.mint).decimals))


def get_token_supply(desk: Desk, params: Params) -> Json:
    params.config(1)
    mint = _get_mint(desk, params.key(0, "the mint"))
    return desk.with_context(describe_amount(mint.supply, mint.decimals))


def get_token_accounts_by_owner(desk: Desk, params: Params) -> Json:
    key = params.key(0, "the owner")
    return _find(desk, params, lambda account: account.owner == key)


def get_token_accounts_by_delegate(desk: Desk, params: Params) -> Json:
    key = params.key(0, "the delegate")
    return _find(desk, params, lambda account: account.delegate == key)


def get_token_largest_accounts(desk: Desk, params: Params) -> Json:
    params.config(1)
    key = params.key(0, "the mint")
    decimals = _get_mint(desk, key).decimals
    held = [(account.amount, at) for at, _, account in _accounts(desk) if account.mint == key]
    largest = sorted(held, key=lambda one: (-one[0], one[1]))[:LARGEST]
    return desk.with_context(
        [{"address": base58_of(at), **describe_amount(amount, decimals)} for amount, at in largest]
    )


def _find(desk: Desk, params: Params, wanted: Any) -> Json:
    chosen, config = params.get(1, dict, "mint or programId"), params.config(2)
    mint = read_key(chosen["mint"], "mint") if chosen.get("mint") else None
    if mint is None and read_key(chosen.get("programId"), "programId") != TOKEN_PROGRAM:
        raise RpcError(-32602, "Invalid param: unrecognized Token program id")
    encoding = field(config, "encoding", str, "base58")
    found = []
    for key, stored, account in _accounts(desk):
        if wanted(account) and mint in (None, account.mint):
            data = get_account_data(desk.state, key, stored)
            shown = describe_data(stored, data, config)
            if encoding == "jsonParsed":
                shown["data"] = parse_account(desk.state, stored, data) or shown["data"]
            found.append({"pubkey": base58_of(key), "account": shown})
    return desk.with_context(found)


def _accounts(desk: Desk) -> list[tuple[Key, Account, TokenAccount]]:
    found = []
    for key, stored in sorted(desk.state.accounts.rows.items()):
        if stored.owner == TOKEN_PROGRAM:
            account = decode_account(stored.data)
            if account is not None:
                found.append((key, stored, account))
    return found


def _get_account(desk: Desk, key: Key) -> TokenAccount:
    stored = desk.state.accounts.rows.get(key)
    account = decode_account(stored.data) if stored and stored.owner == TOKEN_PROGRAM else None
    if account is None:
        raise RpcError(
            -32602, f"Invalid param: {'not a Token account' if stored else 'could not find account'}"
        )
    return account


def _get_mint(desk: Desk, key: Key) -> Mint:
    stored = desk.state.accounts.rows.get(key)
    mint = (
        decode_mint(stored.data.ljust(stored.space, b"\0"))
        if stored and stored.owner == TOKEN_PROGRAM
        else None
    )
    if mint is None:
        raise RpcError(-32602, "Invalid param: not a Token mint")
    return mint


METHODS: dict[str, Any] = {
    "getTokenAccountBalance": get_token_account_balance,
    "getTokenSupply": get_token_supply,
    "getTokenAccountsByOwner": get_token_accounts_by_owner,
    "getTokenAccountsByDelegate": get_token_accounts_by_delegate,
    "getTokenLargestAccounts": get_token_largest_accounts,
}
