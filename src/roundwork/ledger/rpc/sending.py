"""RPC methods that take transactions in: send, simulate, airdrop."""

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction as SignedTransaction

from ...client.messages import make_unique, pay
from ...errors import RoundworkError, Undecodable, Void
from ...protocol.execute import Kind, Receipt, compose_void, simulated
from ...protocol.params import KOII, TICKS, Key, base58_of
from ...protocol.tasks.instructions import SubmitDistributionList
from ...protocol.tasks.layouts import TASK_PROGRAMS
from ...protocol.transaction import WIRE_BYTES_MAX, Transaction, decode_transaction, is_signed
from ...wire import Json, base58_decode, base58_encode, base64_decode
from ..engine import Answer
from ..store.recent import get_signature
from .account_data import SHORT_BYTES, encode_accounts, measure_data
from .account_forms import Form, read_form
from .accounts import KEYS_MAX
from .budget import Budget
from .errors import (
    InternalError,
    InvalidParams,
    MethodNotFound,
    NodeUnhealthy,
    PreflightFailure,
    RpcError,
    SignatureVerificationFailure,
    describe_cause,
)
from .ledger import Ledger
from .params import Params, check_fields, field, read_commitment, read_key, show
from .rejections import LOAD_MESSAGES, describe_failure
from .transaction_forms import (
    compose_logs,
    compute_units,
    describe_error,
    describe_inner,
    describe_reason,
    describe_returned,
)  # fmt: skip

AIRDROP_MAX = 10**7 * KOII
"""The most roe that one airdrop gives."""

AIRDROPS_KEPT = 10_000
"""Signatures of airdrops that are remembered: more than a faucet is expected to give in 300 slots."""

TEXTS = {
    "BlockhashNotFound": "Blockhash not found",
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "AlreadyProcessed": "This transaction has already been processed",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "InvalidAccountForFee": "This account may not be used to pay transaction fees",
    "SignatureFailure": "Transaction signature verification failure",
    "AddressLookupTableNotFound": "Transaction loads an address table account that doesn't exist",
    "InvalidAddressLookupTableOwner": "Transaction loads an address table account with an invalid owner",
    "InvalidAddressLookupTableData": "Transaction loads an address table account with invalid data",
    "InvalidAddressLookupTableIndex": "Transaction address table lookup uses an invalid index",
    "AccountLoadedTwice": "Account loaded twice",
    "SanitizeFailure": "Transaction failed to sanitize accounts offsets correctly",
    **LOAD_MESSAGES,
}
"""The texts that stock clients match, by the names of transaction errors."""


SIMULATION_OPTIONS = ("encoding", "sigVerify", "replaceRecentBlockhash", "accounts", "innerInstructions")


class Sending:
    """A transaction that a client sends: decoded, and simulated unless the client skips that."""

    def __init__(self, params: Params) -> None:
        """Raises InvalidParams if it is undecodable."""
        config = params.config(1, "encoding", "skipPreflight", "preflightCommitment", "maxRetries")
        read_commitment(config, "preflightCommitment")
        text = params.get(0, str, "the transaction")
        self.item = decode_wire(text, field(config, "encoding", str, "base58"))
        _, self.transaction = self.item
        self.name = base58_encode(self.transaction.signatures[0])
        self.has_preflight = not field(config, "skipPreflight", bool, False)

    def compose_answer(self, answer: Answer) -> str:
        """The result of the call: the signature.

        Raises RpcError if the transaction never ran. A client that skips the preflight gets the signature
        all the same, as from Solana, and does not find it on the ledger.
        """
        receipt = compose_void(answer) if isinstance(answer, Void) else answer
        if isinstance(receipt, RoundworkError):
            raise NodeUnhealthy(str(receipt), describe_cause(receipt))
        if receipt is not None and receipt.kind == Kind.VOID and self.has_preflight:
            raise compose_refusal(self.transaction, receipt)
        return self.name


async def prepare_sending(ledger: Ledger, params: Params) -> Sending:
    """Decode a transaction that a client sends, and simulate it unless the client skips that.

    Raises InvalidParams, PreflightFailure, SignatureVerificationFailure.
    """
    sending = Sending(params)
    if sending.has_preflight:
        simulation = Simulation(sending.transaction, compute_slot(ledger))
        receipt = (await run_simulation(ledger, simulation, params.budget)).receipt
        if receipt.kind != Kind.OK:
            raise compose_refusal(sending.transaction, receipt)
    return sending


