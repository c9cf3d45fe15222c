"""The beacon of a round, and the values that are drawn from it."""

from blake3 import blake3

from ..params import TaskKey


def compute_first_beacon(genesis_hash: bytes, task: TaskKey) -> bytes:
    """The value that replaces the beacon before a task has one."""
    return blake3(b"roundwork/beacon/0" + genesis_hash + task).digest()


def compute_beacon(
    genesis_hash: bytes, task: TaskKey, before: bytes, round_number: int, mix: bytes = bytes(32)
) -> bytes:
    """The beacon of a round; `mix` is the XOR over its revealed salts, zero where nothing is sealed.

    Source: docs/PROTOCOL.md 6.
    """
    return blake3(
        b"roundwork/beacon/1" + genesis_hash + task + before + round_number.to_bytes(8, "little") + mix
    ).digest()


def compute_sealed_beacon(head: bytes, mix: bytes, parent_hash: bytes) -> bytes:
    """The beacon of a round whose submissions were sealed.

    `head` is the genesis hash, the task, the beacon before and the round number; `parent_hash` is that of the
    block before the one in which it is fixed. Source: docs/PROTOCOL.md 16.
    """
    return blake3(b"roundwork/beacon/2" + head + mix + parent_hash).digest()
