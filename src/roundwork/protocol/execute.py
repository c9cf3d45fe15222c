"""Execute a block: do the due work, run the transactions, pay the fees, and compute the next state hash."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, assert_never

import msgspec
from blake3 import blake3

from ..errors import BadInstruction, Rejected, Undecodable, UnknownProgram, Void, WrongRules
from .admission import admit, check_signatures
from .layout import Call, Program
from .money import credit, debit
from .params import (
    ASSOCIATED_TOKEN_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    ED25519_PROGRAM,
    KOII_1,
    KPL_PROGRAM,
    LAW_VERSION,
    LOOKUP_PROGRAM,
    MEMO_1_PROGRAM,
    MEMO_4_PROGRAM,
    MEMO_PROGRAM,
    ROUNDWORK_1,
    SYSTEM_PROGRAM,
    TASK_PROGRAM,
    TOKEN_PROGRAM,
    Genesis,
    Key,
    RuleSet,
    TaskKey,
    base58_of,
)  # fmt: skip
from .programs import associated, compute_budget, ed25519, lookups, memo, system, token
from .programs.nonces import advance
from .programs.token_checks import get_data
from .programs.token_records import decode_account, decode_mint
from .records import Mark, Task
from .rules import rule
from .state import Head, State, TableChange, compute_state_hash
from .table import PROGRAMS
from .tasks import (
    distribution,
    life,
    payout,
    pledges,
    proofs,
    ranked,
    review,
    sealed,
    stakes,
    token_tasks,
    trials,
)
from .tasks.cursor import RoundCursor
from .tasks.events import Event
from .tasks.layouts import HARDENED_ROWS, TaskProgram
from .tasks.round import StepKind, decode_step
from .ticks import add_ticks, roll_ticks
from .transaction import Instruction as RawInstruction
from .transaction import Transaction, decode_transaction

Handler = Callable[..., bytes | None]
"""Carries out an instruction: takes the state, the call, and the values of its fields or its struct. Raises
Rejected; may return data."""


def _by_rules(handlers: dict[RuleSet, Handler]) -> Handler:
    """A handler that leaves an instruction to that of its task's rule set."""
    by_name = {rules.name: handler for rules, handler in handlers.items()}

    def handle(state: State, call: Call, instruction: Any) -> bytes | None:
        task = life.get_task(state, instruction.task)
        return check_in_rules(by_name.get(task.rules), task)(state, call, instruction)

    return handle


@rule("15.1")
def check_in_rules(handler: Handler | None, task: Task) -> Handler:
    """An instruction is one that the rule set of its task has."""
    if handler is None:
        raise WrongRules(f"the task has the rule set {task.rules}, which does not have this instruction")
    return handler


HARDENED = {bytes([row.number]) for row in HARDENED_ROWS}
"""The numbers of the task programs' instructions that only `roundwork-1` has."""


@rule("15.7")
def check_hardened_task(state: State, call: Call) -> None:
    """An instruction that only roundwork-1 has names a task under it; for all others its number is unknown.

    So the law answers as it did before it had that rule set, whatever else is wrong with the instruction.
    """
    task = state.tasks.rows.get(TaskKey(call.keys[0])) if call.keys else None
    if task is None or task.rules != ROUNDWORK_1.name:
        raise BadInstruction(
            f"instruction {call.data[0]} is one of {ROUNDWORK_1.name}, which no such task has"
        )


_SUBMIT = _by_rules({KOII_1: review.submit})
_AUDIT = _by_rules({KOII_1: review.audit})
_AUDIT_LIST = _by_rules({KOII_1: distribution.audit_list, ROUNDWORK_1: ranked.audit})
_UPLOAD_LIST = _by_rules({KOII_1: distribution.upload, ROUNDWORK_1: ranked.upload})
_SUBMIT_LIST = _by_rules({KOII_1: distribution.submit_list, ROUNDWORK_1: ranked.hand_in})

