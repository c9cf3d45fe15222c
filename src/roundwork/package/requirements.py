"""requirementsTags and limits: what a task requires of the nodes that run it, parsed here.

Tags are free text in existing tasks ("4-core", "5 GB", "testnet", "OSX"). What can be checked is checked when
the file is read; what depends on the machine is checked where the task is to run.
"""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ..errors import BadConfig
from .fields import MIB, Parse, integer, parse_size, show, suggest, suggest_given

REQUIREMENT_TYPES = (
    *("GLOBAL_VARIABLE", "TASK_VARIABLE", "CPU", "RAM", "STORAGE"),
    *("NETWORK", "ARCHITECTURE", "OS", "ADDON"),
)
INTERNET = "REQUIRE_INTERNET"
"""The ADDON of existing tasks that need hosts of the internet."""

ANY_HOST = "*"
HOST = re.compile(r"(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:\d{1,5})?|\[[0-9A-Fa-f:]+\](:\d{1,5})?")

TAG_FIELDS = ("type", "value", "description", "retrievalInfo")
"""Fields of an entry of requirementsTags."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
"""With points: existing tasks have WEB3.STORAGE_KEY."""

_REMARK = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)\s*[\s(\[{#:;=|].*", re.DOTALL)
"""A variable's name and more behind it."""

_CORES = re.compile(r"(\d{1,3})\s*-?\s*(v?cpus?|cores?)?", re.IGNORECASE)
_WORDS = re.compile(r"[\s,;/|&+]+")

ARCHITECTURES = {
    "x86_64": ("x86_64", "x86-64", "amd64", "amd", "x64", "intel"),
    "aarch64": ("aarch64", "arm64", "arm", "m1", "m2", "m3", "m4"),
    "riscv64": ("riscv64",),
}
SYSTEMS = {
    "Linux": ("linux", "ubuntu", "debian", "fedora"),
    "Darwin": ("darwin", "macos", "mac", "osx"),
    "Windows": ("windows", "win", "win10", "win11"),
}
"""What machines call themselves, and what people write."""

ANY = ("any", "all", "*")


class Requirement(msgspec.Struct, frozen=True):
    """One of the published requirementsTags."""

    type: str
    value: str
    description: str = ""
    retrieval_info: str | msgspec.UnsetType = msgspec.field(name="retrievalInfo", default=msgspec.UNSET)
    """How an operator gets the value. Only some existing files have it."""


_count = integer(1)

LIMITS: dict[str, tuple[str, Parse, int, int]] = {
    "memory": ("memory_bytes", parse_size, 64 * MIB, 2**40),
    "disk": ("disk_bytes", parse_size, MIB, 2**44),
    "processes": ("processes", _count, 1, 256),
    "open_files": ("open_files", _count, 16, 65_536),
    "cpu_percent": ("cpu_percent", _count, 1, 100),
}
"""Fields of roundwork.limits: what each is called in node.sandbox.Limits, how it is read, its bounds."""

TAG_LIMITS = {"RAM": "memory", "STORAGE": "disk", "CPU": "processes"}
"""The tags that are limits: cores are processes that work side by side."""


def parse_requirement(value: Any) -> Requirement:
    """One entry of requirementsTags. Raises ValueError."""
    fields = value if isinstance(value, dict) else {}
    unknown = [name for name in fields if name not in TAG_FIELDS]
    kind = fields.get("type")
    if kind not in REQUIREMENT_TYPES:
        near = suggest(kind, REQUIREMENT_TYPES) if kind else suggest_given("type", unknown)
        raise ValueError(f"must have a type among {', '.join(REQUIREMENT_TYPES)}{near}")
    wanted, description, info = (_read_text(fields, name) for name in TAG_FIELDS[1:])
    if kind.endswith("_VARIABLE") and not _VARIABLE.fullmatch(wanted):
        near = find_remark(wanted) if wanted else suggest_given("value", unknown)
        raise ValueError(
            f"must have, for {kind}, a variable's name as value: letters, digits, _; not {wanted!r}{near}"
        )
    return Requirement(kind, wanted, description, info or msgspec.UNSET)


def find_remark(value: Any) -> str:
    """Which part of a text may be a variable's name, if a remark stands behind it."""
    match = _REMARK.fullmatch(value) if isinstance(value, str) else None
    return f"; if {match[1]} is the name, leave out what follows it" if match else ""


