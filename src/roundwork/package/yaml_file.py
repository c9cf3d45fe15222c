"""config-task.yml as strict YAML; it finds numbers that YAML and a person read differently."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..errors import BadConfig, Malformed
from ..wire import decode_yaml
from .fields import suggest_file

CONFIG_BYTES_MAX = 256 * 1024
_PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_FORMS = (
    (re.compile(r".*:.*"), "base 60"),
    (re.compile(r"[-+]?0[xX].*"), "base 16"),
    (re.compile(r"[-+]?0[bB].*"), "base 2"),
    (re.compile(r"[-+]?0[0-7_]+"), "base 8"),
)
"""Forms of numbers that YAML does not read in base 10."""


class DoubtfulNumber(NamedTuple):
    """A number that YAML reads otherwise than a person may. `text` is what the file has."""

    text: str
    meaning: str
    """What YAML reads."""

    def __str__(self) -> str:
        return self.text


def load_yaml(path: Path, example: str = "task_name: …") -> dict[Any, Any]:
    """The fields of the file; numbers with a point are Decimal. Raises BadConfig, which names the file.

    `example` is a field that such a file may have.
    """
    try:
        raw = decode_yaml(_read(path), _Loader, CONFIG_BYTES_MAX)
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}{suggest_file(path)}") from error
    except Malformed as error:
        raise BadConfig(f"{path}: {error}") from error
    if not isinstance(raw, dict):
        raise BadConfig(f"{path} must be fields, `{example}` and so on")
    return raw


def _read(path: Path) -> bytes:
    """The bytes of a file in a stranger's folder. Raises OSError, Malformed.

    A link to a device would be read without an end, and a pipe would be waited for.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if status.st_size > CONFIG_BYTES_MAX:
            raise Malformed(f"{status.st_size} bytes are too many; {CONFIG_BYTES_MAX} are allowed")
        return file.read(CONFIG_BYTES_MAX + 1)


def check_numbers(value: Any, place: str) -> None:
    """Raises ValueError for a doubtful number in a field; `place` is the field's name."""
    match value:
        case DoubtfulNumber():
            raise ValueError(
                f"{place}: {value.text} can be read in two ways: YAML reads {value.meaning}. Write digits,"
                " with at most one point between digits; put it in quotes if it is text"
            )
        case dict():
            for name, item in value.items():
                check_numbers(name, place)
                check_numbers(item, f"{place}: {name}")
        case list():
            for index, item in enumerate(value, 1):
                check_numbers(item, f"{place}: entry {index}")
        case _:
            pass


class _Loader(yaml.SafeLoader):
    """Numbers with a point stay exact, no field is given twice, and no part may stand for another (a few
    lines would be gigabytes)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        [(twice, count)] = names.most_common(1) or [("", 0)]
        if count > 1:
            raise yaml.YAMLError(f"{twice} is given twice, at last in line {node.end_mark.line}")
        return super().construct_mapping(node, deep)


def _construct_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | Decimal | DoubtfulNumber:
    text = loader.construct_scalar(node)
    if _PLAIN.fullmatch(text):
        return Decimal(text) if "." in text else int(text)
    is_whole = node.tag == "tag:yaml.org,2002:int"
    read = loader.construct_yaml_int(node) if is_whole else loader.construct_yaml_float(node)
    base = next((name for form, name in _FORMS if form.fullmatch(text)), "")
    return DoubtfulNumber(text, f"{read}{base and f' ({base})'}")


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_number)
