"""What the nodes of a benchmark send in a round: for each rule set the windows, and what is sent in them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec
from crowd import Crowd, Lookouts
from law import wrap

from roundwork.client.messages import build_uploads
from roundwork.package.content import compute_content_id
from roundwork.participant.moment import compute_moment
from roundwork.participant.parts import RoundParts, compose_round
from roundwork.participant.sealed import SendCommitment, SendReveal
from roundwork.participant.sealed_messages import Sender, compose_list, compose_seal
from roundwork.participant.sealed_parts import DRAW_SHARE, compute_draw_slots
from roundwork.protocol.params import KOII_1, ROUNDWORK_1, NodeKey, TaskKey, key_of
from roundwork.protocol.tasks.commitments import SealKind, encode_bits
from roundwork.protocol.tasks.instructions import (
    Accuse,
    Answer,
    AuditSubmission,
    Instruction,
    SubmitDistributionList,
    SubmitTask,
)
from roundwork.protocol.tasks.round import Activity
from roundwork.views import OwnRound, RoundHead, TaskHead

AUDITORS_SHARE = 100
"""Under koii-1 one node in so many audits the proof of the first node, and finds it invalid."""

UPLOADS_AT_ONCE = 16

LIAR = 0
"""The place of the node whose proof the others find invalid."""


class Round:
    """A round that is played, and what each node has sent in it."""

    def __init__(self, crowd: Crowd, lookouts: Lookouts, round_number: int, genesis_hash: bytes) -> None:
        self.round_number = round_number
        self.task = TaskKey(key_of(crowd.task))
        self._crowd = crowd
        self._lookouts = lookouts
        self._senders = [
            Sender(genesis_hash, self.task, NodeKey(key_of(node)), crowd.task, secret)
            for node, secret in zip(crowd.nodes, crowd.secrets, strict=True)
        ]
        self._payloads: list[dict[int, bytes]] = [{} for _ in crowd.nodes]
        """By kind, what each node has committed to."""
        self._accuser: int | None = None
        """The place of the node that accuses the first node."""

    # What a node does in a window, by its place

    async def submit(self, at: int) -> bool:
        """Hand in a proof in the open."""
        return await self._send(
            at, SubmitTask(self.task, self._key(at), self._name_proof(at), self.round_number)
        )

    async def audit(self, at: int) -> bool:
        """Find the proof of the first node invalid, if this node is of the hundredth that audits."""
        share = max(AUDITORS_SHARE, len(self._crowd.nodes) // 100)
        if at % share != 1 % share:
            return False
        opinion = AuditSubmission(self.task, self._key(at), self._key(LIAR), 0, self.round_number)
        return await self._send(at, opinion)

    async def commit(self, at: int) -> bool:
        """Commit to a proof."""
        return await self._commit(at, SealKind.SUBMISSION, self._name_proof(at))

    async def reveal(self, at: int) -> bool:
        """Reveal the proof."""
        return await self._reveal(at, SealKind.SUBMISSION)

    async def check(self, at: int) -> bool:
        """Commit to a receipt over the submissions that this node was drawn for."""
        return await self._commit_bits(at, SealKind.RECEIPT)

    async def accuse(self, at: int) -> bool:
        """Post the proof of the first node and accuse it, if this node is its first checker that comes."""
        liar = self._crowd.nodes[LIAR]
        if self._accuser is None and liar in self._list_candidates(at)[0]:
            self._accuser = at
            place = (self.task, self._key(at), self._key(LIAR), self.round_number)
            await self._send(at, Answer(*place, 0, self._make_proof(LIAR)))
            return await self._send(at, Accuse(*place))
        return False

    async def judge(self, at: int) -> bool:
        """Commit to votes over the submissions that this node is a juror of."""
        return await self._commit_bits(at, SealKind.VOTES)

    async def disclose(self, at: int) -> bool:
        """Reveal the receipt and the votes."""
        is_receipt_taken = await self._reveal(at, SealKind.RECEIPT)
        are_votes_taken = await self._reveal(at, SealKind.VOTES)
        return is_receipt_taken or are_votes_taken

    async def hand_in(self, at: int) -> bool:
        """Upload the list and hand it in, if this node is the first that may."""
        if at != self._find_lister():
            return False
        head = await self._lookouts.wait(
            lambda head: self._compose_parts().audited is not None or not self._is_list_due(head)
        )
        submissions, shown = self._compose_parts().audited, self._find_head()
        if not submissions or shown is None:
            return False
        share = head.bounty_per_round // len(submissions)
        amounts = {each.node: share for each in submissions if each.votes > 0}
        sender = self._senders[at]
        if shown.hardened is not None:
            waves = compose_list(sender, self.round_number, [each.node for each in submissions], amounts)
        else:
            text = msgspec.json.encode(amounts, order="sorted")
            handing_in = SubmitDistributionList(self.task, sender.node, sender.node, self.round_number)
            waves = [[*build_uploads(self.task, sender.node, self.round_number, text)], [handing_in]]
        taken = [False]
        for wave in waves:
            for start in range(0, len(wave), UPLOADS_AT_ONCE):
                some = wave[start : start + UPLOADS_AT_ONCE]
                taken = await asyncio.gather(*(self._crowd.send(at, wrap(each)) for each in some))
        return taken[-1]

    # What became of it

    def is_over(self, head: TaskHead) -> bool:
        """Whether the round is paid or closed."""
        return self.round_number not in head.open_rounds

    async def describe(self) -> dict[str, float]:
        """Whether the round was settled, how many nodes submitted, and how many of them were convicted."""
        shown, _ = await self._crowd.call("getRound", self._crowd.task, self.round_number)
        parts = self._compose_parts()
        return {
            "round_settled": float(shown["status"] == "PayoutSuccessful"),
            "round_submissions": len(parts.submissions or ()),
            "round_convicted": sum(each.verdict == "convicted" for each in parts.audited or ()),
        }

    # Helpers

    async def _send(self, at: int, instruction: Instruction) -> bool:
        """Send, then see what came of it; whether it was taken."""
        is_taken = await self._crowd.send(at, wrap(instruction))
        await self._crowd.read_own(at)
        return is_taken

    async def _commit(self, at: int, kind: SealKind, payload: bytes) -> bool:
        self._payloads[at][kind] = payload
        duty = SendCommitment(self.round_number, kind, payload)
        return await self._send(at, compose_seal(self._senders[at], duty))

    async def _reveal(self, at: int, kind: SealKind) -> bool:
        payload = self._payloads[at].get(kind)
        if payload is None:
            return False
        duty = SendReveal(self.round_number, kind, payload)
        return await self._send(at, compose_seal(self._senders[at], duty))

    async def _commit_bits(self, at: int, kind: SealKind) -> bool:
        head = self._lookouts.head
        assert head is not None
        if self._crowd.own[at].slot < compute_draw_slots(head).start:  # it is late with reading
            await self._crowd.read_own(at)
        candidates = self._list_candidates(at)[kind is SealKind.VOTES]
        if not candidates:
            return False
        liar = self._crowd.nodes[LIAR]
        return await self._commit(at, kind, encode_bits([candidate != liar for candidate in candidates]))

    def _list_candidates(self, at: int) -> tuple[Sequence[str], Sequence[str]]:
        """What a node was drawn for: the submissions that it checks, and those that it judges."""
        rounds = (own for own in self._crowd.own[at].rounds if own.round == self.round_number)
        drawn = next(rounds, OwnRound(round=self.round_number)).assignments
        return ((), ()) if drawn is None else (drawn.checks, drawn.trials)

    def _find_head(self) -> RoundHead | None:
        head = self._lookouts.head
        shown = (each for each in (head.rounds if head else ()) if each.round == self.round_number)
        return next(shown, None)

    def _is_list_due(self, head: TaskHead) -> bool:
        """Whether the first list of the round can still be handed in."""
        return compute_moment(head, head.slot).is_open(Activity.LIST, self.round_number)

    def _find_lister(self) -> int:
        """The place of the node that hands the list in: the first rank, or node 1 without ranks."""
        shown = self._find_head()
        ranks = shown.hardened.ranks if shown is not None and shown.hardened is not None else []
        nodes = ranks[0].nodes if ranks else []
        return self._crowd.nodes.index(nodes[0]) if nodes else 1

    def _compose_parts(self) -> RoundParts:
        parts = self._lookouts.parts.items()
        return compose_round({part.kind: rows for part, rows in parts if part.round == self.round_number})

    def _key(self, at: int) -> NodeKey:
        return self._senders[at].node

    def _make_proof(self, at: int) -> bytes:
        return b"the proof of " + self._key(at)

    def _name_proof(self, at: int) -> bytes:
        return compute_content_id(self._make_proof(at)).encode()


class Step(NamedTuple):
    """What each node does in a window of a round."""

    activity: Activity
    act: Callable[[Round, int], Awaitable[bool]]
    """What a node does, by its place; whether the ledger took what it sent."""
    is_of_all: bool
    """Whether each node sends something at a moment of its own; else a few nodes do, at once."""
    after: float = 0.0
    """The part of the window that has passed when it begins."""


STEPS: dict[str, tuple[Step, ...]] = {
    KOII_1.name: (
        Step(Activity.SUBMIT, Round.submit, is_of_all=True),
        Step(Activity.AUDIT, Round.audit, is_of_all=False),
        Step(Activity.LIST, Round.hand_in, is_of_all=False),
    ),
    ROUNDWORK_1.name: (
        Step(Activity.COMMIT, Round.commit, is_of_all=True),
        Step(Activity.REVEAL, Round.reveal, is_of_all=True),
        Step(Activity.CHECK, Round.check, is_of_all=True),
        Step(Activity.ACCUSE, Round.accuse, is_of_all=False),
        Step(Activity.JUDGE, Round.judge, is_of_all=False, after=1 / DRAW_SHARE),
        Step(Activity.DISCLOSE, Round.disclose, is_of_all=True),
        Step(Activity.LIST, Round.hand_in, is_of_all=False),
    ),
}
"""By rule set, the windows of a round in which nodes send, in their order."""
