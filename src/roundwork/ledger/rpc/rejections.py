"""Rejections in Solana's words: its names of errors that both have, and the lines that its programs log."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ...protocol.execute import Receipt
from ...protocol.layout import Codec
from ...protocol.params import (
    ASSOCIATED_TOKEN_PROGRAM,
    ED25519_PROGRAM,
    LOOKUP_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    Key,
    base58_of,
)
from ...protocol.table import PROGRAMS
from ...protocol.transaction import Transaction
from ...wire import Json

MESSAGES = {
    "AccountAlreadyInitialized": "instruction requires an uninitialized account",
    "ExternalAccountLamportSpend": "instruction spent from the balance of an account it does not own",
    "IllegalOwner": "Provided owner is not allowed",
    "Immutable": "Account is immutable",
    "IncorrectAuthority": "Incorrect authority provided",
    "InsufficientFunds": "insufficient funds for instruction",
    "InvalidAccountData": "invalid account data for instruction",
    "InvalidAccountOwner": "Invalid account owner",
    "InvalidArgument": "invalid program argument",
    "InvalidInstructionData": "invalid instruction data",
    "InvalidSeeds": "Provided seeds do not result in a valid address",
    "MaxSeedLengthExceeded": "Length of the seed is too long for address generation",
    "MissingRequiredSignature": "missing required signature for instruction",
    "ModifiedProgramId": "instruction illegally modified the program id of an account",
    "NotEnoughAccountKeys": "insufficient account keys for instruction",
}
"""What Solana says of each of its instruction errors that this ledger also has."""

LOAD_MESSAGES = {
    "ProgramAccountNotFound": "Attempt to load a program that does not exist",
    "InvalidProgramForExecution": "This program may not be used for executing instructions",
}
"""The same for Solana's errors of transactions that name a bad program. These errors are not logged."""

TOKEN_MESSAGES = {
    1: "insufficient funds",
    2: "Invalid Mint",
    3: "Account not associated with this Mint",
    4: "owner does not match",
    5: "the total supply of this token is fixed",
    6: "account or token already in use",
    7: "Invalid number of provided signers",
    9: "State is uninitialized",
    10: "Instruction does not support native tokens",
    11: "Non-native account can only be closed if its balance is zero",
    12: "Invalid instruction",
    14: "Operation overflowed",
    15: "Account does not support specified authority type",
    16: "This token mint cannot freeze accounts",
    17: "Account is frozen",
    18: "The provided decimals value different from the Mint decimals",
}
"""What the token program logs, by the number of its error."""

TOKEN_BAD_INSTRUCTION = 12


EXACT = (ASSOCIATED_TOKEN_PROGRAM, LOOKUP_PROGRAM)
"""The programs that refuse data with bytes behind the last field."""


class Rejection(NamedTuple):
    """The instruction that was rejected, by which program, and the receipt that says why."""

    program: Key
    codec: Codec | None
    """The row of the instruction; None if it is unknown or cannot be read."""
    values: dict[str, Any]
    """The fields of the instruction by name."""
    accounts: list[Key]
    receipt: Receipt
    is_program_missing: bool

    @property
    def name(self) -> str:
        """What the instruction is called; empty if it is unknown."""
        return self.codec.name if self.codec else ""

    def find_numbers(self, pattern: str) -> tuple[str, ...]:
        """The numbers in the text of the receipt."""
        found = re.search(pattern, self.receipt.text)
        return tuple(found.groups()) if found else ()


def read_rejection(transaction: Transaction, receipt: Receipt) -> Rejection:
    """What was rejected, and why."""
    instruction = transaction.instructions[receipt.instruction]
    keys = transaction.keys + receipt.loaded
    key = keys[instruction.program]
    program = PROGRAMS.get(key)
    codec: Codec | None = None
    values: dict[str, Any] = {}
    if program is not None:
        try:
            codec = program.find(instruction.data)
            if codec is not None:
                data = instruction.data or codec.prefix
                values = dict(zip(codec.names, codec.read(data), strict=True))
                if key in EXACT and codec.write(values) != data:
                    codec = None
        except (LookupError, ValueError):
            codec = None
    accounts = [keys[at] for at in instruction.accounts]
    return Rejection(key, codec, values, accounts, receipt, not receipt.pre[instruction.program])


