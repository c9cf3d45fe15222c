"""A town under roundwork-1: four nodes that play as the text says, and a rival that does anything."""

from random import Random

from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.commitments import SealKind
from roundwork.protocol.tasks.round import RoundState

from .hardened import (
    AUDIT_END,
    AW,
    NODES,
    PROOF,
    RECEIPT,
    SUBMISSION,
    SW,
    VOTES,
    Hardened,
    eighth,
    make_bits,
    name_proof,
)

HONEST, RIVAL = NODES[:4], NODES[4]
GOOD, GARBAGE = b"the work", b"garbage"
SERVED, HIDDEN = name_proof(PROOF), name_proof(b"nobody has this")
CHUNKS = (PROOF[:800], PROOF[800:])


class Town(Hardened):
    """Four nodes that play as the text says, with two thirds of the stake, and a rival that does anything."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = Random(seed)
        self.bits_of: dict[tuple[str, SealKind], bytes] = {}

    def try_to(self, name: str, ask: ins.Instruction) -> bool:
        """Send an instruction that may be refused."""
        receipt = self.run(name, self.instruct(ask), slots=0)
        return not receipt.kind

    def is_good(self, name: str, number: int) -> bool:
        """What the task's audit says of a submission."""
        return self.cursor(number).submissions.rows[self.key(name)].value in (GOOD, SERVED)

    def submitters(self, number: int) -> list[str]:
        return [name for name in NODES if self.key(name) in self.cursor(number).submissions.rows]

    # A round

    def live(self, number: int) -> None:
        """Everything that happens to a round up to its verdicts."""
        values = {name: self.chance.choice((GOOD, SERVED)) for name in HONEST}
        rival = self.chance.choice((GOOD, GARBAGE, SERVED, HIDDEN, None))
        if rival is not None:
            values[RIVAL] = rival
        self.go(number + 1).block()
        for name, value in values.items():
            assert self.try_to(name, self.commit(name, SUBMISSION, value, number)) or name == RIVAL
        self.go(number + 1, SW // 2 + 1).block()
        for name, value in values.items():
            if name != RIVAL or self.chance.random() < 0.8:
                self.try_to(name, self.reveal(name, SUBMISSION, value, number))
        self.go(number + 1, eighth(1)).block()
        self.challenge_and_answer(number)
        self.go(number + 1, eighth(3)).block()
        self.commit_all(RECEIPT, number)
        self.accuse_all(number)
        self.go(number + 1, eighth(5)).block()
        self.commit_all(VOTES, number)
        self.go(number + 1, eighth(7)).block()
        for (name, kind), payload in sorted(self.bits_of.items()):
            if name != RIVAL or self.chance.random() < 0.5:
                self.try_to(name, self.reveal(name, kind, payload, number))
        self.bits_of.clear()
        self.go(number + 1, AUDIT_END).block()

    def challenge_and_answer(self, number: int) -> None:
        """Who cannot fetch a proof challenges it; who has a proof answers every challenge."""
        hidden = [name for name in self.submitters(number) if self.value_of(name, number) == HIDDEN]
        for candidate in hidden:
            self.try_to("n00", self.challenge("n00", candidate, number))
        for candidate in self.submitters(number):
            if self.chance.random() < 0.4:
                self.try_to(RIVAL, self.challenge(RIVAL, candidate, number))
        self.go(number + 1, eighth(2)).block()
        for candidate in self.submitters(number):
            if self.value_of(candidate, number) == SERVED:
                for chunk, data in enumerate(CHUNKS):
                    self.try_to("n01", self.answer("n01", candidate, chunk, data, number))

    def accuse_all(self, number: int) -> None:
        """Honest nodes accuse what is wrong; the rival accuses whom it likes, first or last."""
        self.go(number + 1, eighth(4)).block()
        targets = [name for name in self.submitters(number) if self.chance.random() < 0.4]
        for candidate in targets:
            if self.value_of(candidate, number) == SERVED:
                for chunk, data in enumerate(CHUNKS):
                    self.try_to(RIVAL, self.answer(RIVAL, candidate, chunk, data, number))
            self.try_to(RIVAL, self.accuse(RIVAL, candidate, number))
        for candidate in self.submitters(number):
            if self.value_of(candidate, number) == GARBAGE:
                self.try_to("n02", self.accuse("n02", candidate, number))

    def commit_all(self, kind: SealKind, number: int) -> None:
        for name in self.submitters(number):
            duties = self.duties(name, kind, number)
            if name == RIVAL:
                found = [self.chance.random() < 0.5 for _ in duties]
            else:
                found = [self.is_good(of, number) for of in duties]
            if duties and (name != RIVAL or self.chance.random() < 0.7):
                self.bits_of[name, kind] = make_bits(found)
                assert self.try_to(name, self.commit(name, kind, make_bits(found), number))

    def value_of(self, name: str, number: int) -> bytes:
        return self.cursor(number).submissions.rows[self.key(name)].value

    def distribute(self, number: int) -> None:
        """The list of a judged round, its retry, and what becomes of both."""
        for attempt in range(2):
            self.go(number + 2 + attempt).block()
            if self.cursor(number).opened.state not in (RoundState.REVIEWING, RoundState.RETRYING):
                return
            right = self.compute_list(number)
            is_theft = self.chance.random() < 0.5
            for name in self.ranks(number, attempt):
                self.go(number + 2 + attempt, 3 * self.ranks(number, attempt).index(name)).block()
                if name == RIVAL and is_theft:
                    self.hand_in_whole(
                        name, {RIVAL: 1000} if self.verdict(RIVAL, number)[1] > 0 else {}, number
                    )
                elif name != RIVAL or self.chance.random() < 0.5:
                    self.hand_in_whole(name, right, number, slots=0)
            self.audit_all(number, attempt, right)
            self.go(number + 2 + attempt, AUDIT_END).block()

    def audit_all(self, number: int, attempt: int, right: dict[str, int]) -> None:
        """Honest nodes accuse a wrong list and vote on an accused one; the rival accuses a right one."""
        listed = self.cursor(number).lists.rows.get(bytes([attempt]))
        if listed is None:
            return
        lister = self.name_of(listed.submitter)
        is_right = {self.name_of(node): amount for node, amount in listed.amounts} == right
        self.go(number + 2 + attempt, SW + 1).block()
        if not is_right:
            self.try_to("n03", self.audit_list("n03", lister, 0, number))
        elif self.chance.random() < 0.5:
            self.try_to(RIVAL, self.audit_list(RIVAL, lister, 0, number))
        self.go(number + 2 + attempt, SW + AW // 2 + 1).block()
        for name in self.submitters(number):
            says = is_right if name != RIVAL else self.chance.random() < 0.5
            self.try_to(name, self.audit_list(name, lister, int(says), number))

    def compute_list(self, number: int) -> dict[str, int]:
        paid = [name for name in self.submitters(number) if self.verdict(name, number)[1] > 0]
        return dict.fromkeys(paid, 1000 // len(paid))
