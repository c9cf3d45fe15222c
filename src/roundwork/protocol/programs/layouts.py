"""The instructions of the programs that stock clients know, a row each, and the rules by which they are read.

Names, numbers, accounts and bytes are Solana's.
"""

from ...errors import BadInstruction
from ..layout import Call, Decoded, Layout, Program, decode_plainly
from ..params import (
    ASSOCIATED_TOKEN_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    ED25519_PROGRAM,
    LOOKUP_PROGRAM,
    MEMO_PROGRAMS,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
)
from ..rules import rule

_NEW = "lamports:Q space:Q owner:K"

_SYSTEM = (
    Layout(0, "createAccount", "source:sw newAccount:sw", _NEW),
    Layout(1, "assign", "account:sw", "owner:K"),
    Layout(2, "transfer", "source:sw destination:w", "lamports:Q"),
    Layout(3, "createAccountWithSeed", "source:sw newAccount:w base:s?", f"base:K seed:S {_NEW}"),
    Layout(4, "advanceNonce", "nonceAccount:w recentBlockhashesSysvar nonceAuthority:s"),
    Layout(5, "withdrawFromNonce",
           "nonceAccount:w destination:w recentBlockhashesSysvar rentSysvar nonceAuthority:s", "lamports:Q"),
    Layout(6, "initializeNonce", "nonceAccount:w recentBlockhashesSysvar:! rentSysvar:!", "nonceAuthority:K"),
    Layout(7, "authorizeNonce", "nonceAccount:w nonceAuthority:s", "newAuthorized:K"),
    Layout(8, "allocate", "account:sw", "space:Q"),
    Layout(9, "allocateWithSeed", "account:w base:s?", "base:K seed:S space:Q owner:K"),
    Layout(10, "assignWithSeed", "account:w base:s?", "base:K seed:S owner:K"),
    Layout(11, "transferWithSeed", "source:w sourceBase:s destination:w",
           "lamports:Q sourceSeed:S sourceOwner:K"),
)  # fmt: skip

_MINT = "decimals:B mintAuthority:K freezeAuthority:O"

_TOKEN = (
    Layout(0, "initializeMint", "mint:w rentSysvar", _MINT),
    Layout(1, "initializeAccount", "account:w mint owner rentSysvar"),
    Layout(2, "initializeMultisig", "multisig:w rentSysvar:! signers:*", "m:B"),
    Layout(3, "transfer", "source:w destination:w authority:m", "amount:T"),
    Layout(4, "approve", "source:w delegate owner:m", "amount:T"),
    Layout(5, "revoke", "source:w owner:m"),
    Layout(6, "setAuthority", "owned:w authority:m", "authorityType:R newAuthority:N"),
    Layout(7, "mintTo", "mint:w account:w mintAuthority:m", "amount:T"),
    Layout(8, "burn", "account:w mint:w authority:m", "amount:T"),
    Layout(9, "closeAccount", "account:w destination:w owner:m"),
    Layout(10, "freezeAccount", "account:w mint freezeAuthority:m"),
    Layout(11, "thawAccount", "account:w mint freezeAuthority:m"),
    Layout(12, "transferChecked", "source:w mint destination:w authority:m", "amount:Q decimals:D"),
    Layout(13, "approveChecked", "source:w mint delegate owner:m", "amount:Q decimals:D"),
    Layout(14, "mintToChecked", "mint:w account:w mintAuthority:m", "amount:Q decimals:D"),
    Layout(15, "burnChecked", "account:w mint:w authority:m", "amount:Q decimals:D"),
    Layout(16, "initializeAccount2", "account:w mint rentSysvar", "owner:K"),
    Layout(17, "syncNative", "account:w"),
    Layout(18, "initializeAccount3", "account:w mint", "owner:K"),
    Layout(19, "initializeMultisig2", "multisig:w signers:*", "m:B"),
    Layout(20, "initializeMint2", "mint:w", _MINT),
    Layout(21, "getAccountDataSize", "mint"),
    Layout(22, "initializeImmutableOwner", "account:w"),
    Layout(23, "amountToUiAmount", "mint", "amount:T"),
    Layout(24, "uiAmountToAmount", "mint", "uiAmount:*"),
)

_ASSOCIATED_ACCOUNTS = "source:sw account:w wallet mint systemProgram tokenProgram rentSysvar:?"

