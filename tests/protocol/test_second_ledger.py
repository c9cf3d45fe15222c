"""A second ledger, written from docs/PROTOCOL.md alone, computes what the law computes.

Hashes, draws, verdicts and money are computed here by the sentences of the text, without the law.
"""

import base64
import hashlib
import re
from collections import Counter
from random import Random
from typing import Any

import pytest
from blake3 import blake3

from roundwork.protocol.params import NodeKey, TaskKey
from roundwork.protocol.tasks import commitments, leaves
from roundwork.protocol.tasks.draw import Ballot

from .hardened import AUDIT_END, MINIMUM, NODES, RECEIPT, STAKES, VOTES, Hardened, eighth

Answers = dict[str, dict[str, bool]]
"""What each node found of each candidate."""

UNTRIED, ACQUITTED, INCONCLUSIVE, CONVICTED = "UNTRIED", "ACQUITTED", "INCONCLUSIVE", "CONVICTED"


# Hashes and draws


def b3(*parts: bytes) -> bytes:
    return blake3(b"".join(parts)).digest()


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def draw(
    seed: bytes, weights: dict[NodeKey, int], count: int, without: list[NodeKey] | None
) -> list[NodeKey]:
    """Section 15; with replacement if `without` is None."""
    nodes = sorted(weights)
    sums = [sum(weights[node] for node in nodes[:at]) for at in range(len(nodes) + 1)]
    out, picks = [nodes.index(node) for node in without or []], []
    for pick in range(count):
        if len(out) == len(nodes):
            break
        number = blake3(b"roundwork/draw/1" + seed).digest(length=16 * pick + 16)[-16:]
        at = int.from_bytes(number, "little") % (sums[-1] - sum(weights[nodes[place]] for place in out))
        for place in sorted(out):
            at += weights[nodes[place]] if at >= sums[place] else 0
        place = next(place for place in range(len(nodes)) if sums[place + 1] > at)
        picks.append(nodes[place])
        if without is not None:
            out.append(place)
    return picks


def find_proof(value: bytes) -> bytes | None:
    """The sha256 in the content id that a value begins with."""
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    found = re.fullmatch(rf"b([{digits}]{{58}})( .*)?", value.decode("latin-1"), re.S)
    if found is None:
        return None
    number = int("".join(f"{digits.index(digit):05b}" for digit in found[1]), 2)
    raw = (number >> 2).to_bytes(36, "big")
    return raw[4:] if number % 4 == 0 and raw.startswith(bytes.fromhex("01551220")) else None


def compute_tree(rows: list[bytes]) -> bytes:
    """The tree of RFC 6962."""
    if len(rows) < 2:
        return sha(b"\0", rows[0]) if rows else sha()
    half = 1 << (len(rows) - 1).bit_length() - 1
    return sha(b"\1", compute_tree(rows[:half]), compute_tree(rows[half:]))


@pytest.mark.parametrize("seed", range(60))
def test_draws_and_hashes_are_those_of_the_text(seed: int) -> None:
    chance = Random(seed)
    most = chance.choice((1, 10, 2**63 - 1))
    weights = {
        NodeKey(chance.randbytes(32)): chance.randint(1, most)
        for _ in range(chance.choice((*range(1, 11), 60)))
    }
    without, bits = (
        chance.sample(sorted(weights), chance.randint(0, 1)),
        [chance.random() < 0.5 for _ in range(seed)],
    )
    key, ballot = chance.randbytes(32), Ballot(weights)
    task, node, salt, value = TaskKey(key), NodeKey(key[::-1]), chance.randbytes(32), chance.randbytes(seed)
    rows = [chance.randbytes(81) for _ in range(seed)]
    sealed = b3(b"roundwork/commit/1", key, task, seed.to_bytes(8, "little"), b"\1", node, salt, value)

    for count in (1, 3, len(weights) + 1):
        assert draw(key, weights, count, without) == ballot.draw(key, count, without)
    assert draw(key, weights, 51, None) == ballot.draw_seats(key, 51)
    assert sealed == commitments.compute_commitment(key, task, seed, 1, node, salt, value)
    assert commitments.encode_bits(bits) == sum(bit << at for at, bit in enumerate(bits)).to_bytes(
        (seed + 7) // 8, "little"
    )
    assert compute_tree(rows) == leaves.compute_root(rows)


