"""What the style asks of every function and every name, holds."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FUNCTION_LINES_MAX = 70

VAGUE = {"one", "asked", "told", "somebody", "anybody", "nobody", "Tenant", "Resident", "Seen", "Me"}
"""Words that do not say what a name holds."""


def read_sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def measure_functions(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Each function of a module with its lines, those of its decorators among them."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield node.name, (node.end_lineno or first) - first + 1


def list_names(module: ast.Module) -> Iterator[str]:
    """All names in a module, of whatever they are names."""
    for node in ast.walk(module):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=short):
                yield short or name
            case ast.keyword(arg=str(name)) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case _:
                pass


def is_vague(name: str) -> bool:
    """Whether one of the words of a name, as `is_asked` has two, says nothing."""
    return name in VAGUE or not VAGUE.isdisjoint(re.split("[_.]", name))


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path}: {name} has {lines} lines"
        for path, module in read_sources("src", "tests", "bench", "examples")
        for name, lines in measure_functions(module)
        if lines > FUNCTION_LINES_MAX
    ]

    assert [] == long


def test_every_name_says_what_it_holds() -> None:
    vague = [
        f"{path}: {name}"
        for path, module in read_sources("src", "examples")
        for name in sorted(set(filter(is_vague, list_names(module))))
    ]

    assert [] == vague


def test_lines_and_names_are_found_wherever_they_stand() -> None:
    source = """
@decorate(
    1)
async def told(asked, *, is_one: int):
    for one in asked: pass
    match one:
        case [Seen(), *Me]:
            import roundwork.wire as somebody
    call(nobody=lambda Tenant: one.is_asked)
"""

    module = ast.parse(source)

    assert [("told", 8)] == list(measure_functions(module))
    assert {
        "told", "asked", "is_one", "one", "Seen", "Me", "somebody", "nobody", "Tenant", "is_asked",
    } == set(filter(is_vague, list_names(module)))  # fmt: skip
