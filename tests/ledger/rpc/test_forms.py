"""Parsed instructions and accounts have the names and the shapes that Solana documents."""

import base64
import struct
from typing import Any

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    AllocateParams,
    AllocateWithSeedParams,
    AssignParams,
    AssignWithSeedParams,
    AuthorizeNonceAccountParams,
    CreateAccountParams,
    CreateAccountWithSeedParams,
    InitializeNonceAccountParams,
    TransferParams,
    TransferWithSeedParams,
    WithdrawNonceAccountParams,
    advance_nonce_account,
    allocate,
    allocate_with_seed,
    assign,
    assign_with_seed,
    authorize_nonce_account,
    create_account,
    create_account_with_seed,
    initialize_nonce_account,
    transfer,
    transfer_with_seed,
    withdraw_nonce_account,
)  # fmt: skip
from solders.transaction import Transaction

from roundwork.ledger.rpc.account_forms import (
    AccountData,
    Form,
    describe_account,
    describe_data,
    encode_data,
    read_form,
)
from roundwork.ledger.rpc.errors import RpcError
from roundwork.ledger.rpc.instruction_forms import parse_instruction
from roundwork.protocol.genesis import create_state
from roundwork.protocol.layout import FIXED, Codec, Layout
from roundwork.protocol.params import (
    ASSOCIATED_TOKEN_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    KPL_PROGRAM,
    LOOKUP_PROGRAM,
    MEMO_PROGRAM,
    SYSTEM_PROGRAM,
    TASK_PROGRAM,
    TOKEN_PROGRAM,
    WRAPPED_MINT,
    Genesis,
    Grant,
    Key,
    base58_of,
    key_of,
)  # fmt: skip
from roundwork.protocol.programs.lookups import LookupTable, encode_table
from roundwork.protocol.programs.nonces import NONCE_BYTES
from roundwork.protocol.programs.token_records import (
    Mint,
    Multisig,
    TokenAccount,
    encode_account,
    encode_mint,
    encode_multisig,
)  # fmt: skip
from roundwork.protocol.records import Account
from roundwork.protocol.state import State
from roundwork.protocol.tasks.layouts import TASKS, TOKEN_TASKS, TaskProgram
from roundwork.protocol.transaction import Instruction as Raw
from roundwork.protocol.transaction import decode_transaction
from roundwork.wire import base58_encode

NAMES = [chr(ord("a") + n) for n in range(9)]
KEYS = {name: bytes([n + 1]) * 32 for n, name in enumerate(NAMES)}
TEXTS = {name: base58_of(key) for name, key in KEYS.items()}
BLOCKHASHES = "SysvarRecentB1ockHashes11111111111111111111"
RENT = "SysvarRent111111111111111111111111111111111"


def p(name: str) -> Pubkey:
    return Pubkey(KEYS[name])


def q(value: int) -> bytes:
    return struct.pack("<Q", value)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def parse(program: bytes, accounts: str, data: bytes) -> dict[str, Any]:
    """An instruction of a program with the accounts of these letters, parsed."""
    keys = [KEYS[name] for name in accounts] + [program]
    return parse_instruction(Raw(len(accounts), bytes(range(len(accounts))), data), keys)


def expect(program: bytes, name: str, kind: str, **info: object) -> dict[str, Any]:
    """The parsed form; a letter stands for its address."""
    shown = {key: TEXTS.get(value, value) if isinstance(value, str) else value for key, value in info.items()}
    return {
        "program": name,
        "programId": base58_of(program),
        "parsed": {"type": kind, "info": shown},
        "stackHeight": None,
    }


# Instructions