_ASSOCIATED = (
    Layout(0, "create", _ASSOCIATED_ACCOUNTS),
    Layout(1, "createIdempotent", _ASSOCIATED_ACCOUNTS),
)

_TABLE = "lookupTableAccount:w lookupTableAuthority"

_LOOKUP = (
    Layout(0, "createLookupTable", f"{_TABLE} payerAccount:sw systemProgram", "recentSlot:Q bumpSeed:B"),
    Layout(1, "freezeLookupTable", f"{_TABLE}:s"),
    Layout(2, "extendLookupTable", f"{_TABLE}:s payerAccount:sw? systemProgram:?", "newAddresses:L"),
    Layout(3, "deactivateLookupTable", f"{_TABLE}:s"),
    Layout(4, "closeLookupTable", f"{_TABLE}:s recipient:w"),
)

_COMPUTE_BUDGET = (
    Layout(1, "requestHeapFrame", "", "bytes:I"),
    Layout(2, "setComputeUnitLimit", "", "units:I"),
    Layout(3, "setComputeUnitPrice", "", "microLamports:Q"),
    Layout(4, "setLoadedAccountsDataSizeLimit", "", "bytes:I"),
)

_MEMO = (Layout(0, "memo", "signers:s*", "memo:*"),)

_ED25519 = (Layout(0, "verify", "", "signatures:*"),)


def _decode(program: Program, call: Call) -> Decoded:
    """An instruction with a known number that is complete and names its accounts. Raises BadInstruction."""
    name, number = program.name, program.find_number(call.data)
    codec = program.by_number.get(number)
    if codec is None:
        known = sorted(program.by_number)
        raise BadInstruction(f"the {name} program has no instruction {number}; it has {known}")
    if len(call.keys) < codec.needed:
        raise BadInstruction(
            f"{name} instruction {number} names {len(call.keys)} accounts; it needs {codec.needed}"
        )
    try:
        return codec, codec.read(call.data)
    except ValueError:
        raise BadInstruction(
            f"{name} instruction {number} ends too early, after {len(call.data)} bytes"
        ) from None


@rule("3.20")
def check_system_call(program: Program, call: Call) -> Decoded:
    """A system instruction has a known number, is complete, and names its accounts."""
    return _decode(program, call)


@rule("3.41")
def check_lookup_call(program: Program, call: Call) -> Decoded:
    """A lookup instruction has a known number, is complete, and names its accounts. No list is empty."""
    codec, values = _decode(program, call)
    if codec.write(dict(zip(codec.names, values, strict=True))) != call.data or b"" in values:
        raise BadInstruction(
            f"lookup instruction {codec.number} has {len(call.data)} bytes, which do not fit it"
        )
    return codec, values


@rule("12.1")
def check_token_call(program: Program, call: Call) -> Decoded:
    """A token instruction has a known number, is complete, and names its accounts."""
    return _decode(program, call)


@rule("12.23")
def check_associated_call(program: Program, call: Call) -> Decoded:
    """The associated token program creates, and names its accounts. Without data it has instruction 0."""
    codec = program.find(call.data)
    if codec is None or (call.data or codec.prefix) != codec.prefix or len(call.keys) < codec.needed:
        raise BadInstruction(
            "the associated token program has instructions 0 and 1, with at least 4 accounts"
        )
    return codec, []


SYSTEM = Program(SYSTEM_PROGRAM, "system", _SYSTEM, check_system_call, 4, shown="system")
TOKEN = Program(TOKEN_PROGRAM, "token", _TOKEN, check_token_call, shown="spl-token")
ASSOCIATED = Program(
    ASSOCIATED_TOKEN_PROGRAM, "associated token", _ASSOCIATED, check_associated_call,
    shown="spl-associated-token-account", default=0,
)  # fmt: skip
LOOKUP = Program(
    LOOKUP_PROGRAM, "lookup", _LOOKUP, check_lookup_call, number_bytes=4, shown="address-lookup-table"
)
COMPUTE_BUDGET = Program(COMPUTE_BUDGET_PROGRAM, "compute budget", _COMPUTE_BUDGET, decode_plainly)
"""Its instructions have no parsed form in Solana either."""

ED25519 = Program(ED25519_PROGRAM, "ed25519", _ED25519, decode_plainly, number_bytes=0)
MEMOS = [Program(key, "memo", _MEMO, decode_plainly, 0, shown="spl-memo") for key in sorted(MEMO_PROGRAMS)]
