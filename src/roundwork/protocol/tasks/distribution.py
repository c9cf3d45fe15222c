"""The distribution list of a round: who may hand it in, what it may say, and its audit."""

import json
import re
from typing import NamedTuple

from ...errors import (
    AlreadyAudited,
    BadUpload,
    ListBadNode,
    ListBadSlash,
    ListMalformed,
    ListMissing,
    ListOverBounty,
    ListReadAlready,
    ListStands,
    ListTooLong,
    NoAuditRaised,
    NotStaked,
    OwnSubmission,
    UnknownRound,
    UnknownSubmission,
    WrongPhase,
)  # fmt: skip
from ..layout import Call
from ..params import Key, NodeKey, base58_of, key_of
from ..records import Audit, Chunk, DistributionList, Mark, Round, Stake, Task, Vote
from ..rules import rule
from ..state import State, Table, u64
from .cursor import RoundCursor
from .instructions import (
    CHUNK_BYTES,
    NO_ROUND,
    AuditDistribution,
    SubmitDistributionList,
    UploadDistributionList,
)
from .life import get_task
from .review import add_opinion, compute_votes
from .round import WINDOWS, Activity
from .stakes import get_stake

I64 = 2**63

LIST_BYTES = 2048
ENTRY_BYTES = 128
"""A list may have LIST_BYTES, and ENTRY_BYTES more for each submission of its round."""


def upload(state: State, call: Call, instruction: UploadDistributionList) -> None:
    """Keep one chunk of a list until the list is submitted.

    Raises UnknownTask, WrongPhase, NotStaked, BadUpload, ListStands.
    """
    task = get_task(state, instruction.task)
    check_upload_phase(task, call.slot)
    check_chunk(state, instruction)
    cursor = RoundCursor(state, instruction.task, instruction.round)
    if instruction.round == NO_ROUND:
        check_lister(task, get_stake(state, instruction.task, instruction.node), instruction.node)
    else:
        check_may_list(cursor, call.slot, instruction.node)

    key = instruction.node + instruction.chunk.to_bytes(2, "big")
    state.put(cursor.chunks, key, Chunk(instruction.data[: instruction.size]))


def submit_list(state: State, call: Call, instruction: SubmitDistributionList) -> None:
    """Put the uploaded list into the round's record; the first accepted list of an attempt stands.

    Raises UnknownTask, WrongPhase, UnknownRound, NotStaked, ListStands, BadUpload, ListTooLong,
    ListReadAlready, ListMalformed, ListBadNode, ListBadSlash, ListOverBounty. Source: docs/PROTOCOL.md 8.
    """
    task = get_task(state, instruction.task)
    cursor = RoundCursor(state, instruction.task, instruction.round)
    check_may_list(cursor, call.slot, instruction.node)
    most = compute_bytes_max(len(cursor.submissions.rows))
    upload = get_upload(cursor, instruction.account, most)
    check_uploaded(upload, instruction.account)
    check_size(upload, most)
    check_unread(cursor, instruction.account)
    state.lists_read.add(name_reading(cursor, instruction.account))  # also of a list that is refused below
    amounts = check_listed(cursor, check_json(upload.text))
    check_slashes(cursor, amounts)
    check_rewards(task, amounts)

    for key in upload.keys:
        state.remove(upload.chunks, key)
    entries = tuple(sorted(amounts.items()))
    state.put(
        cursor.lists, bytes([cursor.opened.attempt]), DistributionList(instruction.node, call.slot, entries)
    )


def audit_list(state: State, call: Call, instruction: AuditDistribution) -> None:
    """Take a node's opinion of the list that stands; the first `false` raises the audit.

    Raises UnknownTask, WrongPhase, UnknownRound, ListMissing, NotStaked, OwnSubmission,
    UnknownSubmission, AlreadyAudited, NoAuditRaised. Source: docs/PROTOCOL.md 9.
    """
    task = get_task(state, instruction.task)
    check_list_audit_window(task, call.slot, instruction.round)
    cursor = RoundCursor(state, instruction.task, instruction.round)
    record = get_attempt(cursor, call.slot)
    attempt = bytes([record.attempt])
    listed = check_list_there(cursor, record.attempt)
    check_list_auditor(task, get_stake(state, instruction.task, instruction.node), instruction.node)
    check_not_own_list(listed, instruction.node)
    check_list_candidate(listed, instruction.candidate)
    audits, votes = cursor.list_audits, cursor.list_votes
    check_first_list_opinion(votes, attempt + instruction.node)
    check_list_raised(audits.rows.get(attempt), bool(instruction.is_valid))

    add_opinion(state, call.slot, audits, votes, attempt, instruction.node, bool(instruction.is_valid))
    state.put(cursor.voices, instruction.node, Mark(call.slot))


