"""Rounds that the state has pruned, read back from the journal."""

import msgspec

from ...protocol.params import TaskKey
from ...protocol.state import RECORDS, State, TableChange
from ...protocol.tasks.cursor import RoundCursor
from ...protocol.tasks.events import Pruned
from ...protocol.tasks.round import compute_pruning_slot
from ..chain import Chain


def may_be_pruned(state: State, task: TaskKey, round_number: int) -> bool:
    """Whether a round is old enough to be pruned, so that only the journal may have it."""
    record = state.tasks.rows.get(task)
    if record is None or RoundCursor(state, task, round_number).record is not None:
        return False
    pruned = compute_pruning_slot(record.timetable, round_number, record.allowed_failed_distributions)
    return state.head.slot >= pruned


def recall(chain: Chain, task: TaskKey, round_number: int) -> State | None:
    """A state that holds a pruned round and nothing else; None if the round is not pruned."""
    for place in chain.history.find_pruned(task, round_number):
        entry = chain.journal.read(place.height)
        assert entry is not None, "the history holds nothing that the journal does not"
        event = entry.events[place.position]
        if isinstance(event, Pruned) and (event.task, event.round) == (task, round_number):
            return _restore(chain, event)
    return None


def _restore(chain: Chain, event: Pruned) -> State:
    task = event.task
    live = chain.state
    recalled = State(live.genesis, live.genesis_hash, live.head)
    tables = [TableChange(b"T", False, [(task, live.tasks.rows[task])])]
    for name, rows in event.records.items():
        kind = RECORDS[name[:1]]
        tables.append(
            TableChange(name, False, [(at, msgspec.convert(row, kind)) for at, row in rows.items()])
        )
    recalled.load(tables)
    return recalled
