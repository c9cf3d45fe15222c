"""Big files and deep folders of a JavaScript task cost the node no memory, no descriptors and no time."""

import asyncio
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roundwork.node.javascript import task_files
from roundwork.node.javascript.namespace_route import CALLS_MAX
from roundwork.node.javascript.reading import READ_BYTES_MAX, read_data
from roundwork.node.javascript.task_files import BadCall, TaskFiles

from ..ledger.process import RunningLedger, running
from ..node.javascript.test_namespace import SECRET, Room, use

MIB = 1024 * 1024
LEVELS = 3000


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("files") / "ledger") as ledger:
        yield ledger


@pytest.fixture
def files(tmp_path: Path) -> Iterator[TaskFiles]:
    home = tmp_path / "home"
    home.mkdir()
    files = TaskFiles(home, bytes_max=100 * MIB)
    yield files
    files.close()


def make_deep(home: Path) -> None:
    """Folders within one another, with a file in each, deeper than a path can name."""
    folder = os.open(home, os.O_RDONLY)
    for _ in range(LEVELS):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
        os.mkdir("deep", dir_fd=folder)
        inner = os.open("deep", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)


def test_a_folder_of_any_depth_is_removed_with_few_descriptors(files: TaskFiles) -> None:
    make_deep(files.root)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 10, hard))
    try:
        files.call("rm", "deep", {"recursive": True})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert ["file"] == files.call("readdir", ".")


