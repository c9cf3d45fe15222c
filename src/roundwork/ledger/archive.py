"""Rounds that the state has let go of, read back from the journal for readers."""

import msgspec

from ..protocol.params import Key
from ..protocol.state import RECORDS, State, TableChange, u64
from .chain import Chain

HISTORY_SECONDS = 2.0
"""How long a read of a pruned round waits for the history to catch up."""


def get_state_of(chain: Chain, task: Key, number: int) -> State:
    """A state that holds a round: the present one, or one of just the task and the round if it is pruned."""
    state = chain.state
    record = state.tasks.rows.get(task)
    if record is None or u64(number) in state.get_rounds(task).rows:
        return state
    pruned_round = number + 3 + record.allowed_failed_distributions + 1
    if record.timetable.compute_round(state.head.slot) < pruned_round:
        return state
    chain.history.wait_for(state.head.height, HISTORY_SECONDS)
    height = chain.history.find_pruned(task, number)
    return state if height is None else _recall(chain, height, task, number)


def _recall(chain: Chain, height: int, task: Key, number: int) -> State:
    entry = chain.journal.read(height)
    assert entry is not None, "the history holds nothing that the journal does not"
    [event] = [one for one in entry.events if (one.kind, one.task, one.round) == ("pruned", task, number)]
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
