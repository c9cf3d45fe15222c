"""The seeds that a node gives the author's functions: `ctx.seed` and that of `ctx.random`."""

import hashlib
import hmac
from functools import lru_cache

from blake3 import blake3
from solders.pubkey import Pubkey


@lru_cache(maxsize=4096)
def compute_node_seed(seed: str, node: str) -> bytes:
    """`ctx.seed` of a node: blake3(B ‖ node), B the round's seed in hex. Source: docs/PROTOCOL.md 6."""
    return blake3(bytes.fromhex(seed) + bytes(Pubkey.from_string(node))).digest()


def compute_random_seed(secret: bytes, task: str, round_number: int, step: str, candidate: str) -> bytes:
    """The seed of `ctx.random`: the same after a crash; without the secret it cannot be predicted."""
    message = "\0".join(("roundwork/random/1", task, str(round_number), step, candidate))
    return hmac.digest(secret, message.encode(), hashlib.sha256)
