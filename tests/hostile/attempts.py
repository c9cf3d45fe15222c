"""What hostile tasks try: a line of Python for each, and what it is called.

In each line `call` makes a system call by its number (of x86_64), `run` runs machine code, `node` is the
node's directory, `parent` the node's process id, `port` a TCP port of the machine that answers.
"""

ATTEMPTS = {
    "read the machine's users": "open('/etc/passwd').read()",
    "read the node's key": "open(node + '/node-key.json').read()",
    "read another task's state": "open(node + '/other/state.sqlite').read()",
    "list the node's directory": "os.listdir(node).index('node-key.json')",
    "list the root's home": "os.listdir(os.path.expanduser('~root'))",
    "climb out of its home": "open(str(ctx.files) + '/../../node-key.json').read()",
    "follow a link out": "os.symlink(node + '/node-key.json', 'link'); open('link').read()",
    "follow a linked folder out": "os.symlink(node, 'folder'); open('folder/node-key.json')",
    "link a file in": "os.link(node + '/node-key.json', 'linked'); open('linked').read()",
    "rename a file in": "os.rename(node + '/node-key.json', 'mine')",
    "write outside": "open(node + '/written', 'w').write('x')",
    "write its own program": "open(folder + '/task.py', 'a').write('x')",
    "write the SDK": "open(sdk + '/task.py', 'a').write('x')",
    "delete outside": "os.unlink(node + '/node-key.json')",
    "change modes outside": "os.chmod(node + '/node-key.json', 0o777)",
    "read the node's environment": "open(f'/proc/{parent}/environ').read()",
    "read the node's memory": "open(f'/proc/{parent}/mem').read(1)",
    "use the node's descriptors": "os.listdir(f'/proc/{parent}/fd')",
    "read the machine's memory": "open('/dev/mem', 'rb').read(1)",
    "connect to the node": "socket.create_connection(('127.0.0.1', port), 2)",
    "connect to the world": "socket.create_connection(('192.0.2.1', 80), 2)",
    "listen": "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); s.accept()",
    "send datagrams": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
    "open an MPTCP socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",
    "open an SCTP socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)",
    "open a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "listen without binding": "socket.socket().listen()",
    "listen on one of a pair": "socket.socketpair()[0].listen()",
    "connect to a unix socket": "socket.socket(socket.AF_UNIX).connect(node + '/node.sock')",
    "connect to an abstract socket": "socket.socket(socket.AF_UNIX).connect(chr(0) + f'roundwork-{parent}')",
    "bound the node's files": "resource.prlimit(parent, resource.RLIMIT_CORE, (0, 0))",
    "slow the node down": "os.setpriority(os.PRIO_PROCESS, parent, 1)",
    "crowd the node": "os.sched_setaffinity(parent, os.sched_getaffinity(0))",
    "change times outside": "os.utime(node + '/node-key.json', (1, 1))",
    "change owners outside": "os.chown(node + '/node-key.json', os.getuid(), os.getgid())",
    "mark a file outside": "os.setxattr(node + '/node-key.json', 'user.x', b'x')",
    "become somebody else": "os.setuid(12345)",
    "watch the node's files": (
        "key = (node + '/node-key.json').encode(); call(254, call(253), address(key), 2)"
    ),
    "signal the node": "os.kill(parent, 0)",
    "kill the node": "os.kill(parent, 9)",
    "kill its parent": "os.kill(os.getppid() if os.getppid() > 1 else parent, 9)",
    "fork": "os.fork() or os._exit(0)",
    "run a program": "subprocess.run([sys.executable, '-c', 'pass'], check=True)",
    "become a shell": "os.execv('/bin/sh', ['sh'])",
    "open an io_uring": "call(425, 8, 0)",
    "make a namespace": "call(272, 0x10000000)",
    "change its root": "os.chroot('/')",
    "take the node's descriptor": "fd = call(434, parent, 0); call(438, fd, 1, 0)",
    "hide memory in a file": "os.memfd_create('x')",
    "hide memory in a shared segment": "call(29, 0, 4096, 0o1777)",
    "leave a semaphore behind": "call(64, 0, 1, 0o1777)",
    "leave a message queue behind": "call(68, 0, 0o1777)",
    "outlive the node": "call(157, 1, 0, 0, 0, 0)",
    "clone itself": "call(56, 17, 0, 0, 0, 0) or os._exit(0)",
    "clone itself in a new namespace": "call(56, 0x20000011, 0, 0, 0, 0) or os._exit(0)",
    "use what root may do": (
        "head, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()\n"
        "call(125, ctypes.addressof(head), ctypes.addressof(data))\n"
        "if not any(data): raise OSError('nothing')"
    ),
    "change a network interface": (
        "fcntl.ioctl(pair[0], 0x8943, b'lo' + bytes(14) + (1000).to_bytes(24, 'little'))"
    ),
    "look at a network interface": "fcntl.ioctl(pair[0], 0x8912, bytes(16))",
    "mark a file for the file system": "fcntl.ioctl(open('f', 'w'), 0x40086602, bytes(8))",
    "look at a file's marks": "fcntl.ioctl(open('f', 'w'), 0x80086601, bytes(8))",
    "hide memory in a pipe": "fcntl.fcntl(pipe[1], 1031, 1 << 20)",
    "hide pages in a pipe": "call(278, pipe[1], 0, 0, 0)",
    "hide memory in a socket": "pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)",
    "hide open files in a socket": "socket.send_fds(pair[0], [b'x'], [pipe[0]])",
    "hide memory in rules": "call(444, 0, 0, 1)",
    "take the machine's asynchronous requests": (
        "place = (ctypes.c_ulong * 1)(); call(206, 1, ctypes.addressof(place))"
    ),
    "take the machine's watches": "call(253)",
    "take the machine's watches again": "call(294, 0)",
    "let other programs wait for its lease": "fcntl.fcntl(open('f', 'w').fileno(), 1024, fcntl.F_RDLCK)",
    "have signals sent": "fcntl.fcntl(pipe[0], 8, os.getpid())",
    "have a signal chosen": "fcntl.fcntl(pipe[0], 10, 9)",
    "stack a filter": "action = (ctypes.c_uint32 * 1)(0x7FFF0000); call(317, 2, 0, ctypes.addressof(action))",
    "open a unix socket": "socket.socket(socket.AF_UNIX)",
    "open a virtual machine's socket": "socket.socket(40, socket.SOCK_STREAM)",
    "open a crypto socket": "socket.socket(38, socket.SOCK_SEQPACKET)",
    "open a packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "signal a thread of the node": "call(200, parent, 0)",
    "signal the node's group of threads": "call(234, parent, parent, 0)",
    "signal the node by a descriptor": "fd = call(434, parent, 0); call(424, fd, 0, 0, 0)",
    "raise its memory limit": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "raise its file limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (9999, 9999))",
    "hide from its node": "call(157, 4, 0, 0, 0, 0)",
    "give up its name": "call(157, 59, 0, 0, 0, 0)",
    "open a file by a struct": "call(437, -100, 0, 0, 0)",
    "let nobody wait for its child": "call(56, 0x50F00 | 0x2000, 0, 0, 0, 0)",
    "make a thread in a namespace": "call(56, 0x50F00 | 0x4000000, 0, 0, 0, 0)",
    "make a child by a struct": "call(435, 0, 0)",
    "call what does not exist yet": "call(500, 0)",
    "hide pages between pipes": "call(276, pipe[0], pipe[1], 1, 0)",
    "change modes at home": "os.chmod(open('f', 'w').name, 0o4755)",
    "mark a file at home": "os.setxattr(open('f', 'w').name, 'user.x', bytes(4096))",
    "make a device": "os.mknod('device', 0o20666, os.makedev(1, 3))",
    "lock memory": "call(149, 0, 4096)",
}

