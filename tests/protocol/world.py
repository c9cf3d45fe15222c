"""A ledger in memory for tests of the law: real keys, real wire bytes, real blocks."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, ClassVar

import msgspec
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import Transaction

from roundwork.errors import Undecodable
from roundwork.protocol.books import compute_supply, find_token_faults
from roundwork.protocol.clock import Phase, Timetable
from roundwork.protocol.execute import Block, Outcome, Receipt, execute, next_block
from roundwork.protocol.genesis import create_state
from roundwork.protocol.params import TASK_PROGRAM, Genesis, Grant, Key, TaskKey
from roundwork.protocol.state import State
from roundwork.protocol.table import PROGRAMS
from roundwork.protocol.tasks import instructions
from roundwork.protocol.tasks.life import compute_reserved
from roundwork.protocol.ticks import get_newest_tick
from roundwork.protocol.transaction import decode_transaction, is_signed

START = 10**15
SLOT_MS = 400


def keypair_of(name: str) -> Keypair:
    return Keypair.from_seed(sha256(name.encode()).digest())


def make_genesis(keys: Sequence[Keypair], **changes: Any) -> Genesis:
    fields: dict[str, Any] = {
        "time_ms": 1_700_000_000_000,
        "fee_per_signature": 0,
        "producer": str(keypair_of("producer").pubkey()),
        "accounts": tuple(Grant(str(key.pubkey()), START) for key in keys),
    }
    return Genesis(**{**fields, **changes})


class World:
    """A state and the keys of those who live in it, by name. Its tasks pay in native money."""

    program: Key = TASK_PROGRAM
    watchers: ClassVar[list[Callable[["World", tuple[bytes, ...], int], None]]] = []
    """Called with every block of every world before it runs: the transactions, and its slot."""
    known: ClassVar[dict[str, Keypair]] = {}
    """Keys that are given, by name; the others follow from the name."""

    def __init__(self, names: Sequence[str] = ("manager", "n00", "n01", "n02"), **changes: Any) -> None:
        keypairs = sorted(
            (keypair_of(name) for name in names if name != "manager"), key=lambda k: bytes(k.pubkey())
        )
        others = [name for name in names if name != "manager"]
        self.keys: dict[str, Keypair] = dict(zip(sorted(others), keypairs, strict=True))
        self.keys["manager"] = keypair_of("manager")
        self.keys["task"] = keypair_of("task")
        self.keys["pot"] = keypair_of("pot")
        self.keys |= self.known
        granted = [self.keys[name] for name in names]
        self.state: State = create_state(make_genesis(granted, **changes))
        self.supply = compute_supply(self.state)
        self.nonce = 0
        self.blocks: list[tuple[Block, list[bool], Outcome]] = []

    def key(self, name: str) -> Any:
        """The address of a name, in whatever role."""
        return bytes(self.keys.setdefault(name, keypair_of(name)).pubkey())

    @property
    def task(self) -> TaskKey:
        return TaskKey(self.key("task"))

    def tick(self) -> bytes:
        """A tick that a transaction in the next block may name, in this slot or a later one."""
        return get_newest_tick(self.state, self.state.head.slot)[0]

    def wire(self, signers: Sequence[str], *asked: Instruction, tick: bytes | None = None) -> bytes:
        keypairs = [self.keys.setdefault(name, keypair_of(name)) for name in signers]
        self.nonce += 1  # in a field that changes nothing, so that equal asks are different transactions
        marked = [*asked, Instruction(COMPUTE_BUDGET, b"\x04" + self.nonce.to_bytes(4, "little"), [])]
        message = Message.new_with_blockhash(marked, keypairs[0].pubkey(), Hash(tick or self.tick()))
        needed = message.account_keys[: message.header.num_required_signatures]
        by_key = {pair.pubkey(): pair for pair in keypairs}
        return bytes(Transaction([by_key[key] for key in needed], message, message.recent_blockhash))

    def block(self, *wires: bytes, slots: int = 1, time_ms: int | None = None) -> Outcome:
        """Run a block that lies `slots` later than the last one."""
        head = self.state.head
        time_ms = head.began_ms + slots * SLOT_MS if time_ms is None else time_ms
        block = next_block(self.state, time_ms, wires, bytes(keypair_of("producer").pubkey()))
        for watch in self.watchers:
            watch(self, wires, block.slot)
        verified = []
        for wire in wires:
            try:
                verified.append(is_signed(decode_transaction(wire)))
            except Undecodable:
                verified.append(False)
        outcome = execute(self.state, block, verified)
        self.blocks.append((block, verified, outcome))
        check_invariants(self.state, self.supply)
        return outcome

    def wait(self, slot: int) -> None:
        """Empty blocks, one a slot, until `slot` is that of the last one."""
        while self.state.head.slot < slot:
            self.block()

    def run(self, signers: Sequence[str] | str, *asked: Instruction, slots: int = 1) -> Receipt:
        names = [signers] if isinstance(signers, str) else list(signers)
        return self.block(self.wire(names, *asked), slots=slots).receipts[0]

    def do(self, signer: str, ask: instructions.Instruction, slots: int = 1) -> str:
        """Run one task instruction in the next slot: "ok" or the name of the rejection."""
        receipt = self.run(signer, self.instruct(ask), slots=slots)
        return receipt.name or "ok"

    def create_task(self, name: str = "task", slots: int = 1, active: bool = True, **changes: Any) -> Receipt:
        """Create a task as clients do, in the next slot, and activate it."""
        fields = {
            "payer": self.key("manager"),
            "task": self.key(name),
            "pot": self.key("pot"),
            "name": b"hello",
            "description": b"says hello",
            "audit_program": b"bafkreihello",
            "executable_network": b"DEVELOPMENT",
            "total_bounty": 1000,
            "bounty_per_round": 100,
            "round_time": 10,
            "audit_window": 4,
            "submission_window": 4,
            "minimum_stake": 1000,
            "metadata": b"",
            "locals": b"",
            "allowed_failed_distributions": 2,
        }
        asked = [
            self.create_account("manager", name, 0, 1_000_000),
            self.instruct(self.ask_create(**{**fields, **changes})),
        ]
        if active:
            asked.append(self.instruct(instructions.SetActive(self.key(name), self.key("manager"), 1)))
        return self.run(self.get_founders(name), *asked, slots=slots)

    def get_founders(self, name: str, pot: str = "pot") -> tuple[str, ...]:
        """Who signs when a task is created."""
        return "manager", name

    def create_account(self, payer: str, name: str, balance: int, space: int) -> Instruction:
        return create_account(
            CreateAccountParams(
                from_pubkey=Pubkey(self.key(payer)),
                to_pubkey=Pubkey(self.key(name)),
                lamports=balance,
                space=space,
                owner=Pubkey(self.program),
            )
        )

    # What is asked about money

    def instruct(self, ask: instructions.Instruction) -> Instruction:
        """The instruction of the program that the world's tasks live under."""
        return task_instruction(ask, self.program)

    def ask_create(self, **fields: Any) -> instructions.Instruction:
        return instructions.CreateTask(**fields)

    def ask_update(
        self, task: TaskKey, successor: str, pots: tuple[str, str] = ("pot", "pot"), **fields: Any
    ) -> instructions.Instruction:
        own: dict[str, Any] = {
            "name": b"next", "description": b"", "audit_program": b"", "executable_network": b"",
            "metadata": b"", "locals": b"", "allowed_failed_distributions": 1,
        }  # fmt: skip
        return instructions.UpdateTask(
            payer=self.key("manager"), task=task, pot=self.key(pots[0]), successor=self.key(successor),
            successor_pot=self.key(pots[1]), **{**own, **fields},
        )  # fmt: skip

    def ask_stake(self, task: TaskKey, name: str, amount: int) -> instructions.Instruction:
        return instructions.Stake(task, self.key(name), self.key("pot"), amount)

    def ask_fund(self, task: TaskKey, name: str, amount: int) -> instructions.Instruction:
        return instructions.FundTask(task, self.key(name), self.key("pot"), amount)

    def ask_claim(self, task: TaskKey, name: str) -> instructions.Instruction:
        return instructions.Claim(task, self.key(name), self.key("pot"), self.key(name))

    def ask_close(self, task: TaskKey) -> instructions.Instruction:
        return instructions.CloseTask(task, self.key("manager"), self.key("pot"))

    def wallet(self, name: str) -> int:
        """What somebody holds of what the tasks pay in."""
        account = self.state.accounts.rows.get(self.key(name))
        return account.balance if account else 0

    def dump(self) -> dict[bytes, dict[bytes, bytes]]:
        """Every record, for comparison."""
        encode = msgspec.msgpack.encode
        return {
            name: {key: encode(record) for key, record in table.rows.items()}
            for name, table in self.state.tables.items()
            if table.rows
        }


