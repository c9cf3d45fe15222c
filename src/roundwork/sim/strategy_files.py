"""Loads strategies from an author's file, and names the author's line where one of them fails.

Only for the author's own code: it runs with the author's rights.
"""

import re
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from itertools import count
from pathlib import Path
from traceback import extract_tb
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import msgspec

from ..errors import BadTaskFile, RoundworkError, StrategyFailed
from ..sdk.task import VALUE_BYTES_MAX
from ..views import PartKey
from .failures import describe_failure


class Named(Protocol):
    """What every strategy has."""

    name: ClassVar[str]


S = TypeVar("S", bound=Named)


class Answer(NamedTuple):
    """What a method of a strategy may return."""

    allowed: str
    is_allowed: Callable[[Any], bool]


TRUTH = Answer("True or False", lambda value: isinstance(value, bool))
DUTIES = Answer("a list of duties", lambda value: _is_list_of(value, msgspec.Struct))
PARTS = Answer("a list of PartKey", lambda value: _is_list_of(value, PartKey))

ANSWERS = {
    "is_working": TRUTH,
    "is_serving": TRUTH,
    "choose_value": Answer(
        "text of 1 to 512 bytes, or None",
        lambda value: value is None or _is_value(value),
    ),
    "choose_opinion": Answer(
        "'valid', 'invalid' or 'none'", lambda value: value in ("valid", "invalid", "none")
    ),
    "choose_finding": Answer("True, False or None", lambda value: value is None or isinstance(value, bool)),
    "choose_list": Answer(
        "amounts in roe by node",
        lambda value: isinstance(value, dict) and all(type(amount) is int for amount in value.values()),
    ),
    "change_duties": DUTIES,
    "list_parts": PARTS,
}
"""The decisions that a strategy may replace."""

_loads = count()


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, kind) for each in value)


def _is_value(value: Any) -> bool:
    """Whether a value can be submitted: half of a surrogate pair is no UTF-8."""
    try:
        return isinstance(value, str) and 1 <= len(value.encode()) <= VALUE_BYTES_MAX
    except UnicodeEncodeError:
        return False


def load_strategies(
    path: Path, base: type[S], known: Sequence[str], other: type[Named]
) -> dict[str, type[S]]:
    """The subclasses of `base` that a Python file defines, by name. A class without a name gets its own.

    `known` are the names that are taken; `other` is the base of strategies against other rules. Raises
    BadTaskFile for a file or a class that cannot be used. The methods of the classes raise StrategyFailed.
    """
    name = f"_roundwork_strategies_{next(_loads)}"
    loader = SourceFileLoader(name, str(path))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise BadTaskFile(f"{path} cannot be run: {describe_failure(error)}") from error
    own = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == name]
    found: dict[str, type[S]] = {}
    for each in own:
        if not issubclass(each, base):
            continue
        chosen = _choose_name(each, path)
        if chosen in found or chosen in known:
            raise BadTaskFile(
                f"{path}: class {each.__name__}: there is a strategy {chosen!r} already; name it anew"
            )
        found[chosen] = _guard(each, chosen, path)
    if not found:
        raise BadTaskFile(f"{path} defines no subclass of {_name(base)}{_suggest_rules(own, other)}")
    return found


def _choose_name(strategy: type[Named], path: Path) -> str:
    """The name that the class itself has, else one that is made of the name of the class."""
    if "name" not in vars(strategy):
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", strategy.__name__).lower()
    name: Any = strategy.name
    if not isinstance(name, str) or not name:
        raise BadTaskFile(f"{path}: class {strategy.__name__}: name is {name!r}; it must be text")
    return name


def _suggest_rules(own: Sequence[type], other: type[Named]) -> str:
    fitting = [each.__name__ for each in own if issubclass(each, other)]
    return (
        f"; {fitting[0]} is a subclass of {_name(other)}, which other rules play (--rules)" if fitting else ""
    )


def _name(base: type[Named]) -> str:
    return f"{base.__module__.removesuffix('.base')}.{base.__name__}"


def _guard(strategy: type[S], name: str, path: Path) -> type[S]:
    """The class with its name; what its decisions raise or return wrongly becomes a StrategyFailed."""
    decisions = {
        method: _watch(getattr(strategy, method), f"{path}: strategy {name}, {method}", answer, path)
        for method, answer in ANSWERS.items()
        if hasattr(strategy, method)
    }
    try:
        strategy()
    except (Exception, SystemExit) as error:
        raise BadTaskFile(f"{path}: strategy {name} cannot be made: {describe_failure(error)}") from error
    return type(strategy.__name__, (strategy,), {**decisions, "name": name})


def _watch(decide: Callable[..., Any], place: str, answer: Answer, path: Path) -> Callable[..., Any]:
    @wraps(decide)
    def watch(*arguments: Any) -> Any:
        try:
            value = decide(*arguments)
        except RoundworkError:
            raise  # of the task's own functions
        except (Exception, SystemExit) as error:
            lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
            line = lines[-1] if lines else decide.__code__.co_firstlineno
            raise StrategyFailed(f"{place}, line {line}: {type(error).__name__}: {error}") from error
        if not answer.is_allowed(value):
            raise StrategyFailed(f"{place}: it returned {value!r:.100}; it must return {answer.allowed}")
        return value

    return watch
