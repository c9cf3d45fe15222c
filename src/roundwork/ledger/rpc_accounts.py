"""RPC methods that read accounts and tasks."""

import base64
from typing import Any

import zstandard

from ..errors import UnknownTask
from ..protocol.books import compute_supply
from ..protocol.money import compute_rent, get_balance
from ..protocol.params import TASK_PROGRAM, Key, base58_of
from ..protocol.records import Account
from ..protocol.state import State
from ..protocol.views import view_ledger, view_round, view_task
from ..wire import (
    ALL_PARTS,
    RENT_EPOCH,
    Json,
    base58_decode,
    base58_encode,
    describe_distributions,
    describe_submissions,
    encode_task,
    get_account_data,
    parse_account,
)  # fmt: skip
from .archive import get_state_of
from .desk import Desk, Params, RpcError, field, read_key

KEYS_MAX = 100
BASE58_BYTES_MAX = 128
LARGEST = 20


def get_balance_of(desk: Desk, params: Params) -> Json:
    params.config(1)
    return desk.with_context(get_balance(desk.state, params.key(0)))


def get_account_info(desk: Desk, params: Params) -> Json:
    config = params.config(1)
    return desk.with_context(describe_account(desk, params.key(0), config))


def get_multiple_accounts(desk: Desk, params: Params) -> Json:
    names = params.get(0, list, "the addresses")
    if len(names) > KEYS_MAX:
        raise RpcError(-32602, f"Too many inputs provided; max {KEYS_MAX}")
    config = params.config(1)
    config.setdefault("encoding", "base64")
    return desk.with_context(
        [describe_account(desk, read_key(name, "the address"), config) for name in names]
    )


def get_program_accounts(desk: Desk, params: Params) -> Any:
    program = params.key(0, "the program")
    config = params.config(1)
    filters = [compile_filter(one) for one in field(config, "filters", list, [])]
    if len(filters) > 4:
        raise RpcError(-32602, "Too many filters provided; max 4")
    found = []
    for key, account in list(desk.state.accounts.rows.items()):
        if account.owner != program:
            continue
        data = get_account_data(desk.state, key, account)
        if all(matches(data) for matches in filters):
            found.append({"pubkey": base58_of(key), "account": describe_data(account, data, config)})
    return desk.with_context(found) if config.get("withContext") else found


def get_rent(desk: Desk, params: Params) -> int:
    params.config(1)
    return compute_rent(params.get(0, int, "the size"))


def get_supply(desk: Desk, params: Params) -> Json:
    params.config(0)
    total = compute_supply(desk.state)
    value = {"total": total, "circulating": total, "nonCirculating": 0, "nonCirculatingAccounts": []}
    return desk.with_context(value)


def get_largest_accounts(desk: Desk, params: Params) -> Json:
    params.config(0)
    rows = desk.state.accounts.rows.items()
    largest = sorted(rows, key=lambda item: (-item[1].balance, item[0]))[:LARGEST]
    return desk.with_context([{"address": base58_of(key), "lamports": one.balance} for key, one in largest])


# Tasks


def get_task(desk: Desk, params: Params) -> Any:
    try:
        return view_task(desk.state, params.key(0, "the task"))
    except UnknownTask:
        return None


def get_round(desk: Desk, params: Params) -> Any:
    task, number = params.key(0, "the task"), params.get(1, int, "the round")
    try:
        return view_round(get_state_of(desk.chain, task, number), task, number)
    except UnknownTask:
        return None


def get_task_account_info(desk: Desk, params: Params) -> Json:
    key, config = params.key(0, "the task"), params.config(1)
    parts = frozenset(part for part in ALL_PARTS if config.get(part))
    try:
        text = encode_task(desk.state, key, parts)
    except UnknownTask:
        return desk.with_context(None)
    value = describe_data(desk.state.accounts.rows.get(key) or Account(0, TASK_PROGRAM), b"", {})
    return desk.with_context({**value, "data": [base64.b64encode(text).decode(), "base64"]})


def get_task_submissions(desk: Desk, params: Params) -> Any:
    task, number = params.key(0, "the task"), _read_round(params.values)
    try:
        return describe_submissions(_get_state_of(desk, task, number), task, number)
    except UnknownTask:
        return None


def get_task_distributions(desk: Desk, params: Params) -> Any:
    task, number = params.key(0, "the task"), _read_round(params.values)
    try:
        return describe_distributions(_get_state_of(desk, task, number), task, number)
    except UnknownTask:
        return None


def get_my_submission_round(desk: Desk, params: Params) -> Json:
    """The last round that a node submitted in, as a number in `data`; null if it never did."""
    task, node = params.key(0, "the task"), params.key(1, "the node")
    only = _read_round(params.values)
    rounds = [int.from_bytes(key, "big") for key in desk.state.get_rounds(task).rows]
    mine = [n for n in rounds if only in (None, n) and node in desk.state.get_submissions(task, n).rows]
    return desk.with_context({"data": max(mine)} if mine else None)


