"""The bytes of a task's account as clients read them: JSON of a native task, Borsh of a token task.

Source: docs/RPC.md, the bytes of a token task.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from solders.pubkey import Pubkey

from ...protocol.addresses import compute_pot_seed
from ...protocol.params import KPL_PROGRAM, TaskKey, key_of
from ...protocol.state import State
from ...protocol.tasks.life import get_task
from .task_forms import FAILED, PAID, UNDECIDED, describe_task, encode_task

Encode = Callable[[Any], bytes]
"""The Borsh of one value."""


def encode_task_account(state: State, key: TaskKey) -> bytes:
    """The bytes of a task's account. Raises UnknownTask."""
    return encode_token_task(state, key) if get_task(state, key).mint else encode_task(state, key)


def encode_token_task(state: State, key: TaskKey) -> bytes:
    """A token task as the published token program stores it. Raises UnknownTask."""
    pot = get_task(state, key).pot
    seed = compute_pot_seed(pot)
    _, bump = Pubkey.find_program_address([seed], Pubkey(KPL_PROGRAM))
    shown = {**describe_task(state, key), "stake_pot_seed": seed, "stake_pot_bump": bump}
    return _TASK(shown)


# Borsh: little endian; texts, lists and maps begin with their length as a u32


def _encode_text(value: str) -> bytes:
    raw = value.encode()
    return _encode_length(raw) + raw


def _encode_length(value: Any) -> bytes:
    return struct.pack("<I", len(value))


def _list_of(encode: Encode) -> Encode:
    return lambda values: _encode_length(values) + b"".join(map(encode, values))


def _map_of(encode: Encode) -> Encode:
    """A map with text keys, in the order of their bytes, as Borsh sorts maps."""
    return lambda rows: (
        _encode_length(rows) + b"".join(_encode_text(key) + encode(rows[key]) for key in sorted(rows))
    )


def _struct_of(fields: dict[str, Encode]) -> Encode:
    return lambda shown: b"".join(encode(shown[name]) for name, encode in fields.items())


_U64: Encode = struct.Struct("<Q").pack
_BOOL: Encode = struct.Struct("<?").pack

_SUBMISSION = _struct_of({"submission_value": _encode_text, "slot": _U64, "round": _U64})
_LIST = _struct_of({"submission_value": key_of, "slot": _U64, "round": _U64})
_VOTE = _struct_of({"is_valid": _BOOL, "voter": key_of, "slot": _U64})
_TRIGGER = _struct_of({"trigger_by": key_of, "slot": _U64, "votes": _list_of(_VOTE)})
_RESULTS = (UNDECIDED, PAID, FAILED)

_TASK = _struct_of(
    {
        "is_allowlisted": _BOOL,
        "is_active": _BOOL,
        "task_name": _encode_text,
        "task_description": _encode_text,
        "task_manager": bytes,
        "task_audit_program": _encode_text,
        "stake_pot_account": key_of,
        "stake_pot_seed": bytes,
        "stake_pot_bump": struct.Struct("<B").pack,
        "submissions": _map_of(_map_of(_SUBMISSION)),
        "submissions_audit_trigger": _map_of(_map_of(_TRIGGER)),
        "total_bounty_amount": _U64,
        "bounty_amount_per_round": _U64,
        "token_type": key_of,
        "total_stake_amount": _U64,
        "minimum_stake_amount": _U64,
        "available_balances": _map_of(_U64),
        "stake_list": _map_of(_U64),
        "ip_address_list": _map_of(_encode_text),
        "round_time": _U64,
        "starting_slot": _U64,
        "audit_window": _U64,
        "submission_window": _U64,
        "task_executable_network": _encode_text,
        "distribution_rewards_submission": _map_of(_map_of(_LIST)),
        "distributions_audit_trigger": _map_of(_map_of(_TRIGGER)),
        "distributions_audit_record": _map_of(lambda result: bytes([_RESULTS.index(result)])),
        "task_metadata": _encode_text,
        "task_vars": _encode_text,
        "is_migrated": _BOOL,
        "migrated_to": _encode_text,
        "allowed_failed_distributions": _U64,
    }
)
"""The fields of the published account, in their order; names as in the JSON of a native task."""
