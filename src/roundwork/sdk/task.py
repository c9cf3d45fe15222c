"""What a task's author writes, the context that each function is given, and `call`, which runs them.

Standard library only, and little of it at import: this file runs in other people's environments.
"""

from __future__ import annotations

import sys
from binascii import a2b_base64, b2a_base64

from .splits import proportional_split

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, MutableMapping
    from pathlib import Path
    from random import Random
    from typing import Any, Protocol, TypeVar

    class Saved(Protocol):
        """Where `ctx.state` and `ctx.store` are kept: a file (sdk/saved.py), or memory in a simulation."""

        def of_round(self, round: int) -> MutableMapping[str, Any]: ...

        def across_rounds(self) -> MutableMapping[str, Any]: ...

    AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
    Requester = Callable[[str, dict[str, Any]], Any]

VALUE_BYTES_MAX = 512
JSON_DEPTH_MAX = 128
PROOF_BYTES_MAX = 16_000
"""As in the law, which a task's process does not import; a test holds them equal."""


class Unavailable(Exception):
    """Not available now. An audit that raises or returns it casts no vote."""


class InvalidSubmission(Exception):
    """The submission is not a proof. An audit that raises it votes against the candidate."""


class Refused(Exception):
    """The node does not allow it: a host that is not permitted, a value that is too large."""


class Submitter:
    """One submitter as the distribution function is given it: stake in roe, verdict by the law.

    `verdict` is "untried", "acquitted", "inconclusive", "convicted" or "missing". The law drew
    `audits_assigned` checks for the node, which answered `audits_done` of them; both are 0 under koii-1.
    """

    __slots__ = ("audits_assigned", "audits_done", "public_key", "stake", "value", "verdict", "votes")

    def __init__(
        self,
        public_key: str,
        value: str,
        votes: int,
        verdict: str,
        stake: int,
        audits_assigned: int = 0,
        audits_done: int = 0,
    ) -> None:
        self.public_key = public_key
        self.value = value
        self.votes = votes
        self.verdict = verdict
        self.stake = stake
        self.audits_assigned = audits_assigned
        self.audits_done = audits_done

    @property
    def content_id(self) -> str | None:
        """The content id of the proof that the value names; None if it names none."""
        return split_value(self.value)[0]

    @property
    def text(self) -> str:
        """What follows the content id of a proof; the whole value if it names no proof."""
        return split_value(self.value)[1]


class Round:
    """All that a distribution function sees: `number`, `bounty` in roe, `submitters` by address."""

    __slots__ = ("bounty", "number", "submitters")

    def __init__(self, number: int, bounty: int, submitters: list[Submitter]) -> None:
        self.number = number
        self.bounty = bounty
        self.submitters = submitters


class Candidate:
    """A submission to audit: what `node` submitted as proof of `round`, with its seed and stake (roe)."""

    __slots__ = ("node", "round", "seed", "stake", "value")

    def __init__(self, node: str, value: str, round: int, seed: bytes, stake: int) -> None:
        self.node = node
        self.value = value
        self.round = round
        self.seed = seed
        self.stake = stake

    @property
    def content_id(self) -> str | None:
        """The content id of the proof that the value names; None if it names none."""
        return split_value(self.value)[0]

    @property
    def text(self) -> str:
        """What follows the content id of a proof; the whole value if it names no proof."""
        return split_value(self.value)[1]

    def json(self) -> Any:
        """The value read as JSON. Raises InvalidSubmission if it is not JSON."""
        return _parse_json(self.value, "the submission")


class Response:
    """An HTTP answer. Header names are in lower case."""

    __slots__ = ("body", "headers", "status", "url")

    def __init__(self, url: str, status: int, headers: dict[str, str], body: bytes) -> None:
        self.url = url
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        """The body as UTF-8, what does not decode replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body read as JSON. Raises InvalidSubmission if it is not JSON."""
        return _parse_json(self.body, self.url)