HANDLERS: dict[tuple[Key, int], Handler] = {
    (SYSTEM_PROGRAM, 0): system.create_account,
    (SYSTEM_PROGRAM, 1): system.assign,
    (SYSTEM_PROGRAM, 2): system.transfer,
    (SYSTEM_PROGRAM, 3): system.create_account_with_seed,
    (SYSTEM_PROGRAM, 4): system.advance_nonce,
    (SYSTEM_PROGRAM, 5): system.withdraw_nonce,
    (SYSTEM_PROGRAM, 6): system.initialize_nonce,
    (SYSTEM_PROGRAM, 7): system.authorize_nonce,
    (SYSTEM_PROGRAM, 8): system.allocate,
    (SYSTEM_PROGRAM, 9): system.allocate_with_seed,
    (SYSTEM_PROGRAM, 10): system.assign_with_seed,
    (SYSTEM_PROGRAM, 11): system.transfer_with_seed,
    (TASK_PROGRAM, 0): life.create,
    (TASK_PROGRAM, 1): _SUBMIT,
    (TASK_PROGRAM, 2): _AUDIT,
    (TASK_PROGRAM, 3): _AUDIT_LIST,
    (TASK_PROGRAM, 4): payout.check_payout,
    (TASK_PROGRAM, 5): life.allow,
    (TASK_PROGRAM, 6): life.set_active,
    (TASK_PROGRAM, 7): stakes.claim,
    (TASK_PROGRAM, 8): life.fund,
    (TASK_PROGRAM, 9): stakes.stake,
    (TASK_PROGRAM, 10): stakes.withdraw,
    (TASK_PROGRAM, 11): _UPLOAD_LIST,
    (TASK_PROGRAM, 12): _SUBMIT_LIST,
    (TASK_PROGRAM, 14): life.update,
    (TASK_PROGRAM, 35): life.close,
    (KPL_PROGRAM, 0): token_tasks.create,
    (KPL_PROGRAM, 1): _SUBMIT,
    (KPL_PROGRAM, 2): _AUDIT,
    (KPL_PROGRAM, 3): _AUDIT_LIST,
    (KPL_PROGRAM, 4): payout.check_payout,
    (KPL_PROGRAM, 5): life.allow,
    (KPL_PROGRAM, 6): life.set_active,
    (KPL_PROGRAM, 7): token_tasks.claim,
    (KPL_PROGRAM, 8): token_tasks.fund,
    (KPL_PROGRAM, 9): token_tasks.stake,
    (KPL_PROGRAM, 10): stakes.withdraw,
    (KPL_PROGRAM, 11): _UPLOAD_LIST,
    (KPL_PROGRAM, 12): _SUBMIT_LIST,
    (KPL_PROGRAM, 13): token_tasks.update,
    (KPL_PROGRAM, 14): token_tasks.delete,
    (TOKEN_PROGRAM, 0): token.initialize_mint,
    (TOKEN_PROGRAM, 1): token.initialize_account,
    (TOKEN_PROGRAM, 2): token.initialize_multisig,
    (TOKEN_PROGRAM, 3): token.transfer,
    (TOKEN_PROGRAM, 4): token.approve,
    (TOKEN_PROGRAM, 5): token.revoke,
    (TOKEN_PROGRAM, 6): token.set_authority,
    (TOKEN_PROGRAM, 7): token.mint_to,
    (TOKEN_PROGRAM, 8): token.burn,
    (TOKEN_PROGRAM, 9): token.close_account,
    (TOKEN_PROGRAM, 10): token.freeze_account,
    (TOKEN_PROGRAM, 11): token.thaw_account,
    (TOKEN_PROGRAM, 12): token.transfer_checked,
    (TOKEN_PROGRAM, 13): token.approve_checked,
    (TOKEN_PROGRAM, 14): token.mint_to_checked,
    (TOKEN_PROGRAM, 15): token.burn_checked,
    (TOKEN_PROGRAM, 16): token.initialize_account_of,
    (TOKEN_PROGRAM, 17): token.sync_native,
    (TOKEN_PROGRAM, 18): token.initialize_account_of,
    (TOKEN_PROGRAM, 19): token.initialize_multisig_2,
    (TOKEN_PROGRAM, 20): token.initialize_mint,
    (TOKEN_PROGRAM, 21): token.get_account_size,
    (TOKEN_PROGRAM, 22): token.stay_as_is,
    (TOKEN_PROGRAM, 23): token.describe_amount,
    (TOKEN_PROGRAM, 24): token.read_amount,
    (ASSOCIATED_TOKEN_PROGRAM, 0): associated.create,
    (ASSOCIATED_TOKEN_PROGRAM, 1): associated.create_idempotent,
    (MEMO_1_PROGRAM, 0): memo.note,
    (MEMO_PROGRAM, 0): memo.note_signed,
    (MEMO_4_PROGRAM, 0): memo.note_signed,
    (COMPUTE_BUDGET_PROGRAM, 1): compute_budget.do_nothing,
    (COMPUTE_BUDGET_PROGRAM, 2): compute_budget.do_nothing,
    (COMPUTE_BUDGET_PROGRAM, 3): compute_budget.do_nothing,
    (COMPUTE_BUDGET_PROGRAM, 4): compute_budget.do_nothing,
    (LOOKUP_PROGRAM, 0): lookups.create,
    (LOOKUP_PROGRAM, 1): lookups.freeze,
    (LOOKUP_PROGRAM, 2): lookups.extend,
    (LOOKUP_PROGRAM, 3): lookups.deactivate,
    (LOOKUP_PROGRAM, 4): lookups.close,
    (ED25519_PROGRAM, 0): ed25519.verify,
    (TASK_PROGRAM, 32): sealed.commit,
    (TASK_PROGRAM, 33): sealed.reveal,
    (TASK_PROGRAM, 34): trials.accuse,
    (TASK_PROGRAM, 36): proofs.challenge,
    (TASK_PROGRAM, 37): proofs.answer,
    (KPL_PROGRAM, 32): sealed.commit,
    (KPL_PROGRAM, 33): sealed.reveal,
    (KPL_PROGRAM, 34): trials.accuse,
    (KPL_PROGRAM, 36): proofs.challenge,
    (KPL_PROGRAM, 37): proofs.answer,
}
"""What carries out each instruction of the table, by its program and its number."""


