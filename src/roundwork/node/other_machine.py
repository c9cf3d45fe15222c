"""What makes a process of `check` look as if it ran on another machine than this one."""

import os

MACHINES = 4
"""How many other machines there are. A set of two texts has the same order on all of them 1 time in 16."""
PROGRAM = "roundwork_other_machine.py"
"""The name of the program that changes the machine; the author's code does not see the file."""

_SOURCE = """
import datetime, os, socket, time

MACHINE = int(os.environ["PYTHONHASHSEED"])

def change_clock(late):
    for name, unit in (("time", 1), ("time_ns", 10**9)):
        real = getattr(time, name)
        setattr(time, name, lambda real=real, unit=unit: real() + late * unit)

    def of_now(real):
        return lambda seconds=None: real(time.time() if seconds is None else seconds)

    for name in ("localtime", "gmtime", "ctime"):
        setattr(time, name, of_now(getattr(time, name)))
    strftime, asctime = time.strftime, time.asctime
    time.strftime = lambda form, moment=None: strftime(form, time.localtime() if moment is None else moment)
    time.asctime = lambda moment=None: asctime(time.localtime() if moment is None else moment)

    class Datetime(datetime.datetime):
        @classmethod
        def now(cls, tz=None): return cls.fromtimestamp(time.time(), tz)
        @classmethod
        def utcnow(cls): return cls.now(datetime.timezone.utc).replace(tzinfo=None)
        @classmethod
        def today(cls): return cls.now()

    class Date(datetime.date):
        @classmethod
        def today(cls): return cls.fromtimestamp(time.time())

    datetime.datetime, datetime.date = Datetime, Date
    time.tzset()

def change_processors(count):
    os.cpu_count = lambda: count
    os.process_cpu_count = lambda: count
    os.sched_getaffinity = lambda pid: set(range(count))

def change_names():
    getpid, uname = os.getpid, os.uname()
    os.getpid = lambda: getpid() + 1000 * MACHINE
    name = f"machine-{MACHINE}"
    socket.gethostname = lambda: name
    changed = os.uname_result((uname[0], name, *uname[2:]))
    os.uname = lambda: changed

def change_listings():
    listdir, scandir = os.listdir, os.scandir

    def order(entries, get_name):
        seen = [each for each in entries if get_name(each) != OWN_NAME]
        return sorted(seen, key=get_name, reverse=MACHINE % 2 == 1)

    class Entries:
        def __init__(self, path):
            with scandir(path) as entries:
                self._entries = iter(order(entries, lambda each: each.name))
        def __iter__(self): return self
        def __next__(self): return next(self._entries)
        def __enter__(self): return self
        def __exit__(self, *failure): self.close()
        def close(self): self._entries = iter(())

    os.listdir = lambda path=".": order(listdir(path), lambda name: name)
    os.scandir = lambda path=".": Entries(path)

change_clock(late=400 * 86400)
change_processors(7)
change_names()
os.makedirs(folder := os.path.join(os.environ["HOME"], "elsewhere"), exist_ok=True)
os.chdir(folder)
OWN_NAME = os.path.basename(__file__)
change_listings()
__file__ = os.path.join(os.path.dirname(__file__), PROGRAM)
with open(__file__, encoding="utf-8") as file:
    source = file.read()
exec(compile(source, __file__, "exec"))
"""


def compose_source(program: str) -> str:
    """The text of PROGRAM, which changes the machine and then runs the author's `program` beside it."""
    return f"PROGRAM = {program!r}\n{_SOURCE}"


def compose_variables(machine: int) -> dict[str, str]:
    """The environment of a machine, which has a number from 1 to MACHINES."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {
        "PYTHONHASHSEED": str(machine),
        "TZ": "Asia/Kathmandu",
        "LANG": "C",
        "LC_ALL": "C",
        "USER": f"user-{machine}",
        "LOGNAME": f"user-{machine}",
        "HOSTNAME": f"machine-{machine}",
        "PATH": f"{os.defpath}:/opt/machine-{machine}/bin",
        **dict.fromkeys(threads, "7"),
    }