def get_attempt(cursor: RoundCursor, slot: int) -> Round:
    """The round, if its current attempt is the one of this ledger round.

    Raises UnknownRound, WrongPhase.
    """
    record = check_list_round(cursor)
    check_attempt(cursor.task, slot, cursor.round_number, record)
    return record


def check_may_list(cursor: RoundCursor, slot: int, node: NodeKey) -> None:
    """A node may hand in a list for a round now.

    Raises WrongPhase, UnknownRound, NotStaked, ListStands.
    """
    task = cursor.task
    check_list_window(task, slot, cursor.round_number)
    record = get_attempt(cursor, slot)
    check_lister(task, get_stake(cursor.state, cursor.task_key, node), node)
    check_no_list(cursor, record.attempt)


class Upload(NamedTuple):
    """The chunks of a list from number 0 to the first short or missing one, and their table."""

    chunks: Table[bytes, Chunk]
    keys: list[bytes]
    size: int

    @property
    def text(self) -> bytes:
        """The list."""
        return b"".join([self.chunks.rows[key].data for key in self.keys])


def get_upload(cursor: RoundCursor, account: NodeKey, most: int) -> Upload:
    """An account's upload for the round; if it has none, its upload that names no round.

    Counting ends behind `most` bytes, so that a longer list costs no more.
    """
    upload = _find_upload(cursor.chunks, account, most)
    return upload if upload.keys else _find_upload(cursor.chunks_of_no_round, account, most)


def _find_upload(chunks: Table[bytes, Chunk], account: NodeKey, most: int) -> Upload:
    keys: list[bytes] = []
    size = 0
    while (
        size <= most and (chunk := chunks.rows.get(key := account + len(keys).to_bytes(2, "big"))) is not None
    ):
        keys.append(key)
        size += len(chunk.data)
        if len(chunk.data) < CHUNK_BYTES:
            break
    return Upload(chunks, keys, size)


def name_reading(cursor: RoundCursor, account: NodeKey) -> bytes:
    """What `State.lists_read` knows the reading of an account's list for a round by."""
    return cursor.task_key + u64(cursor.round_number) + account


def compute_bytes_max(submissions: int) -> int:
    """The most bytes of a list in a round with so many submissions."""
    return LIST_BYTES + ENTRY_BYTES * submissions


def decode_list(text: bytes) -> dict[str, int]:
    """A list's amounts by base58 address. Raises ValueError if it is anything but integers by name.

    The error of a bad list is the same under every version of Python, because receipts must be equal.
    """
    bare = _STRINGS.sub(b"", text)
    if bare.count(b"{") + bare.count(b"[") != 1:  # found here, so that no depth of the stack decides
        raise ValueError("it is not a single object without objects in it")
    try:
        amounts = json.loads(
            text.decode(), object_pairs_hook=_read_pairs, parse_float=str, parse_int=_read_int
        )
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError("it is not JSON in UTF-8") from None
    if not isinstance(amounts, dict):
        raise ValueError("it is not an object")
    return amounts


def does_stand(cursor: RoundCursor, attempt: int) -> bool:
    """Whether the list of an attempt, now that AUDIT has ended, stands."""
    if bytes([attempt]) not in cursor.lists.rows:
        return False
    return compute_votes(cursor.list_audits.rows.get(bytes([attempt]))) > 0


# Checks


@rule("8.1")
def check_upload_phase(task: Task, slot: int) -> None:
    """Lists are uploaded in SUBMIT."""
    window = WINDOWS[task.rules][Activity.LIST]
    first, last = window.compute_slots_in(task.timetable, task.timetable.compute_round(slot))
    if not first <= slot <= last:
        raise WrongPhase(
            f"lists are uploaded in slots {first} to {last} of this ledger round; this is slot {slot}"
        )


