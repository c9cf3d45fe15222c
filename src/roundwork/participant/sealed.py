"""The duties of a node in a round under roundwork-1, as PROTOCOL.md says how a node plays it.

`sealed_step.py` joins them with the duties of every rule set. There are three kinds of duties. Some need a
decision, whose result the node remembers (`Decide…`, `Fetch`, `Check`). `Seal` writes something down before
it is sent. The others send an instruction. A duty that the ledger shows as sent is not owed again.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
from blake3 import blake3

from ..hardened_views import AssignmentsView, HardenedRound, HardenedSubmission
from ..protocol.clock import Timetable
from ..protocol.tasks.commitments import SealKind, encode_bits, read_content_id
from ..protocol.tasks.round import TURNS, WINDOWS, Activity, Period, compute_turn, find_window
from ..views import ListView, RoundView, SubmissionView
from .same import Same

RULES = "roundwork-1"


class SealedMemory(msgspec.Struct, frozen=True):
    """The decisions of a node in one round. They are on disk before the node acts on them."""

    value: str | None = None
    """The value to submit; None until the task has named it."""
    sealed: dict[int, bytes] = {}
    """The payload of each kind, written down before its commitment is sent."""
    fetched: frozenset[str] = frozenset()
    """The nodes whose complete proof the node has, itself included."""
    found: dict[str, bool] = {}
    """Whether the audit of the task found a submission valid, by its node."""
    amounts: dict[str, int] | None = None
    """The distribution list by node; None until the task has computed it."""


class SealedView(msgspec.Struct, frozen=True):
    """What a node sees of a round."""

    node: str
    """The node's address."""
    table: Timetable
    round: RoundView
    own: AssignmentsView
    challenges_max: int
    """How many challenges the node pays for in a round."""
    accusations_max: int
    """How many accusations, of submissions and of lists, the node backs with a bond in a round."""

    @property
    def hardened(self) -> HardenedRound:
        """The part of the round that roundwork-1 adds."""
        assert self.round.hardened is not None, "the round is not one of roundwork-1"
        return self.round.hardened

    def find(self, node: str) -> HardenedSubmission:
        """What the ledger shows about a submission."""
        return _index_found(Same(self.hardened.submissions))[node]

    def get_value(self, node: str) -> str:
        """The value that a node submitted."""
        return _index_values(Same(self.round.submissions))[node]

    def names_proof(self, node: str) -> bool:
        """Whether a submission's value names a proof."""
        return _names_proof(self.get_value(node))


def keep_payments(amounts: Mapping[str, int]) -> dict[str, int]:
    """The amounts above 0: the ledger slashes at the verdict, and a list takes nothing.

    Source: docs/PROTOCOL.md, section 19.
    """
    return {node: amount for node, amount in amounts.items() if amount > 0}


@lru_cache(maxsize=8)
def _index_found(submissions: Same[Sequence[HardenedSubmission]]) -> dict[str, HardenedSubmission]:
    """What the ledger shows about each submission, by node: a large node looks for all of a large round."""
    return {each.node: each for each in submissions.value}


@lru_cache(maxsize=8)
def _index_values(submissions: Same[Sequence[SubmissionView]]) -> dict[str, str]:
    return {each.node: each.value for each in submissions.value}


@lru_cache(maxsize=1024)
def _names_proof(value: str) -> bool:
    return read_content_id(value.encode()) is not None


class DecideSealedValue(msgspec.Struct, frozen=True, tag=True):
    """Let the task name what to submit."""

    round: int


class Seal(msgspec.Struct, frozen=True, tag=True):
    """Write a payload down; its commitment is sent afterwards."""

    round: int
    kind: int
    payload: bytes


class SendCommitment(msgspec.Struct, frozen=True, tag=True):
    """Commit to a payload that is written down."""

    round: int
    kind: int
    payload: bytes


class SendReveal(msgspec.Struct, frozen=True, tag=True):
    """Reveal a payload that was committed."""

    round: int
    kind: int
    payload: bytes


class FetchProof(msgspec.Struct, frozen=True, tag=True):
    """Get a complete proof: from its node, from others that have it, or from the ledger."""

    round: int
    node: str


class SendChallenge(msgspec.Struct, frozen=True, tag=True):
    """Demand that a proof be posted, because the node could not get it."""

    round: int
    node: str


class PostProof(msgspec.Struct, frozen=True, tag=True):
    """Post a proof on the ledger."""

    round: int
    node: str


class CheckSubmission(msgspec.Struct, frozen=True, tag=True):
    """Let the task's audit judge a submission. The node has its proof."""

    round: int
    node: str


class SendAccusation(msgspec.Struct, frozen=True, tag=True):
    """Accuse a submission."""

    round: int
    node: str


class DecideSealedList(msgspec.Struct, frozen=True, tag=True):
    """Let the task compute the distribution list."""

    round: int
    attempt: int


class SendAmounts(msgspec.Struct, frozen=True, tag=True):
    """Upload the amounts and hand the list in."""

    round: int
    attempt: int


class AccuseList(msgspec.Struct, frozen=True, tag=True):
    """Accuse the list of an attempt."""

    round: int
    attempt: int
    node: str


