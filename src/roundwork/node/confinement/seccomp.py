"""The system calls that a task under bubblewrap is refused, as a BPF program: processes, sockets, side doors.

Under sandlock none of this is needed: it brings its own filter.
"""

from __future__ import annotations

import errno
import os
import platform
import struct
from typing import IO

_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

_X86_64 = {
    "fork": 57, "vfork": 58, "clone": 56, "clone3": 435, "socket": 41, "ptrace": 101, "keyctl": 250,
    "add_key": 248, "request_key": 249, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "io_uring_setup": 425, "unshare": 272, "setns": 308, "mount": 165, "kexec_load": 246,
    "process_vm_readv": 310, "process_vm_writev": 311, "memfd_create": 319, "pidfd_getfd": 438,
}  # fmt: skip
_AARCH64 = {
    "clone": 220, "clone3": 435, "socket": 198, "ptrace": 117, "keyctl": 219, "add_key": 217,
    "request_key": 218, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425,
    "unshare": 97, "setns": 268, "mount": 40, "kexec_load": 104, "process_vm_readv": 270,
    "process_vm_writev": 271, "memfd_create": 279, "pidfd_getfd": 438,
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}

_Instruction = tuple[int, int, int, int]


def open_filter(allow_processes: bool, allow_sockets: bool = False) -> IO[bytes]:
    """The compiled filter in a file without a name. Raises OSError on a machine that has no table here."""
    file = os.fdopen(os.memfd_create("seccomp"), "w+b")
    file.write(build_filter(allow_processes, allow_sockets))
    file.seek(0)
    return file


def build_filter(allow_processes: bool, allow_sockets: bool) -> bytes:
    """The compiled filter. Raises OSError on a machine that has no table here."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(f"no seccomp table for {machine}")
    architecture, numbers = _MACHINES[machine]
    refused = {name: number for name, number in numbers.items() if name != "socket" or not allow_sockets}
    program = _assemble(architecture, refused, allow_processes=allow_processes)
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _assemble(architecture: int, numbers: dict[str, int], allow_processes: bool) -> list[_Instruction]:
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
        if name in ("fork", "vfork", "clone") and allow_processes:
            continue
        if name == "clone":
            program += _assemble_clone(number)
        else:
            # libc falls back from clone3 to clone, whose flags a filter can read.
            code = errno.ENOSYS if name == "clone3" else errno.EPERM
            program += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | code)]
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _assemble_clone(number: int) -> list[_Instruction]:
    """Threads may be made, processes may not."""
    return [
        (_JUMP_EQUAL, 0, 5, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_SET, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | errno.EAGAIN),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _NUMBER),
    ]