@rule("8.2")
def check_list_window(task: Task, slot: int, round_number: int) -> None:
    """A list is handed in while SUBMIT lasts in a ledger round that an attempt of the round can have."""
    _check_attempt_window(task, slot, round_number, Activity.LIST)


@rule("8.3")
def check_list_round(cursor: RoundCursor) -> Round:
    """The round was opened by a submission, and is not pruned."""
    if (record := cursor.record) is None:
        raise UnknownRound(f"round {cursor.round_number} was never opened, or its records are pruned")
    return record


@rule("8.4")
def check_attempt(task: Task, slot: int, round_number: int, record: Round) -> None:
    """The round is open, and its current attempt is that of this ledger round."""
    ledger_round = task.timetable.compute_round(slot)
    due = WINDOWS[task.rules][Activity.LIST].compute_ledger_round(round_number, record.attempt)
    if not record.state.is_open:
        raise WrongPhase(f"round {round_number} is closed since ledger round {due}")
    if due != ledger_round:
        raise WrongPhase(
            f"attempt {record.attempt} of round {round_number} belongs to ledger round {due}; "
            f"this is {ledger_round}"
        )


@rule("8.5")
def check_lister(task: Task, stake: Stake, node: NodeKey) -> None:
    """A node that uploads or hands in a list has at least the minimum stake."""
    _check_minimum(task, stake, node)


@rule("8.6")
def check_chunk(state: State, instruction: UploadDistributionList) -> None:
    """A chunk's number and size are in bounds."""
    most = state.genesis.list_chunks_max
    if instruction.chunk >= most or instruction.size > CHUNK_BYTES:
        raise BadUpload(
            f"chunk {instruction.chunk} of {instruction.size} bytes; "
            f"allowed are numbers below {most}, sizes to {CHUNK_BYTES}"
        )


@rule("8.7")
def check_no_list(cursor: RoundCursor, attempt: int) -> None:
    """The first accepted list of an attempt stands."""
    listed = cursor.lists.rows.get(bytes([attempt]))
    if listed is not None:
        raise ListStands(
            f"attempt {attempt} of round {cursor.round_number} has its list, "
            f"from {base58_of(listed.submitter)} in slot {listed.slot}"
        )


@rule("8.8")
def check_uploaded(upload: Upload, account: NodeKey) -> None:
    """A list is uploaded before it is handed in."""
    if not upload.keys:
        raise BadUpload(f"{base58_of(account)} has uploaded no list, or not its chunk 0")


@rule("8.9")
def check_size(upload: Upload, most: int) -> None:
    """The limit of a list's length grows with its round's submissions, whose fees pay for reading it."""
    if upload.size > most:
        raise ListTooLong(f"the list has more than {most} bytes, the most for the submissions of its round")


@rule("8.10")
def check_unread(cursor: RoundCursor, account: NodeKey) -> None:
    """An account's list is read once a block: a refused list costs its reading and pays only one fee."""
    if name_reading(cursor, account) in cursor.state.lists_read:
        raise ListReadAlready(f"the list of {base58_of(account)} was read in this block; try the next one")


@rule("8.11")
def check_json(text: bytes) -> dict[str, int]:
    """A list is a JSON object of integers by address, each address once."""
    try:
        return decode_list(text)
    except ValueError as error:
        raise ListMalformed(f"the list is not an object of integers by address: {error}") from None


@rule("8.12")
def check_listed(cursor: RoundCursor, amounts: dict[str, int]) -> dict[NodeKey, int]:
    """A list names submitters of the round only."""
    submissions = cursor.submissions.rows
    by_node = {NodeKey(decode_key(name)): amount for name, amount in amounts.items()}
    if not by_node.keys() <= submissions.keys():
        name = next(name for name in amounts if decode_key(name) not in submissions)
        raise ListBadNode(f"{name!a} submitted nothing in round {cursor.round_number}")
    return by_node


