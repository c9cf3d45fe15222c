"""A world with a task under roundwork-1: five nodes, what they commit and reveal, up to which step."""

from base64 import b32encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any, ClassVar, Self

from roundwork.protocol.execute import Receipt
from roundwork.protocol.params import NodeKey
from roundwork.protocol.tasks import instructions as ins
from roundwork.protocol.tasks.commitments import SealKind, compute_commitment
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.tasks.sealed import list_duties
from roundwork.protocol.tasks.verdicts import get_verdict

from .stage import _without_housekeeping
from .token_world import TokenWorld
from .world import World

T, SW, AW = 60, 11, 48
FEE = 5
MINIMUM = 10_000
STAKES = {"n00": 10_000, "n01": 20_000, "n02": 30_000, "n03": 40_000, "n04": 50_000}
NODES = tuple(STAKES)
SUBMISSION, RECEIPT, VOTES = SealKind
PROOF = b"p" * 1000

AUDIT_END = SW + AW + 1
"""The offset at which what ends with AUDIT falls due."""


def eighth(number: int) -> int:
    """The first offset of an eighth of AUDIT, counted from 1."""
    return SW + AW * (number - 1) // 8 + 1


def name_proof(proof: bytes, text: bytes = b"") -> bytes:
    """A value that names a proof."""
    raw = bytes.fromhex("01551220") + sha256(proof).digest()
    return b"b" + b32encode(raw).rstrip(b"=").lower() + (b" " + text if text else b"")


