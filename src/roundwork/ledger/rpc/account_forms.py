"""Accounts as clients read them: their bytes, encoded, and the parsed form of well-known kinds."""

import base64
import struct
from collections.abc import Iterable
from typing import NamedTuple

import zstandard

from ...protocol.genesis import SLOT_HASHES
from ...protocol.params import (
    LOOKUP_PROGRAM,
    RENT_PER_BYTE,
    SYSTEM_PROGRAM,
    SYSVAR_CLOCK,
    SYSVAR_EPOCH_SCHEDULE,
    SYSVAR_RECENT_BLOCKHASHES,
    SYSVAR_RENT,
    SYSVAR_SLOT_HASHES,
    TOKEN_PROGRAM,
    Key,
    TaskKey,
    base58_of,
)
from ...protocol.programs.lookups import TABLE_BYTES_MAX, decode_table
from ...protocol.programs.nonces import NONCE_BYTES, decode_nonce
from ...protocol.programs.token_checks import get_data
from ...protocol.programs.token_records import (
    Mint,
    TokenAccount,
    decode_account,
    decode_mint,
    decode_multisig,
)
from ...protocol.records import Account
from ...protocol.state import Head, State
from ...wire import Json, base58_encode, describe_amount
from .constants import EPOCH_SLOTS
from .errors import InvalidRequest
from .params import check_fields, choice, field
from .task_accounts import encode_task_account

ENCODINGS = ("binary", "base58", "base64", "base64+zstd", "jsonParsed")
BASE58_BYTES_MAX = 128
RENT_EPOCH = 2**64 - 1
"""What Solana shows of an account that never pays rent."""

PARSED_BYTES_MAX = max(TABLE_BYTES_MAX, 20_000)
"""The most bytes of an account that has a parsed form: a lookup table, or the sysvar of slot hashes."""


# The bytes of sysvars, as Solana has them.
_CLOCK = struct.Struct("<QqQQq")
_RENT = struct.Struct("<QdB")
_EPOCH_SCHEDULE = struct.Struct("<QQ?QQ")
_COUNT, _BLOCKHASH, _SLOT_HASH = struct.Struct("<Q"), struct.Struct("<32sQ"), struct.Struct("<Q32s")


class Form(NamedTuple):
    """How a client wants an account's data: the encoding, and which part of it (`length` None: all)."""

    encoding: str = "binary"
    offset: int = 0
    length: int | None = None

    def measure(self, data: "AccountData") -> int:
        """The number of bytes of the wanted part."""
        return (
            data.size
            if self.length is None
            else len(range(data.size)[self.offset : self.offset + self.length])
        )

    def cut(self, data: "AccountData") -> bytes:
        """The wanted part of the data."""
        return data.cut(self.offset, data.size if self.length is None else self.length)


class AccountData(NamedTuple):
    """An account's data: `raw`, then zeros up to `size` bytes, which are made only where they are read."""

    raw: bytes
    size: int

    def cut(self, offset: int, length: int) -> bytes:
        """The bytes from an offset on, at most `length` of them."""
        end = min(offset + length, self.size)
        return self.raw[offset:end].ljust(max(end - offset, 0), b"\0")


def read_form(config: Json, default: str = "binary") -> Form:
    """The form that a configuration names. Raises InvalidParams."""
    encoding = choice(config, "encoding", ENCODINGS, default)
    part = field(config, "dataSlice", dict, None)
    if part is None:
        return Form(encoding)
    check_fields(part, "dataSlice", ("offset", "length"))
    return Form(encoding, field(part, "offset", int), field(part, "length", int))


def describe_account(state: State, key: Key, form: Form, is_lenient: bool = False) -> Json | None:
    """An account as clients read it; None if the address has no account.

    Raises InvalidRequest for more data than base58 takes; with `is_lenient` a text says so instead.
    """
    account = state.accounts.rows.get(key)
    if account is None:
        return None
    return describe_data(state, key, account, get_account_data(state, key, account), form, is_lenient)


def describe_data(
    state: State, key: Key, account: Account, data: AccountData, form: Form, is_lenient: bool = False
) -> Json:
    """An account's fields with its data in the wanted form.

    Raises InvalidRequest as describe_account does.
    """
    parsed = parse_account(state, key, account, data) if form.encoding == "jsonParsed" else None
    return {
        "data": parsed or encode_data(data, form, is_lenient),
        "executable": account.is_executable,
        "lamports": account.balance,
        "owner": base58_of(account.owner),
        "rentEpoch": RENT_EPOCH,
        "space": data.size,
    }


