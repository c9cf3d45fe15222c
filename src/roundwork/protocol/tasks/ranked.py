"""The list of a round under roundwork-1: ranks, amounts, accusation, votes, and the ledger's own split.

Source: docs/PROTOCOL.md 19.
"""

from collections.abc import Mapping
from struct import unpack
from typing import TypeVar

from blake3 import blake3

from ...errors import (
    AlreadyAccused,
    BadUpload,
    ListBadNode,
    NoAuditRaised,
    NotLister,
    NotSubmitter,
)  # fmt: skip
from ..layout import Call
from ..params import NodeKey, base58_of
from ..records import Audit, Chunk, DistributionList, Ranks, Vote
from ..rules import rule
from ..state import State
from .configuration import compute_terms
from .cursor import RoundCursor
from .distribution import (
    check_first_list_opinion,
    check_list_audit_window,
    check_list_candidate,
    check_list_there,
    check_list_window,
    check_no_list,
    check_not_own_list,
    check_rewards,
    check_unread,
    get_attempt,
    name_reading,
)
from .draw import Ballot
from .events import AttemptFailed, Event
from .instructions import AuditDistribution, SubmitDistributionList, UploadDistributionList
from .life import get_task
from .payout import SPLIT, queue_payout
from .pledges import (
    add_bounty,
    check_bond,
    compute_list_bond,
    compute_slash,
    return_bond,
    set_bond,
    share,
    slash,
    take_bond,
)
from .round import TURNS, WINDOWS, Activity, RoundEvent, StepKind, compute_turn
from .sealed import check_submitter
from .verdicts import get_verdict, is_convicted, list_convicted

Node = TypeVar("Node", NodeKey, str)

AMOUNTS = 63
"""The amounts of a whole chunk."""

AMOUNT_BYTES = 8


# Handing in


def upload(state: State, call: Call, instruction: UploadDistributionList) -> None:
    """Keep a chunk of amounts.

    Raises UnknownTask, WrongPhase, UnknownRound, NotSubmitter, NotLister, ListStands, BadUpload.
    """
    cursor = RoundCursor(state, instruction.task, instruction.round)
    check_may_hand_in(cursor, call.slot, instruction.node)
    check_amounts_chunk(instruction, len(cursor.submissions.rows))

    key = instruction.node + instruction.chunk.to_bytes(2, "big")
    state.put(cursor.chunks, key, Chunk(instruction.data[: instruction.size]))


def hand_in(state: State, call: Call, instruction: SubmitDistributionList) -> None:
    """Put the uploaded amounts into the round's record; the first accepted list of an attempt counts.

    Raises UnknownTask, WrongPhase, UnknownRound, NotSubmitter, NotLister, ListStands, BadUpload,
    ListReadAlready, ListBadNode, ListOverBounty.
    """
    task = get_task(state, instruction.task)
    cursor = RoundCursor(state, instruction.task, instruction.round)
    check_may_hand_in(cursor, call.slot, instruction.node)
    check_turn(cursor, call.slot, instruction.node)
    keys = list_chunk_keys(instruction.account, len(cursor.submissions.rows))
    check_whole(cursor, keys)
    check_unread(cursor, instruction.account)
    state.lists_read.add(name_reading(cursor, instruction.account))  # also of a list that is refused below
    amounts = read_amounts(cursor, keys)
    check_deserved(cursor, amounts)
    check_rewards(task, amounts)

    for key in keys:
        state.remove(cursor.chunks, key)
    listed = DistributionList(instruction.node, call.slot, tuple(sorted(amounts.items())))
    state.put(cursor.lists, bytes([cursor.opened.attempt]), listed)


def check_may_hand_in(cursor: RoundCursor, slot: int, node: NodeKey) -> None:
    """A node may upload a list for a round now.

    Raises UnknownTask, WrongPhase, UnknownRound, NotSubmitter, NotLister, ListStands.
    """
    check_list_window(get_task(cursor.state, cursor.task_key), slot, cursor.round_number)
    record = get_attempt(cursor, slot)
    check_submitter(cursor, node)
    check_lister(cursor, node)
    check_no_list(cursor, record.attempt)


