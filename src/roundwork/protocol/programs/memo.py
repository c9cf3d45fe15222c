"""The memo programs: a text, and the accounts that sign it."""

from ...errors import BadMemo, MissingSigner
from ..rules import rule
from .system import Call


def run(call: Call, is_signed: bool) -> None:
    """A memo changes nothing. Version 1 does not look at signers. Raises BadMemo, MissingSigner."""
    check_text(call)
    if is_signed:
        check_signed_by_all(call)


@rule("12.24")
def check_text(call: Call) -> None:
    """A memo is UTF-8."""
    try:
        call.data.decode()
    except UnicodeDecodeError as error:
        raise BadMemo(f"the memo is not UTF-8: {error.reason} at byte {error.start}") from None


@rule("12.25")
def check_signed_by_all(call: Call) -> None:
    """Every account that a memo names signs."""
    if not all(call.signed):
        raise MissingSigner("every account that a memo names signs it")