def check_invariants(state: State, supply: int) -> None:
    """What holds after every block: money is constant, nothing is negative, and a number fits 64 bits."""
    assert supply == compute_supply(state)
    assert find_token_faults(state) == []
    assert all(0 <= account.balance < 2**63 for account in state.accounts.rows.values())
    assert all(len(account.data) <= account.space for account in state.accounts.rows.values())
    for key, task in state.tasks.rows.items():
        assert 0 <= compute_reserved(task) <= task.bounty < 2**64
        stakes = state.get_stakes(key).rows.values()
        assert all(0 <= stake.amount < 2**63 and 0 <= stake.available < 2**64 for stake in stakes)


COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")


def task_instruction(ask: instructions.Instruction, program: Key = TASK_PROGRAM) -> Instruction:
    accounts, data = PROGRAMS[program].encode(ask)
    metas = [AccountMeta(Pubkey(one.key), one.is_signer, one.is_writable) for one in accounts]
    return Instruction(Pubkey(program), data, metas)


def upload_list(world: World, signer: str, number: int, text: bytes) -> list[Instruction]:
    """The instructions that upload a list and hand it in."""
    key = world.key(signer)
    size = instructions.CHUNK_BYTES
    chunks = [text[at : at + size] for at in range(0, len(text), size)] or [b""]
    asked: list[instructions.Instruction] = [
        instructions.UploadDistributionList(world.task, key, n, len(chunk), chunk, number)
        for n, chunk in enumerate(chunks)
    ]
    asked.append(instructions.SubmitDistributionList(world.task, key, key, number))
    return [world.instruct(one) for one in asked]


