"""Made tests/vectors/law-1-ledger.tar.zst with the code of commit 62e35dd, the last of law version 1.

Run in a work tree of that commit: `python make_law_1_ledger.py TARGET`. It is kept to say where the vector is
from.
"""

import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

import zstandard
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from tests.laws.test_nonces import create_nonce
from tests.laws.token_world import TokenStage
from tests.laws.world import task_instruction

from roundwork.ledger.chain import Chain
from roundwork.protocol import instructions as ins
from roundwork.protocol.params import TASK_PROGRAM


def play() -> TokenStage:
    """A task in a token that has paid a round, a native task with stakes, and a nonce."""
    world = TokenStage(fee_per_signature=5000).paid()
    manager = world.key("manager")
    made = create_account(
        CreateAccountParams(
            from_pubkey=Pubkey(manager), to_pubkey=Pubkey(world.key("native")), lamports=1234, space=1000,
            owner=Pubkey(TASK_PROGRAM),
        )
    )  # fmt: skip
    fields = {
        "payer": manager, "task": world.key("native"), "pot": world.key("native pot"), "name": b"native",
        "description": b"", "audit_program": b"", "executable_network": b"", "total_bounty": 50_000,
        "bounty_per_round": 100, "round_time": 10, "audit_window": 4, "submission_window": 4,
        "minimum_stake": 1000, "metadata": b"", "locals": b"", "allowed_failed_distributions": 2,
    }  # fmt: skip
    create = task_instruction(ins.CreateTask(**fields))
    assert not world.run(("manager", "native"), made, create).kind
    for name, amount in (("n00", 7000), ("n01", 3000)):
        ask = ins.Stake(world.key("native"), world.key(name), world.key("native pot"), amount)
        assert not world.run(name, task_instruction(ask)).kind
    ask = ins.Withdraw(world.key("native"), world.key("n01"))
    assert not world.run("n01", task_instruction(ask)).kind
    assert not world.run(("n00", "nonce"), *create_nonce(world)).kind
    world.block()
    return world


def main() -> None:
    world = play()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "ledger"
        Chain.create(directory, world.state.genesis)
        with closing(Chain(directory)) as chain:
            for block, verified, _ in world.blocks:
                outcome = chain.execute(block, verified)
                chain.persist(block, outcome)
                chain.publish(block, outcome)
        tar = Path(folder) / "ledger.tar"
        with tarfile.open(tar, "w") as archive:
            for name in ("genesis.json", "journal.db", "checkpoint.db"):
                archive.add(directory / name, name)
        Path(sys.argv[1]).write_bytes(zstandard.ZstdCompressor(level=19).compress(tar.read_bytes()))


if __name__ == "__main__":
    main()