def name_error(rejection: Rejection) -> str | Json:
    """The error of an instruction: Solana's name if it has the error too, else its number."""
    name = _name(rejection)
    if name is not None:
        return name
    is_token = rejection.program == TOKEN_PROGRAM and rejection.receipt.name == "BadInstruction"
    return {"Custom": TOKEN_BAD_INSTRUCTION if is_token else rejection.receipt.code}


def name_load_error(rejection: Rejection) -> str | None:
    """The error of a transaction that names a bad program; None if the program is valid."""
    if rejection.receipt.name != "UnknownProgram":
        return None
    return "ProgramAccountNotFound" if rejection.is_program_missing else "InvalidProgramForExecution"


def describe_failure(error: str | Json) -> str:
    """What Solana says of an instruction error."""
    return MESSAGES[error] if isinstance(error, str) else f"custom program error: {hex(error['Custom'])}"


def log_reason(rejection: Rejection) -> list[str]:
    """What Solana's program logs of a rejection; else our name and text of it."""
    receipt, error = rejection.receipt, name_error(rejection)
    if rejection.program == TOKEN_PROGRAM and isinstance(error, dict) and error["Custom"] in TOKEN_MESSAGES:
        return [f"Program log: Error: {TOKEN_MESSAGES[error['Custom']]}"]
    if rejection.program in (SYSTEM_PROGRAM, ASSOCIATED_TOKEN_PROGRAM, LOOKUP_PROGRAM):
        log = _LOGS.get(receipt.name)
        line = log(rejection) if log is not None else None
        if line is not None:
            return [line]
    return [f"Program log: {receipt.name}: {receipt.text}"]


# Names


def _name(rejection: Rejection) -> str | None:
    kind, text = rejection.receipt.name, rejection.receipt.text
    match kind, rejection.program:
        case "MissingSigner", _:
            return "MissingRequiredSignature"
        case "BadInstruction", _:
            return _name_bad_instruction(rejection)
        case "WrongOwner", key if key in (SYSTEM_PROGRAM, LOOKUP_PROGRAM):
            return _name_wrong_owner(text)
        case "WrongOwner", key if key == ASSOCIATED_TOKEN_PROGRAM:
            return "InvalidSeeds" if "owner and mint give" in text else _name_wrong_owner(text)
        case "AccountInUse", key if key == ASSOCIATED_TOKEN_PROGRAM:
            return "IllegalOwner"
        case "AccountInUse", key if key == LOOKUP_PROGRAM:
            return "AccountAlreadyInitialized"
        case "AccountInUse", _ if rejection.name.startswith("assign"):
            return "ModifiedProgramId"
        case "BalanceTooLow", _ if rejection.name == "withdrawFromNonce":
            return "InsufficientFunds"
        case "SeedMismatch", key if key == LOOKUP_PROGRAM:
            return "InvalidArgument"
        case "BadAmount", key if key == TOKEN_PROGRAM:
            return "InvalidArgument"
        case _:
            return _NAMES.get(kind)


_NAMES = {
    "SeedTooLong": "MaxSeedLengthExceeded",
    "NotANonce": "InvalidAccountData",
    "BadMemo": "InvalidInstructionData",
    "NotRecentSlot": "InvalidInstructionData",
    "NotATable": "InvalidAccountOwner",
    "NotTableAuthority": "IncorrectAuthority",
    "TableFrozen": "Immutable",
    "TableDeactivated": "InvalidArgument",
    "TableActive": "InvalidArgument",
    "TableFull": "InvalidInstructionData",
    "TableEmpty": "InvalidInstructionData",
}
"""Solana's names of errors that only one of its programs has, by ours."""


_TOO_FEW_ACCOUNTS = "names [0-9]+ accounts|no account is named|at least 4 accounts"
"""How texts of the law say that accounts are missing. The last text also stands for unreadable data."""


def _name_bad_instruction(rejection: Rejection) -> str | None:
    """Solana's programs read the data of an instruction first, then its accounts."""
    text = rejection.receipt.text
    if rejection.program == ED25519_PROGRAM:
        return None
    if rejection.codec is not None and re.search(_TOO_FEW_ACCOUNTS, text):
        return "NotEnoughAccountKeys"
    if re.search("belongs there|must go to another account", text):
        return "InvalidArgument"
    return None if rejection.program == TOKEN_PROGRAM else "InvalidInstructionData"


def _name_wrong_owner(text: str) -> str:
    if "programs derive" in text:
        return "IllegalOwner"
    return "ExternalAccountLamportSpend" if "with 0 bytes" in text else "InvalidArgument"