class VoteOnList(msgspec.Struct, frozen=True, tag=True):
    """Vote on an accused list."""

    round: int
    attempt: int
    node: str
    is_valid: bool


SealedDuty = (
    DecideSealedValue | Seal | SendCommitment | SendReveal | FetchProof | SendChallenge | PostProof
    | CheckSubmission | SendAccusation | DecideSealedList | SendAmounts | AccuseList | VoteOnList
)  # fmt: skip


def compute_salt(secret: bytes, task: str, round_number: int, kind: int) -> bytes:
    """The salt of a commitment: the same after a crash that loses all but the node's secret of 32 bytes."""
    text = f"roundwork/salt/1/{task}/{round_number}/{kind}"
    return blake3(text.encode(), key=secret).digest()


def list_sealed_duties(memory: SealedMemory, view: SealedView, slot: int) -> list[SealedDuty]:
    """The duties of a node in a round at a slot; none outside of its review and distribution."""
    later = view.table.compute_round(slot) - view.round.round
    if later == Period.REVIEW.later:
        return _list_review(memory, view, slot)
    is_listed = later == Period.DISTRIBUTION.later + view.round.attempt and view.round.status == "Open"
    if not is_listed or all(each.node != view.node for each in view.round.submissions):
        return []
    return _list_distribution(memory, view, slot)


# The review


def _list_review(memory: SealedMemory, view: SealedView, slot: int) -> list[SealedDuty]:
    activity, first, last = _find_activity(view.table, slot)
    is_late = slot >= first + (last - first + 1) // 2
    match activity:
        case Activity.COMMIT:
            return _owe_value(memory, view)
        case Activity.REVEAL:
            return _owe_reveal(memory, view, SealKind.SUBMISSION)
        case Activity.CHALLENGE:
            fetching = _owe_challenges(memory, view, is_late) + _owe_answers(memory, view, [view.node])
            return fetching + _owe_checks(memory, view)
        case Activity.ANSWER:
            # The window has two eighths; the node is in the second one.
            is_late = slot >= first + (last - first + 1) * 3 // 4
            answers = _owe_answers(memory, view, _list_posters(view, is_late, slot >= last - 1))
            return answers + _owe_checks(memory, view)
        case Activity.CHECK:
            return _owe_bits(memory, view, SealKind.RECEIPT, view.own.checks, is_late)
        case Activity.ACCUSE:
            return _owe_accusations(memory, view)
        case Activity.JUDGE:
            return _owe_bits(memory, view, SealKind.VOTES, view.own.trials, is_late)
        case Activity.DISCLOSE:
            kinds = (SealKind.RECEIPT, SealKind.VOTES)
            return [duty for kind in kinds for duty in _owe_reveal(memory, view, kind)]
        case _:
            return []


@lru_cache(maxsize=256)
def _find_activity(table: Timetable, slot: int) -> tuple[Activity, int, int]:
    """What the round under review is at in a slot, and the first and the last slot of that."""
    window = find_window(WINDOWS[RULES], table, slot, Period.REVIEW)
    activity = next(activity for activity, each in WINDOWS[RULES].items() if each is window)
    return activity, *window.compute_slots_in(table, table.compute_round(slot))


def _owe_value(memory: SealedMemory, view: SealedView) -> list[SealedDuty]:
    if memory.value is None:
        return [DecideSealedValue(view.round.round)]
    return _owe_commitment(memory, view, SealKind.SUBMISSION, memory.value.encode())


def _owe_commitment(
    memory: SealedMemory, view: SealedView, kind: SealKind, payload: bytes
) -> list[SealedDuty]:
    """Write the payload down, then commit to what is written down, once."""
    if kind in view.own.committed:
        return []
    if kind not in memory.sealed:
        return [Seal(view.round.round, kind, payload)]
    return [SendCommitment(view.round.round, kind, memory.sealed[kind])]


def _owe_reveal(memory: SealedMemory, view: SealedView, kind: SealKind) -> list[SealedDuty]:
    if kind not in view.own.committed or kind in view.own.revealed or kind not in memory.sealed:
        return []
    return [SendReveal(view.round.round, kind, memory.sealed[kind])]


def _owe_challenges(memory: SealedMemory, view: SealedView, is_late: bool) -> list[SealedDuty]:
    """Fetch all proofs that the node checks; challenge those that it could not get by half of the window."""
    lacking = [node for node in view.own.checks if view.names_proof(node) and node not in memory.fetched]
    duties: list[SealedDuty] = [FetchProof(view.round.round, node) for node in lacking]
    if is_late:
        made = sum(
            each.challenge is not None and each.challenge.challenger == view.node
            for each in view.hardened.submissions
        )
        missing = [node for node in lacking if view.find(node).challenge is None]
        duties += [
            SendChallenge(view.round.round, node) for node in missing[: max(view.challenges_max - made, 0)]
        ]
    return duties


