"""The services of a node in a simulation: blobs, peers, signatures and the network, without a socket."""

import threading
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from typing import Any, Protocol

from solders.keypair import Keypair

from ..node.peers.payload import BadPayload, open_payload, sign_payload
from ..package.content import compute_content_id, is_content_id
from ..sdk.routes import answer_request
from ..sdk.task import InvalidSubmission, Refused, Unavailable
from .failures import describe_failure

Answer = dict[str, Any]
"""An HTTP answer as a context reads it: url, status, headers, and the body in base64."""


class Network(Protocol):
    """Answers the HTTP requests of tasks."""

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """The answer to a request. Raises Unavailable, Refused."""
        ...


class NoNetwork:
    """Every host is unavailable."""

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Raises Unavailable."""
        raise Unavailable(f"{method} {url}: this simulation has no network")


class Commons:
    """What the nodes of a simulation reach of one another and of the world outside."""

    def __init__(self, network: Network | None = None) -> None:
        self.network = network or NoNetwork()
        self.blobs: dict[str, bytes] = {}
        """By content id: what any node has stored."""
        self.holders: dict[str, set[str]] = {}
        """By content id: the nodes that serve it."""
        self.dark: set[str] = set()
        """The nodes that serve nothing."""
        self.routes: dict[str, Callable[[], Any]] = {}
        """By node: what its `@task.routes` returns."""
        self.requests: list[tuple[str, str, str]] = []
        """The requests to the network: node, method, URL."""


class Services:
    """The services of one node."""

    def __init__(self, keypair: Keypair, address: str, commons: Commons) -> None:
        self._keypair = keypair
        self._node = address
        self._commons = commons

    def request(self, method: str, params: dict[str, Any]) -> Any:
        """Answer a request of a context. Raises Unavailable, Refused, InvalidSubmission."""
        match method:
            case "http.request":
                return self._request_http(params)
            case "peers.list":
                return sorted(self._commons.routes.keys() - {self._node})
            case "peers.get":
                return self._get_from_peer(params["node"], params["path"])
            case "storage.put":
                return self._put(a2b_base64(params["data"]))
            case "storage.get":
                return b2a_base64(self._get(params["content_id"]), newline=False).decode()
            case "sign":
                return self._sign(params["value"])
            case "verify":
                return self._verify(params["signed"], params["node"])
            case _:
                request = f"{method} {params.get('method', '')}".rstrip()
                raise Refused(
                    "no ledger runs in `try`, `simulate`, `attack` and roundwork.testing, so nothing answers"
                    f" {request}; `roundwork up` runs one"
                )

    def _request_http(self, params: dict[str, Any]) -> Answer:
        method, url, commons = params["method"], params["url"], self._commons
        commons.requests.append((self._node, method, url))
        return commons.network.request(method, url, params["headers"], a2b_base64(params["body"]))

    def _get_from_peer(self, node: str, path: str) -> Answer:
        if node in self._commons.dark or node not in self._commons.routes:
            raise Unavailable(f"node {node[:80]} does not answer")
        clean, _, query = path.partition("?")
        call = {
            "method": "GET",
            "path": "/" + clean.lstrip("/"),
            "query": query,
            "headers": [],
            "body": b"",
        }
        status, headers, body = _serve(self._commons.routes[node], call)
        text = b2a_base64(body, newline=False).decode()
        return {"url": f"peer://{node}/{path}", "status": status, "headers": dict(headers), "body": text}

    def _put(self, data: bytes) -> str:
        content_id = compute_content_id(data)
        self._commons.blobs[content_id] = data
        self._commons.holders.setdefault(content_id, set()).add(self._node)
        return content_id

    def _get(self, content_id: str) -> bytes:
        if not is_content_id(content_id):
            raise InvalidSubmission(f"{content_id[:100]!r} is not a content id")
        holders = self._commons.holders.get(content_id, set())
        if self._node not in holders and not holders - self._commons.dark:
            raise Unavailable(f"no node serves {content_id}")
        holders.add(self._node)
        return self._commons.blobs[content_id]

    def _sign(self, value: Any) -> str:
        try:
            return sign_payload(self._keypair, value)
        except BadPayload as error:
            raise Refused(str(error)) from error

    def _verify(self, signed: str, node: str) -> Any:
        try:
            return open_payload(signed, node)
        except BadPayload as error:
            raise InvalidSubmission(str(error)) from error


def _serve(get_routes: Callable[[], Any], call: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
    """Answer a web request on an event loop of its own: the caller's thread may be running another."""
    import asyncio  # for the few tasks whose peers serve routes

    answers: list[tuple[int, list[tuple[str, str]], bytes]] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(asyncio.run(answer_request(get_routes(), call)))
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- the author's route may raise anything
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise Unavailable(f"the peer's route failed: {describe_failure(failures[0])}")
    return answers[0]