@rule("8.13")
def check_slashes(cursor: RoundCursor, amounts: dict[NodeKey, int]) -> None:
    """A list slashes only whose votes are not above zero."""
    audits = cursor.audits.rows
    for node, amount in amounts.items():
        if amount < 0 and (votes := compute_votes(audits.get(node))) > 0:
            raise ListBadSlash(f"the list takes {-amount} from {base58_of(node)}, whose votes are {votes}")


@rule("8.14")
def check_rewards(task: Task, amounts: dict[NodeKey, int]) -> None:
    """A list's rewards are at most the round's bounty."""
    total = sum(amount for amount in amounts.values() if amount > 0)
    if total > task.bounty_per_round:
        raise ListOverBounty(f"the list pays {total} roe; the round's bounty is {task.bounty_per_round}")


@rule("9.1")
def check_list_audit_window(task: Task, slot: int, round_number: int) -> None:
    """A list is audited while AUDIT lasts in a ledger round that an attempt of the round can have."""
    _check_attempt_window(task, slot, round_number, Activity.AUDIT_LIST)


@rule("9.2")
def check_list_there(cursor: RoundCursor, attempt: int) -> DistributionList:
    """There is a list to audit."""
    if (listed := cursor.lists.rows.get(bytes([attempt]))) is None:
        raise ListMissing(f"attempt {attempt} of round {cursor.round_number} has no list")
    return listed


@rule("9.3")
def check_list_auditor(task: Task, stake: Stake, node: NodeKey) -> None:
    """A node that audits a list has at least the minimum stake."""
    _check_minimum(task, stake, node)


@rule("9.4")
def check_not_own_list(listed: DistributionList, node: NodeKey) -> None:
    """A node does not audit its own list."""
    if node == listed.submitter:
        raise OwnSubmission(f"{base58_of(node)} cannot audit its own list")


@rule("9.5")
def check_list_candidate(listed: DistributionList, candidate: NodeKey) -> None:
    """The candidate that an audit names is the node that handed in the list."""
    if candidate != listed.submitter:
        raise UnknownSubmission(
            f"the list came from {base58_of(listed.submitter)}, not from {base58_of(candidate)}"
        )


@rule("9.6")
def check_first_list_opinion(votes: Table[bytes, Vote], key: bytes) -> None:
    """A node gives one opinion of a list; raising the audit counts."""
    if key in votes.rows:
        raise AlreadyAudited(f"{base58_of(key[1:])} gave its opinion in slot {votes.rows[key].slot} already")


@rule("9.7")
def check_list_raised(raised: Audit | None, is_valid: bool) -> None:
    """An opinion of `valid` needs an audit that was raised; silence is consent."""
    if is_valid and raised is None:
        raise NoAuditRaised("no audit of the list is raised yet; only an opinion of invalid raises an audit")


def decode_key(name: str) -> Key:
    """The address that a base58 text names; b"" if it names none."""
    try:
        return key_of(name)
    except ValueError:
        return b""


def _check_attempt_window(task: Task, slot: int, round_number: int, activity: Activity) -> None:
    window, table = WINDOWS[task.rules][activity], task.timetable
    retries = task.allowed_failed_distributions
    attempt = table.compute_round(slot) - window.compute_ledger_round(round_number)
    if not (0 <= attempt <= retries and window.is_open(table, slot, round_number, attempt)):
        first, last = window.compute_slots(table, round_number)
        also = f", for retries also in the {retries} ledger rounds after it" if retries else ""
        raise WrongPhase(
            f"{window.doing} for round {round_number} in slots {first} to {last}{also}; this is slot {slot}"
        )


def _check_minimum(task: Task, stake: Stake, node: NodeKey) -> None:
    if stake.amount < task.minimum_stake:
        raise NotStaked(
            f"{base58_of(node)} has a stake of {stake.amount} roe; {task.minimum_stake} are needed"
        )


_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _read_int(text: str) -> int | str:
    """The integer of a number in a list; longer texts than 64 bits ever need stay texts."""
    return int(text) if len(text) <= 20 else text


def _read_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    for name, amount in pairs:
        if type(amount) is not int or not -I64 <= amount < I64:
            raise ValueError(f"the amount of {name!a} is {amount!a}, not an integer of 64 bits")
    amounts = dict(pairs)
    if len(amounts) != len(pairs):
        raise ValueError("an address stands twice")
    return amounts