TEXT_MAX = 400
"""Characters of an error's text that a receipt keeps: names in a list may be as long as the list."""


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Transactions in their order, and where they stand in the chain.

    `evidence` is what an engine adds; `transactions` are wire bytes, whatever they hold.
    """

    version: int
    genesis_hash: bytes
    height: int
    parent_hash: bytes
    time_ms: int
    slot: int
    producer: Key
    evidence: bytes
    transactions: tuple[bytes, ...]


class Kind(IntEnum):
    """What became of a transaction."""

    OK = 0
    REJECTED = 1
    VOID = 2


Returned = tuple[Key, bytes]
"""The data that an instruction returned, and its program."""


class TokenBalance(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a token account among a message's accounts holds."""

    index: int
    """Of the account in the message."""
    mint: Key
    owner: Key
    decimals: int
    """Of the mint."""
    amount: int
    """In the smallest unit of the token."""


class Receipt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The result of one transaction.

    `encode_receipt` gives what is law of it. `name`, `text`, `returned` and the tokens are for readers: they
    follow from the code and the run, and may be said better without changing the ledger.
    """

    kind: int
    fee: int = 0
    """In roe."""
    instruction: int = -1
    """The index of the instruction that was rejected; -1 if none was."""
    code: int = 0
    """The number of the error."""
    pre: tuple[int, ...] = ()
    """The balances of the message's accounts before it ran, in roe; empty for a Void one."""
    post: tuple[int, ...] = ()
    """The same after it ran."""
    loaded: tuple[Key, ...] = ()
    """The accounts that it took from lookup tables, behind its own in `pre` and `post`."""
    name: str = ""
    """The class of the error."""
    text: str = ""
    """What was wrong, and what would have been right."""
    returned: Returned | None = None
    """The last data that an instruction handed back."""
    pre_tokens: tuple[TokenBalance, ...] = ()
    """The token accounts of a message that names the token program, before it ran."""
    post_tokens: tuple[TokenBalance, ...] = ()
    """The same after it ran."""


def encode_receipt(receipt: Receipt) -> bytes:
    """The bytes of a receipt that validators agree on: without words. Source: docs/PROTOCOL.md 3."""
    return _encoder.encode(
        (
            receipt.kind,
            receipt.fee,
            receipt.instruction,
            receipt.code,
            receipt.pre,
            receipt.post,
            receipt.loaded,
        )
    )


def decode_landed(wire: bytes, receipt: Receipt) -> Transaction:
    """A transaction that ran, with the accounts that it took from lookup tables. Raises Undecodable."""
    transaction = decode_transaction(wire)
    if not receipt.loaded:
        return transaction
    return msgspec.structs.replace(transaction, loaded=receipt.loaded)


class Outcome(msgspec.Struct, frozen=True):
    """The result of a block: a receipt for each transaction, the events of due work, the change set."""

    block_hash: bytes
    state_hash: bytes
    receipts: list[Receipt]
    events: list[Event]
    changes: list[TableChange]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Block)


def encode_block(block: Block) -> bytes:
    """The canonical bytes of a block."""
    return _encoder.encode(block)


def decode_block(raw: bytes) -> Block:
    """A block from its bytes. Raises ValueError."""
    return _decoder.decode(raw)


