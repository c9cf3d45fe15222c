"""Shapes that cross between processes: what clients are shown of accounts, tasks and transactions."""

import base64
import json
import struct
from typing import Any

import based58
from solders.pubkey import Pubkey
from solders.signature import Signature

from .protocol.clock import Timetable
from .protocol.execute import Kind, Receipt
from .protocol.params import (
    MEMO_PROGRAM,
    RENT_PER_BYTE,
    SYSTEM_PROGRAM,
    SYSVAR_CLOCK,
    SYSVAR_RECENT_BLOCKHASHES,
    SYSVAR_RENT,
    TOKEN_PROGRAM,
    Key,
    base58_of,
)  # fmt: skip
from .protocol.records import Account, Audit, Round, Status, Submission, Vote
from .protocol.state import Head, State, u64
from .protocol.tasks import get_task
from .protocol.token_records import decode_account, decode_mint
from .protocol.transaction import Instruction, Transaction

RENT_EPOCH = 2**64 - 1

Json = dict[str, Any]


# Accounts


def get_account_data(state: State, key: Key, account: Account) -> bytes:
    """An account's data as clients read it: a task as its JSON, a sysvar from the head, else the bytes."""
    if key in state.tasks.rows:
        return encode_task(state, key)
    if key == SYSVAR_CLOCK:
        return encode_clock(state.head)
    if key == SYSVAR_RENT:
        return struct.pack("<QdB", RENT_PER_BYTE // 2, 2.0, 50)
    if key == SYSVAR_RECENT_BLOCKHASHES:
        return encode_recent_blockhashes(state)
    return account.data.ljust(account.space, b"\0")


def encode_recent_blockhashes(state: State) -> bytes:
    """The sysvar of recent blockhashes, which clients list and few read: up to 150, newest first."""
    fee = struct.pack("<Q", state.genesis.fee_per_signature)
    newest = sorted(state.ticks.rows.items(), reverse=True)[:150]
    return struct.pack("<Q", len(newest)) + b"".join(mark.digest + fee for _, mark in newest)


def encode_clock(head: Head) -> bytes:
    """The clock sysvar: slot, epoch start, epoch, next epoch, unix time."""
    seconds = head.time_ms // 1000
    return struct.pack("<QqQQq", head.slot, seconds, 0, 1, seconds)


def parse_account(state: State, account: Account, data: bytes) -> Json | None:
    """The parsed form of an account of the token program; None of any other."""
    if account.owner != TOKEN_PROGRAM:
        return None
    held, mint = decode_account(data), decode_mint(data)
    if held is not None:
        stored = state.accounts.rows.get(held.mint)
        of = decode_mint(stored.data.ljust(stored.space, b"\0")) if stored else None
        info: Json = {
            "mint": base58_of(held.mint),
            "owner": base58_of(held.owner),
            "state": "frozen" if held.is_frozen else "initialized",
            "isNative": held.reserve is not None,
            "tokenAmount": describe_amount(held.amount, of.decimals if of else 0),
        }
        if held.delegate is not None:
            info["delegate"] = base58_of(held.delegate)
            info["delegatedAmount"] = describe_amount(held.delegated, of.decimals if of else 0)
        if held.closer is not None:
            info["closeAuthority"] = base58_of(held.closer)
        return {"program": "spl-token", "space": account.space, "parsed": {"type": "account", "info": info}}
    if mint is None:
        return None
    info = {
        "mintAuthority": base58_of(mint.authority) if mint.authority else None,
        "supply": str(mint.supply),
        "decimals": mint.decimals,
        "isInitialized": True,
        "freezeAuthority": base58_of(mint.freezer) if mint.freezer else None,
    }
    return {"program": "spl-token", "space": account.space, "parsed": {"type": "mint", "info": info}}


def describe_amount(amount: int, decimals: int) -> Json:
    """An amount of tokens as clients show it."""
    whole, part = divmod(amount, 10**decimals)
    text = f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".") if decimals else str(whole)
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals,
        "uiAmountString": text,
    }


# Tasks

ALL_PARTS = frozenset(("submission", "distribution", "balance", "stake"))


