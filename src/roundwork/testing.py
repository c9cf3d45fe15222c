"""For an author's own tests: a round of one node in this process, without a ledger, a sandbox or real time.

from roundwork.testing import run_round

played = run_round("my-task", network=httpx2.MockTransport(answer))
assert played.opinion == "valid"
assert played.audit("something else").opinion == "invalid"
"""

from __future__ import annotations

import base64
import json
import math
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urljoin

import httpx2
from blake3 import blake3
from solders.keypair import Keypair

from .errors import BadArgument, TaskFailed
from .node.answers import ServiceError
from .node.peers.outgoing import METHODS, describe_refusal, is_permitted, parse_url
from .node.properties import mutate
from .package.folder import Package, check_kind, check_params, check_secrets, load_package, resolve_hosts
from .package.requirements import ANY_HOST
from .participant.sealed import keep_payments
from .protocol.params import KOII, ROUNDWORK_1, key_of
from .sdk.task import VALUE_BYTES_MAX, Refused, Task, Unavailable
from .sim.answers import open_network
from .sim.functions import Functions, FunctionsSetting
from .sim.loading import load_task
from .sim.services import Answer, Commons, Network, NoNetwork, Services
from .views import SubmissionView

__all__ = ["Judged", "Played", "open_network", "run_round"]

CALL_SECONDS = 60.0
BOUNTY = 10 * KOII
STAKE = 10 * KOII
REDIRECTS_MAX = 5
AUDITOR = 500
"""The index of the node that audits; those below it, from 1, do work."""
ROUND_MAX = 2**63 - 1
ROE_MAX = 2**64 - 1
VOTES_MAX = 2**31 - 1


class Judged(NamedTuple):
    """What an audit function said: "valid", "invalid" or "unavailable" (no vote), and why."""

    opinion: str
    reason: str


class Played:
    """What became of a round that `run_round` played. Every audit is another node's."""

    def __init__(
        self,
        worker: _Node,
        auditor: _Node,
        round_number: int,
        seed: str,
        rules: str | None,
        play: Callable[[int], Played],
    ) -> None:
        self._worker = worker
        self._rules = rules
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
        """The same round as another node of the same network plays it. Raises TaskFailed, BadArgument."""
        _check_integer("node", node, 1, AUDITOR - 1)
        played = self._play(node)
        if played.node == self.node:
            raise BadArgument(f"node {node} is the node itself; a neighbour is another one")
        return played

    def audit(self, value: str | None, node: str | None = None) -> Judged:
        """What the other node says of a value that `node` (else the node that did the work) submitted.

        Raises TaskFailed if there is no value, if the audit function raises, or if it answers with something
        else than an opinion; BadArgument for what the ledger would not take as a submission.
        """
        if value is None:
            raise TaskFailed("there is no submission to audit")
        _check_value(value)
        if node is not None:
            _check_address("node", node)
        opinion, reason = self._auditor.functions.audit(
            self._round_number, self._seed, node or self.node, value, STAKE, CALL_SECONDS
        )
        return Judged(opinion, reason)

    def distribute(
        self, votes: Sequence[int] = (1, 1, -1), stakes: Sequence[int] | None = None, bounty: int = BOUNTY
    ) -> list[int]:
        """The amount for each of a round's nodes, by their votes (below 0: convicted) and stakes, in roe.

        The first is the node that did the work; all submitted what it did. Without `stakes` all have the same
        stake. An amount below 0 is a slash. In a folder under roundwork-1 it is 0: there the ledger slashes,
        and a list only pays. Raises TaskFailed, BadArgument.
        """
        _check_integers("votes", votes, -VOTES_MAX, VOTES_MAX)
        stakes = [STAKE] * len(votes) if stakes is None else stakes
        _check_integers("stakes", stakes, 1, ROE_MAX)
        _check_integer("bounty", bounty, 0, ROE_MAX)
        if len(stakes) != len(votes):
            raise BadArgument(f"there are {len(votes)} votes and {len(stakes)} stakes: each node has both")
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
        if self._rules == ROUNDWORK_1.name:
            amounts = keep_payments(amounts)
        return [amounts.get(each.node, 0) for each in views]


