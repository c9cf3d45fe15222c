"""What holds after every block of a task under `roundwork-1`, read from records and results of messages.

The checks of the law are not used here. So a check that the law lost is noticed by what the law then let
through. Source: docs/PROTOCOL.md 15 to 19.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from ..protocol.execute import Outcome
from ..protocol.params import NodeKey, TaskKey
from ..protocol.records import Record, Seal, Stake, Trial
from ..protocol.state import State
from ..protocol.tasks.commitments import SealKind, compute_commitment, read_content_id
from ..protocol.tasks.cursor import RoundCursor
from ..protocol.tasks.events import ClosedUnpaid, Fined, Paid, Settled, Slashed
from ..protocol.tasks.instructions import AuditDistribution
from ..protocol.tasks.payout import SPLIT
from ..protocol.tasks.round import WINDOWS, Activity, compute_turn
from ..protocol.tasks.verdicts import Outcome as Verdict
from .laws import MONEY_MAX, VALUE_BYTES_MAX, Answer, Laws
from .sealed_evidence import find_evidence_faults

RULES = "roundwork-1"
CHECKERS = 3
SEATS = 51
BOND_LEAST, BOND_MOST = 10, 2
"""A bond is at least a tenth of the minimum stake, and at most a half."""

COMMITTED = {
    SealKind.SUBMISSION: Activity.COMMIT, SealKind.RECEIPT: Activity.CHECK, SealKind.VOTES: Activity.JUDGE
}  # fmt: skip


class SealedLaws(Laws):
    """The invariants of one task. Call `check` after each block."""

    def __init__(self, state: State, task: TaskKey) -> None:
        super().__init__(state, task)
        self._rewarded: set[tuple[int, bytes]] = set()
        self._ended: set[int] = set()

    def _find_faults(self, outcome: Outcome) -> Iterator[str]:
        yield from self._check_money()
        yield from self._check_task()
        yield from self._check_moves(outcome)
        yield from self._check_events(outcome)
        yield from self._check_pledges()
        for key in RoundCursor(self._state, self._task, 0).rounds.rows:
            cursor = RoundCursor(self._state, self._task, int.from_bytes(key, "big"))
            yield from self._check_course(cursor)
            yield from self._check_seals(cursor)
            yield from self._check_submissions(cursor)
            yield from find_evidence_faults(cursor)
            yield from self._check_draws(cursor)
            yield from self._check_trials(cursor)
            yield from self._check_ranked(cursor)
        yield from self._check_lasting(outcome)

    # Answers

    def _check_answers(self, answers: Sequence[Answer]) -> Iterator[str]:
        """As under `koii-1`; and what a node said of a list is what is recorded."""
        yield from super()._check_answers(answers)
        for instruction, receipt in answers:
            if receipt.kind == 0 and isinstance(instruction, AuditDistribution):
                cursor = RoundCursor(self._state, self._task, instruction.round)
                vote = cursor.list_votes.rows[bytes([cursor.opened.attempt]) + instruction.node]
                if vote.is_valid != bool(instruction.is_valid):
                    yield f"round {instruction.round}: an opinion of a list is recorded as its opposite"

    # Money

    def _check_moves(self, outcome: Outcome) -> Iterator[str]:
        """A stake shrinks by slashes, fines and bonds; by a withdrawal only if it is not at risk."""
        allowed: Counter[bytes] = Counter()
        for event in outcome.events:
            if isinstance(event, Slashed | Fined) and event.task == self._task:
                allowed[event.node] += event.amount
        for change in outcome.changes:
            if change.name[:33] == b"B" + self._task:
                for _, bond in change.rows:
                    if bond is not None:
                        allowed[getattr(bond, "node", b"")] += getattr(bond, "amount", 0)
        for node, stake in self._state.get_stakes(self._task).rows.items():
            if not (0 <= stake.amount < MONEY_MAX and 0 <= stake.available < MONEY_MAX):
                yield "a stake or an available balance is out of bounds"
            before = self._stakes.get(node, Stake())
            if before.amount - allowed[node] > stake.amount:
                for round_number in self._state.tasks.rows[self._task].open_rounds:
                    if b"\0" + node in RoundCursor(self._state, self._task, round_number).seals.rows:
                        yield f"a stake was withdrawn that is at risk in round {round_number}"

    def _check_events(self, outcome: Outcome) -> Iterator[str]:
        for event in outcome.events:
            if event.task != self._task:
                continue
            cursor = RoundCursor(self._state, self._task, event.round)
            if isinstance(event, Slashed):
                verdict = cursor.verdicts.rows.get(event.node)
                is_convicted = verdict is not None and verdict.verdict == Verdict.CONVICTED
                if not is_convicted and not _is_rejected(cursor, event.node):
                    yield f"round {event.round}: a slash of a node that was not convicted"
            elif isinstance(event, Paid):
                if (event.round, event.node) in self._rewarded:
                    yield f"round {event.round}: a node was rewarded twice"
                self._rewarded.add((event.round, event.node))
            elif isinstance(event, Settled | ClosedUnpaid):
                if event.round in self._ended:
                    yield f"round {event.round} has ended twice"
                self._ended.add(event.round)
                if isinstance(event, ClosedUnpaid) and len(cursor.submissions.rows) >= CHECKERS:
                    yield f"round {event.round} is unpaid with {len(cursor.submissions.rows)} submissions"

    def _check_pledges(self) -> Iterator[str]:
        """Bonds and the fees of challenges belong to open rounds."""
        open_rounds = self._state.tasks.rows[self._task].open_rounds
        for name, table in self._state.tables.items():
            round_number = int.from_bytes(name[33:41], "big")
            if name[1:33] != self._task or name[:1] not in b"BG" or round_number in open_rounds:
                continue
            if any(getattr(row, "amount", getattr(row, "held", 0)) for row in table.rows.values()):
                yield f"round {round_number} is over and money is still set aside for it"

    # Rounds

    def _check_course(self, cursor: RoundCursor) -> Iterator[str]:
        task, round_number = cursor.task, cursor.round_number
        if cursor.opened.state.is_open != (round_number in task.open_rounds):
            state = cursor.opened.state.name
            yield f"round {round_number} is {state}; the open rounds are {task.open_rounds}"
        ledger_round = task.timetable.compute_round(self._state.head.slot)
        late = round_number + 3 + task.allowed_failed_distributions
        if cursor.opened.state.is_open and ledger_round > late and not task.settling:
            yield f"round {round_number} is still open in ledger round {ledger_round}"

    def _is_in(self, cursor: RoundCursor, activity: Activity, slot: int) -> bool:
        window = WINDOWS[RULES][activity]
        return window.is_open(cursor.task.timetable, slot, cursor.round_number)

    def _check_seals(self, cursor: RoundCursor) -> Iterator[str]:
        round_number = cursor.round_number
        for key, seal in cursor.seals.rows.items():
            kind, node = SealKind(key[0]), NodeKey(key[1:])
            if not self._is_in(cursor, COMMITTED[kind], seal.slot):
                yield f"round {round_number}: a commitment of kind {kind} in slot {seal.slot}"
            if kind is not SealKind.SUBMISSION and node not in cursor.submissions.rows:
                yield f"round {round_number}: a commitment of kind {kind} of a node that did not submit"
            if seal.is_revealed and kind is not SealKind.SUBMISSION and not self._opens(cursor, key, seal):
                yield f"round {round_number}: a reveal that does not open its commitment"

    def _opens(self, cursor: RoundCursor, key: bytes, seal: Seal) -> bool:
        genesis, node = self._state.genesis_hash, NodeKey(key[1:])
        opened = compute_commitment(
            genesis, self._task, cursor.round_number, key[0], node, seal.salt, seal.payload
        )
        return opened == seal.commitment

    def _check_submissions(self, cursor: RoundCursor) -> Iterator[str]:
        round_number = cursor.round_number
        for node, submission in cursor.submissions.rows.items():
            seal = cursor.seals.rows.get(b"\0" + node)
            if seal is None or not seal.is_revealed:
                yield f"round {round_number}: a submission without a commitment that was opened"
            elif submission.stake != seal.stake or submission.stake <= 0:
                yield f"round {round_number}: a submission with {submission.stake} roe at risk"
            if not self._is_in(cursor, Activity.REVEAL, submission.slot):
                yield f"round {round_number}: a submission in slot {submission.slot}"
            value = submission.value
            if not 1 <= len(value) <= VALUE_BYTES_MAX or value != value.rstrip(b" "):
                yield f"round {round_number}: a value of {len(value)} bytes, or one that ends with a space"

    def _check_draws(self, cursor: RoundCursor) -> Iterator[str]:
        """Each submission has three checkers, or all others, and never its own node."""
        round_number, submitters = cursor.round_number, cursor.submissions.rows
        if not cursor.checks.rows:
            return
        checkers: Counter[NodeKey] = Counter()
        for checker, drawn in cursor.checks.rows.items():
            if checker in drawn.candidates or len(set(drawn.candidates)) != len(drawn.candidates):
                yield f"round {round_number}: a checker of its own submission, or twice of another"
            checkers.update(drawn.candidates)
        needed = min(CHECKERS, len(submitters) - 1)
        if any(checkers[node] != needed for node in submitters):
            yield f"round {round_number}: a submission that has not {needed} checkers"

    def _check_trials(self, cursor: RoundCursor) -> Iterator[str]:
        round_number, submissions, task = cursor.round_number, cursor.submissions.rows, cursor.task
        for candidate, trial in cursor.trials.rows.items():
            verdict = cursor.verdicts.rows.get(candidate)
            if candidate not in submissions or trial.accuser not in submissions:
                yield f"round {round_number}: a trial of a node, or by a node, that did not submit"
                continue
            if trial.accuser == candidate:
                yield f"round {round_number}: a node accused itself"
            if not self._is_in(cursor, Activity.ACCUSE, trial.slot):
                yield f"round {round_number}: an accusation in slot {trial.slot}"
            if read_content_id(submissions[candidate].value) and candidate not in cursor.proofs.rows:
                yield f"round {round_number}: a trial without the proof on the ledger"
            least, most = task.minimum_stake // BOND_LEAST, task.minimum_stake // BOND_MOST
            if trial.bond != min(max(submissions[candidate].stake // 10, least), most):
                yield f"round {round_number}: a bond of {trial.bond} roe"
            if verdict is not None and verdict.verdict == Verdict.MISSING:
                yield f"round {round_number}: a trial of a submission that is missing"
            if verdict is not None and verdict.verdict == Verdict.CONVICTED:
                yield from self._check_conviction(cursor, candidate, trial)
        for candidate, verdict in cursor.verdicts.rows.items():
            if verdict.verdict == Verdict.MISSING and candidate in cursor.proofs.rows:
                yield f"round {round_number}: a submission is missing whose proof lies on the ledger"
            if verdict.verdict != Verdict.MISSING and candidate not in cursor.trials.rows:
                yield f"round {round_number}: a verdict without a trial"

    def _check_conviction(self, cursor: RoundCursor, candidate: NodeKey, trial: Trial) -> Iterator[str]:
        """Two thirds of the seats that were cast, and more than half of all seats, found it invalid."""
        missing = {node for node, each in cursor.verdicts.rows.items() if each.verdict == Verdict.MISSING}
        valid = invalid = whole = 0
        for node, seats in trial.seats:
            whole += seats
            vote: bool | None = None
            if node in (candidate, trial.accuser):
                vote = node == candidate
            elif (seal := cursor.seals.rows.get(b"\2" + node)) is not None and seal.is_revealed:
                trials = [each for each in cursor.jurors.rows[node].candidates if each not in missing]
                at = trials.index(candidate)
                vote = bool(seal.payload[at // 8] >> at % 8 & 1)
            valid += seats if vote else 0
            invalid += seats if vote is False else 0
        if 3 * invalid < 2 * (valid + invalid) or 2 * invalid <= whole:
            yield f"round {cursor.round_number}: a conviction by {invalid} of {whole} seats, {valid} against"
        if len(cursor.submissions.rows) > SEATS and whole != SEATS:
            yield f"round {cursor.round_number}: a jury of {whole} seats"

    # Lists

    def _check_ranked(self, cursor: RoundCursor) -> Iterator[str]:
        task, round_number, verdicts = cursor.task, cursor.round_number, cursor.verdicts.rows
        for key, listed in cursor.lists.rows.items():
            if sum(amount for _, amount in listed.amounts) > task.bounty_per_round:
                yield f"round {round_number}: a list that pays more than the bounty"
            for node, amount in listed.amounts:
                votes = verdicts[node].votes if node in verdicts else 1
                if amount <= 0 or node not in cursor.submissions.rows or votes <= 0:
                    yield f"round {round_number}: a list that pays {amount} roe to a node with {votes} votes"
            if key == SPLIT:
                continue
            verdict = verdicts.get(listed.submitter)
            ranks = cursor.ranks.rows[key].nodes
            rank = ranks.index(listed.submitter) if listed.submitter in ranks else len(ranks)
            if verdict is not None and verdict.verdict == Verdict.CONVICTED:
                yield f"round {round_number}: a list of a convicted node"
            window = WINDOWS[RULES][Activity.LIST]
            if not window.is_open(task.timetable, listed.slot, round_number, key[0]):
                yield f"round {round_number}: a list in slot {listed.slot}"
            elif task.timetable.compute_offset(listed.slot) < compute_turn(task.timetable, min(rank, 3)):
                yield f"round {round_number}: a list of rank {rank} in slot {listed.slot}, before its turn"
        yield from self._check_rewards(cursor)

    def _check_rewards(self, cursor: RoundCursor) -> Iterator[str]:
        paid = {node: row.reward for node, row in cursor.payments.rows.items() if row.reward}
        if not paid:
            return
        key = SPLIT if SPLIT in cursor.lists.rows else bytes([cursor.opened.attempt])
        listed = cursor.lists.rows.get(key)
        raised = cursor.list_audits.rows.get(key)
        electorate = cursor.ranks.rows[key].electorate if key != SPLIT else 0
        if listed is None or (raised is not None and 2 * raised.valid <= electorate):
            yield f"round {cursor.round_number}: payments without a list that stands"
            return
        amounts = dict(listed.amounts)
        if any(amounts.get(node, 0) != reward for node, reward in paid.items()):
            yield f"round {cursor.round_number}: a reward that is not the one of the list"

    # Records

    def _check_lasting(self, outcome: Outcome) -> Iterator[str]:
        """Submissions, draws, proofs, lists and their votes do not change until their round is pruned."""
        for change in outcome.changes:
            if change.name[:1] not in b"SIYOLWEh" or change.name[1:33] != self._task:
                continue
            for key, record in change.rows:
                place, kept = (change.name, key), _fix(record)
                if record is None:
                    self._kept.pop(place, None)
                elif place in self._kept and _fix(self._kept[place]) != kept:
                    yield f"a record of table {chr(change.name[0])} was replaced by another one"
                else:
                    self._kept[place] = record


def _fix(record: Record | None) -> object:
    """What of a record never changes: of a commitment, its digest and its slot."""
    return (record.commitment, record.slot) if isinstance(record, Seal) else record


def _is_rejected(cursor: RoundCursor, node: bytes) -> bool:
    """Whether more than half of the stake that may vote rejected a list of a node."""
    return any(
        listed.submitter == node
        and (raised := cursor.list_audits.rows.get(key)) is not None
        and 2 * raised.invalid > cursor.ranks.rows[key].electorate
        for key, listed in cursor.lists.rows.items()
    )
