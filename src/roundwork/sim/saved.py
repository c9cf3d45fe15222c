"""`ctx.state` and `ctx.store` in memory: what is saved is JSON, as in the file of a real node."""

import json
from collections.abc import Iterator, MutableMapping
from typing import Any

ACROSS_ROUNDS = -1
"""The round that `ctx.store` is kept under."""


class SavedInMemory:
    """The values of one node."""

    def __init__(self) -> None:
        self._rounds: dict[int, dict[str, str]] = {}

    def of_round(self, round: int) -> "ValuesInMemory":
        """`ctx.state` of a round."""
        return ValuesInMemory(self._rounds, round)

    def across_rounds(self) -> "ValuesInMemory":
        """`ctx.store`."""
        return ValuesInMemory(self._rounds, ACROSS_ROUNDS)

    def forget(self, before_round: int) -> None:
        """Drop the values of every round below `before_round`."""
        for round_number in [each for each in self._rounds if 0 <= each < before_round]:
            del self._rounds[round_number]


class ValuesInMemory(MutableMapping[str, Any]):
    """The values of a round. A value changed in place is not saved until it is assigned again."""

    def __init__(self, rounds: dict[int, dict[str, str]], round_number: int) -> None:
        self._rounds = rounds
        self._round = round_number

    def __getitem__(self, key: str) -> Any:
        return json.loads(self._texts[key])

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"{key!r} cannot be a key here: keys are text")
        self._rounds.setdefault(self._round, {})[key] = json.dumps(value)

    def __delitem__(self, key: str) -> None:
        del self._texts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._texts))

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def _texts(self) -> dict[str, str]:
        return self._rounds.get(self._round, {})