class Request:
    """A web request to one of the plain functions of `@task.routes`."""

    __slots__ = ("body", "headers", "method", "path", "query")

    def __init__(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body


class Http:
    """Requests to the hosts that config-task.yml permits, made by the node. Safe to use from threads."""

    def __init__(self, request: Requester) -> None:
        self._request = request

    def get(self, url: str, headers: dict[str, str] | None = None) -> Response:
        """GET, redirects followed. Raises Unavailable if no host answers, Refused if it is not allowed."""
        return self.request("GET", url, headers=headers)

    def post(self, url: str, body: bytes | str, headers: dict[str, str] | None = None) -> Response:
        """POST. Raises Unavailable, Refused."""
        return self.request("POST", url, body=body, headers=headers)

    def request(
        self, method: str, url: str, body: bytes | str = b"", headers: dict[str, str] | None = None
    ) -> Response:
        """Any other method."""
        params = {"method": method, "url": url, "headers": headers or {}, "body": _to_base64(body)}
        return _to_response(self._request("http.request", params))


class Peer:
    """Another node of this task."""

    __slots__ = ("_request", "node")

    def __init__(self, request: Requester, node: str) -> None:
        self._request = request
        self.node = node

    def get(self, path: str) -> Response:
        """GET one of the routes that the peer's `@task.routes` serves. Raises Unavailable."""
        return _to_response(self._request("peers.get", {"node": self.node, "path": path}))


class Peers:
    """The other nodes of this task, by public key."""

    def __init__(self, request: Requester) -> None:
        self._request = request

    def __getitem__(self, node: str) -> Peer:
        return Peer(self._request, node)

    def __iter__(self) -> Iterator[str]:
        return iter(self._request("peers.list", {}))

    def __len__(self) -> int:
        return len(self._request("peers.list", {}))


class Storage:
    """Blobs by content id: what is put here every other node can get."""

    def __init__(self, request: Requester, round: int, submitter: str | None) -> None:
        self._request = request
        self._round = round
        self._submitter = submitter

    def put(self, data: bytes | str) -> str:
        """Keep bytes (or text as UTF-8) for others to get; their content id, 59 characters."""
        return str(self._request("storage.put", {"data": _to_base64(data), "round": self._round}))

    def put_json(self, value: Any) -> str:
        """Keep a value as JSON, the same value always under the same content id."""
        import json

        return self.put(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))

    def get(self, content_id: str | None, node: str | None = None) -> bytes:
        """The bytes of a content id: from here, from `node` (in an audit: the candidate), from others.

        Raises Unavailable if no node serves them, InvalidSubmission if the text is not a content id, or is
        None, as `candidate.content_id` is where a submission names no proof.
        """
        if content_id is None:
            raise InvalidSubmission("there is no content id: the submission names no proof")
        params = {"content_id": content_id, "node": node or self._submitter, "round": self._round}
        return a2b_base64(self._request("storage.get", params))

    def get_json(self, content_id: str | None, node: str | None = None) -> Any:
        """The same, read as JSON. Raises InvalidSubmission if it is not JSON."""
        return _parse_json(self.get(content_id, node), str(content_id))


class Ledger:
    """The settlement ledger, to read from."""

    def __init__(self, request: Requester) -> None:
        self._request = request

    def call(self, method: str, *params: Any) -> Any:
        """One RPC method that reads, `call("getBalance", key)`. Raises Refused for one that writes."""
        return self._request("ledger.call", {"method": method, "params": list(params)})


class Context:
    """What every function but `distribution` is given.

    `round`: the round of the work, the same in work, submission and audit · `node`: this node's public
    key · `task`: the task's address · `seed`: 32 bytes that only this node's work of this round has ·
    `params`, `secrets`: from the task's configuration and the operator · `state`: JSON values of this
    round, `store`: JSON values across rounds; both are saved by assignment and seen by every function ·
    `http`, `peers`, `storage`, `ledger`: the world outside, through the node.
    """

    def __init__(
        self,
        *,
        task: str,
        node: str,
        round: int,
        seed: bytes,
        random_seed: bytes,
        seconds_left: Callable[[], float],
        params: dict[str, Any],
        secrets: dict[str, str],
        files: str,
        saved: Saved,
        request: Requester,
        submitter: str | None = None,
    ) -> None:
        """`request(method, params)` requests a service of the node; `submitter` is the audited node."""
        self.task = task
        self.node = node
        self.round = round
        self.seed = seed
        self.params = params
        self.secrets = secrets
        self.state = saved.of_round(round)
        self.store = saved.across_rounds()
        self.http = Http(request)
        self.peers = Peers(request)
        self.storage = Storage(request, round, submitter)
        self.ledger = Ledger(request)
        self.seconds_left = seconds_left
        self._request = request
        self._files = files
        self._saved = saved
        self._random_seed = random_seed
        self._random: Random | None = None

    @property
    def files(self) -> Path:
        """A directory of the task's own, kept across rounds."""
        from pathlib import Path

        return Path(self._files)

    @property
    def random(self) -> Random:
        """Chance that no submitter can foresee and that is the same again after a crash."""
        if self._random is None:
            from random import Random

            self._random = Random(self._random_seed)
        return self._random

    def proof(self, data: bytes | str) -> str:
        """Keep a proof of 1 to 16,000 bytes (or text as UTF-8) for others to get; its content id.

        Submit the content id alone, or followed by a space and a text. Raises ValueError for another size.
        """
        size = len(data.encode() if isinstance(data, str) else data)
        if not 1 <= size <= PROOF_BYTES_MAX:
            raise ValueError(
                f"a proof has 1 to {PROOF_BYTES_MAX} bytes, and this one has {size}; if it is larger, store"
                " its parts with ctx.storage.put and make the proof a manifest: the content ids of the parts,"
                " and what an audit needs to choose among them"
            )
        return self.storage.put(data)

    def state_of(self, round: int) -> MutableMapping[str, Any]:
        """`state` of another round that is still open: web requests concern several rounds."""
        return self._saved.of_round(round)

    def sign(self, value: dict[str, Any] | list[Any]) -> str:
        """The value with this node's signature, as one text that `verify` opens."""
        return str(self._request("sign", {"value": value}))

    def verify(self, signed: str, node: str) -> Any:
        """The value that `node` signed. Raises InvalidSubmission if it did not."""
        return self._request("verify", {"signed": signed, "node": node})

    def log(self, *values: object) -> None:
        """A line in the node's log; `print` does the same."""
        print(*values, file=sys.stderr, flush=True)