@pytest.mark.parametrize("seed", range(60))
def test_a_value_names_a_proof_where_the_text_says_so(seed: int) -> None:
    chance = Random(seed)
    raw = bytes.fromhex("01551220") + chance.randbytes(32)
    value = bytearray(b"b" + base64.b32encode(raw).lower()[:58] + chance.choice((b"", b" ", b" x\n", b"x")))
    assert find_proof(bytes(value)) == commitments.read_content_id(bytes(value))
    for place in range(len(value)):
        other = (
            bytes(value[:place]) + chance.choice((b"a", b"B", b"1", b"7", b" ", b"\xff")) + value[place + 1 :]
        )
        assert find_proof(other) == commitments.read_content_id(other)


# The end of AUDIT


class Audit:
    """What nodes did in a random AUDIT of five nodes, and what sections 15 and 18 make of it."""

    def __init__(self, chance: Random, world: Hardened) -> None:
        self.chance, self.world, self.share = chance, world, 70
        self.stake, self.net = dict(STAKES), dict.fromkeys(NODES, 0)
        self.bounty, self.available = world.bounty, dict.fromkeys(NODES, 0)
        self.lost = chance.choice((0, 0.2))
        self.accused: dict[str, str] = {}
        self.forgotten: list[str] = []
        """The nodes that did not reveal, once for each commitment."""
        world.submitted().go(1, eighth(3)).block()
        self.checks, self.receipts = self.answer(RECEIPT, chance.choice((0.2, 0.8)))
        world.go(1, eighth(4)).block()
        for name in NODES:
            accuser = chance.choice(NODES)
            bond = max(MINIMUM // 10, min(MINIMUM // 2, STAKES[name] // 10))
            if accuser != name and chance.random() < 0.4 and self.stake[accuser] >= bond:
                world.expect("ok", accuser, world.accuse(accuser, name), slots=0)
                self.accused[name] = accuser
                self.move(accuser, -bond)
        world.go(1, eighth(5)).block()
        self.trials, self.votes = self.answer(VOTES, chance.choice((0.1, 0.5, 0.9)))
        world.disclosed().go(1, AUDIT_END).block()

    def answer(self, kind: Any, wrong: float) -> tuple[dict[str, list[str]], Answers]:
        """Some nodes commit; some of these do not reveal, and pay a lapse later."""
        world, chance = self.world, self.chance
        drawn = {name: world.duties(name, kind) for name in NODES}
        answers: Answers = {}
        for name in NODES:
            if not drawn[name] or chance.random() < self.lost:
                continue
            found = {of: chance.random() >= wrong for of in drawn[name]}
            payload = commitments.encode_bits(list(found.values()))
            world.expect("ok", name, world.commit(name, kind, payload), slots=0)
            if chance.random() < self.lost:
                self.forgotten.append(name)
            else:
                world.bits[name, kind, 0] = payload
                answers[name] = found
        return drawn, answers

    def move(self, name: str, amount: int) -> None:
        self.stake[name] += amount
        self.net[name] += amount

    def take(self, name: str, amount: int) -> int:
        taken = min(amount, self.stake[name])
        self.move(name, -taken)
        return taken

    def give(self, shares: dict[str, int], pool: int) -> int:
        """Give each its part of a pool; what was given."""
        parts = {name: pool * share // sum(shares.values()) for name, share in shares.items()}
        for name, part in parts.items():
            self.available[name] += part
            self.net[name] += part
        return sum(parts.values())

    def cast(self, of: str) -> Counter[bool]:
        """The seats that were cast: a submitter has as many as its stake."""
        seats = Counter({True: STAKES[of], False: STAKES[self.accused[of]]})
        for juror, found in self.votes.items():
            if of in found:
                seats[found[of]] += STAKES[juror]
        return seats

    def judge(self) -> dict[str, str]:
        verdicts = dict.fromkeys(NODES, UNTRIED)
        for of in self.accused:
            seats, total = self.cast(of), sum(STAKES.values())
            is_guilty = 3 * seats[False] >= 2 * seats.total() and 2 * seats[False] > total
            verdicts[of] = ACQUITTED if seats[True] > seats[False] else INCONCLUSIVE
            verdicts[of] = CONVICTED if is_guilty else verdicts[of]
        guilty = [of for of, verdict in verdicts.items() if verdict == CONVICTED]
        if 2 * len(guilty) > len(NODES) and 2 * sum(STAKES[of] for of in guilty) > sum(STAKES.values()):
            verdicts |= dict.fromkeys(guilty, INCONCLUSIVE)
        return verdicts

    def settle(self, verdicts: dict[str, str]) -> None:
        """Bonds, slashes, lapses, duties, shares."""
        bonds = {of: max(MINIMUM // 10, min(MINIMUM // 2, STAKES[of] // 10)) for of in self.accused}
        for of, accuser in self.accused.items():
            self.move(accuser, 0 if verdicts[of] == ACQUITTED else bonds[of])
        guilty = [of for of in NODES if verdicts[of] == CONVICTED]
        took = {of: self.take(of, STAKES[of] * self.share // 100) for of in guilty}
        for name in self.forgotten:
            self.bounty += self.take(name, MINIMUM // 10)
        for name, found in self.receipts.items():
            self.bounty += sum(self.take(name, MINIMUM // 10) for of in guilty if found.get(of))
        for name in NODES:
            duties = sum(self.owes(name, of, verdicts) for of in self.checks[name])
            duties += sum(self.owes_vote(name, of) for of in self.trials[name])
            self.bounty += self.take(name, min(duties * (MINIMUM // 100), STAKES[name] // 10))
        for of, accuser in self.accused.items():
            says = {juror: found[of] for juror, found in self.votes.items() if of in found}
            jurors = {juror: STAKES[juror] for juror, says_valid in says.items()
                      if says_valid == (verdicts[of] == ACQUITTED)}  # fmt: skip
            if of in took:
                finders = [name for name, found in self.receipts.items() if found.get(of) is False]
                quarter = took[of] // 4
                given = self.give(dict.fromkeys(finders or [accuser], 1), quarter)
                given += self.give(jurors, min(MINIMUM // 10, took[of] - quarter))
                self.bounty += took[of] - given
            elif verdicts[of] == ACQUITTED:
                self.bounty += bonds[of] - self.give(jurors, bonds[of])

    def owes(self, name: str, of: str, verdicts: dict[str, str]) -> bool:
        found = self.receipts.get(name)
        return found is None or (not found[of] and verdicts[of] in (UNTRIED, ACQUITTED))

    def owes_vote(self, name: str, of: str) -> bool:
        seats, found = self.cast(of), self.votes.get(name)
        return found is None or seats[not found[of]] > seats[found[of]]


@pytest.mark.parametrize("seed", range(40))
def test_what_ends_with_audit_is_what_the_text_says(seed: int) -> None:
    world = Hardened()
    audit = Audit(Random(seed), world)

    verdicts = audit.judge()
    audit.settle(verdicts)

    assert verdicts == {name: world.verdict(name)[0] for name in NODES}
    assert audit.stake == {name: world.stake_of(name) for name in NODES}
    assert audit.available == {name: world.available_of(name) for name in NODES}
    assert audit.net == {name: world.net_of(name) for name in NODES}
    assert audit.bounty == world.bounty
