"""Rejections have Solana's names and words where Solana has the error too; ours have their numbers."""

import base64
import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import Transaction

from roundwork.protocol.addresses import find_associated
from roundwork.protocol.params import (
    ASSOCIATED_TOKEN_PROGRAM,
    LOOKUP_PROGRAM,
    MEMO_PROGRAM,
    SYSTEM_PROGRAM,
    SYSVAR_RECENT_BLOCKHASHES,
    SYSVAR_RENT,
    TASK_PROGRAM,
    TOKEN_PROGRAM,
    base58_of,
)

from ..process import NEWEST, RpcFailure, RunningLedger, running


class Scene:
    """A ledger with the accounts that rejected instructions name."""

    def __init__(self, ledger: RunningLedger) -> None:
        self.ledger = ledger
        self.payer, self.used, self.nonce, self.mint = (Keypair() for _ in range(4))
        self.fresh, self.poor = Keypair(), Keypair()
        ledger.fund(self.payer, 10**9)
        ledger.fund(self.poor, 10**6)
        create = struct.pack(
            "<IQQ",
            0,
            10,
            5,
        ) + bytes(Pubkey(TASK_PROGRAM))
        self.land([self.compose_new(self.used, create)], self.used)
        blank = struct.pack("<IQQ", 0, 10**6, 80) + SYSTEM_PROGRAM
        authority = struct.pack("<I", 6) + bytes(self.payer.pubkey())
        sysvars = [AccountMeta(Pubkey(key), False, False) for key in (SYSVAR_RECENT_BLOCKHASHES, SYSVAR_RENT)]
        metas = [AccountMeta(self.nonce.pubkey(), False, True), *sysvars]
        init = Instruction(Pubkey(SYSTEM_PROGRAM), authority, metas)
        self.land([self.compose_new(self.nonce, blank), init], self.nonce)
        token = struct.pack("<IQQ", 0, 10**6, 82) + TOKEN_PROGRAM
        data = b"\x14\x02" + bytes(self.payer.pubkey()) + b"\0"
        init = Instruction(Pubkey(TOKEN_PROGRAM), data, [AccountMeta(self.mint.pubkey(), False, True)])
        self.land([self.compose_new(self.mint, token), init], self.mint)
        self.held = Pubkey(find_associated(bytes(self.payer.pubkey()), bytes(self.mint.pubkey())))

    def compose_new(self, pair: Keypair, data: bytes) -> Instruction:
        metas = [AccountMeta(each.pubkey(), True, True) for each in (self.payer, pair)]
        return Instruction(Pubkey(SYSTEM_PROGRAM), data, metas)

    def compose(self, program: bytes, data: bytes, accounts: str) -> Instruction:
        """`accounts` names fields of the scene; a `+` behind the name means that it signs."""
        metas = []
        for name in accounts.split():
            field = getattr(self, name.rstrip("+"))
            key = field if isinstance(field, Pubkey) else field.pubkey()
            metas.append(AccountMeta(key, name.endswith("+"), True))
        return Instruction(Pubkey(program), data, metas)

    @property
    def blockhashes(self) -> Pubkey:
        return Pubkey(SYSVAR_RECENT_BLOCKHASHES)

    @property
    def rent(self) -> Pubkey:
        return Pubkey(SYSVAR_RENT)

    @property
    def system(self) -> Pubkey:
        return Pubkey(SYSTEM_PROGRAM)

    @property
    def token(self) -> Pubkey:
        return Pubkey(TOKEN_PROGRAM)

    def compose_message(self, instructions: list[Instruction]) -> Message:
        tick = Hash.from_string(self.ledger.call("getLatestBlockhash")["value"]["blockhash"])
        return Message.new_with_blockhash(instructions, self.payer.pubkey(), tick)

    def land(self, instructions: list[Instruction], *pairs: Keypair, **config: object) -> str:
        message = self.compose_message(instructions)
        wire = bytes(Transaction([self.payer, *pairs], message, message.recent_blockhash))
        return self.ledger.send(wire, **config)

    def simulate(self, *instructions: Instruction) -> dict[str, Any]:
        message = self.compose_message(list(instructions))
        blank = [Signature.default()] * message.header.num_required_signatures
        text = base64.b64encode(bytes(Transaction.populate(message, blank))).decode()
        answer: dict[str, Any] = self.ledger.call("simulateTransaction", text, {"encoding": "base64"})[
            "value"
        ]
        return answer

    def fill(self, text: str) -> str:
        for name in ("payer", "used", "fresh", "poor", "nonce", "mint"):
            text = text.replace("{" + name + "}", str(getattr(self, name).pubkey()))
        return text.replace("{seeded}", str(self.seeded)).replace("{held}", str(self.held))

    @property
    def seeded(self) -> Pubkey:
        return Pubkey(sha256(bytes(self.payer.pubkey()) + b"seed" + TASK_PROGRAM).digest())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running(tmp_path_factory.mktemp("rejections") / "ledger") as ledger:
        yield Scene(ledger)