class Task:
    """A task: its author's functions by the step they are for.

    task = Task("hello"), then @task.work, @task.submission, @task.audit, and what else is needed.
    Functions may be sync or async.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.functions: dict[str, Callable[..., Any]] = {"distribution": proportional_split()}
        self._runner: asyncio.Runner | None = None

    def setup(self, function: AnyFunction) -> AnyFunction:
        """`setup(ctx)` runs once in each process of the task, before anything else in it."""
        return self._add("setup", function)

    def work(self, function: AnyFunction) -> AnyFunction:
        """`work(ctx)` does the round's work."""
        return self._add("work", function)

    def submission(self, function: AnyFunction) -> AnyFunction:
        """`submission(ctx)` returns the proof, text of 1-512 bytes, or None for nothing to submit."""
        return self._add("submission", function)

    def audit(self, function: AnyFunction) -> AnyFunction:
        """`audit(ctx, candidate)` returns True, False or (False, reason).

        It raises or returns Unavailable if it can give no opinion. The node keeps the reason and shows it to
        the candidate.
        """
        return self._add("audit", function)

    def distribution(self, function: AnyFunction) -> AnyFunction:
        """`distribution(round)` returns roe by submitter: above 0 a reward, below 0 a slash.

        It is the same on every node: no context, nothing but `round`. A submitter left out gets 0.
        """
        return self._add("distribution", function)

    def routes(self, function: AnyFunction) -> AnyFunction:
        """`routes(ctx)` returns an ASGI app, or a dict of path to a function of a Request."""
        return self._add("routes", function)

    def lie(self, function: AnyFunction) -> AnyFunction:
        """`lie(ctx)` returns what a liar would submit; only demonstrations and simulations call it."""
        return self._add("lie", function)

    def call(self, step: str, ctx: Context | None = None, given: Candidate | Round | None = None) -> Any:
        """Run the author's function for a step and check its answer, in worker and simulator alike.

        work, setup: None · submission, lie: text or None · audit of a Candidate: ("valid" | "invalid" |
        "unavailable", reason) · distribution of a Round: roe by submitter · routes: what it returned.
        Raises what the function raised, TypeError or ValueError for an answer of another kind.
        """
        if step == "audit":
            return self._call_audit(ctx, given)
        if step == "distribution":
            assert isinstance(given, Round)
            return _check_list(self._run("distribution", given), given)
        if step == "lie" and "lie" not in self.functions:
            return _change_last(_check_value(self._run("submission", ctx), "submission"))
        if step == "routes":
            return self._run(step, ctx)
        answer = self._run(step, ctx)
        return _check_value(answer, step) if step in ("submission", "lie") else None

    def _call_audit(self, ctx: Context | None, given: object) -> tuple[str, str]:
        try:
            answer = self._run("audit", ctx, given)
        except Unavailable as error:
            return "unavailable", str(error)
        except InvalidSubmission as error:
            return "invalid", str(error)
        if answer is True or answer is False:
            return ("valid" if answer else "invalid"), ""
        if (
            isinstance(answer, tuple)
            and len(answer) == 2
            and answer[0] is False
            and isinstance(answer[1], str)
        ):
            return "invalid", answer[1]
        if isinstance(answer, Unavailable) or answer is Unavailable:
            return "unavailable", str(answer) if isinstance(answer, Unavailable) else ""
        raise TypeError(
            f"audit returned {answer!r}; it must return True, False, (False, reason) or Unavailable"
        )

    def _add(self, step: str, function: AnyFunction) -> AnyFunction:
        if not callable(function):
            raise TypeError(f"@task.{step} takes a function, not {function!r}")
        self.functions[step] = function
        return function

    def _run(self, step: str, *arguments: object) -> Any:
        function = self.functions.get(step)
        if function is None:
            if step == "setup":
                return None
            raise TypeError(f"task {self.name!r} has no @task.{step}")
        answer = function(*arguments)
        return self._wait_for(answer) if hasattr(answer, "__await__") else answer

    def _wait_for(self, awaitable: Any) -> Any:
        """One event loop for the life of the process, so that what `setup` opened stays usable."""
        import asyncio

        async def wait() -> Any:
            return await awaitable

        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(wait())


BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def split_value(value: str) -> tuple[str | None, str]:
    """The content id of the proof that a value names, and the text behind it; None and the value otherwise.

    A value names a proof as the law says it (docs/PROTOCOL.md 17). A content id is 36 bytes in base32: four
    that are the same in all, whose last bits lie in the eighth character, and a digest. The last two bits of
    its last character are no part of them and are 0.
    """
    head, space, text = value[:59], value[59:60], value[60:]
    is_sized = len(head) == 59 and space in ("", " ")
    if not is_sized or not head.startswith("bafkrei") or head.strip(BASE32):
        return None, value
    return (head, text) if head[7] in BASE32[:8] and head[-1] in BASE32[::4] else (None, value)


def _check_value(value: object, step: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{step} returned {value!r}; it must return text, or None for nothing to submit")
    value = value.rstrip(" ")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{step} returned {value!r:.100}, which is not text of UTF-8") from None
    if not 1 <= size <= VALUE_BYTES_MAX:
        raise ValueError(
            f"{step} returned {size} bytes; a submission is 1 to {VALUE_BYTES_MAX} bytes of UTF-8"
        )
    return value


def _check_list(amounts: object, round: Round) -> dict[str, int]:
    if not isinstance(amounts, dict):
        raise TypeError(f"distribution returned {amounts!r}; it must return a dict of submitter to roe")
    known = {each.public_key for each in round.submitters}
    for key, amount in amounts.items():
        if key not in known:
            raise ValueError(f"distribution pays {key!r}, who submitted nothing in round {round.number}")
        if type(amount) is not int:
            raise TypeError(f"distribution gives {key} {amount!r}; it must be an integer of roe")
    return amounts


def _change_last(value: str | None) -> str | None:
    return value and value[:-1] + ("x" if value[-1] != "x" else "y")


def _parse_json(text: str | bytes, what: str) -> Any:
    """JSON of at most JSON_DEPTH_MAX levels, without halves of surrogate pairs. Raises InvalidSubmission.

    What Python takes beyond that depends on its version and the stack, and auditors must agree.
    """
    import json

    try:
        text = text if isinstance(text, str) else str(text, "utf-8")
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidSubmission(f"{what} is not JSON: {error}") from error
    if text.count("[") + text.count("{") > JSON_DEPTH_MAX and is_deep(value):
        raise InvalidSubmission(f"{what} is not JSON of at most {JSON_DEPTH_MAX} levels")
    return value


def is_deep(value: Any) -> bool:
    """Whether lists and dicts lie within one another in more than JSON_DEPTH_MAX levels."""
    level = [value]
    for _ in range(JSON_DEPTH_MAX + 1):
        if not any(isinstance(part, dict | list) for part in level):
            return False
        within = (
            part.values() if isinstance(part, dict) else part
            for part in level
            if isinstance(part, dict | list)
        )
        level = [part for parts in within for part in parts]
    return True


def _to_base64(data: bytes | str) -> str:
    return b2a_base64(data.encode() if isinstance(data, str) else data, newline=False).decode()


def _to_response(answer: dict[str, Any]) -> Response:
    return Response(answer["url"], answer["status"], dict(answer["headers"]), a2b_base64(answer["body"]))
