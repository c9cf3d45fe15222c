"""Service calls as they are made: what a Python task and a main.js may request of their node, mutated.

Names in braces stand for values of a room: `fill` puts them in.
"""

import base64
import json
from random import Random
from typing import Any, NamedTuple

from solders.pubkey import Pubkey
from solders.signature import Signature

from roundwork.package.content import compute_content_id
from roundwork.wire import base58_decode

from ..servers import HOSTILE_ANSWERS
from .bend import TEXTS, bend_bytes, bend_json, bend_leaf, bend_value, write
from .surface import Wrong

ERROR_CHARACTERS_MAX = 2_000
PYTHON_ERRORS = ("Unavailable", "Refused", "InvalidSubmission")
SECRET = "the secret of the task"
CANARY = "the key of the node"
"""Stands in a file beside the task's folder. No answer may hold it."""

PYTHON: list[tuple[str, dict[str, Any]]] = [
    *[
        ("http.request", {"method": method, "url": "{site}/page", "headers": {"x": "y"}, "body": "aGk="})
        for method in ("GET", "POST", "HEAD")
    ],
    *[
        ("http.request", {"method": "GET", "url": "{site}" + path, "headers": {}, "body": ""})
        for path in HOSTILE_ANSWERS
    ],
    ("peers.list", {}),
    ("peers.get", {"node": "{peer}", "path": "/page"}),
    ("peers.get", {"node": "{hostile_peer}", "path": "/../../garbage"}),
    *[("storage.put", {"data": "aGVsbG8=", "round": round_number}) for round_number in (0, 1, 2)],
    *[
        ("storage.get", {"content_id": content_id, "node": node, "round": 1})
        for content_id, node in (
            ("{content_id}", None),
            ("{far_id}", "{peer}"),
            ("{far_id}", "{hostile_peer}"),
        )
    ],
    ("ledger.call", {"method": "getBalance", "params": ["{address}"]}),
    ("ledger.call", {"method": "getTask", "params": ["{task}"]}),
    ("ledger.call", {"method": "isBlockhashValid", "params": ["{blockhash}"]}),
    ("ledger.call", {"method": "sendTransaction", "params": ["{wire}", {"encoding": "base64"}]}),
    *[("sign", {"value": value}) for value in ({"a": [1, "ü", 2.5]}, [{"proof": "{content_id}"}, None])],
    *[("verify", {"signed": "{signed}", "node": "{node}"})] * 2,
]  # fmt: skip
"""Requests of a Python task: the service, and its params."""

_BUFFER = {"type": "Buffer", "data": [104, 105, 255]}
_SENDING: list[list[Any]] = [
    ["auditSubmission", "{node}", True, 0],
    ["checkSubmissionAndUpdateRound", "a value", 0],
    ["claimReward", "{task}", "{address}", None],
    ["distributionListAuditSubmission", "{node}", False, 0],
    ["distributionListSubmissionOnChain", 0],
    ["payloadTrigger", 0],
    ["sendAndConfirmTransactionWrapper", "{wire_bytes}", ["{own_bytes}"]],
    ["sendTransaction", "{own_bytes}", "{address}", 1_000],
    ["sendTransaction", "{node}", "{address}", 1_000_000_000],
    ["sendTransaction", "{main}", "{address}", 1_000_000_000],
    ["stakeOnChain", "{task}", None, "{address}", 1_000_000_000],
    ["uploadDistributionList", {"{address}": 5}, 0],
]
_READING: list[list[Any]] = [
    *[["fs", "writeFile", name, data] for name in ("a.txt", "{home}/b.txt") for data in ("hé", _BUFFER)],
    ["fs", "writeFile", "c.txt", "aGk=", {"encoding": "base64", "flag": "w+"}],
    ["fs", "appendFile", "a.txt", {"0": 104, "1": 105}],
    *[["fs", "readFile", "a.txt", encoding] for encoding in ("utf8", "hex", "base64", "latin1", None)],
    ["fs", "readdir", ".", {"withFileTypes": True}],
    ["fs", "mkdir", "d/e/f", {"recursive": True}],
    ["fs", "rename", "b.txt", "d/b.txt"],
    ["fs", "copyFile", "a.txt", "c.txt", 0],
    ["fs", "rm", "d", {"recursive": True, "force": True}],
    *[["fs", method, "a.txt"] for method in ("access", "lstat", "stat", "unlink", "truncate")],
    ["fs", "truncate", "c.txt", 1],
    ["fs", "rmdir", "d"],
    ["fsReadStream", "a.txt"],
    ["fsStaking", "readFile", "../canary.txt", "utf8"],
    ["fsWriteStream", "e.txt"],
    *[["storagePut", data] for data in ("text ü", {"type": "Buffer", "data": [0, 255]})],
    *[["storageGet", name, "utf8"] for name in ("{content_id}", "none")],
    ["storageGet", "{far_id}", "base64", "{peer}"],
    ["storageGet", "{far_id}", None, "{hostile_peer}"],
    *[["storeSet", key, {"a": [1, "ü"]}] for key in ("key", "{home}/../canary.txt")],
    *[["storeGet", key] for key in ("key", "none", "../../canary.txt")],
    ["getDistributionList", "{node}", 0],
    ["nodeSelectionDistributionList", 0, False],
    ["getNodes", "{site}"],
    ["getTaskDistributionInfo", 0],
    ["getTaskState", {"is_stake_list_required": True}],
    ["getTaskStateById", "{task}", {"is_submission_required": True}, "KOII"],
    ["getTaskSubmissionInfo", 0],
    ["logger", "log", "a text", "an action"],
    ["signData", {"a": [1, "ü", 2.5]}],
    ["verifySignedData", "{signed}", "{node}"],
    *[
        [name]
        for name in (
            "defaultTaskSetup", "getAverageSlotTime", "getBasePath", "getCurrentSlot", "getMainAccountPubkey",
            "getProgramAccounts", "getRound", "getRpcUrl", "getSubmitterAccount", "getTaskLevelDBPath",
            "getTaskNodeVersion",
        )
    ],
]  # fmt: skip
JAVASCRIPT = [*_SENDING, *_READING]
"""Requests of a main.js: the method, and its arguments. Those that send wait for a block."""