def number(value: int, *fields: int) -> bytes:
    return struct.pack("<I" + "Q" * len(fields), value, *fields)


def seeded(base: Keypair, seed: bytes = b"seed") -> bytes:
    return bytes(base.pubkey()) + struct.pack("<Q", len(seed)) + seed


MANY = 2 * 10**9
NEW = number(0, 10, 5) + TASK_PROGRAM
SIGNATURE = "MissingRequiredSignature"
DERIVED = bytes(11) + b"ProgramDerivedAddress"


CASES: list[tuple[bytes, bytes, str, Any, str | None]] = [
    # The system program
    (SYSTEM_PROGRAM, number(2, MANY), "poor+ fresh", {"Custom": 1},
     f"Transfer: insufficient lamports 1000000, need {MANY}"),
    (SYSTEM_PROGRAM, number(0, MANY, 5) + TASK_PROGRAM, "poor+ fresh+", {"Custom": 1},
     f"Transfer: insufficient lamports 1000000, need {MANY}"),
    (SYSTEM_PROGRAM, NEW, "payer+ used+", {"Custom": 0},
     "Create Account: account Address { address: {used}, base: None } already in use"),
    (SYSTEM_PROGRAM, number(8, 5), "used+", {"Custom": 0},
     "Allocate: account Address { address: {used}, base: None } already in use"),
    (SYSTEM_PROGRAM, number(8, 2 * 10**9), "fresh+", {"Custom": 3},
     "Allocate: requested 2000000000, max allowed 10485760"),
    (SYSTEM_PROGRAM, number(1) + TOKEN_PROGRAM, "used+", "ModifiedProgramId", None),
    (SYSTEM_PROGRAM, number(1) + TOKEN_PROGRAM, "fresh", SIGNATURE,
     "Assign: account Address { address: {fresh}, base: None } must sign"),
    (SYSTEM_PROGRAM, number(8, 5), "fresh", SIGNATURE,
     "Allocate: 'to' account Address { address: {fresh}, base: None } must sign"),
    (SYSTEM_PROGRAM, NEW, "payer+ fresh", SIGNATURE,
     "Allocate: 'to' account Address { address: {fresh}, base: None } must sign"),
    (SYSTEM_PROGRAM, number(2, 5), "poor fresh", SIGNATURE, "Transfer: `from` account {poor} must sign"),
    (SYSTEM_PROGRAM, number(2, 5), "used+ fresh", "InvalidArgument",
     "Transfer: `from` must not carry data"),
    (SYSTEM_PROGRAM, number(2), "payer+ fresh", "InvalidInstructionData", None),
    (SYSTEM_PROGRAM, number(99), "payer+ fresh", "InvalidInstructionData", None),
    (SYSTEM_PROGRAM, b"", "payer+ fresh", "InvalidInstructionData", None),
    (SYSTEM_PROGRAM, number(2, 5), "payer+", "NotEnoughAccountKeys", None),
    # Nonces
    (SYSTEM_PROGRAM, number(4), "fresh blockhashes payer+", "InvalidAccountData",
     "Advance nonce account: Account {fresh} state is invalid"),
    (SYSTEM_PROGRAM, number(4), "nonce blockhashes poor+", SIGNATURE,
     "Advance nonce account: Account {payer} must be a signer"),
    (SYSTEM_PROGRAM, number(4), "nonce rent payer+", "InvalidArgument", None),
    (SYSTEM_PROGRAM, number(5, MANY), "nonce fresh blockhashes rent payer+", "InsufficientFunds",
     f"Withdraw nonce account: insufficient lamports 1000000, need {MANY}"),
    # Tokens and their associated accounts
    (TOKEN_PROGRAM, b"\x07" + struct.pack("<Q", 1), "mint used payer+", {"Custom": 9},
     "Program log: Error: State is uninitialized"),
    (TOKEN_PROGRAM, b"\x63", "mint", {"Custom": 12}, "Program log: Error: Invalid instruction"),
    (TOKEN_PROGRAM, b"\x03" + struct.pack("<Q", 1), "mint", "NotEnoughAccountKeys", None),
    (ASSOCIATED_TOKEN_PROGRAM, b"", "payer+ fresh payer mint system token", "InvalidSeeds",
     "Program log: Error: Associated address does not match seed derivation"),
    (ASSOCIATED_TOKEN_PROGRAM, b"", "payer+ held", "NotEnoughAccountKeys", None),
    # Others
    (MEMO_PROGRAM, b"\xff", "", "InvalidInstructionData", None),
    (MEMO_PROGRAM, b"memo", "poor", SIGNATURE, None),
    (LOOKUP_PROGRAM, b"\x63\0\0\0", "fresh payer+", "InvalidInstructionData", None),
    (LOOKUP_PROGRAM, b"\x01\0\0\0", "fresh payer+", "InvalidAccountOwner", None),
    (TASK_PROGRAM, b"\x63", "payer+", "InvalidInstructionData", None),
    (TASK_PROGRAM, b"\x07", "payer+", "NotEnoughAccountKeys", None),
    # Data that cannot be read comes before accounts that are missing
    *((ASSOCIATED_TOKEN_PROGRAM, data, accounts, "InvalidInstructionData", None)
      for data in (b"\x02", b"\x63", b"\0\0", b"\x01\x01")
      for accounts in ("", "payer+ held", "payer+ held payer mint system token")),
    *((ASSOCIATED_TOKEN_PROGRAM, data, "payer+ held payer", "NotEnoughAccountKeys", None)
      for data in (b"", b"\0", b"\x01")),
    *((SYSTEM_PROGRAM, data, accounts, "InvalidInstructionData", None)
      for data in (b"", b"\x02", number(2), number(99), number(3) + bytes(39))
      for accounts in ("", "payer+", "payer+ fresh")),
    *((TOKEN_PROGRAM, data, accounts, {"Custom": 12}, "Program log: Error: Invalid instruction")
      for data in (b"", b"\x03", b"\x03" + bytes(7), b"\x63", b"\x12" + bytes(31))
      for accounts in ("", "mint", "held held payer+")),
    *((LOOKUP_PROGRAM, data, accounts, "InvalidInstructionData", None)
      for data in (b"", b"\0\0\0\0", b"\x01\0\0\0\0", b"\x02\0\0\0" + bytes(7), b"\x63\0\0\0")
      for accounts in ("", "fresh payer+", "fresh payer+ payer+ system")),
    (LOOKUP_PROGRAM, b"\x01\0\0\0", "fresh", "NotEnoughAccountKeys", None),
    *((TASK_PROGRAM, data, accounts, "InvalidInstructionData", None)
      for data in (b"", b"\x09", b"\x09" + bytes(3), b"\x22", b"\x63")
      for accounts in ("", "payer+", "fresh payer+ fresh rent")),
    (TASK_PROGRAM, b"\x09" + bytes(8), "fresh payer+", "NotEnoughAccountKeys", None),
]  # fmt: skip


