"""The decisions of a node in a task. Each is on disk before the node acts on it."""

from collections.abc import Mapping
from typing import TypeVar, assert_never

import msgspec

T = TypeVar("T")


class Worked(msgspec.Struct, frozen=True, tag=True):
    """The work of a round has ended."""

    round: int


class ValueDecided(msgspec.Struct, frozen=True, tag=True):
    """The task named the value to submit for a round; None: it submits nothing."""

    round: int
    value: str | None


class OpinionDecided(msgspec.Struct, frozen=True, tag=True):
    """The task judged the submission of a node."""

    round: int
    node: str
    opinion: str
    """ "valid" or "invalid"; anything else is not sent."""


class ListDecided(msgspec.Struct, frozen=True, tag=True):
    """The task computed a round's distribution list: roe by node, negative for a slash."""

    round: int
    amounts: dict[str, int]


class Sealed(msgspec.Struct, frozen=True, tag=True):
    """The node wrote down what it commits to in a round of roundwork-1."""

    round: int
    kind: int
    """0 a submission, 1 a receipt, 2 votes."""
    payload: bytes
    """What the commitment is revealed with."""


Decision = Worked | ValueDecided | OpinionDecided | ListDecided | Sealed


class Memory(msgspec.Struct, frozen=True):
    """The decisions of a node, by round.

    `worked`: rounds whose work has ended · `values`: what to submit, None for nothing · `opinions`:
    "valid" or "invalid" by candidate · `lists`: amounts by submitter · `sealed`: what was
    written down for each kind of commitment · `forgotten`: rounds below it are closed and gone.
    """

    worked: frozenset[int] = frozenset()
    values: dict[int, str | None] = {}
    opinions: dict[int, dict[str, str]] = {}
    lists: dict[int, dict[str, int]] = {}
    sealed: dict[int, dict[int, bytes]] = {}
    forgotten: int = 0


def learn(memory: Memory, decision: Decision) -> Memory:
    """The memory with a further decision."""
    replace, round_number = msgspec.structs.replace, decision.round
    match decision:
        case Worked():
            return replace(memory, worked=memory.worked | {round_number})
        case ValueDecided():
            return replace(memory, values={**memory.values, round_number: decision.value})
        case OpinionDecided():
            return learn_opinions(memory, round_number, {decision.node: decision.opinion})
        case ListDecided():
            return replace(memory, lists={**memory.lists, round_number: decision.amounts})
        case Sealed():
            sealed = {**memory.sealed.get(round_number, {}), decision.kind: decision.payload}
            return replace(memory, sealed={**memory.sealed, round_number: sealed})
        case _:
            assert_never(decision)


def learn_opinions(memory: Memory, round_number: int, opinions: Mapping[str, str]) -> Memory:
    """The memory with further opinions of a round, by candidate."""
    known = {**memory.opinions.get(round_number, {}), **opinions}
    return msgspec.structs.replace(memory, opinions={**memory.opinions, round_number: known})


def forget_rounds(memory: Memory, before_round: int) -> Memory:
    """The memory without the rounds below `before_round`."""
    return Memory(
        frozenset([round_number for round_number in memory.worked if round_number >= before_round]),
        _keep(memory.values, before_round),
        _keep(memory.opinions, before_round),
        _keep(memory.lists, before_round),
        _keep(memory.sealed, before_round),
        before_round,
    )


def _keep(decided: dict[int, T], first_round: int) -> dict[int, T]:
    if not decided or min(decided) >= first_round:
        return decided  # nobody changes it
    return {round_number: each for round_number, each in decided.items() if round_number >= first_round}