def run_round(
    task: Task | Path | str,
    *,
    round: int = 0,
    seed: int = 0,
    node: int = 1,
    params: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    network: httpx2.BaseTransport | Network | None = None,
    peers: Mapping[str, Any] | None = None,
    seconds_left: float = CALL_SECONDS,
) -> Played:
    """Play one node's round: work, submission, and another node's audit of the submission.

    `task` is a Task or a task's folder, whose params, permitted hosts and rule set count. The same `seed`,
    `round` and `node` give the same `ctx.seed` and `ctx.random`; `node` is from 1 to 499. `network` answers
    `ctx.http`: an httpx2 transport, such as httpx2.MockTransport, or the recorded answers that `open_network`
    gives; without one every host is unavailable. `peers`: what the routes of other nodes return, by address.
    Raises TaskFailed if a function raises or gives an invalid answer; BadArgument, BadTaskFile, BadConfig.
    """
    _check_integer("round", round, 0, ROUND_MAX)
    _check_integer("seed", seed, -ROE_MAX, ROE_MAX)
    _check_integer("node", node, 1, AUDITOR - 1)
    _check_seconds(seconds_left)
    _check_network(network)
    _check_peers(peers or {})
    if not isinstance(task, Task | Path | str):
        raise BadArgument(f"task is {task!r:.100}; it must be a Task or the path of a task's folder")
    package = None if isinstance(task, Task) else load_package(Path(task))
    loaded = load_task(package) if package is not None else task
    assert isinstance(loaded, Task)
    _check_params(params or {}, package)
    _check_secrets(secrets or {}, package)
    all_params = {**(package.params if package else {}), **(params or {})}
    answering = _TransportNetwork(network) if isinstance(network, httpx2.BaseTransport) else network
    hosts = None if package is None else resolve_hosts(package, all_params)
    commons = Commons(_PermittedNetwork(answering or NoNetwork(), hosts))
    for address, routes in (peers or {}).items():
        commons.routes[address] = partial(_identity, routes)
    beacon = blake3(f"roundwork/testing/{seed}/{round}".encode()).hexdigest()
    files = TemporaryDirectory(prefix="roundwork-")

    def make_node(node_index: int) -> _Node:
        return _Node(loaded, commons, node_index, all_params, dict(secrets or {}), files.name)

    auditor = make_node(AUDITOR)

    def play(node_index: int) -> Played:
        worker = make_node(node_index)
        played = Played(worker, auditor, round, beacon, package.rules if package else None, play)
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
    """A node of a played round: its keys, its services, its functions."""

    def __init__(
        self,
        task: Task,
        commons: Commons,
        node_index: int,
        params: Mapping[str, Any],
        secrets: Mapping[str, str],
        files: str,
    ) -> None:
        keypair = _make_keypair(node_index)
        self.commons = commons
        self.address = str(keypair.pubkey())
        folder = Path(files) / str(node_index)
        folder.mkdir(exist_ok=True)
        setting = FunctionsSetting(
            task=str(_make_keypair(0).pubkey()),
            node=self.address,
            secret=bytes(keypair)[:32],
            params=params,
            secrets=secrets,
            files=str(folder),
        )
        self.functions = Functions(task, setting, Services(keypair, str(keypair.pubkey()), commons).request)