def _list_posters(view: SealedView, is_late: bool, is_last: bool) -> list[str]:
    """The submissions whose proofs the node posts now: its own, later what it checks, in the end all.

    The ledger pays the fees of the first poster alone. If all nodes posted at once, a challenge would cost
    each of them its fees and the challenger next to nothing.
    """
    if is_last:
        return [each.node for each in view.hardened.submissions]
    return [view.node, *view.own.checks] if is_late else [view.node]


def _owe_answers(memory: SealedMemory, view: SealedView, posting: Sequence[str]) -> list[SealedDuty]:
    """Fetch each challenged proof, and post those of `posting` that the node has."""
    duties: list[SealedDuty] = []
    for each in view.hardened.submissions:
        if each.challenge is None or each.is_posted:
            continue
        if each.node not in memory.fetched:
            duties.append(FetchProof(view.round.round, each.node))
        elif each.node in posting:
            duties.append(PostProof(view.round.round, each.node))
    return duties


def _owe_checks(memory: SealedMemory, view: SealedView) -> list[SealedDuty]:
    """Check what the node has a proof of: the eighth in which receipts are committed may be short."""
    return [
        CheckSubmission(view.round.round, node)
        for node in view.own.checks
        if node not in memory.found and (not view.names_proof(node) or node in memory.fetched)
    ]


def _owe_bits(
    memory: SealedMemory, view: SealedView, kind: SealKind, candidates: Sequence[str], is_late: bool
) -> list[SealedDuty]:
    """Check every candidate, then commit to what was found.

    When half of the window is over, a candidate that could not be judged counts as valid: the node does not
    accuse what it has not seen to be wrong.
    """
    if not candidates or kind in view.own.committed:
        return []
    if kind in memory.sealed:
        return _owe_commitment(memory, view, kind, b"")
    open_ = [node for node in candidates if node not in memory.found]
    if not open_ or is_late:
        return _owe_commitment(
            memory, view, kind, encode_bits([memory.found.get(node, True) for node in candidates])
        )
    duties: list[SealedDuty] = []
    for node in open_:
        is_there = not view.names_proof(node) or node in memory.fetched
        duties.append((CheckSubmission if is_there else FetchProof)(view.round.round, node))
    return duties


def _owe_accusations(memory: SealedMemory, view: SealedView) -> list[SealedDuty]:
    """Accuse what the node found invalid, unless another node has accused it. The proof is posted first."""
    wrong = [
        node for node in view.own.checks if memory.found.get(node) is False and view.find(node).trial is None
    ]
    duties: list[SealedDuty] = []
    for node in wrong[: max(view.accusations_max - _count_accusations(view), 0)]:
        if view.names_proof(node) and not view.find(node).is_posted:
            duties.append(PostProof(view.round.round, node))
        else:
            duties.append(SendAccusation(view.round.round, node))
    return duties


def _count_accusations(view: SealedView) -> int:
    """How many submissions and lists of the round the node has accused."""
    trials = [each.trial for each in view.hardened.submissions if each.trial is not None]
    lists = [each.trigger_by for each in view.round.lists]
    return sum(trial.accuser == view.node for trial in trials) + lists.count(view.node)


# The list


def _list_distribution(memory: SealedMemory, view: SealedView, slot: int) -> list[SealedDuty]:
    round_number, attempt = view.round.round, view.round.attempt
    windows, table = WINDOWS[RULES], view.table
    standing = next((each for each in view.round.lists if each.attempt == attempt), None)
    if windows[Activity.PAY].is_open(table, slot, round_number, attempt):
        return []
    if memory.amounts is None:
        return [DecideSealedList(round_number, attempt)]
    if windows[Activity.LIST].is_open(table, slot, round_number, attempt):
        is_due = standing is None and _is_my_turn(view, slot)
        return [SendAmounts(round_number, attempt)] if is_due else []
    if standing is None or standing.submitter == view.node:
        return []
    is_right = keep_payments(memory.amounts) == standing.amounts
    if windows[Activity.ACCUSE_LIST].is_open(table, slot, round_number, attempt):
        can_pay = _count_accusations(view) < view.accusations_max
        is_wrong = not is_right and standing.trigger_by is None and can_pay
        return [AccuseList(round_number, attempt, standing.submitter)] if is_wrong else []
    return _owe_list_vote(view, standing, is_right)


def _owe_list_vote(view: SealedView, standing: ListView, is_right: bool) -> list[SealedDuty]:
    has_voted = view.node in standing.auditors
    is_convicted = view.find(view.node).verdict == "convicted"
    if standing.trigger_by is None or has_voted or is_convicted:
        return []
    return [VoteOnList(view.round.round, standing.attempt, standing.submitter, is_right)]


def _is_my_turn(view: SealedView, slot: int) -> bool:
    """Whether the node may hand in a list now."""
    has_failed = any(
        each.submitter == view.node and each.attempt < view.round.attempt for each in view.round.lists
    )
    if has_failed or view.find(view.node).verdict == "convicted":
        return False
    ranks = next((each.nodes for each in view.hardened.ranks if each.attempt == view.round.attempt), [])
    rank = ranks.index(view.node) if view.node in ranks else TURNS
    return view.table.compute_offset(slot) >= compute_turn(view.table, rank)