def encode_task(state: State, key: Key, parts: frozenset[str] = ALL_PARTS) -> bytes:
    """A task as the JSON that task clients parse; maps that are not among `parts` are empty.

    Raises UnknownTask. Source: docs/RPC.md, task state.
    """
    return json.dumps(describe_task(state, key, parts), separators=(",", ":"), ensure_ascii=False).encode()


def describe_task(state: State, key: Key, parts: frozenset[str] = ALL_PARTS) -> Json:
    """A task in the fields and the order that task clients know."""
    task = get_task(state, key)
    table: Timetable = task.timetable
    stakes = dict(sorted(state.get_stakes(key).rows.items()))
    balances = {base58_of(node): one.available for node, one in stakes.items() if one.available}
    staked = {base58_of(node): one.amount for node, one in stakes.items() if one.amount}
    endpoints = {base58_of(node): _text(one.endpoint) for node, one in stakes.items() if one.endpoint}
    submissions = describe_submissions(state, key) if "submission" in parts else empty_submissions()
    distributions = describe_distributions(state, key) if "distribution" in parts else empty_distributions()
    return {
        "is_allowlisted": task.is_allowlisted,
        "is_active": task.is_active,
        "task_name": _text(task.name),
        "task_description": _text(task.description),
        "task_manager": list(task.manager),
        "task_audit_program": _text(task.audit_program),
        "stake_pot_account": base58_of(task.pot),
        "total_bounty_amount": task.bounty,
        "bounty_amount_per_round": task.bounty_per_round,
        "current_round": max(table.compute_round(state.head.slot), 0),
        "available_balances": balances if "balance" in parts else {},
        "stake_list": staked if "stake" in parts else {},
        "ip_address_list": endpoints,
        "task_metadata": _text(task.metadata),
        "task_executable_network": _text(task.executable_network),
        **submissions,
        **distributions,
        "round_time": table.round_time,
        "starting_slot": table.starting_slot,
        "audit_window": table.audit_window,
        "submission_window": table.submission_window,
        "total_stake_amount": sum(staked.values()),
        "minimum_stake_amount": task.minimum_stake,
        "task_vars": _text(task.locals),
        "koii_vars": "",
        "is_migrated": bool(task.migrated_to),
        "migrated_to": base58_of(task.migrated_to) if task.migrated_to else "",
        "allowed_failed_distributions": task.allowed_failed_distributions,
    }


def empty_submissions() -> Json:
    """The submission maps of a task whose submissions were not asked for."""
    return {"submissions": {}, "submissions_audit_trigger": {}}


def empty_distributions() -> Json:
    """The distribution maps of a task whose distributions were not asked for."""
    return {
        "distribution_rewards_submission": {},
        "distributions_audit_trigger": {},
        "distributions_audit_record": {},
    }


def describe_submissions(state: State, key: Key, only: int | None = None) -> Json:
    """The submissions of a task's rounds and the audits raised on them. Raises UnknownTask."""
    get_task(state, key)
    submissions, triggers = {}, {}
    for number in _rounds(state, key, only):
        rows = state.get_submissions(key, number).rows
        submissions[str(number)] = _by_name({node: _submission(one, number) for node, one in rows.items()})
        raised = state.get_audits(key, number).rows
        if raised:
            votes = state.get_votes(key, number).rows
            triggers[str(number)] = _by_name(
                {node: _trigger(one, node, votes) for node, one in raised.items()}
            )
    return {"submissions": submissions, "submissions_audit_trigger": triggers}


def describe_distributions(state: State, key: Key, only: int | None = None) -> Json:
    """The lists of a task's rounds, the audits raised on them, and how they ended. Raises UnknownTask."""
    get_task(state, key)
    lists, triggers, records = {}, {}, {}
    for number in _rounds(state, key, only):
        name = str(number)
        one: Round = state.get_rounds(key).rows[u64(number)]
        rows = state.get_lists(key, number).rows
        raised = state.get_list_audits(key, number).rows
        if rows:
            lists[name] = _by_name(
                {
                    row.submitter: {
                        "submission_value": base58_of(row.submitter),
                        "slot": row.slot,
                        "round": number,
                    }
                    for row in rows.values()
                }
            )
        if raised:
            votes = state.get_list_votes(key, number).rows
            triggers[name] = _by_name(
                {
                    rows[attempt].submitter: _trigger(audit, attempt, votes)
                    for attempt, audit in raised.items()
                }
            )
        records[name] = _RECORDS[one.status]
    return {
        "distribution_rewards_submission": lists,
        "distributions_audit_trigger": triggers,
        "distributions_audit_record": records,
    }


