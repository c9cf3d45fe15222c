"""Accounts that a new development ledger begins with: from files, or copied from another ledger."""

from pathlib import Path

import msgspec

from ..client.rpc import Client
from ..errors import BadInput, Malformed, RemoteError, WrongShape
from ..protocol.params import SYSTEM_PROGRAM, Grant, base58_of, key_of
from ..wire import convert, decode_json


class _Account(msgspec.Struct, frozen=True):
    lamports: int
    owner: str = base58_of(SYSTEM_PROGRAM)
    data: list[str] | str = ""


class _File(msgspec.Struct, frozen=True):
    """What `solana account ADDRESS --output json` writes, as far as a genesis can hold it."""

    pubkey: str
    account: _Account


def read_grant(path: Path) -> Grant:
    """The account in a file of `solana account --output json`. Raises BadInput, also for data."""
    try:
        read = decode_json(path.read_bytes(), _File)
        key_of(read.pubkey)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except (Malformed, ValueError) as error:
        raise BadInput(
            f'{path} is not an account: {error}; it needs {{"pubkey": …, "account": {{"lamports": …}}}}'
        ) from None
    return _make_grant(str(path), read.pubkey, read.account)


async def copy_grants(url: str, addresses: list[str]) -> list[Grant]:
    """The accounts at addresses of another ledger or cluster. Raises BadInput, RemoteError."""
    config = {"commitment": "processed", "encoding": "base64"}
    async with Client(url) as client:
        values = (await client.call("getMultipleAccounts", addresses, config))["value"]
    grants = []
    for address, value in zip(addresses, values, strict=True):
        if value is None:
            raise BadInput(f"--clone {address}: there is no account at {url}")
        try:
            account = convert(value, _Account)
        except WrongShape as error:
            raise RemoteError(f"{url} answered no account for {address}: {error}") from None
        grants.append(_make_grant(f"--clone {address}", address, account))
    return grants


def _make_grant(source: str, address: str, account: _Account) -> Grant:
    data = account.data if isinstance(account.data, str) else account.data[0] if account.data else ""
    if data or account.owner != base58_of(SYSTEM_PROGRAM):
        raise BadInput(
            f"{source}: {address} belongs to {account.owner} or has data; a genesis holds balances of plain "
            "accounts only"
        )
    if account.lamports <= 0:
        raise BadInput(f"{source}: {address} has {account.lamports} lamports; a genesis gives at least 1")
    return Grant(address, account.lamports)
