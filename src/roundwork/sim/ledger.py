"""A ledger in memory on a virtual clock: the real law, one block a slot."""

from collections.abc import Sequence
from functools import partial
from hashlib import sha256, sha512
from random import Random
from typing import NamedTuple

from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import Transaction as SignedTransaction

from ..client.messages import wrap
from ..package.terms import Terms, compose_fields
from ..protocol.execute import Block, Outcome, execute, next_block
from ..protocol.genesis import create_state
from ..protocol.params import TASK_PROGRAM, Genesis, Grant, Key, TaskKey
from ..protocol.state import State
from ..protocol.tasks.instructions import CreateTask, SetActive
from ..protocol.tasks.instructions import Instruction as TaskInstruction
from ..protocol.ticks import get_newest_tick
from ..protocol.transaction import Transaction, decode_transaction, is_signed
from ..purposes import TRANSACTION, sign
from .composing import Composer, encode_transaction
from .recovery import Written, recover

GENESIS_MS = 1_700_000_000_000
"""The time at which slot 0 of every simulation begins, milliseconds since 1970."""

CHAIN = "roundwork-sim"
MANAGER = "manager"

SETTLE_RECORDS_MAX = 20_000
"""The entries of lists that a block pays at most, unless a world says otherwise."""


class Party(NamedTuple):
    """A name with money in genesis."""

    name: str
    balance: int
    """In roe."""


def make_keypair(seed: int, name: str) -> Keypair:
    """The keypair of a name in the simulations of a seed."""
    return Keypair.from_seed(sha256(f"roundwork/sim/{seed}/{name}".encode()).digest())


class MemoryLedger:
    """The state of a ledger, and blocks on top of it.

    With `are_signatures_real` every transaction is signed and verified. Otherwise a digest replaces each
    signature, which is faster. The payments are then the same; the hashes of blocks and of the state are
    different. A ledger that is to be restarted needs `keeps_blocks`.
    """

    def __init__(
        self,
        seed: int,
        parties: Sequence[Party],
        slot_ms: int = 400,
        are_signatures_real: bool = True,
        keeps_blocks: bool = False,
        settle_records_max: int = SETTLE_RECORDS_MAX,
    ) -> None:
        """A block pays at most `settle_records_max` entries of lists."""
        self.keypairs = {party.name: make_keypair(seed, party.name) for party in parties}
        self.addresses = {name: str(keypair.pubkey()) for name, keypair in self.keypairs.items()}
        producer = make_keypair(seed, "producer").pubkey()
        genesis = Genesis(
            chain=CHAIN,
            time_ms=GENESIS_MS,
            slot_ms=slot_ms,
            producer=str(producer),
            settle_records_max=settle_records_max,
            accounts=tuple(Grant(self.addresses[party.name], party.balance) for party in parties),
        )
        self.state: State = create_state(genesis)
        self.blocks = 0
        self._producer: Key = bytes(producer)
        self._are_signatures_real = are_signatures_real
        self._composer = Composer()
        self._tick: tuple[int, bytes] | None = None
        self._written: list[Written] | None = [] if keeps_blocks else None
        self._random = Random(f"journal/{seed}")

    @property
    def slot(self) -> int:
        """The slot of the last block."""
        return self.state.head.slot

    def compose(self, instruction: TaskInstruction, signers: Sequence[Keypair], payer: Key) -> Transaction:
        """A transaction with the newest tick; `payer` is the address of the first of `signers`."""
        sign = partial(_sign, signers) if self._are_signatures_real else _make_up
        return self._composer.compose(instruction, payer, self._get_tick(), sign)

    def compose_together(
        self, instructions: Sequence[Instruction], signers: Sequence[Keypair], payer: Pubkey
    ) -> Transaction:
        """The same for several instructions, also of other programs than that of tasks."""
        tick = Hash(self._get_tick())
        message = Message.new_with_blockhash(instructions, payer, tick)
        if self._are_signatures_real:
            return decode_transaction(bytes(SignedTransaction(signers, message, tick)))
        text = bytes(message)
        return decode_transaction(bytes([len(signers)]) + sha512(text).digest() * len(signers) + text)

    def make_block(self, transactions: Sequence[Transaction], slots: int = 1) -> tuple[Block, Outcome]:
        """Make and execute the block that lies so many slots after the last block."""
        written = self._make_block(transactions, slots)
        if self._written is not None:
            self._written.append(written)
        self.blocks += 1
        return written.block, written.outcome

    def restart(self, torn: Sequence[Transaction] | None) -> None:
        """Kill the ledger and start it again from its journal, which has every block so far.

        `torn` are the transactions of a block that it was writing then; None if it was writing none. They are
        as if they had not been sent. `state` stays the same object.
        """
        assert self._written is not None, "a ledger that is to be restarted keeps its blocks"
        acknowledged = self.state.head
        lost = None if torn is None else self._make_block(torn, 1)
        recovered = recover(self.state.genesis, self._written, lost, self._random)
        assert recovered.head == acknowledged, f"{acknowledged} was acknowledged, {recovered.head} is there"
        vars(self.state).update(vars(recovered))

    def _make_block(self, transactions: Sequence[Transaction], slots: int) -> Written:
        head, genesis = self.state.head, self.state.genesis
        time_ms = head.began_ms + slots * genesis.slot_ms
        wires = [encode_transaction(each) for each in transactions]
        block = next_block(self.state, time_ms, wires, self._producer)
        verified = [not self._are_signatures_real or is_signed(each) for each in transactions]
        return Written(block, verified, execute(self.state, block, verified, transactions))

    def _get_tick(self) -> bytes:
        slot = self.state.head.slot
        if self._tick is None or self._tick[0] != slot:
            self._tick = slot, get_newest_tick(self.state, slot)[0]
        return self._tick[1]


def _sign(signers: Sequence[Keypair], message: bytes, keys: Sequence[Key]) -> tuple[bytes, ...]:
    by_key = {bytes(signer.pubkey()): signer for signer in signers}
    return tuple(sign(TRANSACTION, by_key[key], message) for key in keys)


def _make_up(message: bytes, keys: Sequence[Key]) -> tuple[bytes, ...]:
    return (sha512(message).digest(),) * len(keys)


def found_task(ledger: MemoryLedger, seed: int, terms: Terms, content_id: str) -> TaskKey:
    """Create a task and open it, in the next slot; its address. Raises AssertionError if the law refuses."""
    manager, account = ledger.keypairs[MANAGER], make_keypair(seed, "task")
    task, payer = TaskKey(bytes(account.pubkey())), bytes(manager.pubkey())
    provide = CreateAccountParams(
        from_pubkey=manager.pubkey(),
        to_pubkey=account.pubkey(),
        lamports=0,
        space=0,
        owner=Pubkey(TASK_PROGRAM),
    )
    create = CreateTask(
        payer=payer,
        task=task,
        pot=bytes(make_keypair(seed, "pot").pubkey()),
        total_bounty=terms.total_bounty,
        **compose_fields(terms, content_id),
    )
    instructions = [create_account(provide), wrap(create), wrap(SetActive(task, payer, 1))]
    _, outcome = ledger.make_block(
        [ledger.compose_together(instructions, [manager, account], manager.pubkey())]
    )
    [receipt] = outcome.receipts
    assert receipt.kind == 0, receipt.text
    return task
