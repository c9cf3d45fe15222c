"""The memo programs: a text, and the accounts that sign it."""

from ...errors import BadMemo, MissingSigner
from ..layout import Call
from ..rules import rule
from ..state import State


def note(state: State, call: Call, text: bytes) -> None:
    """A memo of version 1, which does not look at signers. It changes nothing. Raises BadMemo."""
    check_text(text)


def note_signed(state: State, call: Call, text: bytes) -> None:
    """A memo of a later version. It changes nothing. Raises BadMemo, MissingSigner."""
    check_text(text)
    check_signed_by_all(call)


@rule("12.24")
def check_text(text: bytes) -> None:
    """A memo is UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise BadMemo(f"the memo is not UTF-8: {error.reason} at byte {error.start}") from None


@rule("12.25")
def check_signed_by_all(call: Call) -> None:
    """Every account that a memo names signs."""
    if len(call.list_signers()) < len(call.keys):
        raise MissingSigner("every account that a memo names signs it")
