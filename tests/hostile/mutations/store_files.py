"""Store files, damaged: those of a ledger; of a node its decisions, its keys and what its task saved."""

import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from roundwork.client.operations import Signed
from roundwork.errors import BadKeypair, StoreCorrupt
from roundwork.host.keypairs import read_address, read_keypair, write_keypair
from roundwork.node.memory import MemoryFile
from roundwork.node.peers.storage import BlobStore
from roundwork.participant.decisions import ListDecided, OpinionDecided, ValueDecided, Worked
from roundwork.sdk.saved import SavedCorrupt, SavedFile

from ..damaged import FILES, STATES, damage, make_kept
from .room import make_pair
from .surface import Wrong

PASSPHRASE = "a passphrase"
KEYSTORE_SHARE = 0.02
"""Of inputs: to try a passphrase takes time and memory on purpose."""

NODE_FILES = ("memory.db", "key.json", "saved.sqlite", "saved.sqlite-wal", "blobs/index.sqlite")
ROUNDS = 20

DAMAGED = Path(".roundwork/damaged")
"""Where files are kept that led to a wrong answer."""


class Damaged(NamedTuple):
    """One input: the file, and which damage it gets."""

    state: str
    """The state of the ledger that it belongs to; "" for a file of a node."""
    name: str
    seed: int


class StoreFiles:
    """Whole files, and what they say. Each input damages a copy."""

    def __init__(self, directory: Path) -> None:
        self._kept = make_kept(directory / "ledgers")
        self._node = directory / "node"
        self._node.mkdir()
        self._memory = _decide(self._node / "memory.db")
        self._pair = make_pair("kept")
        write_keypair(self._node / "key.json", self._pair)
        write_keypair(self._node / "keystore.json", self._pair, PASSPHRASE)
        self._saved = _save(self._node)
        with closing(BlobStore(self._node / "blobs")) as store:
            self._blobs = {
                store.put(b"blob %d" % at, f"task {at % 3}", at): b"blob %d" % at for at in range(30)
            }
        self._copy = directory / "copy"

    def make(self, random: Random) -> Damaged:
        seed = random.randrange(2**32)
        if random.random() < KEYSTORE_SHARE:
            return Damaged("", "keystore.json", seed)
        if random.random() < 0.5:
            return Damaged("", random.choice(NODE_FILES), seed)
        state = random.choice(STATES)
        return Damaged(state, random.choice(FILES[state]), seed)

    async def attack(self, made: Damaged) -> None:
        """Raises Wrong, with a place where the damaged files are kept: logs of SQLite differ in every run."""
        self._prepare(made)
        try:
            self._judge(made)
        except Wrong as fault:
            self._prepare(made)
            name = f"{made.state or 'node'}-{made.name.replace('/', '-')}-{made.seed}"
            kept = shutil.copytree(self._copy, DAMAGED / name, dirs_exist_ok=True)
            raise Wrong(f"{fault}\n  damaged files: {kept}") from fault

    def _judge(self, made: Damaged) -> None:
        if made.state:
            self._judge_ledger(self._copy)
            return
        match made.name.partition(".")[0]:
            case "memory":
                self._judge_memory()
            case "blobs/index":
                self._judge_blobs()
            case "saved":
                self._judge_saved(made.name.endswith("-wal"))
            case _:
                self._judge_key(made.name)

    async def confirm(self) -> None:
        """Whole copies are right."""
        for state in STATES:
            self._prepare(Damaged(state, "", 0))
            self._kept.examine(self._copy)
        self._prepare(Damaged("", "", 0))
        if (self._read_memory(), self._read_saved()) != (self._memory, self._saved):
            raise Wrong("whole files of a node are read wrongly")

    def _prepare(self, made: Damaged) -> None:
        """A copy with one damaged file; with no damage if it names none."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._kept.directories[made.state] if made.state else self._node, self._copy)
        if made.name:
            path = self._copy / made.name
            random = Random(made.seed)
            raw = path.read_bytes()
            for _ in range(random.choice((1, 1, 1, 2, 4))):
                raw = damage(raw, random) if raw else raw
            path.write_bytes(raw)

    def _judge_ledger(self, directory: Path) -> None:
        fault = self._kept.find_fault(directory)
        if fault:
            raise Wrong(fault)

    def _judge_memory(self) -> None:
        try:
            found = self._read_memory()
        except StoreCorrupt as error:
            _check_named(error, self._copy / "memory.db")
        else:
            if found != self._memory:
                raise Wrong(f"a node remembers {found!r:.300} and not {self._memory!r:.300}")

    def _judge_blobs(self) -> None:
        """All blobs are there; the index is refused where SQLite sees damage."""
        try:
            store = BlobStore(self._copy / "blobs")
        except StoreCorrupt as error:
            _check_named(error, self._copy / "blobs" / "index.sqlite")
            return
        with closing(store):
            if [store.get(content_id) for content_id in self._blobs] != [*self._blobs.values()]:
                raise Wrong("a blob is gone")

    def _judge_key(self, name: str) -> None:
        path = self._copy / name
        try:
            found: Any = read_address(path)
            passphrase = PASSPHRASE if name == "keystore.json" else None
            found = found, read_keypair(path, passphrase)
        except BadKeypair as error:
            _check_named(error, path)
        else:
            if found != (str(self._pair.pubkey()), self._pair):
                raise Wrong(f"another key is read: {found[0]}")

    def _judge_saved(self, is_log: bool) -> None:
        """Values are saved as SQLite's NORMAL mode does: a log that is cut shows an earlier moment."""
        try:
            found = self._read_saved()
        except SavedCorrupt as error:
            _check_named(error, self._copy / "saved.sqlite")
        else:
            moments = (
                [{**self._saved, "counter": count} for count in range(ROUNDS)] if is_log else [self._saved]
            )
            if found not in moments:
                raise Wrong(f"saved values are {found!r:.300} and not {self._saved!r:.300}")

    def _read_memory(self) -> Any:
        with closing(MemoryFile(self._copy / "memory.db")) as file:
            return file.load(), file.on_its_way, file.staked, file.get_reasons(3)

    def _read_saved(self) -> dict[str, Any]:
        with closing(SavedFile(str(self._copy / "saved.sqlite"))) as file:
            return dict(file.across_rounds())


