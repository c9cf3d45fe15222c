"""The arguments that a main.js calls its node with, checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from ...protocol.tasks.instructions import CHUNK_BYTES
from .task_files import BadCall

WITH_OLDER_FORM = ("audit_submission", "audit_list")
"""Functions whose older form has four arguments, the third of them a key of the caller's."""


def choose_arguments(function: Callable[..., Any], arguments: list[Any]) -> list[Any]:
    """The arguments that a function has parameters for. Surplus arguments are dropped, as in JavaScript."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return arguments
    if function.__name__ in WITH_OLDER_FORM and len(arguments) > 3:
        arguments = [*arguments[:2], *arguments[3:]]
    return arguments[: len(parameters)]


def read_round(value: Any) -> int:
    """A round number. Raises BadCall."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise BadCall(f"a round is an integer of at least 0; this is {value!r:.80}")
    return value


def encode_list(amounts: Any) -> bytes:
    """A distribution list as it is uploaded. Raises BadCall for anything but integers by address.

    Nothing is rounded: peers compare what is on the ledger with `===`.
    """
    if not isinstance(amounts, dict):
        raise BadCall(f"a distribution list is an object of integers by address, not {amounts!r:.80}")
    for node, amount in amounts.items():
        if type(amount) is not int:
            raise BadCall(f"the amount of {node[:80]} is {amount!r:.80}; it must be an integer of roe")
    text = msgspec.json.encode(amounts)
    # After a full last chunk a reader would go on and read what an earlier upload has left.
    return text if len(text) % CHUNK_BYTES else text + b" "