def get_my_stake(desk: Desk, params: Params) -> Json:
    """A node's stake in a task, as a number in `data`; null if it never had any."""
    task, node = params.key(0, "the task"), params.key(1, "the node")
    stake = desk.state.get_stakes(task).rows.get(node)
    return desk.with_context({"data": stake.amount} if stake else None)


def _get_state_of(desk: Desk, task: Key, number: int | None) -> State:
    """The state that holds a round, from the archive if it is pruned; the present one for all rounds."""
    return desk.state if number is None else get_state_of(desk.chain, task, number)


def _read_round(values: list[Any]) -> int | None:
    """The round that the last parameter asks for; None (or −1) is all of them."""
    config = values[-1] if len(values) > 1 and isinstance(values[-1], dict) else {}
    number = config.get("round", -1)
    if not isinstance(number, int) or number < -1:
        raise RpcError(-32602, f"Invalid params: round is {number!r}; a round, or -1 for all")
    return None if number == -1 else number


# Shapes


def describe_account(desk: Desk, key: Key, config: Json) -> Json | None:
    """An account as clients are shown it; None if there is none."""
    account = desk.state.accounts.rows.get(key)
    if account is None:
        return None
    data = get_account_data(desk.state, key, account)
    shown = describe_data(account, data, config)
    if config.get("encoding") == "jsonParsed":
        shown["data"] = parse_account(desk.state, account, data) or shown["data"]
    return shown


def describe_data(account: Account, data: bytes, config: Json) -> Json:
    """An account's fields with its data in the encoding that was asked for."""
    encoding = field(config, "encoding", str, "base58")
    size = len(data)
    window = field(config, "dataSlice", dict, None)
    if window is not None and encoding != "jsonParsed":
        offset, length = field(window, "offset", int, 0), field(window, "length", int, 0)
        data = data[offset : offset + length]
    return {
        "data": encode_data(data, encoding),
        "executable": account.is_executable,
        "lamports": account.balance,
        "owner": base58_of(account.owner),
        "rentEpoch": RENT_EPOCH,
        "space": size,
    }


def encode_data(data: bytes, encoding: str) -> Any:
    """Bytes in an account encoding. Raises RpcError."""
    if encoding in ("base58", "binary"):
        if len(data) > BASE58_BYTES_MAX:
            raise RpcError(
                -32600,
                f"Encoded binary (base 58) data should be less than {BASE58_BYTES_MAX} bytes, "
                "please use Base64 encoding.",
            )
        text = base58_encode(data)
        return text if encoding == "binary" else [text, "base58"]
    if encoding in ("base64", "jsonParsed"):
        return [base64.b64encode(data).decode(), "base64"]
    if encoding == "base64+zstd":
        packed = zstandard.ZstdCompressor().compress(data)
        return [base64.b64encode(packed).decode(), "base64+zstd"]
    raise RpcError(
        -32602, f"Invalid params: encoding {encoding!r}; one of base58, base64, base64+zstd, jsonParsed"
    )


def compile_filter(one: Any) -> Any:
    """A filter of program accounts as a predicate on data. Raises RpcError."""
    match one:
        case {"dataSize": int(size)}:
            return lambda data: len(data) == size
        case {"memcmp": {"offset": int(offset), "bytes": str(text), **rest}}:
            wanted = _decode_filter(text, str(rest.get("encoding", "base58")))
            return lambda data: data[offset : offset + len(wanted)] == wanted
        case {"memcmp": {"offset": int(offset), "bytes": list(raw)}}:
            numbers = bytes(raw)
            return lambda data: data[offset : offset + len(numbers)] == numbers
        case "tokenAccountState":
            return lambda data: len(data) == 165 and data[108] != 0
        case _:
            raise RpcError(-32602, f"Invalid params: filter {one!r}; memcmp or dataSize is expected")


def _decode_filter(text: str, encoding: str) -> bytes:
    try:
        return base58_decode(text) if encoding == "base58" else base64.b64decode(text, validate=True)
    except ValueError:
        raise RpcError(-32602, f"Invalid params: the bytes of a memcmp are no {encoding}") from None


METHODS: dict[str, Any] = {
    "getBalance": get_balance_of,
    "getAccountInfo": get_account_info,
    "getMultipleAccounts": get_multiple_accounts,
    "getProgramAccounts": get_program_accounts,
    "getMinimumBalanceForRentExemption": get_rent,
    "getSupply": get_supply,
    "getLargestAccounts": get_largest_accounts,
    "getLedger": lambda desk, params: view_ledger(desk.state),
    "getTask": get_task,
    "getRound": get_round,
    "getTaskAccountInfo": get_task_account_info,
    "getTaskSubmissionInfo": get_task_submissions,
    "getTaskDistributionInfo": get_task_distributions,
    "getMyTaskSubmissionRoundInfo": get_my_submission_round,
    "getMyTaskStakeInfo": get_my_stake,
}