def _check_named(error: Exception, path: Path) -> None:
    if not str(error).startswith(str(path)) or len(str(error)) > 1_000:
        raise Wrong(f"a refusal does not begin with its file, or is long: {error!s:.500}")


def _decide(path: Path) -> Any:
    """A node's decisions in 20 rounds, and what is read of them."""
    with closing(MemoryFile(path)) as file:
        for at in range(ROUNDS):
            file.decide(Worked(at))
            file.decide(ValueDecided(at, f"proof {at} ☃" * 20))
            file.decide(OpinionDecided(at, f"node {at}", "invalid"))
            file.decide(ListDecided(at, {f"node {at}": at, "other": 2**63 - 1}))
            file.keep_reason(at, f"node {at}", "the proof is not there")
        file.forget(2)
        file.on_its_way = Signed(b"\x00wire\xff", 300)
        file.staked = 5_000_000_000
        return file.load(), file.on_its_way, file.staked, file.get_reasons(3)


def _save(folder: Path) -> dict[str, Any]:
    """Values in a file with a log, as a killed task leaves them: 20 moments of one that counts."""
    work = folder / "work"
    work.mkdir()
    with closing(SavedFile(str(work / "saved.sqlite"))) as file:
        values = file.across_rounds()
        for at in range(50):
            values[f"key {at}"] = {"text": "a value ü" * at, "number": at}
        values["counter"] = 0
        file._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for count in range(ROUNDS):
            values["counter"] = count
        for name in ("saved.sqlite", "saved.sqlite-wal"):
            shutil.copy(work / name, folder / name)
        saved = dict(values)
    shutil.rmtree(work)
    return saved


# Processes

READ_NODE = """
import json, sys
from pathlib import Path
from roundwork.errors import RoundworkError
from roundwork.host.keypairs import read_address
from roundwork.node.memory import MemoryFile
from roundwork.sdk.saved import SavedCorrupt, SavedFile
folder = Path(sys.argv[1])
try:
    found = [
        repr(MemoryFile(folder / "memory.db").load()), read_address(folder / "key.json"),
        read_address(folder / "keystore.json"),
        dict(SavedFile(str(folder / "saved.sqlite")).across_rounds()),
    ]
    print(json.dumps(found))
except (RoundworkError, SavedCorrupt) as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


class StoreProcesses(StoreFiles):
    """The same files, read by processes: `ledger info` or `ledger verify`, or a reader of a node's files."""

    async def attack(self, made: Damaged) -> None:
        """Raises Wrong, with a place where the damaged files are kept: logs of SQLite differ in every run."""
        self._prepare(made)
        try:
            self._judge(made)
        except Wrong as fault:
            self._prepare(made)
            name = f"{made.state or 'node'}-{made.name.replace('/', '-')}-{made.seed}"
            kept = shutil.copytree(self._copy, DAMAGED / name, dirs_exist_ok=True)
            raise Wrong(f"{fault}\n  damaged files: {kept}") from fault

    def _judge(self, made: Damaged) -> None:
        if made.state:
            command = "verify" if made.seed % 2 else "info"
            self._check(["-m", "roundwork", "ledger", command, "--json", "--directory"], made)
        else:
            self._check(["-c", READ_NODE], made)

    def _check(self, words: list[str], made: Damaged) -> None:
        done = subprocess.run(
            [sys.executable, *words, str(self._copy)], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode == 1:
            [line, *more] = done.stderr.splitlines() or [""]
            if more or str(self._copy) not in line:
                raise Wrong(f"a refusal is not one line that names the file: {done.stderr[-2000:]}")
        elif done.returncode:
            raise Wrong(f"it ended with {done.returncode}: {done.stderr[-2000:]}")
        elif made.state:
            self._judge_info(json.loads(done.stdout))
        elif json.loads(done.stdout)[:3] != [repr(self._memory[0]), *[str(self._pair.pubkey())] * 2]:
            raise Wrong(f"a process reads {done.stdout:.500}")

    def _judge_info(self, found: dict[str, Any]) -> None:
        if self._kept.head.height not in (found.get("height"), found.get("blocks")):
            raise Wrong(f"a ledger of {self._kept.head.height} blocks says {found!r:.300}")


@asynccontextmanager
async def open_files(directory: Path) -> AsyncIterator[StoreFiles]:
    yield StoreFiles(directory)


@asynccontextmanager
async def open_files_processes(directory: Path) -> AsyncIterator[StoreFiles]:
    yield StoreProcesses(directory)