SENDING_SHARE = 0.04


class ServiceCall(NamedTuple):
    """One input, before its names are filled in."""

    bodies: tuple[bytes, ...] = ()
    """Of a Python task: frames that follow each other at once, `@id@` standing for the number of each."""
    post: bytes = b""
    """Of a main.js: the body of its request."""


def make_call(random: Random) -> ServiceCall:
    """Requests that a task may make, changed."""
    if random.random() < 0.5:
        return ServiceCall(tuple(_make_frame(random) for _ in range(random.choice((1, 1, 1, 2, 5)))))
    args = random.choice(_SENDING if random.random() < SENDING_SHARE else _READING)
    call: dict[str, Any] = {"args": args, "taskId": "{task}", "secret": SECRET}
    kind = random.random()
    if kind < 0.55:
        return ServiceCall(post=write(random, {**call, "args": _bend_few(random, args)}))
    if kind < 0.8:
        return ServiceCall(post=write(random, {**call, "args": [args[0], *_bend_list(random, args[1:])]}))
    if kind < 0.9:
        return ServiceCall(post=bend_json(random, call, [call]))
    whole = write(random, call)
    return ServiceCall(post=bend_bytes(random, whole, [whole]))


def _bend_few(random: Random, args: list[Any]) -> list[Any]:
    """Arguments of the same shape, at most two of them changed; of a file's, never its method's name."""
    kept = 2 if args[0] in ("fs", "fsStaking") else 1
    for _ in range(random.choice((0, 1, 1, 1, 2))):
        args = [*args[:kept], *(bend_leaf(random, args[kept:]) if args[kept:] else ())]
    return args


def _bend_list(random: Random, values: list[Any]) -> list[Any]:
    """Changed arguments; a list, whatever it was changed to."""
    bent = bend_value(random, values, JAVASCRIPT)
    return bent if isinstance(bent, list) else [bent]


def _make_frame(random: Random) -> bytes:
    service, params = random.choice(PYTHON)
    others = [each for _, each in PYTHON]
    if random.random() < 0.03:
        service = random.choice(
            (random.choice(TEXTS), bend_bytes(random, service.encode(), ()).decode("latin-1"))
        )
    kind = random.random()
    if kind < 0.7:
        for _ in range(random.choice((0, 1, 1, 1, 2))):
            params = bend_leaf(random, params) if params else params
        raw = write(random, params)
    else:
        raw = (
            write(random, bend_value(random, params, others))
            if kind < 0.9
            else bend_json(random, params, others)
        )
    return b'{"id":@id@,"ask":%s,"params":%s}' % (write(random, service), raw)


# Judgements


