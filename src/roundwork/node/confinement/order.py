"""What a node orders from its starter, and what it hears back: the messages between the two."""

from __future__ import annotations

import signal

import msgspec

from ...host.process import describe_end

MIB = 1024 * 1024
KILLED = 128 + signal.SIGKILL
"""The exit code of a program that was ended by force, as shells say it."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one lane of a task, or one main.js, may use."""

    memory_bytes: int = 512 * MIB
    """Of each process as address space (of a main.js as resident memory), and of all of them together."""
    disk_bytes: int = 1024 * MIB
    """Of the task's directory, and of files that the task has deleted and still holds open."""
    processes: int = 1
    open_files: int = 256
    """For each process."""
    cpu_percent: int = 100


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The TCP ports of a main.js."""

    endpoints: tuple[str, ...]
    """"host:port", each a place that it may connect to."""
    listen: int
    """Its own web port."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A program to start, and what it may do."""

    sandbox: str
    """"sandlock", "bwrap" or "none"."""
    command: tuple[str, ...]
    environment: dict[str, str]
    readable: tuple[str, ...]
    """Files and folders, beside the system's shared libraries."""
    home: str
    """The directory that it may write, and starts in."""
    limits: Limits
    network: Network | None = None
    """None for no socket at all: then the program puts its filter of system calls in place by itself."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a started program to its limits on this machine."""

    threads: str
    """"control group v1", "control group v2", "user namespace", "user", or "" for nothing."""
    memory: str
    """"control group v1", "control group v2", or "" for the limit of each process and measuring."""
    has_namespace: bool
    """Whether it has process ids of its own, all of which the kernel ends with the first."""
    user: int
    """The user id that it runs as."""


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The program runs."""

    bounds: Bounds


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The program could not be started."""

    reason: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The program and all that it started are gone."""

    code: int
    """Its exit code, KILLED and the like for a signal."""
    reason: str
    """In words, for the task's author."""


Report = Started | Failed | Ended


def encode_line(message: msgspec.Struct) -> bytes:
    """A message as a line."""
    return msgspec.json.encode(message) + b"\n"


def decode_order(line: bytes) -> Order:
    """What a node of ours has sent."""
    return msgspec.json.decode(line, type=Order)


def decode_report(line: bytes) -> Report:
    """What a guard of ours has sent."""
    report: Report = msgspec.json.decode(line, type=Report)
    return report


def explain_end(code: int) -> str:
    """How a task's process ended, in words for its author. `code` is above 128 for a signal, as in shells."""
    if code <= 128:
        return describe_end(code)
    end = describe_end(128 - code) if code - 128 in set(signal.Signals) else f"exit {code}"
    if code == 128 + signal.SIGSYS:
        return f"{end}: it made a system call that tasks have no use for"
    return end