async def send_transaction(ledger: Ledger, params: Params) -> str:
    sending = await prepare_sending(ledger, params)
    [answer] = await ledger.engine.submit([sending.item])
    return sending.compose_answer(answer)


async def simulate_transaction(ledger: Ledger, params: Params) -> Json:
    config = params.config(1, *SIMULATION_OPTIONS)
    _, transaction = decode_wire(
        params.get(0, str, "the transaction"), field(config, "encoding", str, "base58")
    )
    checks = field(config, "sigVerify", bool, False)
    replaces = field(config, "replaceRecentBlockhash", bool, False)
    if checks and replaces:
        raise InvalidParams("sigVerify may not be used with replaceRecentBlockhash")
    keys, form = _read_shown(config)
    value: Json = {}
    if replaces:
        tick, slot = ledger.engine.get_newest_tick()
        transaction = _replace_tick(transaction, tick)
        value["replacementBlockhash"] = {"blockhash": base58_of(tick), "lastValidBlockHeight": slot + TICKS}
    is_verified = not checks or is_signed(transaction)
    simulation = Simulation(transaction, compute_slot(ledger), is_verified, keys, form)
    receipt, accounts = await run_simulation(ledger, simulation, params.budget)
    value |= {
        "err": describe_error(transaction, receipt),
        "logs": compose_logs(transaction, receipt),
        "accounts": accounts if keys is not None else None,
        "unitsConsumed": compute_units(transaction, receipt),
        "returnData": describe_returned(receipt),
        "innerInstructions": describe_inner(transaction, receipt, "json")
        if field(config, "innerInstructions", bool, False)
        else None,
    }
    return ledger.with_context(value)


class Simulation(NamedTuple):
    """A transaction to simulate in a slot, and the accounts that are shown as they would be after it."""

    transaction: Transaction
    slot: int
    is_verified: bool = True
    keys: Sequence[Key] | None = None
    form: Form = Form()


class Simulated(NamedTuple):
    """What became of a simulated transaction, and the JSON of the accounts that it shows."""

    receipt: Receipt
    accounts: msgspec.Raw


class _ShowsMuch(Exception):
    """The accounts after a simulation are too large to be shown on the event loop."""


async def run_simulation(ledger: Ledger, simulation: Simulation, budget: Budget) -> Simulated:
    """Simulate a transaction: on another thread if that may take long. Raises RpcError."""
    if not reads_list(simulation.transaction):
        with contextlib.suppress(_ShowsMuch), budget.work():
            return _simulate(ledger, simulation, budget)
    return await ledger.run_on_view(budget, _simulate, simulation, budget)


def _simulate(ledger: Ledger, simulation: Simulation, budget: Budget) -> Simulated:
    state = ledger.state
    transaction, slot, is_verified, keys, form = simulation
    with simulated(state, transaction, slot, is_verified) as receipt:
        if not keys or receipt.kind != Kind.OK:  # a transaction that fails shows no account
            return Simulated(receipt, budget.encode([None] * len(keys or ())))
        if not ledger.is_view and sum(measure_data(state, key, form) for key in keys) > SHORT_BYTES:
            raise _ShowsMuch
        return Simulated(receipt, encode_accounts(state, keys, form, budget))


def reads_list(transaction: Transaction) -> bool:
    """Whether a transaction has a distribution list read, which may be megabytes."""
    return any(
        codec is not None and codec.build is SubmitDistributionList
        for instruction in transaction.instructions
        if (program := TASK_PROGRAMS.get(transaction.keys[instruction.program])) is not None
        for codec in (program.find(instruction.data),)
    )


def _read_shown(config: Json) -> tuple[list[Key] | None, Form]:
    """The accounts that a simulation shows, and their form; None if the client requests none.

    Raises InvalidParams.
    """
    wanted = field(config, "accounts", dict, None)
    if wanted is None:
        return None, Form()
    check_fields(wanted, "accounts", ("addresses", "encoding"))
    names, form = field(wanted, "addresses", list), read_form(wanted, default="base64")
    if form.encoding in ("binary", "base58"):
        raise InvalidParams("base58 encoding not supported")
    if len(names) > KEYS_MAX:
        raise InvalidParams(f"Too many accounts provided; max {KEYS_MAX}")
    return [read_key(name, "the address") for name in names], form


