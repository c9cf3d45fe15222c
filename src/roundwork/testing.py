"""For an author's own tests: a round of one node in this process, without a ledger, a sandbox or real time.

from roundwork.testing import run_round

played = run_round("my-task", network=httpx2.MockTransport(answer))
assert played.opinion == "valid"
assert played.audit("something else").opinion == "invalid"
"""

from __future__ import annotations

import base64
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx2
import msgspec
from blake3 import blake3
from solders.keypair import Keypair

from .errors import TaskFailed
from .node.peers.outgoing import is_permitted
from .node.properties import mutate
from .package.folder import Package, load_package, resolve_hosts
from .package.requirements import ANY_HOST
from .protocol.params import KOII
from .sdk.task import Refused, Task, Unavailable
from .sim.functions import Functions, FunctionsSetting
from .sim.loading import load_task
from .sim.services import Answer, Commons, Services
from .views import SubmissionView
from .wire import decode_json

__all__ = ["Judged", "Played", "Recording", "run_round"]

CALL_SECONDS = 60.0
BOUNTY = 10 * KOII
STAKE = 10 * KOII
REDIRECTS_MAX = 5
AUDITOR = 500
"""The number of the node that audits."""


class Judged(NamedTuple):
    """What an audit function said: "valid", "invalid" or "unavailable" (no vote), and why."""

    opinion: str
    reason: str


class Played:
    """What became of a round that `run_round` played. Every audit is another node's."""

    def __init__(
        self, worker: _Node, auditor: _Node, round_number: int, seed: str, play: Callable[[int], Played]
    ) -> None:
        self._worker = worker
        self._auditor = auditor
        self._play = play
        self._round_number = round_number
        self._seed = seed
        self.node = worker.address
        """The address of the node that did the work."""
        self.value: str | None = None
        """What `submission` returned."""
        self.opinion = "unavailable"
        """What the other node's audit said of it: "valid", "invalid", or "unavailable" (no vote)."""
        self.reason = ""
        """Why."""
        self.seconds: dict[str, float] = {}
        """How long each function took: work, submission, audit, distribution."""

    @property
    def state(self) -> dict[str, Any]:
        """`ctx.state` of the round, as the node that did the work has it."""
        return dict(self._worker.functions.saved.of_round(self._round_number))

    @property
    def requests(self) -> list[tuple[str, str]]:
        """What was requested of the network: method and URL."""
        return [(method, url) for _, method, url in self._worker.commons.requests]

    @property
    def mutations(self) -> list[str]:
        """The submission changed in ways that a careless or hostile node would send."""
        return mutate(self.value) if self.value else []

    def play_neighbour(self, node: int = 2) -> Played:
        """The same round as another node of the same network plays it. Raises TaskFailed."""
        return self._play(node)

    def audit(self, value: str | None, node: str | None = None) -> Judged:
        """What the other node says of a value, submitted by `node` (else by the one that did the work).

        Raises TaskFailed if the audit function raises, or answers with something else than an opinion.
        """
        if value is None:
            raise TaskFailed("there is no submission to audit")
        opinion, reason = self._auditor.functions.audit(
            self._round_number, self._seed, node or self.node, value, STAKE, CALL_SECONDS
        )
        return Judged(opinion, reason)

    def distribute(
        self, votes: Sequence[int] = (1, 1, -1), stakes: Sequence[int] = (STAKE,) * 3, bounty: int = BOUNTY
    ) -> list[int]:
        """The amount for each of a round's nodes, by their votes (below 0: convicted) and stakes, in roe.

        The first is the node that did the work; all submitted what it did. Raises TaskFailed.
        """
        views = [
            SubmissionView(
                node=self.node if not index else str(_make_keypair(1000 + index).pubkey()),
                value=self.value or "nothing",
                slot=1,
                stake=stakes[index],
                votes=vote,
                verdict="untried" if vote > 0 else "convicted" if vote < 0 else "inconclusive",
                trigger_by=None,
                auditors={},
            )
            for index, vote in enumerate(votes)
        ]
        by_address = sorted(views, key=lambda each: each.node)
        amounts = self._worker.functions.distribute(self._round_number, bounty, by_address)
        return [amounts.get(each.node, 0) for each in views]


class _Answer(msgspec.Struct, frozen=True):
    """A recorded answer. The body is base64 in the file."""

    status: int
    headers: dict[str, str]
    body: bytes


