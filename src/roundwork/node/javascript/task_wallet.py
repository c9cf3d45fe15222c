"""What a node signs for a JavaScript task: transactions with its staking key, payloads with the main key.

Beside payloads the main key signs as the payer of fees only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from ...client.messages import pay, wrap
from ...client.operations import Signed, deliver, send
from ...client.rpc import Client
from ...protocol.params import COMPUTE_BUDGET_PROGRAM, ED25519_PROGRAM, TASK_PROGRAM, Key
from ...protocol.table import PROGRAMS
from ...protocol.tasks import instructions
from ...purposes import PAYLOAD, TRANSACTION, sign
from .task_files import BadCall

SIGNATURES_MAX = 4
"""Signatures that the node pays for in a transaction of a task, those that it has verified too."""

PRIORITY_FEE_MAX = 20_000
"""What the node adds to the fee of such a transaction at a price that the task sets, in roe."""

UNITS_MAX = 1_400_000
"""Compute units of a transaction that sets no limit: no transaction pays for more."""

TRANSACTIONS_MAX = 1000
"""Transactions that the node pays for in one window of time."""

WINDOW_SLOTS = 600
"""The window, in slots: four minutes of 400 ms."""


class TaskWallet:
    """The staking key of one task, the main key behind it, and the program that the task lives under.

    Methods wait until a transaction is durable; they raise BadCall, or what the ledger refuses with.
    """

    def __init__(self, client: Client, payer: Keypair, keypair: Keypair, program: Key = TASK_PROGRAM) -> None:
        self.keypair = keypair
        self.program = program
        self.node: Pubkey = keypair.pubkey()
        self._client = client
        self._payer = payer
        self.sent = 0
        """The transactions that were sent so far and have an answer."""
        self._window = 0
        self._sent = 0

    async def send(self, instruction: instructions.Instruction, signer: Keypair | None = None) -> str:
        """Send one instruction of the task program, signed by the staking key or by `signer`."""
        return await self._send(wrap(instruction, self.program), signer or self.keypair)

    async def transfer(self, source: Any, target: Pubkey, amount: int) -> str:
        """Move money of the staking key, or of a key that the task hands over whole."""
        if isinstance(source, str):
            if read_key(source) != self.node:
                raise BadCall(
                    f"{source} is not this task's staking key: the node moves the money of no other key"
                )
            pair = self.keypair
        else:
            pair = read_keypair(source)
        return await self._send(pay(pair, target, amount), pair)

    def sign_payload(self, text: bytes) -> bytes:
        """The main key's signature over a payload, which no reader can take for anything else."""
        return sign(PAYLOAD, self._payer, text)

    async def pay_for(self, wire: bytes, signers: Sequence[Keypair]) -> str:
        """Sign a transaction that the task made: as the fee payer, and with those of `signers` that it needs.

        The main key only pays the fee in it.
        """
        try:
            given = VersionedTransaction.from_bytes(wire)
        except ValueError as error:
            raise BadCall(f"this is not a transaction: {error}") from error
        message = given.message
        if not isinstance(message, Message | MessageV0):
            raise BadCall("transactions of versions beyond 0 are not sent")
        self._check_only_pays(message)
        keys = message.account_keys[: message.header.num_required_signatures]
        pairs = {pair.pubkey(): pair for pair in (*signers, self.keypair, self._payer)}
        text = to_bytes_versioned(message)
        if not TRANSACTION.is_text(text):
            raise BadCall("the message's header does not fit its accounts")
        old = [*given.signatures, *[Signature.default()] * len(keys)]
        signatures = [
            Signature.from_bytes(sign(TRANSACTION, pairs[key], text)) if key in pairs else old[at]
            for at, key in enumerate(keys)
        ]
        await self._take_turn()
        _, last_valid = await self._client.get_latest_blockhash()
        signed = VersionedTransaction.populate(message, signatures)
        try:
            return await deliver(self._client, Signed(bytes(signed), last_valid))
        finally:
            self.sent += 1

    def _check_only_pays(self, message: Message | MessageV0) -> None:
        payer = self._payer.pubkey()
        if not message.account_keys or message.account_keys[0] != payer:
            raise BadCall(f"the fee payer must be {payer}")
        signatures = message.header.num_required_signatures + _count_verified(message)
        if signatures > SIGNATURES_MAX:
            raise BadCall(f"the node pays for at most {SIGNATURES_MAX} signatures, not {signatures}")
        priority_fee = _compute_priority_fee_max(message)
        if priority_fee > PRIORITY_FEE_MAX:
            raise BadCall(
                f"the node pays a priority fee of at most {PRIORITY_FEE_MAX} roe, not {priority_fee}: "
                "set a lower price or a limit of compute units"
            )
        if any(0 in each.accounts or each.program_id_index == 0 for each in message.instructions):
            raise BadCall("the node's main key pays the fee; no instruction may name it")
        if payer in message.account_keys[1:] or getattr(message, "address_table_lookups", None):
            raise BadCall("the accounts must be listed once each, in the transaction itself")

    async def _send(self, instruction: Instruction, signer: Keypair) -> str:
        if signer.pubkey() == self._payer.pubkey():
            raise BadCall("the node's main key pays fees and nothing else")
        await self._take_turn()
        try:
            return await send(self._client, [instruction], [self._payer, signer])
        finally:
            self.sent += 1

    async def _take_turn(self) -> None:
        """Bound what a task that sends without end costs the operator in fees. Raises BadCall."""
        window = await self._client.get_slot() // WINDOW_SLOTS
        if window != self._window:
            self._window, self._sent = window, 0
        if self._sent >= TRANSACTIONS_MAX:
            raise BadCall(
                f"the node pays for at most {TRANSACTIONS_MAX} transactions in {WINDOW_SLOTS} slots"
            )
        self._sent += 1


