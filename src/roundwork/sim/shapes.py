"""Says what is wrong in a file: the value of each field is compared with the type of the field."""

from typing import Any

from msgspec import inspect

from ..package.fields import show, suggest


def check_shape(value: Any, kind: type) -> None:
    """Compare what a file holds with a struct.

    Raises ValueError, which names the field, its value and what it must be.
    """
    _check(value, inspect.type_info(kind), "")


def _check(value: Any, kind: inspect.Type, place: str) -> None:
    if isinstance(kind, inspect.UnionType):
        kind = next((each for each in kind.types if _fits(value, each)), kind)
    if not _fits(value, kind):
        shown = "nothing" if value is None else show(value)
        raise ValueError(f"{place}{shown} cannot be used; it must be {_describe(kind)}")
    match kind:
        case inspect.StructType():
            _check_fields(value, kind, place)
        case inspect.DictType():
            for name, item in value.items():
                _check(name, kind.key_type, f"{place}the name ")
                _check(item, kind.value_type, f"{place}{name}: ")
        case inspect.VarTupleType():
            for position, item in enumerate(value, 1):
                _check(item, kind.item_type, f"{place}entry {position}: ")
        case _:
            pass


def _check_fields(value: dict[Any, Any], kind: inspect.StructType, place: str) -> None:
    fields = {field.encode_name: field for field in kind.fields}
    for name in value:
        if name not in fields:
            known = ", ".join(fields)
            raise ValueError(f"{place}unknown field {name!r}{suggest(name, fields)}; the fields are {known}")
    for name, field in fields.items():
        if name in value:
            _check(value[name], field.type, f"{place}{name}: ")
        elif field.required:
            raise ValueError(f"{place}the field {name} is missing; it must be {_describe(field.type)}")


def _fits(value: Any, kind: inspect.Type) -> bool:
    """Whether a value itself is of a type; its parts are checked one by one later."""
    match kind:
        case inspect.IntType() | inspect.FloatType():
            numbers = int if isinstance(kind, inspect.IntType) else (int, float)
            least = float("-inf") if kind.ge is None else kind.ge
            most = float("inf") if kind.le is None else kind.le
            return isinstance(value, numbers) and not isinstance(value, bool) and least <= value <= most
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.NoneType():
            return value is None
        case inspect.LiteralType():
            return value in kind.values
        case inspect.VarTupleType():
            return isinstance(value, list)
        case inspect.DictType() | inspect.StructType():
            return isinstance(value, dict)
        case inspect.UnionType():
            return any(_fits(value, each) for each in kind.types)
        case inspect.AnyType():
            return True
        case _:
            raise AssertionError(f"no field of a file has the type {kind}")


def _describe(kind: inspect.Type) -> str:
    """What a field takes, in words."""
    match kind:
        case inspect.IntType() | inspect.FloatType():
            numbers = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            if kind.ge is None:
                return numbers
            return (
                f"{numbers} of at least {kind.ge}"
                if kind.le is None
                else f"{numbers} from {kind.ge} to {kind.le}"
            )
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "nothing"
        case inspect.LiteralType():
            return " or ".join(map(str, kind.values))
        case inspect.VarTupleType():
            return f"a list, each entry {_describe(kind.item_type)}"
        case inspect.DictType():
            return f"names, each with {_describe(kind.value_type)}"
        case inspect.StructType():
            return f"fields ({', '.join(field.encode_name for field in kind.fields)})"
        case inspect.UnionType():
            kinds = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
            return " or ".join(sorted(map(_describe, kinds)))
        case _:
            return "a value"
