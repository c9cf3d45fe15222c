"""A website on this machine: HTTP, and HTTPS with a certificate of an authority of its own."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple


class Website(NamedTuple):
    """Where it is; the file of its authority's certificate; the first lines of requests."""

    port: int
    authority: Path
    lines: list[str]


@asynccontextmanager
async def open_website(
    directory: Path, is_secure: bool = True, name: str = "localhost"
) -> AsyncIterator[Website]:
    """A website at `name`; it answers "this is the site"."""
    context = make_certificate(directory, name) if is_secure else None
    lines: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines.append(head.split(b"\r\n")[0].decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nthis is the site")
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield Website(server.sockets[0].getsockname()[1], directory / "authority.pem", lines)
    finally:
        server.close()


def make_certificate(directory: Path, name: str) -> ssl.SSLContext:
    """An authority, and a certificate by it for a name, in a directory."""

    directory.mkdir(parents=True, exist_ok=True)

    def run(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run(
        "req",
        "-x509",
        *key,
        "-keyout",
        "authority.key",
        "-out",
        "authority.pem",
        "-subj",
        "/CN=Test authority",
    )
    run("req", "-new", *key, "-keyout", "site.key", "-out", "site.csr", "-subj", f"/CN={name}")
    (directory / "names").write_text(f"subjectAltName=DNS:{name}\n")
    signing = ("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", "names")
    run("x509", "-req", "-in", "site.csr", *signing, "-out", "site.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "site.pem", directory / "site.key")
    return context