def compact_submission(ask: instructions.SubmitTask, program: Key = TASK_PROGRAM) -> Instruction:
    """A submission in the layout that ends with the value."""
    padded = task_instruction(instructions.SubmitTask(ask.task, ask.node, b"x", ask.round), program)
    data = b"\x01" + ask.round.to_bytes(8, "little") + ask.value
    return Instruction(padded.program_id, data, padded.accounts)


def move(world: World, source: str, to: str, amount: int) -> Instruction:
    keys = Pubkey(world.key(source)), Pubkey(world.key(to))
    return transfer(TransferParams(from_pubkey=keys[0], to_pubkey=keys[1], lamports=amount))


def unsigned(one: Instruction) -> Instruction:
    """The instruction with no account marked as a signer."""
    return Instruction(
        one.program_id, one.data, [AccountMeta(a.pubkey, False, a.is_writable) for a in one.accounts]
    )


def compute_phase(table: Timetable, slot: int) -> Phase:
    """The phase of a slot, told apart from the law's windows; both ends of SUBMIT's window belong to it."""
    offset = table.compute_offset(slot)
    if offset <= table.submission_window:
        return Phase.SUBMIT
    if offset <= table.submission_window + table.audit_window:
        return Phase.AUDIT
    return Phase.SETTLE
