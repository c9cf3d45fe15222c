"""What leaves the node on behalf of a task: HTTP requests within permitted hosts, sizes and politeness."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, body within the limit."""

    url: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Fetcher:
    """HTTP for strangers' code: public addresses only, checked on the address that is connected to.

    Private, loopback and link-local addresses are refused outside development networks.
    """

    def __init__(
        self, *, is_development: bool, requests_per_second: float = 5.0, body_bytes_max: int = 8 * 1024 * 1024
    ) -> None: ...

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        hosts: Sequence[str] | None,
        timeout_seconds: float = 30.0,
    ) -> Answer:
        """One request, redirects followed within `hosts` (None: any host, for peers' endpoints).

        Raises ServiceError: Refused for a host, scheme, address or size that is not allowed, Unavailable
        for one that does not answer.
        """
        raise NotImplementedError

    async def close(self) -> None: ...