@pytest.mark.parametrize(("program", "data", "accounts", "error", "log"), CASES)
def test_an_error_that_solana_has_is_named_and_logged_as_there(
    scene: Scene, program: bytes, data: bytes, accounts: str, error: Any, log: str | None
) -> None:
    simulated = scene.simulate(scene.compose(program, data, accounts))

    assert {"InstructionError": [0, error]} == simulated["err"]
    first, *lines, last = (
        line for line in simulated["logs"] if not line.startswith("Program log: Instruction: ")
    )
    assert f"Program {base58_of(program)} invoke [1]" == first
    assert last.startswith(f"Program {base58_of(program)} failed: ")
    if log is None:
        [line] = lines
        assert line.startswith("Program log: ")
    else:
        assert [scene.fill(log)] == lines
    if isinstance(error, dict):
        assert last.endswith(f"custom program error: {hex(error['Custom'])}")


def test_an_error_of_an_address_made_with_a_seed_names_its_base(scene: Scene) -> None:
    owner = bytes(Pubkey(TASK_PROGRAM))
    create = number(3) + seeded(scene.payer) + struct.pack("<QQ", 10, 5) + owner
    made = scene.compose(SYSTEM_PROGRAM, create, "payer+ seeded")

    again = scene.simulate(made, made)
    wrong = scene.simulate(scene.compose(SYSTEM_PROGRAM, create, "payer+ fresh"))
    long = number(3) + seeded(scene.payer, b"s" * 33) + struct.pack("<QQ", 10, 5) + owner
    too_long = scene.simulate(scene.compose(SYSTEM_PROGRAM, long, "payer+ fresh"))
    programs = number(3) + seeded(scene.payer) + struct.pack("<QQ", 10, 5) + DERIVED
    derived = scene.simulate(scene.compose(SYSTEM_PROGRAM, programs, "payer+ fresh"))

    address = scene.fill("Address { address: {seeded}, base: Some({payer}) }")
    assert {"InstructionError": [1, {"Custom": 0}]} == again["err"]
    assert f"Create Account: account {address} already in use" in again["logs"]
    assert {"InstructionError": [0, {"Custom": 5}]} == wrong["err"]
    assert scene.fill("Create: address {fresh} does not match derived address {seeded}") in wrong["logs"]
    assert {"InstructionError": [0, "MaxSeedLengthExceeded"]} == too_long["err"]
    assert {"InstructionError": [0, "IllegalOwner"]} == derived["err"]