_RECORDS = {
    Status.UNINITIALIZED: "Uninitialized",
    Status.PAYOUT_SUCCESSFUL: "PayoutSuccessful",
    Status.PAYOUT_FAILED: "PayoutFailed",
}


def _rounds(state: State, key: Key, only: int | None) -> list[int]:
    numbers = sorted(int.from_bytes(number, "big") for number in state.get_rounds(key).rows)
    return [number for number in numbers if only in (None, number)]


def _submission(one: Submission, number: int) -> Json:
    return {"submission_value": _text(one.value), "slot": one.slot, "round": number}


def _trigger(one: Audit, candidate: bytes, votes: dict[bytes, Vote]) -> Json:
    cast = [(vote, key[-32:]) for key, vote in votes.items() if key[:-32] == candidate and vote.number]
    return {
        "trigger_by": base58_of(one.trigger_by),
        "slot": one.slot,
        "votes": [
            {"is_valid": vote.is_valid, "voter": base58_of(voter), "slot": vote.slot}
            for vote, voter in sorted(cast, key=lambda item: item[0].number)
        ],
    }


def _by_name(rows: dict[Key, Json]) -> dict[str, Json]:
    """Rows in ascending byte order of the base58 key: the published selection rule hashes that text."""
    return dict(sorted((base58_of(key), row) for key, row in rows.items()))


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


# Transactions


def describe_error(receipt: Receipt) -> str | Json | None:
    """A receipt's error by the names that stock clients know; None if there is none."""
    if receipt.kind == Kind.OK:
        return None
    if receipt.kind == Kind.REJECTED:
        return {"InstructionError": [receipt.instruction, {"Custom": receipt.code}]}
    return "SanitizeFailure" if receipt.name == "Undecodable" else receipt.name


def describe_status(receipt: Receipt) -> Json:
    """The older form of a result."""
    error = describe_error(receipt)
    return {"Ok": None} if error is None else {"Err": error}


def compose_logs(transaction: Transaction, receipt: Receipt) -> list[str]:
    """The log lines of a transaction, derived from what it asked and what became of it."""
    lines = []
    for at, instruction in enumerate(transaction.instructions):
        program = base58_of(transaction.keys[instruction.program])
        if receipt.kind == Kind.REJECTED and at == receipt.instruction:
            lines += [
                f"Program {program} invoke [1]",
                f"Program log: {receipt.name}: {receipt.text}",
                f"Program {program} failed: custom program error: {hex(receipt.code)}",
            ]
            break
        lines.append(f"Program {program} invoke [1]")
        if transaction.keys[instruction.program] == MEMO_PROGRAM:
            lines += [
                f"Program log: Signed by {base58_of(transaction.accounts[one])}"
                for one in instruction.accounts
            ]
            lines.append(
                f"Program log: Memo (len {len(instruction.data)}): {json.dumps(_text(instruction.data))}"
            )
        lines.append(f"Program {program} success")
    return lines


def describe_memo(transaction: Transaction) -> str | None:
    """The memos of a transaction, as lists of signatures show them; None if it has none."""
    memos = [one.data for one in transaction.instructions if transaction.keys[one.program] == MEMO_PROGRAM]
    return "; ".join(f"[{len(memo)}] {_text(memo)}" for memo in memos) or None


def describe_meta(transaction: Transaction, receipt: Receipt) -> Json:
    """The `meta` of a transaction that ran."""
    loaded = [base58_of(key) for key in transaction.loaded]
    writable = transaction.count_loaded_writable()
    return {
        "err": describe_error(receipt),
        "status": describe_status(receipt),
        "fee": receipt.fee,
        "preBalances": list(receipt.pre),
        "postBalances": list(receipt.post),
        "innerInstructions": [],
        "logMessages": compose_logs(transaction, receipt),
        "preTokenBalances": [],
        "postTokenBalances": [],
        "rewards": [],
        "computeUnitsConsumed": 0,
        "loadedAddresses": {"writable": loaded[:writable], "readonly": loaded[writable:]},
    }