def _count_verified(message: Message | MessageV0) -> int:
    """Signatures that a transaction has the ledger verify; each costs what a signer does."""
    return sum(data[0] for data in _list_data(message, ED25519_PROGRAM) if data)


def _compute_priority_fee_max(message: Message | MessageV0) -> int:
    """The most that the compute budget of a transaction adds to its fee, in roe. Raises BadCall."""
    program = PROGRAMS[COMPUTE_BUDGET_PROGRAM]
    values = {"microLamports": 0, "units": UNITS_MAX}
    for data in _list_data(message, COMPUTE_BUDGET_PROGRAM):
        codec = program.find(data)
        if codec is None or len(data) < codec.size:
            raise BadCall(f"this is no instruction of the compute budget: {data.hex():.80}")
        values[codec.names[0]] = codec.read(data)[0]
    return -(-values["microLamports"] * min(values["units"], UNITS_MAX) // 1_000_000)


def _list_data(message: Message | MessageV0, program: Key) -> list[bytes]:
    """The data of a transaction's instructions of a program."""
    keys = [bytes(key) for key in message.account_keys]
    if any(each.program_id_index >= len(keys) for each in message.instructions):
        raise BadCall("an instruction names a program that is not among the accounts")
    return [bytes(each.data) for each in message.instructions if keys[each.program_id_index] == program]


def read_key(value: Any) -> Pubkey:
    """A public key as JSON has it: base58, or 32 bytes. Raises BadCall."""
    try:
        if isinstance(value, str):
            return Pubkey.from_string(value)
        return Pubkey(read_bytes(value))
    except ValueError as error:
        raise BadCall(f"{value!r:.80} is not a public key: {error}") from error


def read_keypair(value: Any) -> Keypair:
    """A keypair from a task: 64 bytes, or what JSON.stringify makes of a Keypair. Raises BadCall."""
    match value:
        case {"_keypair": {"secretKey": secret}} | {"secretKey": secret}:
            raw = read_bytes(secret)
        case _:
            raw = read_bytes(value)
    try:
        return Keypair.from_bytes(raw)
    except ValueError as error:
        raise BadCall(f"this is not a keypair of 64 bytes: {error}") from error


def read_bytes(value: Any) -> bytes:
    """What a Buffer, a typed array or an array of bytes has become in JSON, as bytes. Raises BadCall."""
    try:
        match value:
            case {"type": "Buffer", "data": list(numbers)}:
                return bytes(numbers)
            case dict():
                return bytes(value[str(at)] for at in range(len(value)))
            case list():
                return bytes(value)
            case _:
                raise ValueError("neither a Buffer nor an array")
    except (TypeError, ValueError, KeyError) as error:
        raise BadCall(f"{value!r:.80} cannot be read as bytes: {error}") from error