KILLED = {
    "set the clock": "import time; time.clock_settime(time.CLOCK_REALTIME, time.time())",
    "read the kernel's log": "call(103, 10, 0, 0)",
    "trace the node": "call(101, 16, parent, 0, 0)",
    "read the node through the kernel": "call(310, parent, 0, 0, 0, 0, 0)",
    "load a BPF program": "call(321, 0, 0, 0)",
    "mount": "call(165, 0, 0, 0, 0, 0)",
    "open by handle": "call(304, -100, 0, 0)",
    "hide memory from the kernel": "call(447, 0)",
    "compare the node's descriptors": "call(312, parent, parent, 0, 0, 0)",
    "catch page faults": "call(323, 0)",
    "hide memory in a keyring": "call(250, 0, -2, 1)",
    "change its descriptor table": "call(154, 0, 0, 0)",
    "read its own memory through the kernel": "call(310, os.getpid(), 0, 0, 0, 0, 0)",
    "open another's mounts": "call(428, -100, 0, 0)",
    "measure the machine": "call(298, 0, 0, -1, -1, 0)",
    "load a module": "call(313, 0, 0, 0)",
    "call the kernel as another kind of program": "call(0x40000000 + 39)",
    "call the kernel as a 32-bit program": "run('b814000000cd80c3')",
}
"""What no library calls: no refusal, the end."""

CHILDREN = {
    "in a new namespace": "call(56, 0x10000011, 0, 0, 0, 0) or os._exit(0)",
    "in a new network": "call(56, 0x40000011, 0, 0, 0, 0) or os._exit(0)",
    "in new mounts": "call(56, 0x20011, 0, 0, 0, 0) or os._exit(0)",
    "with other users": "subprocess.run([sys.executable], user=12345)",
    "of the node's": "call(56, 0x8011, 0, 0, 0, 0) or os._exit(0)",
    "whom nobody can trace": "call(56, 0x800011, 0, 0, 0, 0) or os._exit(0)",
}

HELPERS = """
import ctypes, fcntl, resource, socket, subprocess

def call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.syscall(number, *[ctypes.c_long(argument) for argument in arguments])
    if answer < 0:
        raise OSError(ctypes.get_errno(), "system call")
    return answer

def address(data):
    return id(data) + bytes.__basicsize__ - 1

def run(code):
    import mmap
    place = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    place.write(bytes.fromhex(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(place)))()

def prepare(ctx):
    folder = os.path.dirname(sys.modules["task"].__spec__.origin)
    sdk = os.path.dirname(sys.modules["roundwork"].__file__)
    return {**globals(), **ctx.params, "ctx": ctx, "folder": folder, "sdk": sdk,
            "pair": socket.socketpair(), "pipe": os.pipe()}
"""

TRY_ALL = (
    HELPERS
    + """
@task.submission
def submission(ctx):
    done = []
    for name, line in ctx.params["attempts"].items():
        try:
            exec(line, prepare(ctx))
        except (OSError, ValueError) as error:
            print(name, repr(error))
        else:
            done.append(name)
    return "; ".join(done)[:500] or "nothing"
"""
)
"""Tries all `attempts` of its params, and answers with the names of those that were not refused."""

TRY = (
    HELPERS
    + """
@task.submission
def submission(ctx):
    exec(ctx.params["attempt"], prepare(ctx))
    return "done"
"""
)
