"""What a duty under roundwork-1 sends: the law takes it, and reads out of it what the node meant."""

from collections.abc import Sequence

import pytest

from roundwork.hardened_views import HardenedRound
from roundwork.participant import sealed as duties
from roundwork.participant.sealed_messages import (
    Sender,
    compose_answers,
    compose_list,
    compose_message,
    compose_seal,
)
from roundwork.protocol.params import NodeKey, TaskKey, base58_of
from roundwork.protocol.read import view_round
from roundwork.protocol.read_hardened import view_posted_proof
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.commitments import PIECE_BYTES, PIECES_MAX, SealKind
from roundwork.protocol.tasks.instructions import CHUNK_BYTES

from ..protocol.hardened import AW, NODES, SW, Hardened, name_proof

PROOF = b"first" * 160 + b"second"
"""Two pieces."""

VALUE = name_proof(PROOF)


def sender_of(world: Hardened, name: str, secret: bytes = b"s" * 32) -> Sender:
    return Sender(world.state.genesis_hash, world.task, world.key(name), base58_of(world.task), secret)


def address_of(world: Hardened, name: str) -> str:
    return base58_of(world.key(name))


def send(world: Hardened, name: str, *waves: Sequence[ins.Instruction]) -> None:
    """Each instruction in its own transaction; the law takes all."""
    for wave in waves:
        for instruction in wave:
            world.expect("ok", name, instruction, slots=0)