class _TransportNetwork:
    """`ctx.http` on an httpx2 transport."""

    def __init__(self, transport: httpx2.BaseTransport) -> None:
        self._client = httpx2.Client(transport=transport)

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Redirects are not followed here. Raises Unavailable."""
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


class _PermittedNetwork:
    """A network of the hosts that the task's configuration permits, or of all; it follows redirects."""

    def __init__(self, network: Network, hosts: Sequence[str] | None) -> None:
        self._network = network
        self._hosts = hosts

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Raises Unavailable, Refused."""
        if method not in METHODS:
            raise Refused(f"{method:.100} {url:.100}: the method must be one of {', '.join(sorted(METHODS))}")
        for _ in range(REDIRECTS_MAX + 1):
            self._check(url)
            answer = self._network.request(method, url, headers, body)
            self._check(answer["url"])  # recorded answers are those behind redirects
            place = answer["headers"].get("location")
            if not (300 <= answer["status"] < 400 and place and method in ("GET", "HEAD")):
                return answer
            url = urljoin(url, place)
        raise Unavailable(f"{method} {url}: more than {REDIRECTS_MAX} redirects")

    def _check(self, url: str) -> None:
        """Raises Refused."""
        try:
            parsed = parse_url(url)
        except ServiceError as error:
            raise Refused(str(error)) from error
        port = parsed.port or {"http": 80, "https": 443}[parsed.scheme]
        hosts = self._hosts
        if hosts is not None and ANY_HOST not in hosts and not is_permitted(parsed.host, port, hosts):
            raise Refused(describe_refusal(parsed.host, port, hosts))


def _identity(value: Any) -> Any:
    return value


def _make_keypair(node_index: int) -> Keypair:
    return Keypair.from_seed(node_index.to_bytes(32, "big"))


@contextmanager
def _timing(played: Played, step: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    played.seconds[step] = time.perf_counter() - begin


def _check_integer(name: str, value: Any, low: int, high: int) -> None:
    """Raises BadArgument."""
    if type(value) is not int or not low <= value <= high:
        raise BadArgument(f"{name} is {value!r:.100}; it must be an integer from {low} to {high}")


def _check_integers(name: str, values: Any, low: int, high: int) -> None:
    """Raises BadArgument."""
    if not isinstance(values, Sequence) or isinstance(values, str | bytes) or not values:
        raise BadArgument(f"{name} is {values!r:.100}; it must be a list of integers, one for each node")
    for index, value in enumerate(values):
        _check_integer(f"{name}[{index}]", value, low, high)


def _check_seconds(value: Any) -> None:
    """Raises BadArgument."""
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise BadArgument(f"seconds_left is {value!r:.100}; it must be a number of seconds above 0")


def _check_value(value: Any) -> None:
    """Raises BadArgument."""
    if not isinstance(value, str) or not 1 <= len(value.encode("utf-8", "replace")) <= VALUE_BYTES_MAX:
        raise BadArgument(
            f"value is {value!r:.100}; a submission is text of 1 to {VALUE_BYTES_MAX} bytes of UTF-8"
        )


def _check_address(name: str, value: Any) -> None:
    """Raises BadArgument."""
    try:
        key_of(value)
    except (TypeError, ValueError):
        raise BadArgument(f"{name} is {value!r:.100}; it must be an address: 32 bytes in base58") from None


def _check_network(network: Any) -> None:
    """Raises BadArgument."""
    is_client = isinstance(network, httpx2.Client | httpx2.AsyncClient)
    is_network = isinstance(network, httpx2.BaseTransport) or hasattr(network, "request")
    if network is not None and (is_client or not is_network):
        raise BadArgument(
            f"network is {network!r:.100}; it must be an httpx2 transport, such as"
            " httpx2.MockTransport(function), or what `with open_network(…) as network` gives"
        )


def _check_peers(peers: Any) -> None:
    """Raises BadArgument."""
    if not isinstance(peers, Mapping):
        raise BadArgument(f"peers is {peers!r:.100}; it must be a dict of routes by address")
    for address, routes in peers.items():
        _check_address("an address of peers", address)
        functions = routes.items() if isinstance(routes, dict) else [("/", routes)]
        if any(not str(path).startswith("/") or not callable(function) for path, function in functions):
            raise BadArgument(
                f"peers[{address!r}] is {routes!r:.100}; it must be what @task.routes returns: an ASGI app,"
                ' or a dict of path ("/…") to a function of a request'
            )


def _check_params(params: Any, package: Package | None) -> None:
    """Raises BadArgument, and BadConfig for a name or a kind of value that the package does not have."""
    if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
        raise BadArgument(f"params is {params!r:.100}; it must be a dict of values by name")
    try:
        json.dumps(dict(params))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadArgument(f"params must have values of JSON: {error}") from None
    if package is not None:
        check_params(package, params)
        for name, value in params.items():
            check_kind(package, name, value, value)


def _check_secrets(secrets: Any, package: Package | None) -> None:
    """Raises BadArgument, and BadConfig for a secret that the package does not ask for."""
    if not isinstance(secrets, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in secrets.items()
    ):
        raise BadArgument("secrets must be a dict of text by name")  # the values are not shown
    if package is not None:
        check_secrets(package, secrets)