async def request_airdrop(ledger: Ledger, params: Params) -> str:
    """A real transaction of the faucet. Only development ledgers have a faucet."""
    target, amount = params.key(0), params.get(1, int, "the amount")
    named = params.config(2, "recentBlockhash").get("recentBlockhash")
    tick = read_key(named, "recentBlockhash") if named is not None else ledger.engine.get_newest_tick()[0]
    if ledger.faucet is None or ledger.chain.genesis.faucet is None:
        raise MethodNotFound("Method not found: this ledger has no faucet")
    if not 0 < amount <= AIRDROP_MAX:
        raise InvalidParams(f"Invalid params: the amount is {amount} roe; 1 to {AIRDROP_MAX} are given")
    wire = _compose_airdrop(ledger, ledger.faucet, Pubkey(target), amount, tick)
    transaction = decode_transaction(wire)
    [answer] = await ledger.engine.submit([(wire, transaction)])
    if isinstance(answer, Void):
        raise compose_refusal(transaction, compose_void(answer))
    if isinstance(answer, RoundworkError):
        raise InternalError(f"the airdrop failed: {answer}")
    if answer is not None and answer.kind != Kind.OK:
        raise compose_refusal(transaction, answer)
    return base58_encode(transaction.signatures[0])


def _compose_airdrop(ledger: Ledger, faucet: Keypair, target: Pubkey, amount: int, tick: bytes) -> bytes:
    """One transfer, with an instruction that makes it unique if an equal airdrop names the same tick."""

    def sign(*instructions: Instruction) -> bytes:
        message = Message.new_with_blockhash(instructions, faucet.pubkey(), Hash(tick))
        return bytes(SignedTransaction([faucet], message, Hash(tick)))

    transfer = pay(faucet, target, amount)
    wire = sign(transfer)
    signature = get_signature(wire)
    if signature in ledger.airdrops or ledger.chain.recent.find(signature) is not None:
        return sign(transfer, make_unique())
    ledger.airdrops[signature] = None
    if len(ledger.airdrops) > AIRDROPS_KEPT:
        del ledger.airdrops[next(iter(ledger.airdrops))]
    return wire


def compute_slot(ledger: Ledger) -> int:
    """The slot that a simulation runs in: the slot of a transaction that is sent now."""
    return max(ledger.engine.get_slot(), ledger.newest.slot)


def decode_wire(text: str, encoding: str) -> tuple[bytes, Transaction]:
    """A transaction from a parameter. Raises InvalidParams."""
    if encoding not in ("base58", "base64"):
        raise InvalidParams(f"unsupported encoding: {show(encoding)}. Supported encodings: base58, base64")
    if len(text) > WIRE_BYTES_MAX * 2:
        raise InvalidParams(f"{encoding} encoded transaction too large: {len(text)} bytes")
    try:
        wire = base58_decode(text) if encoding == "base58" else base64_decode(text)
    except ValueError as error:
        raise InvalidParams(f"invalid {encoding} encoding: {error}") from None
    try:
        return wire, decode_transaction(wire)
    except Undecodable as error:
        raise InvalidParams(f"failed to deserialize the transaction: {error}") from None


def decode_message(text: str) -> Transaction:
    """A message in base64, as a transaction without signatures yet. Raises InvalidParams."""
    try:
        message = base64_decode(text)
        count = message[1] if message[:1] == b"\x80" else message[0]
        return decode_transaction(bytes([count]) + bytes(64 * count) + message)
    except (ValueError, IndexError, Undecodable) as error:
        raise InvalidParams(f"failed to deserialize the message: {error}") from None


def compose_refusal(transaction: Transaction, receipt: Receipt) -> RpcError:
    """The error of a transaction whose simulation failed, or that never ran."""
    error = describe_error(transaction, receipt)
    data = {
        "err": error,
        "logs": compose_logs(transaction, receipt),
        "accounts": None,
        "unitsConsumed": compute_units(transaction, receipt),
        "returnData": None,
        "roundwork": describe_reason(receipt),
    }
    if error == "SignatureFailure":
        return SignatureVerificationFailure(TEXTS["SignatureFailure"], data)
    return PreflightFailure(f"Transaction simulation failed: {_explain(error, receipt)}", data)


def _explain(error: str | Json | None, receipt: Receipt) -> str:
    """What Solana says of a transaction's error; else our text."""
    match error:
        case {"InstructionError": [at, failure]}:
            return f"Error processing Instruction {at}: {describe_failure(failure)}"
        case str():
            return TEXTS.get(error, receipt.text)
        case _:
            return receipt.text


def _replace_tick(transaction: Transaction, tick: bytes) -> Transaction:
    return msgspec.structs.replace(transaction, tick=tick)


METHODS: dict[str, Any] = {
    "sendTransaction": send_transaction,
    "simulateTransaction": simulate_transaction,
    "requestAirdrop": request_airdrop,
}
