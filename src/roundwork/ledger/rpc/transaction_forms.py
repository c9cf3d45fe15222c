"""Transactions as clients read them: errors, statuses, logs, meta, and the encodings of a message."""

import base64
import json
from typing import Any

from ...errors import BadComputeBudget, DuplicateInstruction, Void
from ...protocol.execute import Kind, Receipt, TokenBalance
from ...protocol.params import MEMO_PROGRAMS, SYSTEM_PROGRAM, TOKEN_PROGRAM, base58_of
from ...protocol.transaction import Instruction, Transaction
from ...wire import Json, base58_encode, describe_amount, read_text
from .errors import InvalidParams
from .inner_forms import find_creation, log_creation, name_token_instruction
from .instruction_forms import parse_instruction
from .rejections import describe_failure, log_reason, name_error, name_load_error, read_rejection

SYSTEM_UNITS, OTHER_UNITS = 150, 3_000
"""Compute units of an instruction of the system program, and of any other."""

ENCODINGS = ("json", "jsonParsed", "base58", "base64", "binary")


def describe_error(transaction: Transaction, receipt: Receipt) -> str | Json | None:
    """A receipt's error by the names that stock clients know; None if there is none."""
    if receipt.kind == Kind.OK:
        return None
    if receipt.kind == Kind.REJECTED:
        rejection = read_rejection(transaction, receipt)
        error = name_load_error(rejection)
        return error or {"InstructionError": [receipt.instruction, name_error(rejection)]}
    name = VOID_NAMES[receipt.code]
    if name == BadComputeBudget.name:
        return {name: [receipt.instruction, "InvalidInstructionData"]}
    return {name: receipt.instruction} if name == DuplicateInstruction.name else name


VOID_NAMES = {kind.code: kind.name for kind in Void.__subclasses__()}
"""Solana's transaction errors by number."""


def describe_returned(receipt: Receipt) -> Json | None:
    """The return data of a transaction; None if it has none."""
    if receipt.returned is None:
        return None
    program, data = receipt.returned
    return {"programId": base58_of(program), "data": [base64.b64encode(data).decode(), "base64"]}


def describe_reason(receipt: Receipt) -> Json:
    """Why a transaction failed, by our own names: the error's name and text, the instruction's number."""
    return {"name": receipt.name, "text": receipt.text, "instruction": receipt.instruction}


def describe_status(error: str | Json | None) -> Json:
    """The older form of a result."""
    return {"Ok": None} if error is None else {"Err": error}


def compose_logs(transaction: Transaction, receipt: Receipt) -> list[str]:
    """The log lines of a transaction, derived from its instructions and its receipt."""
    if receipt.kind == Kind.VOID:
        return []
    rejection = read_rejection(transaction, receipt) if receipt.kind == Kind.REJECTED else None
    if rejection is not None and name_load_error(rejection) is not None:
        return []
    lines = []
    last_returned = find_returning(transaction, receipt)
    for at, instruction in enumerate(transaction.instructions):
        program = base58_of(transaction.keys[instruction.program])
        if rejection is not None and at == receipt.instruction:
            failure = describe_failure(name_error(rejection))
            lines += [
                f"Program {program} invoke [1]",
                *_log_begin(transaction, receipt, at),
                *log_reason(rejection),
                f"Program {program} failed: {failure}",
            ]
            break
        lines += [f"Program {program} invoke [1]", *_log_begin(transaction, receipt, at)]
        if transaction.keys[instruction.program] in MEMO_PROGRAMS:
            lines += [
                f"Program log: Signed by {base58_of(transaction.accounts[n])}" for n in instruction.accounts
            ]
            text = json.dumps(read_text(instruction.data), ensure_ascii=False)
            lines.append(f"Program log: Memo (len {len(instruction.data)}): {text}")
        if at == last_returned and receipt.returned is not None:
            data = base64.b64encode(receipt.returned[1]).decode()
            lines.append(f"Program return: {program} {data}")
        lines.append(f"Program {program} success")
    return lines


def _log_begin(transaction: Transaction, receipt: Receipt, at: int) -> list[str]:
    """What the programs of tokens log of an instruction before its result."""
    instruction = transaction.instructions[at]
    if transaction.keys[instruction.program] == TOKEN_PROGRAM:
        return name_token_instruction(instruction.data)
    creation = find_creation(transaction, receipt, at)
    return [] if creation is None else log_creation(transaction.keys + receipt.loaded, creation)


def describe_inner(transaction: Transaction, receipt: Receipt, encoding: str) -> list[Json]:
    """The instructions that programs called, by the index of the calling instruction."""
    keys = transaction.keys + receipt.loaded
    shown = []
    for at in range(len(transaction.instructions)):
        creation = find_creation(transaction, receipt, at)
        if creation is not None and creation.inner:
            called = [
                parse_instruction(each, keys) if encoding == "jsonParsed" else _describe_instruction(each)
                for each in creation.inner
            ]
            shown.append({"index": at, "instructions": [{**each, "stackHeight": 2} for each in called]})
    return shown


def compute_units(transaction: Transaction, receipt: Receipt) -> int:
    """The compute units that clients read: a fixed number for each instruction that was begun.

    Nothing is metered. The numbers are about what Solana uses: clients that set a limit by them work.
    """
    if receipt.kind == Kind.VOID:
        return 0
    begun = transaction.instructions
    if receipt.kind == Kind.REJECTED:
        begun = begun[: receipt.instruction + 1]
    return sum(
        SYSTEM_UNITS if transaction.keys[instruction.program] == SYSTEM_PROGRAM else OTHER_UNITS
        for instruction in begun
    )


