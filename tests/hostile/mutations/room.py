"""A ledger in this process, with what mutated requests may name, and honest people who use it."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import httpx2
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

from roundwork.client.operations import airdrop, create_token, deploy, mint_tokens, set_active, stake
from roundwork.client.rpc import Client
from roundwork.client.token_operations import find_account
from roundwork.host.keypairs import read_keypair
from roundwork.host.serve import listen
from roundwork.ledger.chain import Chain
from roundwork.ledger.embedded.producer import Producer
from roundwork.ledger.rpc import errors
from roundwork.ledger.rpc.http import build_app
from roundwork.ledger.server import FAUCET_FILE, found_development, serve_engine
from roundwork.ledger.signatures import Verifier
from roundwork.package.folder import load_package, pack
from roundwork.protocol.books import compute_supply, find_token_faults
from roundwork.protocol.params import KOII, TASK_PROGRAM, base58_of
from roundwork.wire import base58_encode

from .surface import Wrong

ROOT = Path(__file__).parents[3]
DOCUMENTED = [
    json.loads(block) for block in re.findall(r"```json\n(.*?)\n```", (ROOT / "docs/RPC.md").read_text())
]
"""A request of every method and subscription; names in braces stand for values of `Names`."""

CODES = {
    refusal.code
    for refusal in vars(errors).values()
    if isinstance(refusal, type) and issubclass(refusal, errors.RpcError) and hasattr(refusal, "code")
} - {errors.InternalError.code}
"""What a request may be refused with. That the ledger failed is not an answer to a mutated request."""

MESSAGE_CHARACTERS_MAX = 2_000

Names = dict[str, str]


class Poster(Protocol):
    """The way to the ledger."""

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """The status and the body of an answer."""


class InProcess:
    """Posts to the application in this process."""

    def __init__(self, app: Callable[..., Any], path: str = "/") -> None:
        self._app = app
        self._path = path

    async def post(self, body: bytes) -> tuple[int, bytes]:
        scope = {
            "type": "http", "method": "POST", "path": self._path, "headers": [], "client": ("127.0.0.1", 1)
        }  # fmt: skip
        sent: list[Any] = []
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return unread.pop() if unread else await asyncio.Event().wait()  # it does not disconnect

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


class OverHttp:
    """Posts to a ledger process."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def post(self, body: bytes) -> tuple[int, bytes]:
        answer = await self._http.post(self._url, content=body)
        return answer.status_code, answer.content


class OpenLedger:
    """A ledger in this process, on a port of loopback."""

    def __init__(self, chain: Chain, app: Callable[..., Any], url: str) -> None:
        self.chain = chain
        self.app = app
        self.url = url
        self.names: Names = {}
        self._supply = compute_supply(chain.state)

    def check_books(self) -> None:
        """Raises Wrong if money was made or lost."""
        supply = compute_supply(self.chain.state)
        if supply != self._supply:
            raise Wrong(f"the supply was {self._supply} roe and is {supply}")
        faults = find_token_faults(self.chain.state)
        if faults:
            raise Wrong(faults[0])


@asynccontextmanager
async def open_ledger(directory: Path) -> AsyncIterator[OpenLedger]:
    """A ledger with a task, a token and a few transfers in it, served as a ledger is."""
    found_development(directory, slot_ms=20)
    with closing(Chain(directory)) as chain, closing(listen("127.0.0.1", 0)) as listening:
        async with Verifier(workers=0) as verifier:
            producer = Producer(chain, verifier)
            app = build_app(chain, producer, read_keypair(directory / FAUCET_FILE))
            is_served = asyncio.Event()
            serving = asyncio.create_task(
                serve_engine(app, [listening], producer.run(), producer.stop, is_served.set)
            )
            try:
                await is_served.wait()
                ledger = OpenLedger(chain, app, f"http://127.0.0.1:{listening.getsockname()[1]}")
                ledger.names = await make_names(ledger.url) | await renew_names(InProcess(app))
                yield ledger
                if serving.done():
                    raise Wrong("the ledger has ended")
            finally:
                producer.stop()
                await serving


async def make_names(url: str) -> Names:
    """What the names in docs/RPC.md stand for, made on the ledger at a URL."""
    payer, package = make_pair("payer"), load_package(ROOT / "examples" / "hello")
    async with Client(url) as client:
        await airdrop(client, str(payer.pubkey()), 100_000 * KOII)
        task = await deploy(client, payer, package, pack(package)[0])
        await set_active(client, payer, task, True)
        await stake(client, payer, make_pair("staking"), task, package.minimum_stake)
        mint = await create_token(client, payer, 2)
        await mint_tokens(client, payer, mint, str(payer.pubkey()), 1_000_000)
        signature = await client.send(sign_transfer(payer, (await client.get_latest_blockhash())[0], 1))
    return {
        "address": str(payer.pubkey()),
        "nobody": str(make_pair("nobody").pubkey()),
        "task": task,
        "mint": mint,
        "token_account": base58_of(find_account(bytes(payer.pubkey()), mint)),
        "task_program": base58_of(TASK_PROGRAM),
        "task_prefix": base58_encode(b'{"is_allowlisted":true,'),
        "signature": signature,
    }


