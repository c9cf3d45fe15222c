"""The system calls that a task is refused, as a BPF program: processes, sockets, side doors.

Under bubblewrap it is put in place by bubblewrap, under sandlock by the task's own process before it knows
the author's code. There it stands on top of sandlock's filter, which mediates some calls and misses others.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct
from typing import IO

_LOAD, _AND, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x54, 0x15, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_CLONE_THREAD = 0x00010000
_CLONE_NEVER = 0x7E82A000
"""A new namespace, or a child that is traced, cannot be traced, or is a child of the node's."""
_SOCKET_TYPE = 0xF
_MSG_FASTOPEN = 0x20000000
_PR_SET_PDEATHSIG = 1
_X32 = 0x40000000

FAMILIES = (socket.AF_INET, socket.AF_INET6)
TYPES = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
PROTOCOLS = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP)
"""What sockets a task that may have any is left with: no unix socket, netlink, vsock or crypto, no raw
packets, no MPTCP, no SCTP."""

IOCTLS = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TCGETS2, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: what interpreters do to files. Other
ioctls change network interfaces (on any socket), freeze file systems and mark files as immutable."""

FCNTLS = (8, 10, 15, 1024, 1026, 1031)
"""What fcntl is refused: F_SETOWN, F_SETSIG, F_SETOWN_EX (signals to others), F_SETLEASE and F_NOTIFY (other
programs wait), F_SETPIPE_SZ (memory that no limit counts)."""

_X86_64 = {
    # processes
    "fork": 57, "vfork": 58, "clone": 56, "clone3": 435, "ptrace": 101, "kcmp": 312, "process_vm_readv": 310,
    "process_vm_writev": 311, "process_madvise": 440, "pidfd_getfd": 438, "unshare": 272, "setns": 308,
    # sockets
    "socket": 41, "bind": 49, "listen": 50, "connect": 42, "accept": 43, "accept4": 288, "socketpair": 53,
    "setsockopt": 54, "sendto": 44, "sendmsg": 46, "sendmmsg": 307, "recvmsg": 47, "recvmmsg": 299,
    # memory that no limit counts, and what outlives a process
    "memfd_create": 319, "memfd_secret": 447, "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64,
    "semop": 65, "semctl": 66, "semtimedop": 220, "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71,
    "mq_open": 240, "mq_unlink": 241, "vmsplice": 278, "io_setup": 206, "inotify_init": 253,
    "inotify_init1": 294, "landlock_create_ruleset": 444,
    # side doors into the kernel
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "keyctl": 250, "add_key": 248, "request_key": 249, "personality": 135,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "fanotify_init": 300, "prctl": 157,
    "ioctl": 16, "fcntl": 72, "seccomp": 317, "capset": 126, "lookup_dcookie": 212, "modify_ldt": 154,
    "ioperm": 173, "iopl": 172, "migrate_pages": 256, "move_pages": 279, "process_mrelease": 448,
    "statmount": 457, "listmount": 458,
    # what changes the machine
    "mount": 165, "umount2": 166, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431,
    "fsmount": 432, "fspick": 433, "mount_setattr": 442, "pivot_root": 155, "chroot": 161, "swapon": 167,
    "swapoff": 168, "reboot": 169, "init_module": 175, "finit_module": 313, "delete_module": 176,
    "kexec_load": 246, "kexec_file_load": 320, "acct": 163, "quotactl": 179, "quotactl_fd": 443,
    "vhangup": 153, "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159,
    "syslog": 103, "sethostname": 170, "setdomainname": 171, "open_tree_attr": 467, "file_setattr": 469,
}  # fmt: skip
_AARCH64 = {
    "clone": 220, "clone3": 435, "ptrace": 117, "kcmp": 272, "process_vm_readv": 270,
    "process_vm_writev": 271, "process_madvise": 440, "pidfd_getfd": 438, "unshare": 97, "setns": 268,
    "socket": 198, "bind": 200, "listen": 201, "connect": 203, "accept": 202, "accept4": 242,
    "memfd_create": 279, "memfd_secret": 447, "shmget": 194, "shmat": 196, "shmctl": 195, "semget": 190,
    "semop": 193, "semctl": 191, "semtimedop": 192, "msgget": 186, "msgsnd": 189, "msgrcv": 188,
    "msgctl": 187, "mq_open": 180, "mq_unlink": 181, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "keyctl": 219, "add_key": 217,
    "request_key": 218, "personality": 92, "name_to_handle_at": 264, "open_by_handle_at": 265,
    "fanotify_init": 262, "prctl": 167, "mount": 40, "umount2": 39, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "pivot_root": 41,
    "chroot": 51, "swapon": 224, "swapoff": 225, "reboot": 142, "init_module": 105, "finit_module": 273,
    "delete_module": 106, "kexec_load": 104, "kexec_file_load": 294, "acct": 89, "quotactl": 60,
    "quotactl_fd": 443, "vhangup": 58, "settimeofday": 170, "clock_settime": 112, "clock_adjtime": 266,
    "adjtimex": 171, "syslog": 116, "socketpair": 199, "setsockopt": 208, "sendto": 206, "sendmsg": 211,
    "sendmmsg": 269, "recvmsg": 212, "recvmmsg": 243, "vmsplice": 75, "io_setup": 0, "inotify_init1": 26,
    "landlock_create_ruleset": 444, "ioctl": 29, "fcntl": 25, "seccomp": 277, "capset": 91,
    "lookup_dcookie": 18, "migrate_pages": 238, "move_pages": 239, "process_mrelease": 448, "statmount": 457,
    "listmount": 458, "sethostname": 161, "setdomainname": 162, "open_tree_attr": 467, "file_setattr": 469,
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}

_SOCKETS = frozenset(("bind", "listen", "connect", "accept", "accept4", "setsockopt", "recvmsg", "recvmmsg"))
_PROCESSES = frozenset(("fork", "vfork"))
_FLAGS = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
"""Which argument holds the flags."""

_Instruction = tuple[int, int, int, int]


def open_filter(allow_processes: bool, allow_sockets: bool = False) -> IO[bytes]:
    """The compiled filter in a file without a name. Raises OSError on a machine that has no table here."""
    file = os.fdopen(os.memfd_create("seccomp"), "w+b")
    file.write(build_filter(allow_processes, allow_sockets))
    file.seek(0)
    return file


def build_filter(allow_processes: bool, allow_sockets: bool = False) -> bytes:
    """The compiled filter. Raises OSError on a machine that has no table here."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(f"no seccomp table for {machine}")
    architecture, numbers = _MACHINES[machine]
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        # The x32 calls are the same calls under other numbers.
        (_JUMP_SET, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for name, number in numbers.items():
        if (name in _PROCESSES and allow_processes) or (name in _SOCKETS and allow_sockets):
            continue
        program += _assemble(name, number, allow_processes, allow_sockets)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _assemble(name: str, number: int, allow_processes: bool, allow_sockets: bool) -> list[_Instruction]:
    """What is done about one system call; other calls pass on, with their number loaded."""
    match name:
        case "clone":  # threads may be made, processes only by leave
            rules = _refuse_if_set(0, _CLONE_NEVER, errno.EPERM)
            rules += [] if allow_processes else _refuse_unless_set(0, _CLONE_THREAD, errno.EAGAIN)
        case "prctl":  # who clears its death signal outlives the node
            rules = _refuse_if(0, (_PR_SET_PDEATHSIG,), errno.EPERM)
        case "ioctl":
            rules = _refuse_unless(1, IOCTLS, errno.ENOTTY)
        case "fcntl":
            rules = _refuse_if(1, FCNTLS, errno.EPERM)
        case "socketpair":
            rules = _refuse_unless(0, (socket.AF_UNIX,), errno.EAFNOSUPPORT)
        case "socket" if allow_sockets:
            rules = _refuse_unless(0, FAMILIES, errno.EAFNOSUPPORT)
            rules += _refuse_unless(1, TYPES, errno.ESOCKTNOSUPPORT, _SOCKET_TYPE)
            rules += _refuse_unless(2, PROTOCOLS, errno.EPROTONOSUPPORT)
        case "sendto" | "sendmsg" | "sendmmsg" if allow_sockets:  # TCP that connects without `connect`
            rules = _refuse_if_set(_FLAGS[name], _MSG_FASTOPEN, errno.EOPNOTSUPP)
        case "sendto":  # a socket pair needs no more
            return []
        case "clone3":  # libc falls back to clone, whose flags a filter can read
            return [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
        case _:
            return [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    rules.append((_RETURN, 0, 0, _ALLOW))
    return [(_JUMP_EQUAL, 0, len(rules), number), *rules]


def _load(argument: int) -> _Instruction:
    """The lower half of an argument, which is all of it for these calls."""
    return _LOAD, 0, 0, _ARGUMENTS + 8 * argument


def _refuse_if_set(argument: int, bits: int, code: int) -> list[_Instruction]:
    return [_load(argument), (_JUMP_SET, 0, 1, bits), (_RETURN, 0, 0, _ERRNO | code)]


def _refuse_unless_set(argument: int, bits: int, code: int) -> list[_Instruction]:
    return [_load(argument), (_JUMP_SET, 1, 0, bits), (_RETURN, 0, 0, _ERRNO | code)]


def _refuse_if(argument: int, values: tuple[int, ...], code: int) -> list[_Instruction]:
    *first, last = values
    tests = [(_JUMP_EQUAL, len(first) - at, 0, value) for at, value in enumerate(first)]
    return [_load(argument), *tests, (_JUMP_EQUAL, 0, 1, last), (_RETURN, 0, 0, _ERRNO | code)]


def _refuse_unless(
    argument: int, values: tuple[int, ...], code: int, mask: int = 0xFFFFFFFF
) -> list[_Instruction]:
    tests = [(_JUMP_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [_load(argument), (_AND, 0, 0, mask), *tests, (_RETURN, 0, 0, _ERRNO | code)]