SYSTEM = [
    (create_account(CreateAccountParams(
        from_pubkey=p("a"), to_pubkey=p("b"), lamports=5, space=6, owner=p("c"))),
     "createAccount", {"source": "a", "newAccount": "b", "lamports": 5, "space": 6, "owner": "c"}),
    (assign(AssignParams(pubkey=p("a"), owner=p("b"))), "assign", {"account": "a", "owner": "b"}),
    (transfer(TransferParams(from_pubkey=p("a"), to_pubkey=p("b"), lamports=5)),
     "transfer", {"source": "a", "destination": "b", "lamports": 5}),
    (create_account_with_seed(CreateAccountWithSeedParams(
        from_pubkey=p("a"), to_pubkey=p("b"), base=p("a"), seed="sown", lamports=5, space=6, owner=p("c"))),
     "createAccountWithSeed",
     {"source": "a", "newAccount": "b", "base": "a", "seed": "sown", "lamports": 5, "space": 6,
      "owner": "c"}),
    (advance_nonce_account(AdvanceNonceAccountParams(nonce_pubkey=p("a"), authorized_pubkey=p("b"))),
     "advanceNonce", {"nonceAccount": "a", "recentBlockhashesSysvar": BLOCKHASHES, "nonceAuthority": "b"}),
    (withdraw_nonce_account(WithdrawNonceAccountParams(
        nonce_pubkey=p("a"), authorized_pubkey=p("b"), to_pubkey=p("c"), lamports=5)),
     "withdrawFromNonce",
     {"nonceAccount": "a", "destination": "c", "recentBlockhashesSysvar": BLOCKHASHES, "rentSysvar": RENT,
      "nonceAuthority": "b", "lamports": 5}),
    (initialize_nonce_account(InitializeNonceAccountParams(nonce_pubkey=p("a"), authority=p("b"))),
     "initializeNonce",
     {"nonceAccount": "a", "recentBlockhashesSysvar": BLOCKHASHES, "rentSysvar": RENT,
      "nonceAuthority": "b"}),
    (authorize_nonce_account(AuthorizeNonceAccountParams(
        nonce_pubkey=p("a"), authorized_pubkey=p("b"), new_authority=p("c"))),
     "authorizeNonce", {"nonceAccount": "a", "nonceAuthority": "b", "newAuthorized": "c"}),
    (allocate(AllocateParams(pubkey=p("a"), space=6)), "allocate", {"account": "a", "space": 6}),
    (allocate_with_seed(AllocateWithSeedParams(
        address=p("a"), base=p("b"), seed="sown", space=6, owner=p("c"))),
     "allocateWithSeed", {"account": "a", "base": "b", "seed": "sown", "space": 6, "owner": "c"}),
    (assign_with_seed(AssignWithSeedParams(address=p("a"), base=p("b"), seed="sown", owner=p("c"))),
     "assignWithSeed", {"account": "a", "base": "b", "seed": "sown", "owner": "c"}),
    (transfer_with_seed(TransferWithSeedParams(
        from_pubkey=p("a"), from_base=p("b"), from_seed="sown", from_owner=p("c"), to_pubkey=p("d"),
        lamports=5)),
     "transferWithSeed",
     {"source": "a", "sourceBase": "b", "destination": "d", "lamports": 5, "sourceSeed": "sown",
      "sourceOwner": "c"}),
]  # fmt: skip


def compile_one(instruction: Instruction) -> tuple[Raw, tuple[bytes, ...]]:
    """An instruction as it lies in a message, and the message's accounts."""
    message = Message([instruction], Keypair().pubkey())
    decoded = decode_transaction(bytes(Transaction.new_unsigned(message)))
    return decoded.instructions[0], decoded.accounts


@pytest.mark.parametrize(("instruction", "kind", "info"), SYSTEM, ids=[row[1] for row in SYSTEM])
def test_system_instructions_are_parsed(instruction: Any, kind: str, info: dict[str, Any]) -> None:
    assert expect(SYSTEM_PROGRAM, "system", kind, **info) == parse_instruction(*compile_one(instruction))