class Hardened(World):
    """A task under roundwork-1 and five staked nodes, in its ledger round 0."""

    fields: ClassVar[dict[str, Any]] = {
        "locals": b"rules:roundwork-1",
        "round_time": T,
        "submission_window": SW,
        "audit_window": AW,
        "minimum_stake": MINIMUM,
        "total_bounty": 100_000,
        "bounty_per_round": 1000,
        "allowed_failed_distributions": 1,
    }

    def __init__(self, changes: dict[str, Any] | None = None, **genesis: Any) -> None:
        super().__init__(("manager", *NODES), **{"fee_per_signature": FEE, **genesis})
        receipt = self.create_task(**{**self.fields, **(changes or {})})
        assert receipt.kind == 0, receipt
        self.start = self.state.head.slot
        for name, stake in STAKES.items():
            self.expect("ok", name, self.ask_stake(self.task, name, stake), slots=0)

    def expect(self, expected: str, signer: str, ask: ins.Instruction, slots: int = 1) -> None:
        """Run an instruction; it must end so, and a rejected one must change nothing but the fee."""
        if slots:
            self.block(slots=slots)  # what falls due by itself is not the instruction's doing
        before = self.dump()
        receipt = self.run(signer, self.instruct(ask), slots=0)
        assert expected == (receipt.name or "ok"), receipt.text
        if receipt.kind:
            payers = (self.key(signer), self.key("producer"))
            assert _strip(before, payers) == _strip(self.dump(), payers)

    def go(self, ledger_round: int, offset: int = 0) -> Self:
        """Stand one slot before an offset of a ledger round, so that the next instruction runs in it."""
        slot = self.start + ledger_round * T + offset - 1
        while (left := slot - self.state.head.slot) > 0:
            self.block(slots=min(left, 2))
        return self

    # Who is who

    def cursor(self, number: int = 0) -> RoundCursor:
        return RoundCursor(self.state, self.task, number)

    def name_of(self, node: NodeKey) -> str:
        return next(name for name in self.keys if self.key(name) == node)

    def checkers(self, of: str, number: int = 0) -> list[str]:
        """The names of the checkers of a submission."""
        rows = self.cursor(number).checks.rows
        return [self.name_of(node) for node, duties in rows.items() if self.key(of) in duties.candidates]

    def duties(self, name: str, kind: SealKind, number: int = 0) -> list[str]:
        return [self.name_of(node) for node in list_duties(self.cursor(number), kind, self.key(name))]

    def verdict(self, name: str, number: int = 0) -> tuple[str, int]:
        outcome, votes = get_verdict(self.cursor(number), self.key(name))
        return outcome.name, votes

    def stake_of(self, name: str) -> int:
        return self.state.get_stakes(self.task).rows[self.key(name)].amount

    def available_of(self, name: str) -> int:
        return self.state.get_stakes(self.task).rows[self.key(name)].available

    def held_of(self, name: str, paid: int) -> int:
        table = self.cursor().find_held(paid)
        return table.rows[self.key(name)].amount if table and self.key(name) in table.rows else 0

    def net_of(self, name: str, number: int = 0) -> int:
        net = self.cursor(number).nets.rows.get(self.key(name))
        return net.amount if net else 0

    @property
    def bounty(self) -> int:
        return self.state.tasks.rows[self.task].bounty

    # Asking, shortly

    def salt(self, name: str, kind: int, number: int) -> bytes:
        return sha256(f"{name} {kind} {number}".encode()).digest()

    def commit(self, name: str, kind: int, payload: bytes, number: int = 0) -> ins.Commit:
        digest = compute_commitment(
            self.state.genesis_hash, self.task, number, kind, self.key(name), self.salt(name, kind, number),
            payload,
        )  # fmt: skip
        return ins.Commit(self.task, self.key(name), kind, number, digest)

    def reveal(self, name: str, kind: int, payload: bytes, number: int = 0) -> ins.Reveal:
        salt = self.salt(name, kind, number)
        return ins.Reveal(self.task, self.key(name), kind, number, salt, payload)

    def challenge(self, name: str, of: str, number: int = 0) -> ins.Challenge:
        return ins.Challenge(self.task, self.key(name), self.key(of), number)

    def answer(self, name: str, of: str, chunk: int, data: bytes, number: int = 0) -> ins.Answer:
        return ins.Answer(self.task, self.key(name), self.key(of), number, chunk, data)

    def accuse(self, name: str, of: str, number: int = 0) -> ins.Accuse:
        return ins.Accuse(self.task, self.key(name), self.key(of), number)

    def upload(self, name: str, amounts: dict[str, int] | bytes, number: int = 0) -> ins.Instruction:
        """The only chunk of a list of at most 63 amounts."""
        data = amounts if isinstance(amounts, bytes) else self.encode(amounts, number)
        size = len(data)
        return ins.UploadDistributionList(self.task, self.key(name), 0, size, data.ljust(508, b"\0"), number)

    def encode(self, amounts: dict[str, int], number: int = 0) -> bytes:
        by_node = {self.key(name): amount for name, amount in amounts.items()}
        nodes = sorted(self.cursor(number).submissions.rows)
        return b"".join(by_node.get(node, 0).to_bytes(8, "little") for node in nodes)

    def hand_in(self, name: str, number: int = 0) -> ins.SubmitDistributionList:
        return ins.SubmitDistributionList(self.task, self.key(name), self.key(name), number)

    def audit_list(self, name: str, of: str, valid: int = 0, number: int = 0) -> ins.AuditDistribution:
        return ins.AuditDistribution(self.task, self.key(name), self.key(of), valid, number)

    def hand_in_whole(self, name: str, amounts: dict[str, int], number: int = 0, slots: int = 1) -> Receipt:
        """Upload a list and hand it in, in one transaction."""
        asked = self.upload(name, amounts, number), self.hand_in(name, number)
        return self.run(name, *map(self.instruct, asked), slots=slots)

    # Being further on

    def committed(
        self, values: dict[str, bytes] | None = None, number: int = 0, names: tuple[str, ...] = NODES
    ) -> Self:
        """Nodes have committed their values of a round."""
        self.values = {name: (values or {}).get(name, b"the work") for name in names}
        self.go(number + 1).block()
        for name, value in self.values.items():
            self.expect("ok", name, self.commit(name, SUBMISSION, value, number), slots=0)
        return self

    def submitted(
        self,
        values: dict[str, bytes] | None = None,
        number: int = 0,
        names: tuple[str, ...] = NODES,
        silent: tuple[str, ...] = (),
    ) -> Self:
        """Nodes have revealed their values of a round; the next instruction runs in the first eighth."""
        self.committed(values, number, names).go(number + 1, SW // 2 + 1).block()
        for name, value in self.values.items():
            if name not in silent:
                self.expect("ok", name, self.reveal(name, SUBMISSION, value, number), slots=0)
        self.go(number + 1, SW + 1).block()
        return self

    def checked(
        self, found: dict[str, bool] | None = None, silent: tuple[str, ...] = (), number: int = 0
    ) -> Self:
        """Every checker but the silent has committed its receipt: valid, or what `found` says of a node."""
        self.go(number + 1, eighth(3)).block()
        self._commit_bits(RECEIPT, found or {}, silent, number).go(number + 1, eighth(4)).block()
        return self

    def accused(self, accuser: str, *of: str, number: int = 0) -> Self:
        for candidate in of:
            self.expect("ok", accuser, self.accuse(accuser, candidate, number), slots=0)
        return self

    def voted(
        self, found: dict[str, bool] | None = None, silent: tuple[str, ...] = (), number: int = 0
    ) -> Self:
        """Every juror but the silent has committed its votes: valid, or what `found` says of a node."""
        self.go(number + 1, eighth(5)).block()
        return self._commit_bits(VOTES, found or {}, silent, number)

    def disclosed(self, silent: tuple[str, ...] = (), number: int = 0) -> Self:
        """Everybody but the silent has revealed receipts and votes."""
        self.go(number + 1, eighth(7)).block()
        for (name, kind, at), payload in sorted(self.bits.items()):
            if at == number and name not in silent:
                self.expect("ok", name, self.reveal(name, kind, payload, number), slots=0)
        return self

    def judged(
        self,
        receipts: dict[str, bool] | None = None,
        votes: dict[str, bool] | None = None,
        accuser: str = "",
        accused: tuple[str, ...] = (),
        number: int = 0,
    ) -> Self:
        """A whole AUDIT of a round that is submitted; the verdicts are there."""
        self.checked(receipts, number=number)
        if accused:
            self.accused(accuser, *accused, number=number)
            self.voted(votes, number=number)
        self.disclosed(number=number).go(number + 1, AUDIT_END).block()
        return self

    def listed(self, amounts: dict[str, int], number: int = 0, attempt: int = 0) -> Self:
        """The list of a judged round, handed in by its first rank, is there."""
        self.go(number + 2 + attempt).block()
        receipt = self.hand_in_whole(self.ranks(number, attempt)[0], amounts, number, slots=0)
        assert not receipt.kind, receipt
        return self

    def play(self, look: Callable[[], None] = lambda: None) -> None:
        """Round 0 with a challenge, answers, a trial, an accused list, and the ledger's split.

        `look` is called at moments that have every kind of record between them.
        """
        self.submitted({"n01": name_proof(PROOF), "n02": name_proof(PROOF, b"again")})
        self.expect("ok", "n03", self.challenge("n03", "n01"), slots=0)
        for chunk, data in enumerate((PROOF[:800], PROOF[800:])):
            self.expect("ok", "n04", self.answer("n04", "n01", chunk, data), slots=0)
        look()
        guilty = {"n01": False}
        self.judged(guilty, guilty, "n00", ("n01",))
        self.listed({"n00": 100}).go(2, SW + 1)
        lister = self.ranks()[0]
        accuser, voter, *_ = [name for name in NODES if name not in (lister, "n01")]
        self.expect("ok", accuser, self.audit_list(accuser, lister))
        look()
        self.go(2, SW + AW // 2 + 1).expect("ok", voter, self.audit_list(voter, lister))
        self.go(3, AUDIT_END).block()
        look()

    def ranks(self, number: int = 0, attempt: int = 0) -> list[str]:
        nodes = self.cursor(number).ranks.rows[bytes([attempt])].nodes
        return [self.name_of(node) for node in nodes]

    def _commit_bits(
        self, kind: SealKind, found: dict[str, bool], silent: tuple[str, ...], number: int
    ) -> Self:
        for name in NODES:
            duties = self.duties(name, kind, number)
            if duties and name not in silent:
                payload = make_bits([found.get(of, True) for of in duties])
                self.bits[name, kind, number] = payload
                self.expect("ok", name, self.commit(name, kind, payload, number), slots=0)
        return self

    @property
    def bits(self) -> dict[tuple[str, SealKind, int], bytes]:
        """The receipts and votes that were committed, by name, kind and round."""
        bits: dict[tuple[str, SealKind, int], bytes] = self.__dict__.setdefault("_bits", {})
        return bits


class HardenedTokens(Hardened, TokenWorld):
    """The same for a task that pays in a token."""


def make_bits(bits: list[bool]) -> bytes:
    """Receipts and votes as they are sent."""
    number = sum(bit << at for at, bit in enumerate(bits))
    return number.to_bytes((len(bits) + 7) // 8, "little")


def _strip(
    dump: dict[bytes, dict[bytes, bytes]], payers: tuple[bytes, ...]
) -> dict[bytes, dict[bytes, bytes]]:
    """A dump without what every block and every fee changes."""
    kept = _without_housekeeping(dump)
    accounts = {key: record for key, record in kept[b"A"].items() if key not in payers}
    return {**kept, b"A": accounts}