# Lines


def _show_address(rejection: Rejection) -> str:
    """The address that an instruction of the system program changes, as Solana's logs show it."""
    base = rejection.values.get("base")
    shown = "None" if base is None else f"Some({base58_of(base)})"
    at = 1 if rejection.name.startswith("create") else 0
    return f"Address {{ address: {base58_of(rejection.accounts[at])}, base: {shown} }}"


def _log_in_use(rejection: Rejection) -> str | None:
    match rejection.name:
        case "createAccount" | "createAccountWithSeed":
            return f"Create Account: account {_show_address(rejection)} already in use"
        case "allocate" | "allocateWithSeed":
            return f"Allocate: account {_show_address(rejection)} already in use"
        case "createLookupTable":
            return "Table account must not be allocated"
        case "create" | "createIdempotent":
            return "Program log: Error: Provided owner is not allowed"
        case _:
            return None


def _log_balance(rejection: Rejection) -> str | None:
    numbers = rejection.find_numbers(r"holds (\d+) roe; (\d+) are to move")
    if not numbers:
        return None
    action = "Withdraw nonce account" if rejection.name == "withdrawFromNonce" else "Transfer"
    return f"{action}: insufficient lamports {numbers[0]}, need {numbers[1]}"


def _log_space(rejection: Rejection) -> str | None:
    numbers = rejection.find_numbers(r"^(\d+) bytes are too many; .* has at most (\d+)$")
    return f"Allocate: requested {numbers[0]}, max allowed {numbers[1]}" if numbers else None


def _log_signer(rejection: Rejection) -> str | None:
    accounts, name = rejection.accounts, rejection.name
    found = rejection.find_numbers(r"(\w+)(?:, who may use the nonce,)? did not sign$")
    if not found:
        return None
    [key] = found
    match name:
        case "createAccount" | "transfer" | "transferWithSeed" if key == base58_of(accounts[0]):
            return f"Transfer: `from` account {key} must sign"
        case "createAccount" | "createAccountWithSeed" | "allocate" | "allocateWithSeed":
            return f"Allocate: 'to' account {_show_address(rejection)} must sign"
        case "assign" | "assignWithSeed":
            return f"Assign: account {_show_address(rejection)} must sign"
        case "transferWithSeed":
            return f"Transfer: 'from' account {key} must sign"
        case "advanceNonce":
            return f"Advance nonce account: Account {key} must be a signer"
        case "withdrawFromNonce":
            return f"Withdraw nonce account: Account {key} must sign"
        case "authorizeNonce":
            return f"Authorize nonce account: Account {key} must sign"
        case _:
            return None


def _log_owner(rejection: Rejection) -> str | None:
    name = name_error(rejection)
    if name == "InvalidSeeds":
        return "Program log: Error: Associated address does not match seed derivation"
    return "Transfer: `from` must not carry data" if name == "InvalidArgument" else None


def _log_seed(rejection: Rejection) -> str | None:
    keys = rejection.find_numbers(r"^(\w+) was named; .* give (\w+)$")
    if not keys or rejection.program != SYSTEM_PROGRAM:
        return None
    action = "Transfer: 'from'" if rejection.name == "transferWithSeed" else "Create:"
    return f"{action} address {keys[0]} does not match derived address {keys[1]}"


def _log_nonce(rejection: Rejection) -> str | None:
    action = _NONCE_ACTIONS.get(rejection.name)
    return action and f"{action} nonce account: Account {base58_of(rejection.accounts[0])} state is invalid"


def _log_expired(rejection: Rejection) -> str | None:
    action = _NONCE_ACTIONS.get(rejection.name)
    return action and f"{action} nonce account: nonce can only advance once per slot"


_NONCE_ACTIONS = {
    "advanceNonce": "Advance",
    "withdrawFromNonce": "Withdraw",
    "initializeNonce": "Initialize",
    "authorizeNonce": "Authorize",
}

_LOGS: dict[str, Callable[[Rejection], str | None]] = {
    "AccountInUse": _log_in_use,
    "BalanceTooLow": _log_balance,
    "BadSpace": _log_space,
    "MissingSigner": _log_signer,
    "WrongOwner": _log_owner,
    "SeedMismatch": _log_seed,
    "NotANonce": _log_nonce,
    "NonceNotExpired": _log_expired,
}
"""The lines that Solana's programs log, by our names of the errors."""
