"""The law alone: submissions and transfers a second on one core, and how they change as the state grows.

Run: python bench/law.py. Prints each as a ratio to REF, the strict Ed25519 verifications a second that one
core does in the same run (solders); both are counted in processor time. Worlds of all sizes take turns at
blocks of random nodes. Signatures, disk and RPC are left out; parsing, change set and state hash are in.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ref import measure_ref, print_machine
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer

from roundwork.ledger.chain import Chain
from roundwork.ledger.server import tune_interpreter
from roundwork.protocol.execute import Block, Outcome, execute, next_block
from roundwork.protocol.genesis import create_state
from roundwork.protocol.params import KOII_1, TASK_PROGRAM, Genesis, Grant, NodeKey, TaskKey, key_of
from roundwork.protocol.state import State
from roundwork.protocol.tasks.configuration import STAKE_FEES, STAKE_MIN
from roundwork.protocol.tasks.instructions import CreateTask, SetActive, Stake, SubmitTask
from roundwork.protocol.tasks.instructions import Instruction as TaskInstruction
from roundwork.protocol.tasks.layouts import TASKS
from roundwork.protocol.ticks import get_newest_tick

BLOCK = 1000
"""Transactions in a block."""


def wrap(instruction: TaskInstruction) -> Instruction:
    """An instruction of the task program, as transactions carry it."""
    accounts, data = TASKS.encode(instruction)
    metas = [AccountMeta(Pubkey(each.key), each.is_signer, each.is_writable) for each in accounts]
    return Instruction(Pubkey(TASK_PROGRAM), data, metas)


def submit(task: TaskKey, round_number: int, node: Pubkey) -> Instruction:
    """A submission of the length of a content id."""
    value = b"bafkrei" + bytes(node)[:26].hex().encode()
    return wrap(SubmitTask(task, NodeKey(bytes(node)), value, round_number))


def give(target: Pubkey, node: Pubkey) -> Instruction:
    return transfer(TransferParams(from_pubkey=node, to_pubkey=target, lamports=1))


class World:
    """A ledger in memory with `size` staked nodes. Signatures are made up: nobody verifies them here."""

    def __init__(
        self,
        size: int,
        directory: Path | None = None,
        nodes: Sequence[Pubkey] = (),
        windows: tuple[int, int, int] = (1000, 400, 400),
        rules: str = KOII_1.name,
        slot_ms: int = 400,
    ) -> None:
        """`directory`: keep it there too, so that a ledger process can open it.

        `nodes` have keys of the caller's. `windows` are the slots of a round, of SUBMIT less one, and of
        AUDIT.
        """
        self.nodes = [*nodes] or [Pubkey.new_unique() for _ in range(size)]
        round_time, submission_window, audit_window = windows
        self.manager, self.task, self.pot = Pubkey.new_unique(), Pubkey.new_unique(), Pubkey.new_unique()
        grants = tuple(Grant(str(key), 10**12) for key in [self.manager, *self.nodes])
        genesis = Genesis(time_ms=0, slot_ms=slot_ms, producer=str(Keypair().pubkey()), accounts=grants)
        self.producer = key_of(genesis.producer)
        self.chain: Chain | None = None
        if directory is not None:
            Chain.create(directory, genesis)
            self.chain = Chain(directory)
        self.state: State = create_state(genesis) if self.chain is None else self.chain.state
        self.count = 0
        self.run([], slots=1)
        task, manager, pot = TaskKey(bytes(self.task)), bytes(self.manager), bytes(self.pot)
        stake, task_locals = STAKE_MIN, b""
        if rules != KOII_1.name:
            stake, task_locals = STAKE_FEES * genesis.fee_per_signature, f"rules:{rules}".encode()
        create = CreateTask(
            manager, task, pot, b"bench", b"", b"", b"", 10**11, 10**9, round_time, audit_window,
            submission_window, stake, b"", task_locals, 3,
        )  # fmt: skip
        space = CreateAccountParams(
            from_pubkey=self.manager, to_pubkey=self.task, lamports=0, space=100, owner=Pubkey(TASK_PROGRAM)
        )
        self.run([self.wire(self.manager, create_account(space), wrap(create), signers=2),
                  self.wire(self.manager, wrap(SetActive(task, manager, 1)))])  # fmt: skip
        for at in range(0, size, BLOCK):
            self.run(
                [
                    self.wire(node, wrap(Stake(task, NodeKey(bytes(node)), pot, stake, b"")))
                    for node in self.nodes[at : at + BLOCK]
                ]
            )
        self.wait_for_slot(self.state.tasks.rows[task].timetable.compute_start(1))

    def wire(self, payer: Pubkey, *instructions: Instruction, signers: int = 1) -> bytes:
        """A transaction with made-up signatures."""
        tick, _ = get_newest_tick(self.state, self.state.head.slot)
        message = bytes(Message.new_with_blockhash(list(instructions), payer, Hash(tick)))
        self.count += 1
        signatures = self.count.to_bytes(64, "big") * signers
        return bytes([signers]) + signatures + message

    def run(self, wires: list[bytes], slots: int = 0) -> float:
        """Run one block; how many seconds it took."""
        head = self.state.head
        time_ms = head.began_ms + slots * self.state.genesis.slot_ms
        block = next_block(self.state, time_ms, wires, self.producer)
        begin = time.process_time()
        outcome = self._execute(block, [True] * len(wires))
        took = time.process_time() - begin
        bad = [receipt for receipt in outcome.receipts if receipt.kind]
        assert not bad, bad[:1]
        return took

    def _execute(self, block: Block, verified: list[bool]) -> Outcome:
        if self.chain is None:
            return execute(self.state, block, verified)
        outcome = self.chain.execute(block, verified)
        self.chain.persist(block, outcome)
        self.chain.publish(block, outcome)
        return outcome

    def measure(self, build: Callable[[Pubkey], Instruction], blocks: int) -> float:
        """Transactions a second, each of another random node of its block."""
        took = 0.0
        nodes = random.sample(self.nodes, min(blocks * BLOCK, len(self.nodes)))
        for at in range(0, len(nodes), BLOCK):
            took += self.run([self.wire(node, build(node)) for node in nodes[at : at + BLOCK]])
        return len(nodes) / took

    def wait_for_round(self, round_number: int) -> None:
        """Run empty blocks until submissions of a round are taken."""
        timetable = self.state.tasks.rows[TaskKey(bytes(self.task))].timetable
        self.wait_for_slot(timetable.compute_start(round_number + 1))

    def wait_for_slot(self, slot: int) -> None:
        """Run empty blocks until a slot has come."""
        while self.state.head.slot < slot:
            self.run([], slots=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    ref = measure_ref()
    worlds = {size: World(size) for size in options.sizes}
    tune_interpreter()
    rates: dict[str, dict[int, list[float]]] = {
        name: {size: [] for size in worlds} for name in ("submissions", "transfers")
    }
    for round_number in range(options.runs):
        for size, world in worlds.items():
            world.wait_for_round(round_number)
            submissions = world.measure(partial(submit, TaskKey(bytes(world.task)), round_number), 1)
            rates["submissions"][size].append(submissions)
            rates["transfers"][size].append(world.measure(partial(give, world.pot), 1))

    if options.json:
        medians = {
            name: {size: statistics.median(each) for size, each in row.items()} for name, row in rates.items()
        }
        json.dump({"ref": ref, "per_second": medians}, sys.stdout)
        print()
        return
    print_machine(ref)
    for name, row in rates.items():
        for size, measured in row.items():
            rate = statistics.median(measured)
            print(f"{name:<12} {size:>9,} nodes  {rate:>9,.0f}/s  {rate / ref:5.2f} xREF")
        first, last = row[options.sizes[0]], row[options.sizes[-1]]
        growth = statistics.median(many / few for few, many in zip(first, last, strict=True))
        print(f"{name:<12} {growth:.2f} x with {options.sizes[-1]:,} nodes, median of pairs")
    print("left out: signatures, disk, RPC. Median of", options.runs, "blocks of", BLOCK, "each.")


if __name__ == "__main__":
    main()