def hash_block(block: Block) -> bytes:
    """The block's hash, computed by the law and never taken from an engine."""
    return blake3(b"roundwork/block/1" + _encoder.encode(block)).digest()


def compute_slot(genesis: Genesis, head: Head, time_ms: int) -> tuple[int, int]:
    """The slot of a block made at that time after `head`, and when the slot began (the gap rule).

    Source: docs/PROTOCOL.md 2.
    """
    passed = (time_ms - head.began_ms) // genesis.slot_ms
    if passed <= genesis.gap_slots_max:
        return head.slot + passed, head.began_ms + passed * genesis.slot_ms
    return head.slot + genesis.gap_slots_max, time_ms


def next_block(
    state: State, time_ms: int, transactions: Sequence[bytes], producer: Key, evidence: bytes = b""
) -> Block:
    """The block that follows the state's head at that time; time never runs backwards."""
    head = state.head
    time_ms = max(time_ms, head.time_ms)
    slot, _ = compute_slot(state.genesis, head, time_ms)
    return Block(
        LAW_VERSION, state.genesis_hash, head.height + 1, head.block_hash, time_ms, slot, producer, evidence,
        tuple(transactions),
    )  # fmt: skip


def execute(
    state: State,
    block: Block,
    verified: Sequence[bool],
    parsed: Sequence[Transaction | None] | None = None,
) -> Outcome:
    """Run a block: due steps, then transactions in order, then fees to the producer.

    `verified[i]` says whether all signatures of transaction i verify; `parsed[i]` saves decoding it again.
    Raises ValueError if the block does not follow from the state's head.
    """
    slot, began_ms = _check_follows(state, block)
    block_hash = hash_block(block)
    events: list[Event] = []

    state.lists_read.clear()
    roll_ticks(state, slot)
    _work_due(state, slot, events)
    state.duties.clear()  # transactions do not change them
    receipts = []
    for index, wire in enumerate(block.transactions):
        transaction = parsed[index] if parsed is not None else None
        receipts.append(_run(state, slot, transaction or _parse(wire), verified[index]))
    credit(state, block.producer, sum(receipt.fee for receipt in receipts))

    changes = state.take_changes()
    state_hash = compute_state_hash(state.head.state_hash, changes)
    state.head = Head(block.height, slot, began_ms, block.time_ms, block_hash, state_hash)
    return Outcome(block_hash, state_hash, receipts, events, changes)


def simulate(state: State, transaction: Transaction, slot: int, is_verified: bool = True) -> Receipt:
    """What would become of a transaction in a block of `slot` right now. Changes nothing."""
    with simulated(state, transaction, slot, is_verified) as receipt:
        return receipt


@contextmanager
def simulated(
    state: State, transaction: Transaction, slot: int, is_verified: bool = True
) -> Iterator[Receipt]:
    """Like `simulate`; inside the `with` block the state is as after the transaction."""
    mark, lists_read = state.mark(), state.lists_read
    state.lists_read = set()
    ticks = add_ticks(state, slot)
    try:
        yield _run(state, slot, transaction, is_verified)
    finally:
        for tick in ticks:
            del state.tick_slots[tick]
        state.rollback(mark)
        state.lists_read = lists_read


# Transactions


def _run(state: State, slot: int, transaction: Transaction | Undecodable, is_verified: bool) -> Receipt:
    try:
        if isinstance(transaction, Undecodable):
            raise transaction
        check_signatures(is_verified)
        keys, fee, spent, nonce = admit(state, slot, transaction)
    except Void as void:
        return compose_void(void)

    loaded = keys[len(transaction.keys) :] if transaction.lookups else ()
    pre, pre_tokens = _get_balances(state, keys), _get_token_balances(state, keys)
    debit(state, keys[0], fee)
    if spent is not None:
        state.put(spent, transaction.signatures[0], Mark(slot))
    mark = state.mark()
    returned: Returned | None = None
    for at, instruction in enumerate(transaction.instructions):
        try:
            given = _run_instruction(state, slot, keys, transaction, instruction)
            returned = given or returned
        except Rejected as error:
            state.rollback(mark)
            if nonce is not None:
                advance(state, slot, nonce)
            post = _get_balances(state, keys)
            name, text, tokens = type(error).__name__, str(error)[:TEXT_MAX], pre_tokens
            return Receipt(
                Kind.REJECTED, fee, at, error.code, pre, post, loaded, name, text, None, tokens, tokens
            )
    post, post_tokens = _get_balances(state, keys), _get_token_balances(state, keys)
    return Receipt(Kind.OK, fee, -1, 0, pre, post, loaded, "", "", returned, pre_tokens, post_tokens)


