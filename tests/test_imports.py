"""What import-linter cannot say: lists of what may be imported, and that no room is without a contract."""

import ast
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "roundwork"

PURE = {
    "base64",
    "bisect",
    "blake3",
    "collections",
    "collections.abc",
    "contextlib",
    "enum",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "msgspec",
    "operator",
    "re",
    "solders.pubkey",
    "solders.signature",
    "struct",
    "types",
    "typing",
}
"""All that the law imports from outside. None of it reads a clock, a file, a socket or chance."""

WITHOUT_LAYERS = {"roundwork.protocol", "roundwork.protocol.tasks"}
"""Rooms whose modules are in the contract of the law, which goes through three rooms at once."""


def list_imports(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each absolute import of the modules of a folder, also those inside functions."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield path, str(node.module)


def test_the_law_imports_nothing_but_what_is_pure() -> None:
    found = set(list_imports(PACKAGE / "protocol"))

    assert [] == sorted(f"{path.name}: {name}" for path, name in found if name not in PURE)
    assert PURE == {name for _, name in found}


def test_what_runs_in_a_tasks_process_imports_the_standard_library_and_itself() -> None:
    foreign = [
        f"{path.name}: {name}"
        for path, name in list_imports(PACKAGE / "sdk")
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("roundwork.sdk.")
    ]

    assert [] == foreign


@pytest.mark.parametrize(
    "room", [path.parent for path in PACKAGE.rglob("__init__.py")], ids=lambda room: room.name
)
def test_every_room_has_a_contract_of_layers_that_leaves_no_module_out(room: Path) -> None:
    name = ".".join(room.relative_to(PACKAGE.parent).parts)
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter")
    exhaustive = {
        container
        for section in contracts.values()
        if section.get("exhaustive") == "True"
        for container in section["containers"].split()
    }

    if name in WITHOUT_LAYERS:
        layers = contracts["importlinter:contract:law"]["layers"].replace("|", " ").split()
        modules = [path for path in room.glob("*.py") if not path.name.startswith("__")]
        assert [] == [path.stem for path in modules if f"{name}.{path.stem}" not in layers]
    else:
        assert name in exhaustive
