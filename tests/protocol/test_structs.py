"""What the law stores and sends cannot be changed where it lies, and is no work for the garbage collector."""

import importlib
import pkgutil

import msgspec
import pytest

import roundwork.protocol
from roundwork.protocol.execute import Receipt
from roundwork.protocol.records import Record
from roundwork.protocol.tasks.events import Event
from roundwork.protocol.tasks.instructions import Instruction


def list_structs() -> list[type[msgspec.Struct]]:
    names = [
        module.name for module in pkgutil.walk_packages(roundwork.protocol.__path__, "roundwork.protocol.")
    ]
    found = {
        value
        for name in names
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ in names
    }
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


@pytest.mark.parametrize("kind", list_structs(), ids=lambda kind: kind.__name__)
def test_a_struct_of_the_law_is_frozen(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


@pytest.mark.parametrize(
    "kind",
    [*Record.__subclasses__(), *Instruction.__args__, *Event.__args__, Receipt],
    ids=lambda kind: kind.__name__,
)
def test_what_there_are_many_of_is_not_collected(kind: type[msgspec.Struct]) -> None:
    assert not kind.__struct_config__.gc
    assert kind.__struct_config__.array_like or kind in Instruction.__args__
