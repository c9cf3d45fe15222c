"""The leanest client: JSON-RPC bodies over kept connections, so that a benchmark measures the ledger."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Connection:
    """One kept HTTP connection to a ledger."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    @classmethod
    async def open(cls, url: str, local: str | None = None) -> Self:
        """A connection to a ledger, from an address of this machine if one is given."""
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port, limit=2**20, local_addr=(local, 0) if local else None
        )
        head = f"POST / HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        return cls(reader, writer, head.encode())

    async def post(self, body: bytes) -> bytes:
        """The body that a body is answered with."""
        self._writer.write(b"%scontent-length: %d\r\n\r\n%s" % (self._head, len(body), body))
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        size = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return await self._reader.readexactly(int(size))

    async def call(self, method: str, *params: object) -> Any:
        """What a method returns."""
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        answer = msgspec.json.decode(await self.post(body))
        assert "result" in answer, answer
        return answer["result"]

    def close(self) -> None:
        self._writer.close()


async def post_all(connections: Sequence[Connection], bodies: Sequence[bytes]) -> list[bytes]:
    """Post bodies in their order, on each connection the next one when the last is answered."""
    waiting = iter(bodies)
    answers: list[bytes] = []

    async def post_next(connection: Connection) -> None:
        for body in waiting:
            answers.append(await connection.post(body))

    await asyncio.gather(*map(post_next, connections))
    return answers


def get_processor_seconds(process: int) -> tuple[float, float]:
    """Processor time that a process has used so far, and that its children have."""
    with open(f"/proc/{process}/task/{process}/children") as file:
        children = [int(one) for one in file.read().split()]
    return _get_seconds(process), sum(map(_get_seconds, children))


def _get_seconds(process: int) -> float:
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