AMOUNT = {"amount": "1500", "decimals": 3, "uiAmount": 1.5, "uiAmountString": "1.5"}
A, B = KEYS["a"], KEYS["b"]
TOKEN = [
    ("ab", b"\0\x03" + A + b"\1" + B, "initializeMint",
     {"mint": "a", "rentSysvar": "b", "decimals": 3, "mintAuthority": "a", "freezeAuthority": "b"}),
    ("abcd", b"\1", "initializeAccount", {"account": "a", "mint": "b", "owner": "c", "rentSysvar": "d"}),
    ("abcd", b"\2\1", "initializeMultisig",
     {"multisig": "a", "rentSysvar": "b", "m": 1, "signers": [TEXTS["c"], TEXTS["d"]]}),
    ("abc", b"\3" + q(7), "transfer", {"source": "a", "destination": "b", "amount": "7", "authority": "c"}),
    ("abcde", b"\3" + q(7), "transfer",
     {"source": "a", "destination": "b", "amount": "7", "multisigAuthority": "c",
      "signers": [TEXTS["d"], TEXTS["e"]]}),
    ("abc", b"\4" + q(7), "approve", {"source": "a", "delegate": "b", "amount": "7", "owner": "c"}),
    ("ab", b"\5", "revoke", {"source": "a", "owner": "b"}),
    ("abc", b"\5", "revoke", {"source": "a", "multisigOwner": "b", "signers": [TEXTS["c"]]}),
    ("ab", b"\6\0\1" + B, "setAuthority",
     {"mint": "a", "authorityType": "mintTokens", "newAuthority": "b", "authority": "b"}),
    ("ab", b"\6\3\0", "setAuthority",
     {"account": "a", "authorityType": "closeAccount", "newAuthority": None, "authority": "b"}),
    ("abc", b"\7" + q(7), "mintTo", {"mint": "a", "account": "b", "amount": "7", "mintAuthority": "c"}),
    ("abc", b"\x08" + q(7), "burn", {"account": "a", "mint": "b", "amount": "7", "authority": "c"}),
    ("abc", b"\x09", "closeAccount", {"account": "a", "destination": "b", "owner": "c"}),
    ("abc", b"\x0a", "freezeAccount", {"account": "a", "mint": "b", "freezeAuthority": "c"}),
    ("abcd", b"\x0b", "thawAccount",
     {"account": "a", "mint": "b", "multisigFreezeAuthority": "c", "signers": [TEXTS["d"]]}),
    ("abcd", b"\x0c" + q(1500) + b"\3", "transferChecked",
     {"source": "a", "mint": "b", "destination": "c", "tokenAmount": AMOUNT, "authority": "d"}),
    ("abcd", b"\x0d" + q(1500) + b"\3", "approveChecked",
     {"source": "a", "mint": "b", "delegate": "c", "tokenAmount": AMOUNT, "owner": "d"}),
    ("abc", b"\x0e" + q(1500) + b"\3", "mintToChecked",
     {"mint": "a", "account": "b", "tokenAmount": AMOUNT, "mintAuthority": "c"}),
    ("abc", b"\x0f" + q(1500) + b"\3", "burnChecked",
     {"account": "a", "mint": "b", "tokenAmount": AMOUNT, "authority": "c"}),
    ("abc", b"\x10" + A, "initializeAccount2",
     {"account": "a", "mint": "b", "rentSysvar": "c", "owner": "a"}),
    ("a", b"\x11", "syncNative", {"account": "a"}),
    ("ab", b"\x12" + A, "initializeAccount3", {"account": "a", "mint": "b", "owner": "a"}),
    ("abc", b"\x13\2", "initializeMultisig2", {"multisig": "a", "m": 2, "signers": [TEXTS["b"], TEXTS["c"]]}),
    ("a", b"\x14\3" + A + b"\0", "initializeMint2", {"mint": "a", "decimals": 3, "mintAuthority": "a"}),
    ("a", b"\x16", "initializeImmutableOwner", {"account": "a"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("accounts", "data", "kind", "info"), TOKEN, ids=[f"{row[2]}-{row[0]}" for row in TOKEN]
)
def test_token_instructions_are_parsed(accounts: str, data: bytes, kind: str, info: dict[str, Any]) -> None:
    assert expect(TOKEN_PROGRAM, "spl-token", kind, **info) == parse(TOKEN_PROGRAM, accounts, data)


@pytest.mark.parametrize(
    ("accounts", "data", "kind"),
    [("abcdef", b"", "create"), ("abcdefg", b"\0", "create"), ("abcdef", b"\1", "createIdempotent")],
)
def test_instructions_for_associated_accounts_are_parsed(accounts: str, data: bytes, kind: str) -> None:
    info = {
        "source": "a", "account": "b", "wallet": "c", "mint": "d", "systemProgram": "e", "tokenProgram": "f",
    } | ({"rentSysvar": "g"} if "g" in accounts else {})  # fmt: skip

    expected = expect(ASSOCIATED_TOKEN_PROGRAM, "spl-associated-token-account", kind, **info)

    assert expected == parse(ASSOCIATED_TOKEN_PROGRAM, accounts, data)


TABLE = {"lookupTableAccount": "a", "lookupTableAuthority": "b"}
LOOKUP = [
    ("abcd", u32(0) + q(42) + b"\xfe", "createLookupTable",
     {**TABLE, "payerAccount": "c", "systemProgram": "d", "recentSlot": 42, "bumpSeed": 254}),
    ("ab", u32(1), "freezeLookupTable", TABLE),
    ("ab", u32(2) + q(0), "extendLookupTable", {**TABLE, "newAddresses": []}),
    ("abcd", u32(2) + q(2) + A + B, "extendLookupTable",
     {**TABLE, "payerAccount": "c", "systemProgram": "d", "newAddresses": [TEXTS["a"], TEXTS["b"]]}),
    ("ab", u32(3), "deactivateLookupTable", TABLE),
    ("abc", u32(4), "closeLookupTable", {**TABLE, "recipient": "c"}),
]  # fmt: skip


@pytest.mark.parametrize(("accounts", "data", "kind", "info"), LOOKUP, ids=[row[2] for row in LOOKUP])
def test_instructions_for_lookup_tables_are_parsed(
    accounts: str, data: bytes, kind: str, info: dict[str, Any]
) -> None:
    assert expect(LOOKUP_PROGRAM, "address-lookup-table", kind, **info) == parse(
        LOOKUP_PROGRAM, accounts, data
    )


def test_a_memo_is_parsed_as_its_bare_text() -> None:
    parsed = parse(MEMO_PROGRAM, "a", "grüße".encode())

    assert ("spl-memo", "grüße") == (parsed["program"], parsed["parsed"])


@pytest.mark.parametrize(
    ("program", "accounts", "data"),
    [
        (KEYS["i"], "ab", b"anything"),
        (COMPUTE_BUDGET_PROGRAM, "", b"\2" + u32(200_000)),  # Solana has no parsed form of these either
        (SYSTEM_PROGRAM, "ab", b"\2\0"),
        (SYSTEM_PROGRAM, "a", u32(2) + q(5)),
        (SYSTEM_PROGRAM, "ab", u32(99)),
        (SYSTEM_PROGRAM, "ab", u32(3) + A + q(2**63)),
        (SYSTEM_PROGRAM, "ab", u32(3) + A + q(1) + b"\xff" + bytes(48)),
        (TOKEN_PROGRAM, "abc", b"\3\1"),
        (TOKEN_PROGRAM, "ab", b"\x09"),
        (TOKEN_PROGRAM, "ab", b"\6\4\0"),
        (TOKEN_PROGRAM, "", b""),
        (LOOKUP_PROGRAM, "ab", u32(2) + q(2**40)),
        (MEMO_PROGRAM, "", b"\xff"),
        (TASK_PROGRAM, "abc", b""),
        (TASK_PROGRAM, "abc", b"\x08" + bytes(7)),
        (TASK_PROGRAM, "ab", b"\x08" + q(5)),
        (TASK_PROGRAM, "abc", b"\x63" + q(5)),
        (TASK_PROGRAM, "abcd", b"\1" + q(0) + b"\xff"),
        (KPL_PROGRAM, "abcd", b"\x08" + q(5)),
    ],
)
def test_what_has_no_parsed_form_is_shown_with_its_bytes(program: bytes, accounts: str, data: bytes) -> None:
    shown = parse(program, accounts, data)

    assert [TEXTS[name] for name in accounts] == shown["accounts"]
    assert {"programId", "accounts", "data", "stackHeight"} == shown.keys()


# Task programs


def compose(program: TaskProgram, layout: Layout) -> tuple[Raw, list[Key], dict[str, Any]]:
    """An instruction of a row with different values, the keys it names, and its values as they are shown."""
    codec = Codec(layout, 1)
    values: dict[str, Any] = {}
    info: dict[str, Any] = {}
    for at, (name, _) in enumerate(codec.roles):
        values[name] = FIXED.get(name) or bytes([at + 1]) * 32
        info[camel(name)] = base58_of(values[name])
    for at, field in enumerate(codec.fields):
        match field.type[-1]:
            case "t":
                values[field.name], info[camel(field.name)] = f"tä{at}".encode(), f"tä{at}"
            case "*":
                values[field.name] = bytes([255, at])
                info[camel(field.name)] = base64.b64encode(values[field.name]).decode()
            case "s":
                values[field.name] = bytes([at]) * int(field.type[:-1])
                info[camel(field.name)] = base64.b64encode(values[field.name]).decode()
            case _:
                values[field.name] = info[camel(field.name)] = at + 1
    accounts, data = codec.encode({name: value for name, value in values.items() if name not in FIXED})
    keys = [account.key for account in accounts]
    return Raw(len(keys), bytes(range(len(keys))), data), [*keys, program.key], info


def camel(name: str) -> str:
    return "".join(part if at == 0 else part.title() for at, part in enumerate(name.split("_")))


ROWS = [(program, row) for program in (TASKS, TOKEN_TASKS) for row in program.layouts]


@pytest.mark.parametrize(
    ("program", "row"), ROWS, ids=[f"{program.shown}-{row.name}-{row.data[:12]}" for program, row in ROWS]
)
def test_every_row_of_the_task_programs_is_parsed_and_keeps_its_bytes(
    program: TaskProgram, row: Layout
) -> None:
    raw, keys, info = compose(program, row)

    assert {
        "program": "task" if program is TASKS else "token-task",
        "programId": base58_of(program.key),
        "parsed": {"type": row.name[0].lower() + row.name[1:], "info": info},
        "accounts": [base58_of(key) for key in keys[:-1]],
        "data": base58_encode(raw.data),
        "stackHeight": None,
    } == parse_instruction(raw, keys)


# Accounts


@pytest.fixture
def state() -> State:
    genesis = Genesis(
        time_ms=1_700_000_000_000,
        producer=TEXTS["a"],
        accounts=(Grant(TEXTS["c"], 10),),
    )
    return create_state(genesis)


def show(state: State, key: bytes, owner: bytes, data: bytes) -> Any:
    """The data of an account as jsonParsed shows it."""
    account = Account(1, owner, len(data), data.rstrip(b"\0"))
    state.put(state.accounts, key, account)
    shown = describe_account(state, key, Form("jsonParsed"))
    assert shown is not None
    return shown["data"]


def test_a_token_account_is_parsed_with_the_decimals_of_its_mint(state: State) -> None:
    mint = Mint(supply=1500, decimals=3, authority=KEYS["b"], freezer=None)
    held = TokenAccount(KEYS["a"], KEYS["c"], 1500, KEYS["d"], True, None, 500, KEYS["e"])

    shown_mint = show(state, KEYS["a"], TOKEN_PROGRAM, encode_mint(mint))
    shown = show(state, KEYS["f"], TOKEN_PROGRAM, encode_account(held))

    assert {
        "program": "spl-token",
        "space": 165,
        "parsed": {
            "type": "account",
            "info": {
                "mint": TEXTS["a"],
                "owner": TEXTS["c"],
                "state": "frozen",
                "isNative": False,
                "tokenAmount": AMOUNT,
                "delegate": TEXTS["d"],
                "delegatedAmount": {
                    "amount": "500", "decimals": 3, "uiAmount": 0.5, "uiAmountString": "0.5",
                },
                "closeAuthority": TEXTS["e"],
            },
        },
    } == shown  # fmt: skip
    assert {
        "program": "spl-token",
        "space": 82,
        "parsed": {
            "type": "mint",
            "info": {
                "mintAuthority": TEXTS["b"],
                "supply": "1500",
                "decimals": 3,
                "isInitialized": True,
                "freezeAuthority": None,
            },
        },
    } == shown_mint


def test_wrapped_money_is_parsed_with_its_reserve(state: State) -> None:
    held = TokenAccount(WRAPPED_MINT, KEYS["c"], 1, reserve=2_039_280)

    shown = show(state, KEYS["f"], TOKEN_PROGRAM, encode_account(held))

    info = shown["parsed"]["info"]
    assert info["isNative"]
    assert ("2039280", "0.00203928") == tuple(
        info["rentExemptReserve"][name] for name in ("amount", "uiAmountString")
    )


def test_a_multisig_is_parsed(state: State) -> None:
    shown = show(
        state, KEYS["f"], TOKEN_PROGRAM, encode_multisig(Multisig(2, (KEYS["a"], KEYS["b"], KEYS["c"])))
    )

    assert ("spl-token", "multisig", 355) == (shown["program"], shown["parsed"]["type"], shown["space"])
    assert {
        "numRequiredSigners": 2,
        "numValidSigners": 3,
        "isInitialized": True,
        "signers": [TEXTS["a"], TEXTS["b"], TEXTS["c"]],
    } == shown["parsed"]["info"]


def test_a_nonce_account_is_parsed(state: State) -> None:
    data = struct.pack("<II32s32sQ", 1, 1, KEYS["a"], KEYS["b"], 5000)

    shown = show(state, KEYS["f"], SYSTEM_PROGRAM, data)

    assert {
        "program": "nonce",
        "space": NONCE_BYTES,
        "parsed": {
            "type": "initialized",
            "info": {
                "authority": TEXTS["a"],
                "blockhash": TEXTS["b"],
                "feeCalculator": {"lamportsPerSignature": "5000"},
            },
        },
    } == shown


def test_a_lookup_table_is_parsed(state: State) -> None:
    table = LookupTable(2**64 - 1, 42, 1, KEYS["a"], KEYS["b"] + KEYS["c"])
    frozen = LookupTable(7, 0, 0, None, b"")

    shown = show(state, KEYS["f"], LOOKUP_PROGRAM, encode_table(table))
    shown_frozen = show(state, KEYS["f"], LOOKUP_PROGRAM, encode_table(frozen))

    assert {
        "program": "address-lookup-table",
        "space": 56 + 64,
        "parsed": {
            "type": "lookupTable",
            "info": {
                "deactivationSlot": str(2**64 - 1),
                "lastExtendedSlot": "42",
                "lastExtendedSlotStartIndex": 1,
                "authority": TEXTS["a"],
                "addresses": [TEXTS["b"], TEXTS["c"]],
            },
        },
    } == shown
    assert "authority" not in shown_frozen["parsed"]["info"]


def test_sysvars_are_parsed(state: State) -> None:
    def parsed(name: str) -> dict[str, Any]:
        shown = describe_account(state, key_of(name), Form("jsonParsed"))
        assert shown is not None
        assert "sysvar" == shown["data"]["program"]
        answer: dict[str, Any] = shown["data"]["parsed"]
        return answer

    clock, rent = parsed("SysvarC1ock11111111111111111111111111111111"), parsed(RENT)

    assert {
        "type": "clock",
        "info": {
            "slot": 0,
            "epoch": 0,
            "epochStartTimestamp": 1_700_000_000,
            "leaderScheduleEpoch": 1,
            "unixTimestamp": 1_700_000_000,
        },
    } == clock
    assert {
        "type": "rent",
        "info": {"lamportsPerByteYear": "3480", "exemptionThreshold": 2.0, "burnPercent": 50},
    } == rent
    assert "recentBlockhashes" == parsed(BLOCKHASHES)["type"]


@pytest.mark.parametrize(
    ("owner", "data"),
    [
        (KEYS["i"], bytes(82)),
        (TOKEN_PROGRAM, bytes(82)),
        (TOKEN_PROGRAM, bytes(165)),
        (TOKEN_PROGRAM, encode_account(TokenAccount(KEYS["i"], KEYS["a"]))),  # of a mint that is none
        (TOKEN_PROGRAM, b"short"),
        (SYSTEM_PROGRAM, bytes(80)),
        (LOOKUP_PROGRAM, bytes(56)),
        (LOOKUP_PROGRAM, b""),
    ],
)
def test_accounts_without_a_parsed_form_are_shown_in_base64(state: State, owner: bytes, data: bytes) -> None:
    shown = show(state, KEYS["f"], owner, data)

    assert encode_data(AccountData(data, len(data)), Form("base64")) == shown


def test_a_slice_is_cut_from_every_encoding_but_the_parsed_one(state: State) -> None:
    account = Account(1, KEYS["i"], 5, b"hello")

    def cut(encoding: str) -> object:
        form = read_form({"encoding": encoding, "dataSlice": {"offset": 1, "length": 3}})
        return describe_data(state, KEYS["f"], account, AccountData(b"hello", 5), form)["data"]

    assert encode_data(AccountData(b"ell", 3), Form("base64")) == cut("base64") == cut("jsonParsed")
    assert encode_data(AccountData(b"ell", 3), Form("base58")) == cut("base58")
    assert encode_data(AccountData(b"ell", 3), Form("binary")) == cut("binary")


def test_more_than_128_bytes_are_not_shown_in_base58_except_as_a_text_to_subscribers() -> None:
    assert encode_data(AccountData(b"", 128), Form("base58"))
    with pytest.raises(RpcError, match="should be less than 128 bytes, please use Base64 encoding"):
        encode_data(AccountData(b"", 129), Form("base58"))
    assert "error: data too large for bs58 encoding" == encode_data(
        AccountData(b"", 129), Form("binary"), is_lenient=True
    )