def find_returning(transaction: Transaction, receipt: Receipt) -> int | None:
    """The index of the last instruction of the program that returned data; None without return data."""
    if receipt.returned is None:
        return None
    program = receipt.returned[0]
    at = range(len(transaction.instructions))
    return max(n for n in at if transaction.keys[transaction.instructions[n].program] == program)


def describe_memo(transaction: Transaction) -> str | None:
    """The memos of a transaction, as lists of signatures show them; None if it has none."""
    memos = [
        instruction.data
        for instruction in transaction.instructions
        if transaction.keys[instruction.program] in MEMO_PROGRAMS
    ]
    return "; ".join(f"[{len(memo)}] {read_text(memo)}" for memo in memos) or None


def _describe_token_balance(balance: TokenBalance) -> Json:
    return {
        "accountIndex": balance.index,
        "mint": base58_of(balance.mint),
        "owner": base58_of(balance.owner),
        "programId": base58_of(TOKEN_PROGRAM),
        "uiTokenAmount": describe_amount(balance.amount, balance.decimals),
    }


def describe_meta(transaction: Transaction, receipt: Receipt, encoding: str, is_brief: bool = False) -> Json:
    """The `meta` of a transaction that ran; brief where a block shows accounts only.

    A parsed transaction shows accounts from lookup tables among its own.
    """
    error = describe_error(transaction, receipt)
    meta: Json = {
        "err": error,
        "status": describe_status(error),
        "fee": receipt.fee,
        "preBalances": list(receipt.pre),
        "postBalances": list(receipt.post),
        "preTokenBalances": list(map(_describe_token_balance, receipt.pre_tokens)),
        "postTokenBalances": list(map(_describe_token_balance, receipt.post_tokens)),
    }
    if not is_brief:
        loaded = [base58_of(key) for key in transaction.loaded]
        writable = transaction.count_loaded_writable()
        meta |= {
            "innerInstructions": describe_inner(transaction, receipt, encoding),
            "logMessages": compose_logs(transaction, receipt),
            "rewards": [],
            "computeUnitsConsumed": compute_units(transaction, receipt),
        }
        if encoding != "jsonParsed":
            meta["loadedAddresses"] = {"writable": loaded[:writable], "readonly": loaded[writable:]}
        if receipt.returned is not None:
            meta["returnData"] = describe_returned(receipt)
        if receipt.kind != Kind.OK:
            meta["roundwork"] = describe_reason(receipt)
    return meta


def encode_transaction(wire: bytes, transaction: Transaction, encoding: str) -> Any:
    """A transaction in an encoding; "binary" is the oldest form, a bare base58 text. Raises InvalidParams."""
    match encoding:
        case "base64":
            return [base64.b64encode(wire).decode(), "base64"]
        case "base58":
            return [base58_encode(wire), "base58"]
        case "binary":
            return base58_encode(wire)
        case "json":
            message = _describe_message(transaction)
        case "jsonParsed":
            message = _parse_message(transaction)
        case _:
            raise InvalidParams(f"Invalid params: encoding {encoding!r}; one of {', '.join(ENCODINGS)}")
    if transaction.version is not None:
        message["addressTableLookups"] = [
            {
                "accountKey": base58_of(lookup.table),
                "writableIndexes": list(lookup.writable),
                "readonlyIndexes": list(lookup.readonly),
            }
            for lookup in transaction.lookups
        ]
    return {"signatures": name_signatures(transaction), "message": message}


def describe_accounts(transaction: Transaction) -> Json:
    """A transaction reduced to its signatures and its accounts."""
    return {"accountKeys": _parse_keys(transaction), "signatures": name_signatures(transaction)}


def name_signatures(transaction: Transaction) -> list[str]:
    """The signatures in base58."""
    return [base58_encode(signature) for signature in transaction.signatures]


def _describe_message(transaction: Transaction) -> Json:
    return {
        "recentBlockhash": base58_of(transaction.tick),
        "header": {
            "numRequiredSignatures": transaction.signers,
            "numReadonlySignedAccounts": transaction.readonly_signed,
            "numReadonlyUnsignedAccounts": transaction.readonly_unsigned,
        },
        "accountKeys": [base58_of(key) for key in transaction.keys],
        "instructions": [_describe_instruction(instruction) for instruction in transaction.instructions],
    }


def _describe_instruction(instruction: Instruction) -> Json:
    return {
        "programIdIndex": instruction.program,
        "accounts": list(instruction.accounts),
        "data": base58_encode(instruction.data),
        "stackHeight": None,
    }


def _parse_message(transaction: Transaction) -> Json:
    keys = transaction.accounts
    return {
        "recentBlockhash": base58_of(transaction.tick),
        "accountKeys": _parse_keys(transaction),
        "instructions": [parse_instruction(instruction, keys) for instruction in transaction.instructions],
    }


def _parse_keys(transaction: Transaction) -> list[Json]:
    return [
        {
            "pubkey": base58_of(key),
            "signer": at < transaction.signers,
            "writable": transaction.is_writable(at),
            "source": "transaction" if at < len(transaction.keys) else "lookupTable",
        }
        for at, key in enumerate(transaction.accounts)
    ]
