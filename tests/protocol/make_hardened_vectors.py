"""Writes tests/vectors/roundwork-1.json: every hash and encoding of roundwork-1 for the inputs below.

The file is kept, as the journal is. Run `python -m tests.protocol.make_hardened_vectors` only for a new law.
"""

import json
from pathlib import Path
from typing import Any

from roundwork.protocol.execute import execute, next_block
from roundwork.protocol.genesis import create_state
from roundwork.protocol.params import Genesis, Grant, NodeKey, TaskKey, base58_of
from roundwork.protocol.tasks.beacon import compute_first_beacon, compute_sealed_beacon
from roundwork.protocol.tasks.commitments import compute_commitment, read_content_id
from roundwork.protocol.tasks.draw import Ballot
from roundwork.protocol.tasks.leaves import compute_head, compute_root, encode_leaf
from roundwork.protocol.tasks.ranked import compute_ranks_seed
from roundwork.protocol.tasks.sealed import compute_checkers_seed
from roundwork.protocol.tasks.trials import compute_jury_seed
from roundwork.protocol.tasks.verdicts import Outcome
from roundwork.protocol.ticks import compute_tick

from .hardened import make_bits, name_proof

PATH = Path(__file__).parents[1] / "vectors" / "roundwork-1.json"

GENESIS, TASK, PARENT = b"\x11" * 32, TaskKey(b"\x22" * 32), b"\x33" * 32
NODES = [NodeKey(bytes([place]) * 32) for place in range(6)]
WEIGHTS = {node: 1000 * (place + 1) for place, node in enumerate(NODES)}
SALT, ROUND, VALUE, PROOF = b"\x44" * 32, 7, b"a value", b"a proof"


def compute() -> dict[str, Any]:
    """The vectors, as the law computes them."""
    first = compute_first_beacon(GENESIS, TASK)
    head = GENESIS + TASK + first + ROUND.to_bytes(8, "little")
    beacon = compute_sealed_beacon(head, b"\x55" * 32, PARENT)
    ballot = Ballot(WEIGHTS)
    leaves = [
        encode_leaf(NODES[0], VALUE, Outcome.UNTRIED, 1, 200),
        encode_leaf(NODES[1], VALUE, Outcome.CONVICTED, -1, -14_000),
        encode_leaf(NODES[2], b"", Outcome.NO_SUBMISSION, 0, -1000),
    ]
    digest = read_content_id(name_proof(PROOF))
    assert digest is not None
    return {
        "commitment": compute_commitment(GENESIS, TASK, ROUND, 0, NODES[1], SALT, VALUE).hex(),
        "first_beacon": first.hex(),
        "beacon": beacon.hex(),
        "checkers_seed": compute_checkers_seed(beacon, NODES[2]).hex(),
        "checkers": places(ballot.draw(compute_checkers_seed(beacon, NODES[2]), 3, [NODES[2]])),
        "jury_seed": compute_jury_seed(beacon, PARENT, NODES[2]).hex(),
        "jury_begins": places(ballot.draw_seats(compute_jury_seed(beacon, PARENT, NODES[2]), 51))[:12],
        "ranks_seed": compute_ranks_seed(beacon, 1).hex(),
        "ranks": places(ballot.draw(compute_ranks_seed(beacon, 1), 3)),
        "content_id": name_proof(PROOF).decode(),
        "content_sha256": digest.hex(),
        "bits": make_bits([True, False, True, True, False, False, False, False, True, True]).hex(),
        "leaves": [leaf.hex() for leaf in leaves],
        "root": compute_root(leaves).hex(),
        "head": compute_head(bytes(32), ROUND, compute_root(leaves)).hex(),
        **compute_ledger(),
    }


def compute_ledger() -> dict[str, str]:
    """The hashes of a small genesis and of a block after it that has one transaction, which is Void."""
    producer, rich = base58_of(b"\1" * 32), base58_of(b"\2" * 32)
    state = create_state(Genesis(time_ms=0, producer=producer, accounts=(Grant(rich, 10**9),)))
    founded = state.head
    outcome = execute(state, next_block(state, 400, [b"\0"], b"\1" * 32), [False])
    return {
        "genesis_hash": founded.block_hash.hex(),
        "genesis_state_hash": founded.state_hash.hex(),
        "block_hash": outcome.block_hash.hex(),
        "tick": compute_tick(outcome.block_hash, 1).hex(),
        "block_state_hash": outcome.state_hash.hex(),
    }


def places(drawn: list[NodeKey]) -> list[int]:
    """Nodes by their places."""
    return [NODES.index(node) for node in drawn]


def main() -> None:
    PATH.write_text(json.dumps(compute(), indent=1) + "\n")


if __name__ == "__main__":
    main()