def read_frame(body: bytes) -> Any:
    """What a frame says, by another decoder than the node's; None for what that cannot read."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def check_reply(request: Any, reply: Any, names: dict[str, str]) -> None:
    """Raises Wrong unless a Python task's request has its right answer, or an error with a name."""
    if ("answer" in reply) == ("error" in reply):
        raise Wrong(f"a reply has an answer or an error: {reply!r:.300}")
    _check_no_canary(json.dumps(reply))
    if "error" in reply:
        _check_error(reply["error"]["kind"] in PYTHON_ERRORS, reply["error"]["text"])
        return
    if not isinstance(request, dict) or not isinstance(request.get("params"), dict):
        raise Wrong(f"an answer to what is not a request: {reply!r:.300}")
    _check_answer(request["ask"], request["params"], reply["answer"], names)


def _check_answer(service: str, params: dict[str, Any], answer: Any, names: dict[str, str]) -> None:
    match service:
        case "http.request":
            if not answer["url"].startswith(names["site"]):
                raise Wrong(f"a host that is not permitted: {answer['url']!r:.300}")
            is_page = (params["method"], answer["url"]) == ("GET", names["site"] + "/page")
            if is_page and (answer["status"], answer["body"]) != (200, "aG9uZXN0"):
                raise Wrong(f"the page is {answer!r:.300}")
        case "peers.list":
            if answer != sorted((names["peer"], names["hostile_peer"])):
                raise Wrong(f"the peers are {answer!r:.300}")
        case "storage.put":
            if answer != compute_content_id(base64.b64decode(params["data"])):
                raise Wrong(f"a blob is put under {answer!r:.300}")
        case "storage.get":
            if compute_content_id(base64.b64decode(answer)) != params["content_id"]:
                raise Wrong(f"another blob is answered: {answer!r:.300}")
        case "ledger.call":
            if not params["method"].startswith(("get", "isBlockhashValid", "minimumLedgerSlot")):
                raise Wrong(f"{params['method']!r:.80} does not only read")
        case "sign":
            _check_signed(answer, params["value"], names["node"])
        case "verify":
            if answer != _open(params["signed"], params["node"]):
                raise Wrong(f"another value was signed than {answer!r:.300}")
        case _:  # of a peer only the node knows what is right
            pass


def check_post(body: bytes, status: int, answer: bytes, names: dict[str, str]) -> None:
    """Raises Wrong unless a main.js has the right answer to its request, or an error with a text."""
    if status not in (200, 401, 413, 422):
        raise Wrong(f"status {status}: {answer!r:.300}")
    try:
        read = json.loads(answer)
    except ValueError as error:
        raise Wrong(f"the answer is no JSON: {error}: {answer!r:.300}") from error
    _check_no_canary(json.dumps(read))
    if status != 200:
        _check_error(set(read) == {"message"}, read["message"])
        return
    if not read.keys() <= {"response"}:
        raise Wrong(f"the answer is {read!r:.300}")
    call = read_frame(body)
    if not isinstance(call, dict) or (call["secret"], call["taskId"]) != (SECRET, names["task"]):
        raise Wrong("a request without the secret of its task is answered")
    method, *arguments = call["args"]
    if method == "signData":
        _check_signed(read["response"], arguments[0], names["main"])
    if method == "getMainAccountPubkey" and read["response"] != names["main"]:
        raise Wrong(f"the main key is {read!r:.300}")


def _check_signed(signed: str, value: Any, node: str) -> None:
    """What a node signed is what it was given. JSON has one kind of number, so 1 and 1.0 are alike."""
    found = _open(signed, node)
    if found != value:
        raise Wrong(f"signed was {found!r:.300} and not {value!r:.300}")


def _open(signed: str, node: str) -> Any:
    """The value of a signed payload, read by another decoder than the node's. Raises Wrong."""
    raw = base58_decode(signed)
    if not Signature(raw[:64]).verify(Pubkey.from_string(node), raw[64:]):
        raise Wrong(f"{node} did not sign {signed!r:.200}")
    return json.loads(raw[64:])


def _check_error(has_name: bool, text: str) -> None:
    if not has_name or not text or "Traceback" in text or len(text) > ERROR_CHARACTERS_MAX:
        raise Wrong(f"an error that names nothing, or is too long ({len(text)} characters): {text!r:.500}")


def _check_no_canary(text: str) -> None:
    if CANARY in text or CANARY.encode().hex() in text or base64.b64encode(CANARY.encode()).decode() in text:
        raise Wrong(f"a file of the node's is answered: {text!r:.300}")