def encode_transaction(wire: bytes, transaction: Transaction, encoding: str) -> Any:
    """A transaction in one of the encodings: json, jsonParsed, base58, base64."""
    if encoding == "base64":
        return [base64.b64encode(wire).decode(), "base64"]
    if encoding == "base58":
        return [base58_encode(wire), "base58"]
    message: Json = {"recentBlockhash": base58_of(transaction.tick)}
    if encoding == "jsonParsed":
        message["accountKeys"] = [
            {
                "pubkey": base58_of(key),
                "signer": at < transaction.signers,
                "writable": transaction.is_writable(at),
                "source": "transaction" if at < len(transaction.keys) else "lookupTable",
            }
            for at, key in enumerate(transaction.accounts)
        ]
        message["instructions"] = [parse_instruction(transaction, one) for one in transaction.instructions]
    else:
        message["header"] = {
            "numRequiredSignatures": transaction.signers,
            "numReadonlySignedAccounts": transaction.readonly_signed,
            "numReadonlyUnsignedAccounts": transaction.readonly_unsigned,
        }
        message["accountKeys"] = [base58_of(key) for key in transaction.keys]
        message["instructions"] = [_raw_instruction(one) for one in transaction.instructions]
    if transaction.version is not None:
        message["addressTableLookups"] = [
            {
                "accountKey": base58_of(one.table),
                "writableIndexes": list(one.writable),
                "readonlyIndexes": list(one.readonly),
            }
            for one in transaction.lookups
        ]
    return {"signatures": [base58_encode(one) for one in transaction.signatures], "message": message}


def parse_instruction(transaction: Transaction, instruction: Instruction) -> Json:
    """An instruction in the parsed form where it is a well-known one, else with its raw data."""
    program = transaction.keys[instruction.program]
    named = transaction.accounts
    accounts = [base58_of(named[at]) for at in instruction.accounts if at < len(named)]
    number = int.from_bytes(instruction.data[:4], "little") if len(instruction.data) >= 4 else -1
    if program == SYSTEM_PROGRAM and number == 2 and len(instruction.data) == 12 and len(accounts) >= 2:
        amount = int.from_bytes(instruction.data[4:12], "little")
        info: Json = {"source": accounts[0], "destination": accounts[1], "lamports": amount}
        return _parsed("system", program, "transfer", info)
    if program == SYSTEM_PROGRAM and number == 0 and len(instruction.data) == 52 and len(accounts) >= 2:
        amount, space = struct.unpack_from("<QQ", instruction.data, 4)
        info = {
            "source": accounts[0],
            "newAccount": accounts[1],
            "lamports": amount,
            "space": space,
            "owner": base58_of(instruction.data[20:52]),
        }
        return _parsed("system", program, "createAccount", info)
    if program == MEMO_PROGRAM:
        return {**_parsed("spl-memo", program, "", {}), "parsed": _text(instruction.data)}
    return {
        "programId": base58_of(program),
        "accounts": accounts,
        "data": base58_encode(instruction.data),
        "stackHeight": None,
    }


def _parsed(name: str, program: Key, kind: str, info: Json) -> Json:
    return {
        "program": name,
        "programId": base58_of(program),
        "parsed": {"type": kind, "info": info},
        "stackHeight": None,
    }


def _raw_instruction(one: Instruction) -> Json:
    return {
        "programIdIndex": one.program,
        "accounts": list(one.accounts),
        "data": base58_encode(one.data),
        "stackHeight": None,
    }


def base58_encode(raw: bytes) -> str:
    """Base58 of any length."""
    match len(raw):
        case 64:
            return str(Signature(raw))  # ten times as fast
        case 32:
            return str(Pubkey(raw))
        case _:
            encoded: bytes = based58.b58encode(raw)
            return encoded.decode()


def base58_decode(text: str) -> bytes:
    """The bytes of a base58 text of any length. Raises ValueError."""
    raw: bytes = based58.b58decode(text.encode())
    return raw