def _read_text(fields: Mapping[str, Any], name: str) -> str:
    """A field of an entry, "" if it is missing; existing files have numbers there, too. Raises ValueError.

    A list is read as its texts, separated by commas.
    """
    value = fields.get(name)
    if isinstance(value, list) and value and name == "value":
        return ", ".join(_read_text({name: each}, name) for each in value)
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | Decimal)):
        raise ValueError(f"must have text as {name}, not {show(value)}; put it in quotes")
    return "" if value is None else str(value).strip()


def read_requirements(value: Any) -> list[Requirement]:
    """The requirements of a stranger's metadata.json. Malformed entries are left out."""
    found = []
    for tag in value if isinstance(value, list) else ():
        with contextlib.suppress(ValueError):
            found.append(parse_requirement(tag))
    return found


def parse_limits(value: Any) -> dict[str, int]:
    """The fields of roundwork.limits, as fields of node.sandbox.Limits. Raises ValueError."""
    if not isinstance(value, dict) or not value.keys() <= LIMITS.keys():
        unknown = [name for name in value if name not in LIMITS] if isinstance(value, dict) else []
        near = "".join(f"; {name}: no such field{suggest(name, LIMITS)}" for name in unknown)
        raise ValueError(f"must have fields among {', '.join(LIMITS)}{near}")
    return {LIMITS[name][0]: _parse_limit(name, amount, name) for name, amount in value.items()}


def compute_limits(requirements: Sequence[Requirement]) -> dict[str, int]:
    """The tags as fields of node.sandbox.Limits. A text that does not parse sets no limit."""
    limits = {}
    for each in requirements:
        if each.type in TAG_LIMITS:
            with contextlib.suppress(ValueError):
                limits[LIMITS[TAG_LIMITS[each.type]][0]] = _parse_tag_limit(each.type, each.value)
    return limits


def find_doubts(requirements: Sequence[Requirement]) -> list[str]:
    """Why a tag sets no limit although it should. Not an error: existing tasks have "test" there."""
    doubts = []
    for each in requirements:
        if each.type in TAG_LIMITS and each.value:
            try:
                _parse_tag_limit(each.type, each.value)
            except ValueError as error:
                doubts.append(f"{error}; it sets no limit now")
    return doubts


def compute_hosts(requirements: Sequence[Requirement]) -> tuple[str, ...]:
    """The hosts that the tags name. A NETWORK without one, "testnet", is only shown."""
    hosts: list[str] = []
    for each in requirements:
        if each.type == "NETWORK":
            hosts += [word for word in _WORDS.split(each.value) if word == ANY_HOST or HOST.fullmatch(word)]
        elif each.type == "ADDON" and each.value == INTERNET:
            hosts.append(ANY_HOST)
    return tuple(hosts)


def check_machine(
    requirements: Sequence[Requirement],
    machine: str = platform.machine(),
    system: str = platform.system(),
) -> None:
    """Check that a task runs on a machine of this kind. Raises BadConfig, which names the kind it needs."""
    for kind, names, ours in (("ARCHITECTURE", ARCHITECTURES, machine), ("OS", SYSTEMS, system)):
        wanted = [each.value for each in requirements if each.type == kind and each.value]
        words = {word for text in wanted for word in _WORDS.split(text.lower())}
        if words and words.isdisjoint((*names.get(ours, ()), ours.lower(), *ANY)):
            raise BadConfig(
                f"the task asks for {kind} {', '.join(wanted)}; this machine is {ours}."
                " Run it all the same with --any-machine"
            )


def _parse_tag_limit(kind: str, wanted: str) -> int:
    amount: Any = wanted
    if kind == "CPU":
        match = _CORES.fullmatch(wanted)
        if match is None:
            raise ValueError(f'has CPU {wanted!r}, which must be a number of cores, "4-core"')
        amount = int(match[1])
    return _parse_limit(TAG_LIMITS[kind], amount, kind)


def _parse_limit(limit: str, amount: Any, name: str) -> int:
    """`name` is the name of the field in its file."""
    _, parse, least, most = LIMITS[limit]
    try:
        limit_value = int(parse(amount))
    except ValueError as error:
        raise ValueError(f"has {name} {show(amount)}, which {error}") from error
    if not least <= limit_value <= most:
        raise ValueError(f"has {name} {show(amount)}, which must lie between {least} and {most}")
    return limit_value
