"""The instructions that a duty under roundwork-1 sends, in the order in which the ledger must take them."""

from collections.abc import Mapping, Sequence
from typing import assert_never

import msgspec

from ..protocol.params import NodeKey, TaskKey, key_of
from ..protocol.tasks import instructions
from ..protocol.tasks.commitments import PIECE_BYTES, compute_commitment
from ..protocol.tasks.instructions import CHUNK_BYTES
from . import sealed as duties
from .sealed import compute_salt

AMOUNTS = 63
"""The amounts of a whole chunk of a list."""

AMOUNT_BYTES = 8

Waves = list[list[instructions.Instruction]]
"""The instructions of a wave may come in any order; the next wave is sent when they are durable."""


class Sender(msgspec.Struct, frozen=True):
    """A node in a task, with what its commitments are made of."""

    genesis_hash: bytes
    task: TaskKey
    node: NodeKey
    task_address: str
    """The task in base58."""
    secret: bytes
    """Of the node, 32 bytes: the salts follow from it."""


def compose_seal(sender: Sender, duty: duties.SendCommitment | duties.SendReveal) -> instructions.Instruction:
    """The commitment to a payload, or its reveal."""
    task, node, round_number, kind = sender.task, sender.node, duty.round, duty.kind
    salt = compute_salt(sender.secret, sender.task_address, round_number, kind)
    if isinstance(duty, duties.SendReveal):
        return instructions.Reveal(task, node, kind, round_number, salt, duty.payload)
    commitment = compute_commitment(sender.genesis_hash, task, round_number, kind, node, salt, duty.payload)
    return instructions.Commit(task, node, kind, round_number, commitment)


def compose_answers(sender: Sender, duty: duties.PostProof, proof: bytes) -> Waves:
    """The chunks of a proof."""
    of = NodeKey(key_of(duty.node))
    return [
        [
            instructions.Answer(
                sender.task, sender.node, of, duty.round, chunk, proof[start : start + PIECE_BYTES]
            )
            for chunk, start in enumerate(range(0, len(proof), PIECE_BYTES))
        ]
    ]


def compose_list(
    sender: Sender, round_number: int, submitters: Sequence[str], amounts: Mapping[str, int]
) -> Waves:
    """The amounts of all submitters, then the list."""
    task, node = sender.task, sender.node
    ordered = sorted(submitters, key=key_of)
    uploads: list[instructions.Instruction] = []
    for start in range(0, len(ordered), AMOUNTS):
        part = ordered[start : start + AMOUNTS]
        data = b"".join(amounts.get(each, 0).to_bytes(AMOUNT_BYTES, "little") for each in part)
        padded = data.ljust(CHUNK_BYTES, b"\0")
        chunk = instructions.UploadDistributionList(
            task, node, start // AMOUNTS, len(data), padded, round_number
        )
        uploads.append(chunk)
    return [uploads, [instructions.SubmitDistributionList(task, node, node, round_number)]]


def compose_message(
    sender: Sender,
    duty: duties.SendChallenge | duties.SendAccusation | duties.AccuseList | duties.VoteOnList,
) -> instructions.Instruction:
    """What a duty says of a submission or of a list."""
    task, node, of, round_number = sender.task, sender.node, NodeKey(key_of(duty.node)), duty.round
    match duty:
        case duties.SendChallenge():
            return instructions.Challenge(task, node, of, round_number)
        case duties.SendAccusation():
            return instructions.Accuse(task, node, of, round_number)
        case duties.AccuseList():
            return instructions.AuditDistribution(task, node, of, 0, round_number)
        case duties.VoteOnList():
            return instructions.AuditDistribution(task, node, of, int(duty.is_valid), round_number)
        case _:
            assert_never(duty)
