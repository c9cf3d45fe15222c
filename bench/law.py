"""The law alone: submissions and transfers a second on one core, and how they change as the state grows.

Run: python bench/law.py. Prints each as a ratio to REF, the strict Ed25519 verifications a second that one
core does in the same run (solders). Signatures, disk and RPC are left out; parsing, change set and state
hash are in.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

from ref import measure_ref, print_machine
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer

from roundwork.protocol.execute import execute, next_block
from roundwork.protocol.genesis import found
from roundwork.protocol.instructions import (
    TASKS,
    CreateTask,
    SetActive,
    Stake,
    SubmitTask,
)  # fmt: skip
from roundwork.protocol.instructions import Instruction as TaskInstruction
from roundwork.protocol.params import TASK_PROGRAM, Genesis, Grant
from roundwork.protocol.state import State
from roundwork.protocol.ticks import get_newest_tick

BLOCK = 1000
"""Transactions in a block."""


def wrap(ask: TaskInstruction) -> Instruction:
    accounts, data = TASKS.encode(ask)
    metas = [AccountMeta(Pubkey(one.key), one.is_signer, one.is_writable) for one in accounts]
    return Instruction(Pubkey(TASK_PROGRAM), data, metas)


def submit(task: bytes, number: int, node: Pubkey) -> Instruction:
    """A submission of the length of a content id."""
    return wrap(SubmitTask(task, bytes(node), b"bafkrei" + bytes(node)[:26].hex().encode(), number))


def give(target: Pubkey, node: Pubkey) -> Instruction:
    return transfer(TransferParams(from_pubkey=node, to_pubkey=target, lamports=1))


class World:
    """A ledger in memory with `size` staked nodes. Signatures are made up: nobody verifies them here."""

    def __init__(self, size: int) -> None:
        self.producer = bytes(Pubkey.new_unique())
        self.nodes = [Pubkey.new_unique() for _ in range(size)]
        self.manager, self.task, self.pot = Pubkey.new_unique(), Pubkey.new_unique(), Pubkey.new_unique()
        grants = tuple(Grant(str(key), 10**12) for key in [self.manager, *self.nodes])
        self.state: State = found(
            Genesis(
                time_ms=0, producer=str(Keypair().pubkey()), treasury=str(Keypair().pubkey()), accounts=grants
            )
        )
        self.count = 0
        self.run([], slots=1)
        task, manager, pot = bytes(self.task), bytes(self.manager), bytes(self.pot)
        create = CreateTask(
            manager, task, pot, b"bench", b"", b"", b"", 10**9, 0, 1000, 400, 400, 1000, b"", b"", 3
        )  # fmt: skip
        space = CreateAccountParams(
            from_pubkey=self.manager, to_pubkey=self.task, lamports=0, space=100, owner=Pubkey(TASK_PROGRAM)
        )
        self.run([self.wire(self.manager, create_account(space), wrap(create), signers=2),
                  self.wire(self.manager, wrap(SetActive(task, manager, 1)))])  # fmt: skip
        for at in range(0, size, BLOCK):
            self.run(
                [
                    self.wire(n, wrap(Stake(task, bytes(n), pot, 1000, b"")))
                    for n in self.nodes[at : at + BLOCK]
                ]
            )
        while self.state.head.slot < self.state.tasks.rows[task].timetable.compute_start(1):
            self.run([], slots=2)

    def wire(self, payer: Pubkey, *asked: Instruction, signers: int = 1) -> bytes:
        tick, _ = get_newest_tick(self.state, self.state.head.slot)
        message = bytes(Message.new_with_blockhash(list(asked), payer, Hash(tick)))
        self.count += 1
        signatures = self.count.to_bytes(64, "big") * signers
        return bytes([signers]) + signatures + message

    def run(self, wires: list[bytes], slots: int = 0) -> float:
        """Run one block; how many seconds it took."""
        head = self.state.head
        time_ms = head.began_ms + slots * self.state.genesis.slot_ms
        block = next_block(self.state, time_ms, wires, self.producer)
        begin = time.perf_counter()
        outcome = execute(self.state, block, [True] * len(wires))
        took = time.perf_counter() - begin
        bad = [receipt for receipt in outcome.receipts if receipt.kind]
        assert not bad, bad[:1]
        return took

    def measure(self, build: Callable[[Pubkey], Instruction], count: int) -> float:
        """Transactions a second over `count` nodes, in blocks."""
        took = 0.0
        for at in range(0, count, BLOCK):
            took += self.run([self.wire(node, build(node)) for node in self.nodes[at : at + BLOCK]])
        return count / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    ref = measure_ref()
    rows = {}
    for size in options.sizes:
        submissions, transfers = [], []
        world = World(size)
        target = Pubkey.new_unique()
        task = bytes(world.task)
        count = min(size, 10_000)
        for number in range(options.runs):
            slot = world.state.tasks.rows[task].timetable.compute_start(number + 1)
            while world.state.head.slot < slot:
                world.run([], slots=2)
            submissions.append(world.measure(partial(submit, task, number), count))
            transfers.append(world.measure(partial(give, target), count))
        rows[size] = {
            "submissions": statistics.median(submissions),
            "transfers": statistics.median(transfers),
        }

    if options.json:
        json.dump({"ref": ref, "per_second": rows}, sys.stdout)
        print()
        return
    print_machine(ref)
    for size, row in rows.items():
        for name, rate in row.items():
            print(f"{size:>9,} nodes  {name:<12} {rate:>9,.0f}/s  {rate / ref:5.2f} xREF")
    print("left out: signatures, disk, RPC. Median of", options.runs, "runs each.")


if __name__ == "__main__":
    main()
