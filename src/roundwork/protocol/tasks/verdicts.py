"""What became of each submission of a round under roundwork-1."""

from ..params import NodeKey
from ..records import Verdict
from .cursor import RoundCursor
from .leaves import Outcome as Outcome


def get_verdict(cursor: RoundCursor, node: NodeKey) -> tuple[Outcome, int]:
    """The verdict on a submission so far, and its votes: what the distribution function reads."""
    verdict = cursor.verdicts.rows.get(node)
    return (Outcome.UNTRIED, 1) if verdict is None else (Outcome(verdict.verdict), verdict.votes)


def set_verdict(cursor: RoundCursor, node: NodeKey, outcome: Outcome, votes: int) -> None:
    """Keep the verdict on a submission."""
    cursor.state.put(cursor.verdicts, node, Verdict(outcome, votes))


def is_missing(cursor: RoundCursor, node: NodeKey) -> bool:
    """Whether a submission is missing: its proof was challenged and was not posted."""
    return get_verdict(cursor, node)[0] is Outcome.MISSING


def list_missing(cursor: RoundCursor) -> set[NodeKey]:
    """The submissions that are missing."""
    return {node for node, row in cursor.verdicts.rows.items() if row.verdict == Outcome.MISSING}


def list_convicted(cursor: RoundCursor) -> set[NodeKey]:
    """The submissions that are convicted."""
    return {node for node, row in cursor.verdicts.rows.items() if row.verdict == Outcome.CONVICTED}


def is_convicted(cursor: RoundCursor, node: NodeKey) -> bool:
    """Whether a submission is convicted."""
    return get_verdict(cursor, node)[0] is Outcome.CONVICTED