def test_an_associated_account_is_not_created_twice(scene: Scene) -> None:
    create = scene.compose(ASSOCIATED_TOKEN_PROGRAM, b"", "payer+ held payer mint system token")

    simulated = scene.simulate(create, create)

    assert {"InstructionError": [1, "IllegalOwner"]} == simulated["err"]
    assert "Program log: Error: Provided owner is not allowed" in simulated["logs"]


def test_money_of_an_account_of_another_program_is_not_spent(scene: Scene) -> None:
    assign = scene.compose(SYSTEM_PROGRAM, number(1) + TASK_PROGRAM, "poor+")
    spend = scene.compose(SYSTEM_PROGRAM, number(2, 5), "poor+ fresh")

    assert {"InstructionError": [1, "ExternalAccountLamportSpend"]} == scene.simulate(assign, spend)["err"]


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("fresh", "ProgramAccountNotFound", "Attempt to load a program that does not exist"),
        ("used", "InvalidProgramForExecution", "This program may not be used for executing instructions"),
    ],
)
def test_a_bad_program_is_an_error_of_the_transaction(scene: Scene, name: str, error: str, text: str) -> None:
    program = getattr(scene, name).pubkey()
    instruction = Instruction(program, b"", [])

    with pytest.raises(RpcFailure) as caught:
        scene.land([instruction])
    landed = scene.land([instruction], skipPreflight=True)

    assert f"Transaction simulation failed: {text}" == caught.value.message
    assert (error, [], "UnknownProgram") == (
        caught.value.data["err"],
        caught.value.data["logs"],
        caught.value.data["roundwork"]["name"],
    )
    assert error == scene.ledger.call("getTransaction", landed, NEWEST)["meta"]["err"]
    assert error == scene.ledger.call("getSignatureStatuses", [landed])["value"][0]["err"]


def test_a_rejected_transaction_has_the_same_error_wherever_it_is_read(scene: Scene) -> None:
    with pytest.raises(RpcFailure) as caught:
        scene.land([scene.compose(SYSTEM_PROGRAM, number(2), "payer+ fresh")])
    signature = scene.land([scene.compose(SYSTEM_PROGRAM, number(2), "payer+ fresh")], skipPreflight=True)

    error = {"InstructionError": [0, "InvalidInstructionData"]}
    assert error == caught.value.data["err"]
    assert caught.value.message.endswith("Error processing Instruction 0: invalid instruction data")
    [status] = scene.ledger.call("getSignatureStatuses", [signature])["value"]
    assert (error, {"Err": error}) == (status["err"], status["status"])
    assert error == scene.ledger.call("getTransaction", signature, NEWEST)["meta"]["err"]
    address = str(scene.payer.pubkey())
    listed = scene.ledger.call("getSignaturesForAddress", address, {**NEWEST, "limit": 1})
    assert [(signature, error)] == [(entry["signature"], entry["err"]) for entry in listed]


def test_an_error_of_ours_keeps_its_number_its_name_and_its_numbers(scene: Scene) -> None:
    stake = b"\x09" + struct.pack("<Q", 5)
    simulated = scene.simulate(scene.compose(TASK_PROGRAM, stake, "fresh payer+ fresh rent"))

    assert {"InstructionError": [0, {"Custom": 1002}]} == simulated["err"]
    assert any(line.startswith("Program log: UnknownTask: ") for line in simulated["logs"])
