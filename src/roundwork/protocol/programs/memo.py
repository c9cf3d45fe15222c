"""The memo program: a text that its signers stand for, and nothing else."""

from ...errors import BadMemo, MissingSigner
from ..rules import rule
from .system import Call


def run(call: Call) -> None:
    """A memo changes nothing. Raises BadMemo, MissingSigner."""
    check_memo(call)


@rule("12.23")
def check_memo(call: Call) -> None:
    """A memo is UTF-8, and every account that it names signs."""
    try:
        call.data.decode()
    except UnicodeDecodeError as error:
        raise BadMemo(f"the memo is not UTF-8: {error.reason} at byte {error.start}") from None
    if not all(call.signed):
        raise MissingSigner("every account that a memo names signs it")