class Recording(httpx2.BaseTransport):
    """Answers of the network in a file: what is not in it is requested through `through`, and kept.

    Without `through` a request that the file does not have raises ConnectError, so a test never needs the
    network.
    """

    def __init__(self, path: Path | str, through: httpx2.BaseTransport | None = None) -> None:
        self._path = Path(path)
        self._through = through
        self._answers: dict[str, _Answer] = {}
        """By method, URL and body."""
        if self._path.exists():
            self._answers = decode_json(self._path.read_bytes(), dict[str, _Answer])

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The recorded answer, or a new one. Raises ConnectError."""
        name = f"{request.method} {request.url} {request.read().hex()}".rstrip()
        if name not in self._answers:
            if self._through is None:
                raise httpx2.ConnectError(f"{request.method} {request.url} is not recorded", request=request)
            response = self._through.handle_request(request)
            response.read()
            headers = {key: value for key, value in response.headers.items() if key not in _OF_THE_TRANSFER}
            self._answers[name] = _Answer(response.status_code, headers, response.content)
            whole = msgspec.json.encode(dict(sorted(self._answers.items())))
            self._path.write_bytes(msgspec.json.format(whole, indent=1))
        answer = self._answers[name]
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body)


_OF_THE_TRANSFER = ("content-encoding", "content-length", "transfer-encoding", "connection")
"""Headers that are about how the answer came, not about what it is."""


def run_round(
    task: Task | Path | str,
    *,
    round: int = 0,
    seed: int = 0,
    node: int = 1,
    params: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    network: httpx2.BaseTransport | None = None,
    peers: Mapping[str, Any] | None = None,
    seconds_left: float = CALL_SECONDS,
) -> Played:
    """Play one node's round: work, submission, and another node's audit of the submission.

    `task` is a Task or a task's folder, whose params and permitted hosts count. The same `seed` and `node`
    give the same `ctx.seed` and `ctx.random`. `network` answers `ctx.http`, an httpx2 transport, for example
    httpx2.MockTransport or Recording; without one every host is unavailable. `peers`: what the routes of
    other nodes return, by address. Raises TaskFailed if a function raises or answers what it must not,
    BadTaskFile, BadConfig.
    """
    package = None if isinstance(task, Task) else load_package(Path(task))
    loaded = task if isinstance(task, Task) else load_task(load_package(Path(task)))
    all_params = {**(package.params if package else {}), **(params or {})}
    commons = Commons(_Network(network, _find_hosts(package, all_params)) if network else None)
    for address, routes in (peers or {}).items():
        commons.routes[address] = partial(_identity, routes)
    beacon = blake3(f"roundwork/testing/{seed}".encode()).hexdigest()
    files = TemporaryDirectory(prefix="roundwork-")

    def make_node(number: int) -> _Node:
        return _Node(loaded, commons, number, all_params, dict(secrets or {}), files.name)

    auditor = make_node(AUDITOR)

    def play(number: int) -> Played:
        worker = make_node(number)
        played = Played(worker, auditor, round, beacon, play)
        with _timing(played, "work"):
            worker.functions.work(round, beacon, seconds_left)
        with _timing(played, "submission"):
            played.value = worker.functions.submit(round, beacon, seconds_left)
        if played.value is not None:
            with _timing(played, "audit"):
                played.opinion, played.reason = played.audit(played.value)
        return played

    played = play(node)
    weakref.finalize(auditor, files.cleanup)
    return played


class _Node:
    """A node of a round that is played: its keys, its services, its functions."""

    def __init__(
        self,
        task: Task,
        commons: Commons,
        number: int,
        params: Mapping[str, Any],
        secrets: Mapping[str, str],
        files: str,
    ) -> None:
        keypair = _make_keypair(number)
        self.commons = commons
        self.address = str(keypair.pubkey())
        folder = Path(files) / str(number)
        folder.mkdir(exist_ok=True)
        setting = FunctionsSetting(
            task=str(_make_keypair(0).pubkey()),
            node=self.address,
            secret=bytes(keypair)[:32],
            params=params,
            secrets=secrets,
            files=str(folder),
        )
        self.functions = Functions(task, setting, Services(keypair, commons).request)


class _Network:
    """`ctx.http` on an httpx2 transport. `hosts` are those that the task's configuration permits."""

    def __init__(self, transport: httpx2.BaseTransport, hosts: Sequence[str] | None) -> None:
        self._hosts = hosts
        self._client = httpx2.Client(
            transport=transport,
            follow_redirects=True,
            max_redirects=REDIRECTS_MAX,
            event_hooks={"request": [self._check]},
        )

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Raises Unavailable, Refused."""
        try:
            response = self._client.request(method, url, headers=headers, content=body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(f"{method} {url}: {type(error).__name__} {error}".rstrip()) from error
        return {
            "url": str(response.url),
            "status": response.status_code,
            "headers": dict(response.headers),
            "body": base64.b64encode(response.content).decode(),
        }

    def _check(self, request: httpx2.Request) -> None:
        url = request.url
        port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
        hosts = self._hosts
        if hosts is not None and ANY_HOST not in hosts and not is_permitted(url.host, port, hosts):
            raise Refused(f"{url.host} is not among the permitted hosts: {', '.join(hosts) or 'none'}")


def _find_hosts(package: Package | None, params: Mapping[str, Any]) -> Sequence[str] | None:
    return None if package is None else resolve_hosts(package, dict(params))


def _identity(value: Any) -> Any:
    return value


def _make_keypair(number: int) -> Keypair:
    return Keypair.from_seed(number.to_bytes(32, "big"))


@contextmanager
def _timing(played: Played, step: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    played.seconds[step] = time.perf_counter() - begin
