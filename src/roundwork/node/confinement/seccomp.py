"""The system calls that a task may make, as a BPF program: what is not named here is refused.

The process of a task puts it in place itself, before it knows the author's code. There it stands on top of
what sandlock and bubblewrap do, which mediate some calls and miss others.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct

from . import syscalls

_LOAD, _AND, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_SET, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALL_BITS = 0xFFFFFFFF
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000
_CLONE_FLAGS = 0x017D4FFF
"""What threads and plain children are made with. Not in it: new namespaces, children that cannot be traced,
are traced, or are children of the task's own parent."""
_SOCKET_TYPE = 0xF
_MSG_FASTOPEN = 0x20000000

FAMILIES = (socket.AF_INET, socket.AF_INET6)
TYPES = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
PROTOCOLS = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)
"""Of a task that may have sockets: no unix socket, netlink, vsock or crypto, no raw packets, no MPTCP, no
SCTP."""

SOCKET_OPTIONS = {
    socket.SOL_SOCKET: (2, 6, 7, 8, 9, 13, 20, 21),
    socket.IPPROTO_TCP: (1, 4, 5, 6, 12, 18),
    socket.IPPROTO_IP: (1, 2, 11),
    socket.IPPROTO_IPV6: (16, 25, 26, 67),
}
"""By level. SO_REUSEADDR, BROADCAST, SNDBUF, RCVBUF, KEEPALIVE, LINGER, RCVTIMEO, SNDTIMEO; TCP_NODELAY,
KEEPIDLE, KEEPINTVL, KEEPCNT, QUICKACK, USER_TIMEOUT; IP_TOS, TTL, RECVERR; IPV6_UNICAST_HOPS, RECVERR,
V6ONLY, TCLASS."""

IOCTLS = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TCGETS2, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: what interpreters do to files. Other
ioctls change network interfaces (on any socket), freeze file systems and mark files as immutable."""

FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)
"""F_DUPFD, GETFD, SETFD, GETFL, SETFL, GETLK, SETLK, SETLKW, OFD_GETLK, OFD_SETLK, OFD_SETLKW,
DUPFD_CLOEXEC, GETPIPE_SZ. Others send signals to other processes, make those wait who open a file, or
enlarge pipes."""

PRCTLS = (2, 3, 15, 16, 21, 23, 39, 0x53564D41)
"""PR_GET_PDEATHSIG, GET_DUMPABLE, SET_NAME, GET_NAME, GET_SECCOMP, CAPBSET_READ, GET_NO_NEW_PRIVS, SET_VMA.
Not PR_SET_PDEATHSIG: a task ends with its node. Not PR_SET_DUMPABLE: it does not hide from its node."""

_MACHINES = {"x86_64": (0xC000003E, syscalls.X86_64), "aarch64": (0xC00000B7, syscalls.AARCH64)}

_Instruction = tuple[int, int, int, int]


def build_filter(allow_processes: bool, allow_sockets: bool = False) -> bytes:
    """The compiled filter. Raises OSError on a machine that has no table here."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(f"no table of system calls for {machine}")
    architecture, numbers = _MACHINES[machine]
    allowed = syscalls.FILES | syscalls.WAITING | syscalls.MEMORY | syscalls.SELF
    if allow_processes:
        allowed |= syscalls.PROCESSES
    if allow_sockets:
        # Deleted files could hide in the messages of a pair.
        allowed = allowed - {"socketpair"} | syscalls.SOCKETS
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        # The x32 calls are the same calls under other numbers.
        (_JUMP_SET, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    for name, number in numbers.items():
        if name in allowed:
            rules = _compose_rules(name, allow_processes, allow_sockets)
            program += _answer(number, _ALLOW, rules)
        elif name in syscalls.HOSTILE:
            program += _answer(number, _KILL)
        elif name in syscalls.ABSENT:
            program += _answer(number, _ERRNO | errno.ENOSYS)
    program += [
        (_JUMP_ABOVE, 0, 1, syscalls.NEWEST),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _answer(number: int, answer: int, rules: list[_Instruction] | None = None) -> list[_Instruction]:
    """What is done about one system call that passes its rules. Other calls go on, their number loaded."""
    body = [*(rules or []), (_RETURN, 0, 0, answer)]
    return [(_JUMP_EQUAL, 0, len(body), number), *body]


def _compose_rules(name: str, allow_processes: bool, allow_sockets: bool) -> list[_Instruction]:
    """What the arguments of an allowed call must be; nothing for most."""
    match name:
        case "clone":
            threads = [] if allow_processes else _refuse_unless_set(0, _CLONE_THREAD, errno.EAGAIN)
            return [*_refuse_if_set(0, _ALL_BITS ^ _CLONE_FLAGS, errno.EPERM), *threads]
        case "prctl":
            return _refuse_unless(0, PRCTLS, errno.EPERM)
        case "prlimit64":  # its own limits, not another process's
            return _refuse_unless(0, (0,), errno.EPERM)
        case "ioctl":
            return _refuse_unless(1, IOCTLS, errno.ENOTTY)
        case "fcntl":
            return _refuse_unless(1, FCNTLS, errno.EPERM)
        case "socketpair":
            return _refuse_unless(0, (socket.AF_UNIX,), errno.EAFNOSUPPORT)
        case "socket":
            return [
                *_refuse_unless(0, FAMILIES, errno.EAFNOSUPPORT),
                *_refuse_unless(1, TYPES, errno.ESOCKTNOSUPPORT, _SOCKET_TYPE),
                *_refuse_unless(2, PROTOCOLS, errno.EPROTONOSUPPORT),
            ]
        case "setsockopt":
            return _refuse_other_options()
        case "sendto" | "sendmsg" | "sendmmsg" if allow_sockets:  # TCP that connects without `connect`
            flags = 2 if name == "sendmsg" else 3
            return _refuse_if_set(flags, _MSG_FASTOPEN, errno.EOPNOTSUPP)
        case _:
            return []


def _refuse_other_options() -> list[_Instruction]:
    rules = [_load(1)]
    for level, options in SOCKET_OPTIONS.items():
        body = [*_refuse_unless(2, options, errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
        rules += [(_JUMP_EQUAL, 0, len(body), level), *body]
    return [*rules, (_RETURN, 0, 0, _ERRNO | errno.EPERM)]


def _load(argument: int) -> _Instruction:
    """The lower half of an argument, which is all of it for these calls."""
    return _LOAD, 0, 0, _ARGUMENTS + 8 * argument


def _refuse_if_set(argument: int, bits: int, code: int) -> list[_Instruction]:
    return [_load(argument), (_JUMP_SET, 0, 1, bits), (_RETURN, 0, 0, _ERRNO | code)]


def _refuse_unless_set(argument: int, bits: int, code: int) -> list[_Instruction]:
    return [_load(argument), (_JUMP_SET, 1, 0, bits), (_RETURN, 0, 0, _ERRNO | code)]


def _refuse_unless(
    argument: int, values: tuple[int, ...], code: int, mask: int = _ALL_BITS
) -> list[_Instruction]:
    tests = [(_JUMP_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [_load(argument), (_AND, 0, 0, mask), *tests, (_RETURN, 0, 0, _ERRNO | code)]