async def renew_names(poster: Poster) -> Names:
    """The names that lapse: a tick, and transactions that name it."""
    tick = (await call(poster, "getLatestBlockhash"))["value"]["blockhash"]
    wires = [sign_transfer(make_pair("payer"), tick, amount) for amount in (2, 3)]
    return {
        "blockhash": tick,
        "wire": base64.b64encode(wires[0]).decode(),
        "wire2": base64.b64encode(wires[1]).decode(),
        "message": base64.b64encode(bytes(Transaction.from_bytes(wires[0]).message)).decode(),
    }


def make_pair(name: str) -> Keypair:
    """A keypair that is the same in every run."""
    return Keypair.from_seed(sha256(f"mutations/{name}".encode()).digest())


def sign_transfer(payer: Keypair, tick: str, amount: int, target: str = "someone") -> bytes:
    """A signed transfer."""
    instruction = transfer(
        TransferParams(from_pubkey=payer.pubkey(), to_pubkey=make_pair(target).pubkey(), lamports=amount)
    )
    hashed = Hash.from_string(tick)
    return bytes(
        Transaction([payer], Message.new_with_blockhash([instruction], payer.pubkey(), hashed), hashed)
    )


def fill(raw: bytes, names: Names) -> bytes:
    """An input with its names replaced by what they stand for."""
    for name, value in names.items():
        raw = raw.replace(b"{" + name.encode() + b"}", value.encode())
    return raw


async def call(poster: Poster, method: str, *params: Any) -> Any:
    """The result of an honest request. Raises Wrong if it has none."""
    body = json.dumps({"jsonrpc": "2.0", "id": method, "method": method, "params": params})
    status, answer = await poster.post(body.encode())
    if status != 200:
        raise Wrong(f"an honest {method} has status {status}: {answer!r:.500}")
    response = json.loads(answer)
    if response.get("id") != method or "result" not in response:
        raise Wrong(f"an honest {method} is answered {response!r:.500}")
    return response["result"]


class Honest:
    """Two people who use a ledger meanwhile, and know what they must have."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster
        self._payer, self._saver = make_pair("honest payer"), make_pair("honest saver")
        self._saved = 0
        self._spent = 0
        self._signatures: list[str] = []

    async def begin(self) -> None:
        """Get money."""
        await call(self._poster, "requestAirdrop", str(self._payer.pubkey()), 1000 * KOII)

    async def use(self) -> None:
        """Transfer, and look whether all is there. Raises Wrong."""
        tick = (await call(self._poster, "getLatestBlockhash"))["value"]["blockhash"]
        amount = len(self._signatures) + 1
        wire = base64.b64encode(sign_transfer(self._payer, tick, amount, "honest saver")).decode()
        self._signatures.append(await call(self._poster, "sendTransaction", wire, {"encoding": "base64"}))
        self._saved += amount
        self._spent += amount + 5000
        have = [
            (await call(self._poster, "getBalance", str(pair.pubkey()), {"commitment": "processed"}))["value"]
            for pair in (self._saver, self._payer)
        ]
        expected = [self._saved, 1000 * KOII - self._spent]
        if have != expected:
            raise Wrong(f"honest people have {have} roe and should have {expected}")
        config = {"searchTransactionHistory": True}
        signatures = [self._signatures[0], self._signatures[-1]]
        found = (await call(self._poster, "getSignatureStatuses", signatures, config))["value"]
        if not all(status is not None and status["err"] is None for status in found):
            raise Wrong(f"honest transfers have the statuses {found}")


def check_answer(answer: Any) -> None:
    """Raises Wrong unless it is a response of JSON-RPC: a result, or an error that says what is wrong."""
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0" or "id" not in answer:
        raise Wrong(f"no response of JSON-RPC: {answer!r:.300}")
    if ("result" in answer) == ("error" in answer):
        raise Wrong(f"a response has a result or an error: {answer!r:.300}")
    if "result" in answer:
        return
    error = answer["error"]
    if error["code"] not in CODES or not error["message"] or "Traceback" in error["message"]:
        raise Wrong(f"an error that names nothing: {error!r:.1000}")
    if len(error["message"]) > MESSAGE_CHARACTERS_MAX:
        raise Wrong(f"an error of {len(error['message'])} characters: {error!r:.300}")