@pytest.mark.parametrize("secret", [b"s" * 32, bytes(32)])
def test_a_reveal_opens_the_commitment_that_the_same_secret_made(secret: bytes) -> None:
    world = Hardened()
    world.go(1).block()
    sender = sender_of(world, "n01", secret)

    send(world, "n01", [compose_seal(sender, duties.SendCommitment(0, SealKind.SUBMISSION, b"mine"))])
    world.go(1, SW // 2 + 1).block()
    other = compose_seal(sender, duties.SendReveal(0, SealKind.SUBMISSION, b"thine"))
    world.expect("WrongReveal", "n01", other, slots=0)
    send(world, "n01", [compose_seal(sender, duties.SendReveal(0, SealKind.SUBMISSION, b"mine"))])

    assert b"mine" == world.cursor().submissions.rows[world.key("n01")].value


def test_a_commitment_is_one_of_its_chain_task_round_kind_node_secret_and_payload() -> None:
    def compose(
        genesis: bytes = b"g" * 32,
        task: bytes = b"t" * 32,
        node: bytes = b"n" * 32,
        secret: bytes = b"s" * 32,
        round_number: int = 3,
        kind: SealKind = SealKind.RECEIPT,
        payload: bytes = b"\x05",
    ) -> bytes:
        sender = Sender(genesis, TaskKey(task), NodeKey(node), base58_of(task), secret)
        made = compose_seal(sender, duties.SendCommitment(round_number, kind, payload))
        assert isinstance(made, ins.Commit)
        return made.commitment

    made = {
        compose(),
        compose(genesis=b"G" * 32),
        compose(task=b"T" * 32),
        compose(node=b"N" * 32),
        compose(secret=b"S" * 32),
        compose(round_number=4),
        compose(kind=SealKind.VOTES),
        compose(payload=b"\x04"),
    }

    assert 8 == len(made)
    assert compose() in made


def test_the_pieces_of_a_proof_are_posted_in_any_order() -> None:
    world = Hardened()
    world.submitted({"n01": VALUE})
    owner = address_of(world, "n01")
    send(world, "n03", [compose_message(sender_of(world, "n03"), duties.SendChallenge(0, owner))])
    [wave] = compose_answers(sender_of(world, "n04"), duties.PostProof(0, owner), PROOF)

    send(world, "n04", wave[::-1])

    assert PROOF.hex() == view_posted_proof(world.state, world.task, 0, world.key("n01"))


@pytest.mark.parametrize("size", [1, PIECE_BYTES, PIECE_BYTES + 1, PIECE_BYTES * PIECES_MAX])
def test_a_proof_has_as_few_pieces_as_it_needs(size: int) -> None:
    proof = bytes(at % 251 for at in range(size))
    sender = Sender(b"", TaskKey(b"t" * 32), NodeKey(b"n" * 32), base58_of(b"t" * 32), b"")

    [wave] = compose_answers(sender, duties.PostProof(0, base58_of(b"o" * 32)), proof)

    pieces = [each for each in wave if isinstance(each, ins.Answer)]
    assert list(range(-(-size // PIECE_BYTES))) == [each.chunk for each in pieces]
    assert proof == b"".join(each.data for each in pieces)
    assert all(1 <= len(each.data) <= PIECE_BYTES for each in pieces)


def test_a_list_gives_each_node_the_amount_that_its_name_has() -> None:
    world = Hardened()
    world.submitted().judged().go(2).block()
    lister = world.ranks()[0]
    amounts = {"n00": 1, "n03": 300, "n04": 4}  # the others get nothing, whatever the order of the names
    by_address = {address_of(world, name): amount for name, amount in amounts.items()}
    submitters = [address_of(world, name) for name in reversed(NODES)]

    send(world, lister, *compose_list(sender_of(world, lister), 0, submitters, by_address))

    [listed] = view_round(world.state, world.task, 0).lists
    assert by_address == {node: amount for node, amount in listed.amounts.items() if amount}


@pytest.mark.parametrize(("count", "sizes"), [(1, [8]), (63, [504]), (64, [504, 8]), (127, [504, 504, 8])])
def test_the_chunks_of_a_list_are_whole_and_the_list_is_handed_in_behind_them(
    count: int, sizes: list[int]
) -> None:
    nodes = [bytes([at]) * 32 for at in range(count)]
    amounts = {base58_of(node): 1000 + at for at, node in enumerate(nodes)}
    sender = Sender(b"", TaskKey(b"t" * 32), NodeKey(b"n" * 32), base58_of(b"t" * 32), b"")

    uploads, handed_in = compose_list(sender, 5, sorted(amounts), amounts)

    chunks = [each for each in uploads if isinstance(each, ins.UploadDistributionList)]
    assert (list(range(len(sizes))), sizes) == (
        [each.chunk for each in chunks],
        [each.size for each in chunks],
    )
    assert {CHUNK_BYTES} == {len(each.data) for each in chunks}
    data = b"".join(each.data[: each.size] for each in chunks)
    assert list(range(1000, 1000 + count)) == [
        int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)
    ]
    assert [ins.SubmitDistributionList(sender.task, sender.node, sender.node, 5)] == handed_in


def test_an_accusation_is_of_the_node_that_the_duty_names() -> None:
    world = Hardened()
    world.submitted({"n01": b"garbage"}).checked({"n01": False})
    accuser, wrong = world.checkers("n01")[0], address_of(world, "n01")

    send(world, accuser, [compose_message(sender_of(world, accuser), duties.SendAccusation(0, wrong))])

    trials = {each.node: each.trial for each in find_hardened(world).submissions}
    assert [wrong] == [node for node, trial in trials.items() if trial is not None]


@pytest.mark.parametrize("is_valid", [True, False])
def test_a_list_is_accused_and_voted_on_as_the_duties_say(is_valid: bool) -> None:
    world = Hardened()
    world.submitted().judged().listed({"n00": 100}).go(2, SW + 1).block()
    lister = world.ranks()[0]
    accuser, voter, *_ = [name for name in NODES if name != lister]
    owner = address_of(world, lister)

    send(world, accuser, [compose_message(sender_of(world, accuser), duties.AccuseList(0, 0, owner))])
    world.go(2, SW + AW // 2 + 1).block()
    vote = duties.VoteOnList(0, 0, owner, is_valid)
    send(world, voter, [compose_message(sender_of(world, voter), vote)])

    [listed] = view_round(world.state, world.task, 0).lists
    assert address_of(world, accuser) == listed.trigger_by
    assert is_valid == listed.auditors[address_of(world, voter)]


def find_hardened(world: Hardened) -> HardenedRound:
    hardened = view_round(world.state, world.task, 0).hardened
    assert hardened is not None
    return hardened