def test_what_a_link_in_a_removed_folder_names_stays(files: TaskFiles, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (files.root / "folder").mkdir()
    (files.root / "folder" / "link").symlink_to(tmp_path / "kept")

    files.call("rm", "folder", {"recursive": True})

    assert "x" == (tmp_path / "kept" / "file").read_text()
    assert [] == files.call("readdir", ".")


def test_a_path_of_two_thousand_folders_is_made(files: TaskFiles) -> None:
    path = "/".join("d" * 2000)

    files.call("mkdir", path, {"recursive": True})
    files.call("rm", "d", {"recursive": True})

    assert [] == files.call("readdir", ".")


def test_names_that_are_not_utf8_are_listed_as_node_lists_them(files: TaskFiles) -> None:
    os.close(os.open(os.fsencode(files.root) + b"/\xff", os.O_CREAT))

    assert ["\ufffd"] == files.call("readdir", ".")
    assert [{"name": "\ufffd", "path": "."}] == files.call("readdir", ".", {"withFileTypes": True})


def test_a_long_list_of_a_folder_is_refused(files: TaskFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_files, "LIST_ENTRIES_MAX", 2)
    for name in "ab":
        (files.root / name).touch()
    assert ["a", "b"] == files.call("readdir", ".")
    (files.root / "c").touch()

    with pytest.raises(BadCall, match="EFBIG"):
        files.call("readdir", ".")


def test_a_file_is_copied_in_pieces_and_never_onto_itself(files: TaskFiles) -> None:
    """60 MB, by a process that takes less than 20 for it."""
    with (files.root / "large").open("wb") as large:
        large.truncate(60 * MIB)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    files.call("copyFile", "large", "copy")

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 20 * 1024
    assert 60 * MIB == (files.root / "copy").stat().st_size
    with pytest.raises(BadCall, match="EINVAL"):
        files.call("copyFile", "copy", "copy")
    assert 60 * MIB == (files.root / "copy").stat().st_size
    with (files.root / "large").open("wb") as large:
        large.truncate(READ_BYTES_MAX + 1)
    with pytest.raises(BadCall, match="EFBIG"):
        files.call("readFile", "large")


@pytest.mark.parametrize("encoding", [None, "utf8", "latin1", "ascii", "hex", "base64"])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 48 * 1024 - 1, 48 * 1024, 48 * 1024 + 1, 150_001])
def test_pieces_are_the_file_in_every_encoding(files: TaskFiles, encoding: str | None, size: int) -> None:
    import base64

    data = ('aé☃\\"\n\0' * (size // 4 + 1)).encode()[:size]
    (files.root / "file").write_bytes(data)
    expected: Any = {
        None: {"type": "Buffer", "data": [*data]},
        "utf8": data.decode("utf-8", "replace"),
        "latin1": data.decode("latin-1"),
        "ascii": bytes(byte & 0x7F for byte in data).decode(),
        "hex": data.hex(),
        "base64": base64.b64encode(data).decode(),
    }[encoding]

    assert expected == files.call("readFile", "file", encoding).read()


@pytest.mark.parametrize("size", [0, 1, 49_151, 49_152, 200_000])
def test_what_is_written_is_read_in_pieces_in_every_form(size: int) -> None:
    data = bytes(at * 7 % 256 for at in range(size))
    numbers = ",".join(map(str, data)).encode()
    typed = ",".join(f'"{at}":{byte}' for at, byte in enumerate(data)).encode()

    assert data == read_data(b' {"type" : "Buffer", "data": [' + numbers + b"] } ")
    assert data == read_data(b"[" + numbers + b"]")
    assert data == read_data(b"{" + typed + b"}")
    assert "text" == read_data(b'"text"')


def test_a_big_file_crosses_in_pieces_while_the_node_serves_others(
    ledger: RunningLedger, tmp_path: Path
) -> None:
    data = os.urandom(8 * MIB)

    async def work(room: Room) -> None:
        (room.home / "large").write_bytes(data)
        call = {"args": ["fs", "readFile", "large"], "taskId": room.task, "secret": SECRET}
        async with room.http.stream("POST", "/namespace-wrapper", json=call) as answer:
            assert "chunked" == answer.headers["transfer-encoding"]  # its length is not known when it begins
            assert "ok" == (await room.http.get("/health")).text
            assert {"response": {"type": "Buffer", "data": [*data]}} == json.loads(await answer.aread())

    use(ledger, tmp_path, work)


def test_calls_that_do_not_come_whole_hold_up_no_other(ledger: RunningLedger, tmp_path: Path) -> None:
    """Only the whole of a call shows the secret, so before that its sender may be any process here."""

    async def work(room: Room) -> None:
        host, _, port = room.url.removeprefix("http://").partition(":")
        call = json.dumps({"args": ["getRpcUrl"], "taskId": room.task, "secret": SECRET}).encode()
        head = b"POST /namespace-wrapper HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(call)
        halves = [await asyncio.open_connection(host, int(port)) for _ in range(CALLS_MAX + 1)]
        for _, writer in halves:
            writer.write(head + call[:-1])
            await writer.drain()

        assert ledger.url == await room.ask("getRpcUrl")

        for reader, writer in halves:  # none of them had to give way for it
            writer.write(call[-1:])
            assert b"HTTP/1.1 200" in await reader.readline()
            writer.close()

    use(ledger, tmp_path, work)


def test_a_call_of_any_bytes_is_answered(ledger: RunningLedger, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        bodies = (
            b"",
            b"\xff",
            b"[" * 100_000,
            b'{"args": ["\xff"]}',
            b"[1]",
            b'{"args": {"0": 1}}',
            b"9" * 5000,
        )
        for body in bodies:
            assert 422 == (await room.http.post("/namespace-wrapper", content=body)).status_code
        deep: Any = []
        for _ in range(120):
            deep = [deep]
        for args in (
            ["fs", "writeFile", "x", [256]],
            ["fs", "writeFile", "x", {"1": 1}],
            ["fs", "writeFile", "x", {"type": "Buffer", "data": ["a"]}],
            ["fs", "writeFile", "x", deep],
            ["fs", "readFile", {}],
            ["signData", "x" * 100_000],
            ["signData", {"a": 10**400} | dict.fromkeys(map(str, range(10_000)), 1)],
            ["verifySignedData", "z" * 100_000, "x"],
            ["sendTransaction", room.url, room.url, 2**64],
            ["stakeOnChain", room.task, None, room.task, 10**400],
            ["uploadDistributionList", {"a": "x" * 3_000_000}, 1],
            [5],
            [{"a": 1}],
        ):
            answer = await room.ask(*args)
            assert isinstance(answer, str) or "error" in answer
            assert "the node failed" not in str(answer)
        assert ledger.url == await room.ask("getRpcUrl")

    use(ledger, tmp_path, work)