def list_chunk_keys(account: NodeKey, submissions: int) -> list[bytes]:
    """The keys of the chunks of a whole list."""
    return [account + chunk.to_bytes(2, "big") for chunk in range(-(-submissions // AMOUNTS))]


def read_amounts(cursor: RoundCursor, keys: list[bytes]) -> dict[NodeKey, int]:
    """The amounts of a whole list above 0, by submitter."""
    rows, nodes = cursor.chunks.rows, sorted(cursor.submissions.rows)
    text = b"".join([rows[key].data for key in keys])
    size = AMOUNT_BYTES * len(nodes)
    amounts = unpack(f"<{len(nodes)}Q", text[:size].ljust(size, b"\0"))
    return {node: amount for node, amount in zip(nodes, amounts, strict=True) if amount}


def is_lister(cursor: RoundCursor, node: NodeKey) -> bool:
    """Whether a submitter may list in the current attempt: not convicted, and no list of it failed."""
    return node not in list_failed(cursor) and not is_convicted(cursor, node)


def list_failed(cursor: RoundCursor) -> set[NodeKey]:
    """The nodes whose list failed in an earlier attempt."""
    attempt = cursor.opened.attempt
    return {row.submitter for key, row in cursor.lists.rows.items() if key[0] < attempt}


# Accusing and voting


def audit(state: State, call: Call, instruction: AuditDistribution) -> None:
    """Accuse a list with a bond in the first half of AUDIT, or vote on an accused one in the second.

    Raises UnknownTask, WrongPhase, UnknownRound, NotSubmitter, ListMissing, OwnSubmission, UnknownSubmission,
    NoAuditRaised, AlreadyAccused, InsufficientFunds, AlreadyAudited.
    """
    task = get_task(state, instruction.task)
    check_list_audit_window(task, call.slot, instruction.round)
    cursor = RoundCursor(state, instruction.task, instruction.round)
    attempt = get_attempt(cursor, call.slot).attempt
    check_submitter(cursor, instruction.node)
    listed = check_list_there(cursor, attempt)
    check_not_own_list(listed, instruction.node)
    check_list_candidate(listed, instruction.candidate)
    half = WINDOWS[task.rules][Activity.ACCUSE_LIST]
    if half.is_open(task.timetable, call.slot, instruction.round, attempt):
        accuse(cursor, call.slot, instruction, listed)
    else:
        vote(cursor, call.slot, instruction)


def accuse(cursor: RoundCursor, slot: int, instruction: AuditDistribution, listed: DistributionList) -> None:
    """Accuse a list. Raises NoAuditRaised, AlreadyAccused, InsufficientFunds."""
    key = bytes([cursor.opened.attempt])
    check_accuses(bool(instruction.is_valid))
    check_list_unaccused(cursor.list_audits.rows.get(key))
    bond = compute_list_bond(cursor.task)
    check_bond(cursor, instruction.node, bond)

    set_bond(cursor, key, instruction.node, bond)
    submissions, accuser = cursor.submissions.rows, instruction.node
    valid = submissions[listed.submitter].stake
    invalid = 0 if is_convicted(cursor, accuser) else submissions[accuser].stake
    cursor.state.put(cursor.list_audits, key, Audit(accuser, slot, valid, invalid))
    cursor.state.put(cursor.list_votes, key + accuser, Vote(False, slot, 0))


def vote(cursor: RoundCursor, slot: int, instruction: AuditDistribution) -> None:
    """Vote on an accused list. Raises NoAuditRaised, NotSubmitter, AlreadyAudited."""
    key, votes = bytes([cursor.opened.attempt]), cursor.list_votes
    raised = check_list_accused(cursor.list_audits.rows.get(key))
    check_voter(cursor, instruction.node)
    check_first_list_opinion(votes, key + instruction.node)

    is_valid, stake = bool(instruction.is_valid), cursor.submissions.rows[instruction.node].stake
    valid, invalid = raised.valid + stake * is_valid, raised.invalid + stake * (not is_valid)
    cursor.state.put(cursor.list_audits, key, Audit(raised.trigger_by, raised.slot, valid, invalid))
    cursor.state.put(votes, key + instruction.node, Vote(is_valid, slot, len(votes.rows)))


# Checks


@rule("19.1")
def check_lister(cursor: RoundCursor, node: NodeKey) -> None:
    """A node that hands in a list is not convicted, and none of its lists has failed in the round."""
    if not is_lister(cursor, node):
        raise NotLister(
            f"{base58_of(node)} is convicted in round {cursor.round_number}, or a list of it failed"
        )


@rule("19.2")
def check_turn(cursor: RoundCursor, slot: int, node: NodeKey) -> None:
    """A rank waits for the ranks before it, all other nodes for all ranks."""
    table, nodes = cursor.task.timetable, cursor.ranks.rows[bytes([cursor.opened.attempt])].nodes
    rank = nodes.index(node) if node in nodes else TURNS
    offset, least = table.compute_offset(slot), compute_turn(table, rank)
    if offset < least:
        raise NotLister(f"{base58_of(node)} hands in from offset {least} on; this is offset {offset}")


@rule("19.3")
def check_amounts_chunk(instruction: UploadDistributionList, submissions: int) -> None:
    """A chunk holds the amounts of 63 submitters, the last one of those that are left."""
    left = submissions - AMOUNTS * instruction.chunk
    size = AMOUNT_BYTES * min(max(left, 0), AMOUNTS)
    if not size or instruction.size != size:
        raise BadUpload(
            f"chunk {instruction.chunk} came with {instruction.size} bytes; "
            f"it has {size} for {submissions} submitters"
        )


@rule("19.4")
def check_whole(cursor: RoundCursor, keys: list[bytes]) -> None:
    """A list is handed in when all of its chunks are there."""
    rows = cursor.chunks.rows
    missing = [int.from_bytes(key[-2:], "big") for key in keys if key not in rows]
    if missing:
        raise BadUpload(f"chunk {missing[0]} of {len(keys)} was not uploaded")


@rule("19.5")
def check_deserved(cursor: RoundCursor, amounts: dict[NodeKey, int]) -> None:
    """A list pays only nodes with votes above zero."""
    undeserving = {node: row.votes for node, row in cursor.verdicts.rows.items() if row.votes <= 0}
    for node, amount in amounts.items():
        if (votes := undeserving.get(node)) is not None:
            raise ListBadNode(f"the list pays {amount} roe to {base58_of(node)}, whose votes are {votes}")


@rule("19.6")
def check_accuses(is_valid: bool) -> None:
    """In the first half of AUDIT a list is accused, not voted on."""
    if is_valid:
        raise NoAuditRaised("a list is voted on in the second half of AUDIT, if it is accused in the first")


@rule("19.7")
def check_list_unaccused(raised: Audit | None) -> None:
    """The first accusation of a list stands."""
    if raised is not None:
        raise AlreadyAccused(f"{base58_of(raised.trigger_by)} accused the list in slot {raised.slot}")


@rule("19.8")
def check_list_accused(raised: Audit | None) -> Audit:
    """Only an accused list is voted on."""
    if raised is None:
        raise NoAuditRaised("nobody accused the list in the first half of AUDIT")
    return raised


@rule("19.9")
def check_voter(cursor: RoundCursor, node: NodeKey) -> None:
    """A convicted node does not vote on a list."""
    if is_convicted(cursor, node):
        raise NotSubmitter(f"{base58_of(node)} is convicted in round {cursor.round_number}")


# What falls due


def begin_attempt(cursor: RoundCursor, attempt: int) -> None:
    """Draw the ranks of an attempt, and have its end fall due. There is a node that may hand in."""
    state, task, submissions = cursor.state, cursor.task, cursor.submissions.rows
    listers = list_listers(cursor)
    seed = compute_ranks_seed(cursor.opened.beacon, attempt)
    nodes = Ballot({node: submissions[node].stake for node in listers}).draw(seed, TURNS)
    convicted = list_convicted(cursor)
    electorate = sum(row.stake for node, row in submissions.items() if node not in convicted)
    state.put(cursor.ranks, bytes([attempt]), Ranks(tuple(nodes), electorate))
    end = WINDOWS[task.rules][Activity.AUDIT_LIST].compute_end(task.timetable, cursor.round_number, attempt)
    for kind in (StepKind.LIST_BONDS, StepKind.LIST_COSTS, StepKind.LIST_PAYS):
        cursor.schedule(end, kind)


def list_listers(cursor: RoundCursor) -> list[NodeKey]:
    """The nodes that may hand in a list of the current attempt."""
    barred = list_failed(cursor) | list_convicted(cursor)
    return [node for node in sorted(cursor.submissions.rows) if node not in barred]


def compute_ranks_seed(beacon: bytes, attempt: int) -> bytes:
    """The seed by which the ranks of an attempt are drawn."""
    return blake3(b"roundwork/ranks/1" + beacon + bytes([attempt])).digest()


def does_stand(cursor: RoundCursor) -> bool:
    """Whether the list of the current attempt stands now that AUDIT has ended."""
    key = bytes([cursor.opened.attempt])
    if key not in cursor.lists.rows:
        return False
    raised = cursor.list_audits.rows.get(key)
    return raised is None or 2 * raised.valid > cursor.ranks.rows[key].electorate


def end_list_bond(cursor: RoundCursor) -> None:
    """When AUDIT of an attempt ends: if the list stands, its accuser loses the bond."""
    key = bytes([cursor.opened.attempt])
    if key not in cursor.list_audits.rows:
        return
    if does_stand(cursor):
        add_bounty(cursor, take_bond(cursor, key))
    else:
        return_bond(cursor, key)


def apply_list_costs(cursor: RoundCursor, events: list[Event]) -> None:
    """When AUDIT of an attempt ends: slash the node whose list most of the stake rejects."""
    key = bytes([cursor.opened.attempt])
    raised = cursor.list_audits.rows.get(key)
    if raised is not None and 2 * raised.invalid > cursor.ranks.rows[key].electorate:
        lister = cursor.lists.rows[key].submitter
        stake = cursor.submissions.rows[lister].stake
        taken = slash(cursor, lister, compute_slash(cursor.task, stake), events)
        left = share(cursor, {raised.trigger_by: 1}, taken // 4, events)
        add_bounty(cursor, left + taken - taken // 4)


def end_attempt(cursor: RoundCursor, slot: int, events: list[Event]) -> None:
    """When AUDIT of an attempt ends, after all costs: pay its list, try again, or split by the ledger."""
    attempt = cursor.opened.attempt
    if does_stand(cursor):
        queue_payout(cursor)
        cursor.move(RoundEvent.LIST_STOOD)
        return
    events.append(AttemptFailed(cursor.task_key, cursor.round_number, attempt))
    others = [node for node in list_listers(cursor) if node != get_lister(cursor, attempt)]
    if attempt < cursor.task.allowed_failed_distributions and others:
        cursor.move(RoundEvent.LIST_FAILED, attempt=attempt + 1)
        begin_attempt(cursor, attempt + 1)
        return
    split = DistributionList(NodeKey(cursor.task_key), slot, compute_split(cursor))
    cursor.state.put(cursor.lists, SPLIT, split)
    queue_payout(cursor)
    cursor.move(RoundEvent.LEDGER_SPLIT)


def get_lister(cursor: RoundCursor, attempt: int) -> NodeKey | None:
    """The node that handed in the list of an attempt; None if there is no list."""
    listed = cursor.lists.rows.get(bytes([attempt]))
    return listed.submitter if listed is not None else None


def compute_split(cursor: RoundCursor) -> tuple[tuple[NodeKey, int], ...]:
    """The ledger's own list: the bounty in equal parts or by stake, for nodes with votes above 0."""
    task, stakes = cursor.task, {node: each.stake for node, each in sorted(cursor.submissions.rows.items())}
    parts = divide_bounty(task.bounty_per_round, stakes, compute_terms(task.locals).is_split_by_stake)
    return tuple([(node, part) for node, part in parts.items() if part and get_verdict(cursor, node)[1] > 0])


def divide_bounty(bounty: int, stakes: Mapping[Node, int], is_by_stake: bool) -> dict[Node, int]:
    """The part of each submitter, equal ones or by stake. What does not divide stays in the bounty."""
    total = sum(stakes.values()) if is_by_stake else len(stakes)
    return {node: bounty * (stake if is_by_stake else 1) // total for node, stake in stakes.items()}