def encode_data(data: AccountData, form: Form, is_lenient: bool = False) -> str | list[str]:
    """The wanted bytes in an account encoding; "binary" is the oldest form, a bare base58 text.

    Raises InvalidRequest for more data than base58 takes.
    """
    encoding = form.encoding
    if encoding in ("binary", "base58"):
        if form.measure(data) <= BASE58_BYTES_MAX:
            text = base58_encode(form.cut(data))
        elif is_lenient:
            text = "error: data too large for bs58 encoding"
        else:
            raise InvalidRequest(
                f"Encoded binary (base 58) data should be less than {BASE58_BYTES_MAX} bytes, "
                "please use Base64 encoding.",
            )
        return text if encoding == "binary" else [text, "base58"]
    if encoding == "base64+zstd":
        compressed = zstandard.ZstdCompressor().compress(form.cut(data))
        return [base64.b64encode(compressed).decode(), "base64+zstd"]
    return [base64.b64encode(form.cut(data)).decode(), "base64"]


def get_account_data(state: State, key: Key, account: Account) -> AccountData:
    """An account's data as clients read it: made from a task's records or the head, else its bytes."""
    made = _make_data(state, key)
    return AccountData(account.data, account.space) if made is None else AccountData(made, len(made))


def _make_data(state: State, key: Key) -> bytes | None:
    if key in state.tasks.rows:
        return encode_task_account(state, TaskKey(key))
    if key == SYSVAR_CLOCK:
        return encode_clock(state.head)
    if key == SYSVAR_RENT:
        return _RENT.pack(RENT_PER_BYTE // 2, 2.0, 50)
    if key == SYSVAR_RECENT_BLOCKHASHES:
        return encode_recent_blockhashes(state)
    if key == SYSVAR_SLOT_HASHES:
        return encode_slot_hashes(state)
    if key == SYSVAR_EPOCH_SCHEDULE:
        return EPOCH_SCHEDULE
    return None


def encode_clock(head: Head) -> bytes:
    """The clock sysvar: slot, epoch start, epoch, next epoch, unix time."""
    seconds = head.time_ms // 1000
    return _CLOCK.pack(head.slot, seconds, 0, 1, seconds)


def encode_recent_blockhashes(state: State) -> bytes:
    """The sysvar of recent blockhashes: up to 150, newest first."""
    newest = sorted(state.ticks.rows.items(), reverse=True)[:150]
    fee = state.genesis.fee_per_signature
    return _encode_list(_BLOCKHASH.pack(mark.digest, fee) for _, mark in newest)


def encode_slot_hashes(state: State) -> bytes:
    """The sysvar of slot hashes: the slots whose ticks are known and those ticks, newest first."""
    newest = sorted(state.ticks.rows.items(), reverse=True)[:SLOT_HASHES]
    return _encode_list(_SLOT_HASH.pack(int.from_bytes(slot, "big"), mark.digest) for slot, mark in newest)


def _encode_list(items: Iterable[bytes]) -> bytes:
    packed = list(items)
    return _COUNT.pack(len(packed)) + b"".join(packed)


EPOCH_SCHEDULE = _EPOCH_SCHEDULE.pack(EPOCH_SLOTS, EPOCH_SLOTS, False, 0, 0)
"""The sysvar of the epoch schedule, as getEpochSchedule answers it."""


# Parsed


def parse_account(state: State, key: Key, account: Account, stored: AccountData) -> Json | None:
    """The parsed form of an account of a well-known kind; None of any other."""
    if stored.size > PARSED_BYTES_MAX:
        return None
    data = stored.cut(0, stored.size)
    if account.owner == TOKEN_PROGRAM:
        return _parse_token(state, data)
    if account.owner == LOOKUP_PROGRAM:
        return _parse_lookup_table(account, data)
    if account.owner == SYSTEM_PROGRAM and len(data) == NONCE_BYTES:
        return _parse_nonce(data)
    if key == SYSVAR_CLOCK:
        return _parse_clock(data)
    if key == SYSVAR_RENT:
        return _parse_rent(data)
    if key == SYSVAR_RECENT_BLOCKHASHES:
        return _parse_recent_blockhashes(data)
    if key == SYSVAR_SLOT_HASHES:
        return _parse_slot_hashes(data)
    if key == SYSVAR_EPOCH_SCHEDULE:
        return _parse_epoch_schedule(data)
    return None


def get_decimals(state: State, mint: Key) -> int | None:
    """The decimals of a mint; None if there is no mint at the address."""
    decoded = decode_mint(get_data(state, mint))
    return decoded.decimals if decoded else None


def _compose(program: str, data: bytes, kind: str, info: Json | list[Json]) -> Json:
    return {"program": program, "space": len(data), "parsed": {"type": kind, "info": info}}


def _parse_token(state: State, data: bytes) -> Json | None:
    held, mint, multisig = decode_account(data), decode_mint(data), decode_multisig(data)
    if held is not None:
        decimals = get_decimals(state, held.mint)
        return None if decimals is None else _compose("spl-token", data, "account", _show(held, decimals))
    if mint is not None:
        return _compose("spl-token", data, "mint", _show_mint(mint))
    if multisig is not None:
        info = {
            "numRequiredSigners": multisig.needed,
            "numValidSigners": len(multisig.signers),
            "isInitialized": True,
            "signers": [base58_of(signer) for signer in multisig.signers],
        }
        return _compose("spl-token", data, "multisig", info)
    return None


def _show(held: TokenAccount, decimals: int) -> Json:
    info: Json = {
        "mint": base58_of(held.mint),
        "owner": base58_of(held.owner),
        "state": "frozen" if held.is_frozen else "initialized",
        "isNative": held.reserve is not None,
        "tokenAmount": describe_amount(held.amount, decimals),
    }
    if held.reserve is not None:
        info["rentExemptReserve"] = describe_amount(held.reserve, decimals)
    if held.delegate is not None:
        info["delegate"] = base58_of(held.delegate)
        info["delegatedAmount"] = describe_amount(held.delegated, decimals)
    if held.closer is not None:
        info["closeAuthority"] = base58_of(held.closer)
    return info


def _show_mint(mint: Mint) -> Json:
    return {
        "mintAuthority": base58_of(mint.authority) if mint.authority else None,
        "supply": str(mint.supply),
        "decimals": mint.decimals,
        "isInitialized": True,
        "freezeAuthority": base58_of(mint.freezer) if mint.freezer else None,
    }


def _parse_nonce(data: bytes) -> Json | None:
    nonce = decode_nonce(data)
    if nonce is None:
        return None
    info = {
        "authority": base58_of(nonce.authority),
        "blockhash": base58_of(nonce.value),
        "feeCalculator": {"lamportsPerSignature": str(nonce.fee)},
    }
    return _compose("nonce", data, "initialized", info)


def _parse_lookup_table(account: Account, data: bytes) -> Json | None:
    table = decode_table(account)
    if table is None:
        return None
    info: Json = {
        "deactivationSlot": str(table.deactivated),
        "lastExtendedSlot": str(table.extended),
        "lastExtendedSlotStartIndex": table.start,
        "addresses": [base58_of(table.addresses[at : at + 32]) for at in range(0, 32 * table.count(), 32)],
    }
    if table.authority is not None:
        info["authority"] = base58_of(table.authority)
    return _compose("address-lookup-table", data, "lookupTable", info)


def _parse_clock(data: bytes) -> Json:
    slot, start, epoch, leader_epoch, seconds = _CLOCK.unpack(data)
    info = {
        "slot": slot,
        "epoch": epoch,
        "epochStartTimestamp": start,
        "leaderScheduleEpoch": leader_epoch,
        "unixTimestamp": seconds,
    }
    return _compose("sysvar", data, "clock", info)


def _parse_rent(data: bytes) -> Json:
    per_byte, threshold, burnt = _RENT.unpack(data)
    info = {"lamportsPerByteYear": str(per_byte), "exemptionThreshold": threshold, "burnPercent": burnt}
    return _compose("sysvar", data, "rent", info)


def _parse_recent_blockhashes(data: bytes) -> Json:
    info = [
        {"blockhash": base58_of(blockhash), "feeCalculator": {"lamportsPerSignature": str(fee)}}
        for blockhash, fee in _BLOCKHASH.iter_unpack(data[_COUNT.size :])
    ]
    return _compose("sysvar", data, "recentBlockhashes", info)


def _parse_slot_hashes(data: bytes) -> Json:
    info = [
        {"slot": slot, "hash": base58_of(tick)} for slot, tick in _SLOT_HASH.iter_unpack(data[_COUNT.size :])
    ]
    return _compose("sysvar", data, "slotHashes", info)


def _parse_epoch_schedule(data: bytes) -> Json:
    slots, offset, warms_up, first_epoch, first_slot = _EPOCH_SCHEDULE.unpack(data)
    info = {
        "slotsPerEpoch": slots,
        "leaderScheduleSlotOffset": offset,
        "warmup": warms_up,
        "firstNormalEpoch": first_epoch,
        "firstNormalSlot": first_slot,
    }
    return _compose("sysvar", data, "epochSchedule", info)