def compose_void(error: Void) -> Receipt:
    """The receipt of a transaction that is void for this reason."""
    name, text = type(error).__name__, str(error)[:TEXT_MAX]
    return Receipt(Kind.VOID, instruction=error.instruction, code=error.code, name=name, text=text)


def _get_balances(state: State, keys: Sequence[Key]) -> tuple[int, ...]:
    rows = state.accounts.rows
    return tuple([account.balance if (account := rows.get(key)) else 0 for key in keys])


def _get_token_balances(state: State, keys: Sequence[Key]) -> tuple[TokenBalance, ...]:
    if TOKEN_PROGRAM not in keys:
        return ()
    found = []
    for index, key in enumerate(keys):
        holding = decode_account(get_data(state, key))
        mint = decode_mint(get_data(state, holding.mint)) if holding else None
        if holding is not None and mint is not None:
            found.append(TokenBalance(index, holding.mint, holding.owner, mint.decimals, holding.amount))
    return tuple(found)


def _parse(wire: bytes) -> Transaction | Undecodable:
    try:
        return decode_transaction(wire)
    except Undecodable as error:
        return error


def _run_instruction(
    state: State, slot: int, keys: tuple[Key, ...], transaction: Transaction, instruction: RawInstruction
) -> Returned | None:
    key = keys[instruction.program]
    program = check_program(PROGRAMS.get(key), key)
    places = instruction.accounts
    call = Call(
        [keys[at] for at in places], places, transaction.signers, instruction.data, slot, keys[0],
        transaction.instructions,
    )  # fmt: skip
    if isinstance(program, TaskProgram) and instruction.data[:1] in HARDENED:
        check_hardened_task(state, call)
    codec, values = program.decode(program, call)
    if isinstance(program, TaskProgram):
        life.check_own_program(state, values[0].task, key)
    returned = HANDLERS[program.key, codec.number](state, call, *values)
    return None if returned is None else (key, returned)


# Checks


@rule("3.16")
def check_program(program: Program | None, key: Key) -> Program:
    """An instruction names a program that this ledger has."""
    if program is None:
        raise UnknownProgram(f"{base58_of(key)} is not a program of this ledger")
    return program


# Blocks


def _check_follows(state: State, block: Block) -> tuple[int, int]:
    head = state.head
    slot, began_ms = compute_slot(state.genesis, head, block.time_ms)
    expected = (
        ("version", LAW_VERSION, block.version),
        ("genesis_hash", state.genesis_hash, block.genesis_hash),
        ("height", head.height + 1, block.height),
        ("parent_hash", head.block_hash, block.parent_hash),
        ("slot", slot, block.slot),
    )
    for name, right, given in expected:
        if right != given:
            raise ValueError(f"block {block.height} has {name} {given!r}; {right!r} follows from the head")
    if block.time_ms < head.time_ms:
        raise ValueError(
            f"block {block.height} is dated {block.time_ms} ms, before its parent's {head.time_ms}"
        )
    return slot, began_ms


def _work_due(state: State, slot: int, events: list[Event]) -> None:
    while (key := state.pop_due(slot)) is not None:
        step = decode_step(key)
        cursor = RoundCursor(state, step.task, step.round_number)
        match step.kind:
            case StepKind.SUBMIT_END:
                review.fix_beacon(cursor)
            case StepKind.ATTEMPT_END:
                payout.judge_attempt(cursor, events)
            case StepKind.PRUNING:
                payout.prune(cursor, slot, events)
            case StepKind.COMMITS_END:
                sealed.end_commits(cursor)
            case StepKind.REVEALS_END:
                sealed.end_reveals(cursor, events)
            case StepKind.ANSWERS_END:
                proofs.end_answers(cursor, events)
            case StepKind.ACCUSATIONS_END:
                trials.end_accusations(cursor)
            case StepKind.TRIAL_BONDS:
                trials.end_trials(cursor)
            case StepKind.LIST_BONDS:
                ranked.end_list_bond(cursor)
            case StepKind.LIST_COSTS:
                ranked.apply_list_costs(cursor, events)
            case StepKind.VERDICTS:
                trials.apply_verdicts(cursor, events)
            case StepKind.RELEASE:
                pledges.release(cursor)
            case StepKind.LIST_PAYS:
                ranked.end_attempt(cursor, slot, events)
            case _:
                assert_never(step.kind)
    payout.work_queue(state, events)
