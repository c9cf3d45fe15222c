"""Blocks on a ledger's directory, for tests."""

from typing import Any

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from roundwork.host.keypairs import read_keypair
from roundwork.ledger.chain import Chain
from roundwork.ledger.server import FAUCET_FILE
from roundwork.protocol.execute import next_block
from roundwork.protocol.params import key_of
from roundwork.protocol.state import State
from roundwork.protocol.ticks import get_newest_tick
from roundwork.protocol.transaction import decode_transaction

from .process import give


def receiver_of(amount: int) -> Pubkey:
    """The address that a transfer of an amount goes to: the same in every run."""
    return Keypair.from_seed(amount.to_bytes(32, "big")).pubkey()


def sign(chain: Chain, pair: Keypair, amount: int) -> bytes:
    from solders.hash import Hash
    from solders.message import Message
    from solders.transaction import Transaction

    tick = Hash(get_newest_tick(chain.state, chain.state.head.slot + 1)[0])
    instruction = give(pair, receiver_of(amount), amount)
    return bytes(Transaction([pair], Message.new_with_blockhash([instruction], pair.pubkey(), tick), tick))


def make_block(chain: Chain, *wires: bytes) -> None:
    """Execute, persist and publish one block, a slot later."""
    head = chain.state.head
    time_ms = head.began_ms + chain.genesis.slot_ms
    block = next_block(chain.state, time_ms, wires, key_of(chain.genesis.producer))
    outcome = chain.execute(block, [True] * len(wires))
    assert all(receipt.kind == 0 for receipt in outcome.receipts), outcome.receipts
    chain.persist(block, outcome)
    chain.publish(block, outcome)


def run_blocks(chain: Chain, count: int) -> list[bytes]:
    """Blocks with a faucet transfer each; the signatures."""
    faucet = read_keypair(chain.directory / FAUCET_FILE)
    make_block(chain)
    signatures = []
    for number in range(count):
        wire = sign(chain, faucet, number + 1)
        make_block(chain, wire)
        signatures.append(decode_transaction(wire).signatures[0])
    return signatures


def dump(state: State) -> dict[bytes, Any]:
    return {name: dict(table.rows) for name, table in state.tables.items() if table.rows}


def abandon(chain: Chain) -> None:
    """Let go of a chain as a crash would: nothing more is written."""
    chain._writer.shutdown(wait=True)
    chain.history.close()
    chain.checkpoint.close()
    chain.journal.close()
