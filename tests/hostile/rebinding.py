"""Run in a network namespace of its own: a public host, loopback, a name server, a node's fetcher.

Prints what the node's fetcher got from each name as JSON.
"""

import asyncio
import ipaddress
import json
import subprocess
from collections import Counter
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from roundwork.node.answers import ServiceError
from roundwork.node.peers.outgoing import Fetcher

PUBLIC, LOOPBACK = "93.184.216.34", "127.0.0.1"
NAMES = {
    "rebind.example": [[PUBLIC], [LOOPBACK]],
    "flip.example": [[PUBLIC], [LOOPBACK]],
    "private.example": [[LOOPBACK]],
    "mixed.example": [[PUBLIC, LOOPBACK]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "moved.example": [[PUBLIC]],
    "tls.example": [[PUBLIC]],
}
"""The answers of the name server by name, in turn; the last one stays."""

A, AAAA = 1, 28


class NameServer(asyncio.DatagramProtocol):
    """DNS over UDP, as much of it as a resolver needs."""

    def __init__(self) -> None:
        self.lookups: Counter[str] = Counter()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        labels, at = [], 12
        while size := data[at]:
            labels.append(data[at + 1 : at + 1 + size].decode())
            at += 1 + size
        kind = int.from_bytes(data[at + 1 : at + 3], "big")
        packed = self._find(".".join(labels), kind)
        head = data[:2] + b"\x81\x80\x00\x01" + len(packed).to_bytes(2, "big") + bytes(4)
        records = (
            b"\xc0\x0c"
            + kind.to_bytes(2, "big")
            + b"\x00\x01"
            + bytes(4)
            + len(each).to_bytes(2, "big")
            + each
            for each in packed
        )
        self._transport.sendto(head + data[12 : at + 5] + b"".join(records), address)

    def _find(self, name: str, kind: int) -> list[bytes]:
        answers = NAMES.get(name, [[]])
        found = answers[min(self.lookups[name], len(answers) - 1)]
        self.lookups[name] += kind == A
        version = 6 if kind == AAAA else 4
        return [
            ipaddress.ip_address(each).packed
            for each in found
            if ipaddress.ip_address(each).version == version
        ]


class Host:
    """A web server that says what it is, and remembers what it was requested for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        host = head.partition(b"Host: ")[2].partition(b"\r\n")[0]
        body = f"{self.name} saw {host.decode()}".encode()
        target = {b"moved.example": b"http://private.example/", b"flip.example": b"/again"}.get(host)
        where = b"location: " + target + b"\r\n" if target else b""
        status = b"302 Found" if target else b"200 OK"
        writer.write(
            b"HTTP/1.1 " + status + b"\r\nconnection: close\r\n" + where
            + b"content-length: %d\r\n\r\n" % len(body) + body
        )  # fmt: skip
        await writer.drain()
        writer.close()

    async def listen_for_tls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.read(4096))
        writer.close()


async def fetch(url: str) -> str:
    fetcher = Fetcher(is_development=False)
    try:
        answer = await fetcher.fetch("GET", url, hosts=None, timeout_seconds=20)
    except ServiceError as error:
        return f"{error.kind}: {error}"
    finally:
        await fetcher.close()
    return answer.body.decode()


async def main() -> None:
    server, public, private, tls = NameServer(), Host("public host"), Host("loopback"), Host("tls")
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: server, local_addr=(LOOPBACK, 53))
    async with (
        await asyncio.start_server(public.answer, PUBLIC, 80),
        await asyncio.start_server(tls.listen_for_tls, PUBLIC, 443),
        await asyncio.start_server(private.answer, LOOPBACK, 80),
    ):
        answers: dict[str, Any] = {
            name: await fetch(f"http://{name}.example/")
            for name in ("rebind", "private", "mixed", "moved", "mapped")
        }
        answers["again"] = await fetch("http://flip.example/")
        answers["tls"] = await fetch("https://tls.example/")
    answers["lookups of rebind.example"] = server.lookups["rebind.example"]
    answers["requests at loopback"] = [head.decode() for head in private.requests]
    answers["name in TLS"] = any(b"tls.example" in head for head in tls.requests)
    print(json.dumps(answers))


if __name__ == "__main__":
    for command in ("link set lo up", f"address add {PUBLIC}/32 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    with NamedTemporaryFile("w") as resolver:
        resolver.write(f"nameserver {LOOPBACK}\n")
        resolver.flush()
        subprocess.run(
            ["mount", "--bind", resolver.name, str(Path("/etc/resolv.conf").resolve())], check=True
        )
        asyncio.run(main())
