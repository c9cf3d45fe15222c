"""The ledger over RPC: a method for each call; the law's errors as their own classes."""

import asyncio
import base64
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from .. import errors
from ..errors import BadConfig, Malformed, Rejected, RemoteError, RoundworkError, Void, WrongShape
from ..hardened_views import AssignmentsView, RoundProof
from ..protocol.params import KPL_PROGRAM, TASK_PROGRAM, TOKEN_PROGRAM, base58_of
from ..protocol.programs.token_records import ACCOUNT_BYTES, AMOUNT_AT, MINT_AT
from ..views import (
    PART_ROWS,
    HeadView,
    LedgerView,
    PartKey,
    RoundView,
    Row,
    StakeNews,
    TaskView,
    join_rounds,
)  # fmt: skip
from ..wire import JSON_BYTES_MAX, convert, decode_json, decode_zstd, read_text

if TYPE_CHECKING:
    from httpx2 import AsyncBaseTransport, Response

T = TypeVar("T")

POLL_SECONDS = 0.1
TIMEOUT_SECONDS = 30.0
HEADERS = {"content-type": "application/json", "accept-encoding": "identity"}
TASKS_AT_ONCE = 100
LINE_CHARACTERS_MAX = 1_000
"""Of what another process says, in an error's text."""

ROUNDS_AT_ONCE = 100
PAGES_MAX = 1_000
"""A round with more pages is not read to its end."""

BLOB_BYTES_MAX = 2**20
"""A page or an index of a part has fewer bytes: 1,000 proofs of 512 bytes with their addresses."""


class _Value(msgspec.Struct, Generic[T]):
    """What Solana's methods answer beside the context."""

    value: T


class _Rows(msgspec.Struct, Generic[T]):
    rows: list[T]


class _Owned(msgspec.Struct):
    owner: str


class _Held(_Owned):
    data: tuple[bytes, str]
    space: int


class _Amount(msgspec.Struct):
    amount: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,20}$")]
    decimals: int


class _Blockhash(msgspec.Struct, rename="camel"):
    blockhash: str
    last_valid_block_height: int


class _Data(msgspec.Struct):
    data: tuple[bytes, str]


class _Row(msgspec.Struct):
    pubkey: str
    account: _Data


class _Status(msgspec.Struct):
    err: Any


class _Meta(msgspec.Struct):
    meta: dict[str, Any]


class _Balances(msgspec.Struct, rename="camel"):
    pre_balances: list[int]
    post_balances: list[int]
    fee: int


class _Message(msgspec.Struct, rename="camel"):
    account_keys: list[str]


class _Signed(msgspec.Struct):
    message: _Message


class _Executed(msgspec.Struct):
    meta: _Balances
    transaction: _Signed


class _Failure(msgspec.Struct):
    code: int
    message: str
    data: Any = None


class Unreachable(RemoteError):
    """The URL does not answer now. Trying again later may help. The text is one line."""


class Refused(RemoteError):
    """The ledger answered with an error that the law has no class for. `code` is JSON-RPC's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{_shorten(message)} ({code})")
        self.code = code


class Client:
    """Talks to one ledger. Use it as an asynchronous context manager.

    Every method raises Unreachable without an answer, and Refused, Rejected or Void for an error.
    """

    def __init__(
        self, url: str, transport: "AsyncBaseTransport | None" = None, priority_fee: int = 0
    ) -> None:
        """`priority_fee` is what each transaction of ours pays on top of its fee, in roe.

        Raises BadConfig for a text that is not a URL of HTTP.
        """
        import httpx2

        check_url(url)
        try:
            httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise BadConfig(f"--url {url!r}: {error}") from None
        self.url = url
        self.priority_fee = priority_fee
        self._http = httpx2.AsyncClient(transport=transport, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, method: str, *params: Any) -> Any:
        """The result of one RPC method."""
        answer = await self._post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return _read_answer(answer)

    async def call_many(self, *calls: tuple[str, *tuple[Any, ...]]) -> list[Any]:
        """The results of several methods in one request, each given as (method, parameters …)."""
        batch = [
            {"jsonrpc": "2.0", "id": at, "method": method, "params": params}
            for at, (method, *params) in enumerate(calls)
        ]
        answers = await self._post(batch) if batch else []
        if not isinstance(answers, list) or len(answers) != len(batch):
            raise RemoteError(f"{self.url} answered a batch of {len(batch)} with {answers!r:.200}")
        return [_read_answer(answer) for answer in answers]

    async def _post(self, request: Any) -> Any:
        import httpx2

        body = msgspec.json.encode(request)
        try:
            async with self._http.stream("POST", self.url, content=body, headers=HEADERS) as response:
                content = await self._read(response)
        except httpx2.RequestError as error:
            why = _shorten(f"{type(error).__name__} {error}")
            raise Unreachable(f"{self.url} does not answer: {why}") from error
        if response.is_server_error:  # the ledger stops, or has too many connections
            why = _shorten(f"{response.status_code} {read_text(content[: 10 * LINE_CHARACTERS_MAX])}")
            raise Unreachable(f"{self.url} does not answer: {why}")
        try:
            return decode_json(content)
        except Malformed as error:
            raise RemoteError(f"{self.url} answered {response.status_code} and no JSON") from error

    async def _read(self, response: "Response") -> bytes:
        """The body of an answer. Raises RemoteError if it is too long, or compressed: a few bytes could
        then become any number.
        """
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise RemoteError(f"{self.url} answers in the encoding {encoding!r:.80}, which was not requested")
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > JSON_BYTES_MAX:
                raise RemoteError(f"{self.url} answers more than {JSON_BYTES_MAX} bytes")
        return bytes(content)

    async def get_slot(self) -> int:
        slot: int = _convert(await self.call("getSlot", NEWEST), int)
        return slot

    async def get_balance(self, address: str) -> int:
        """Roe at an address."""
        balance: int = await self._get_value(int, "getBalance", address, NEWEST)
        return balance

    async def get_account_owner(self, address: str) -> str | None:
        """The program an account belongs to; None if there is no account."""
        config = {**NEWEST, "encoding": "base64", "dataSlice": {"offset": 0, "length": 0}}
        account = await self._get_value(_Owned | None, "getAccountInfo", address, config)
        return str(account.owner) if account else None

    async def get_token_of(self, account: str) -> str | None:
        """The mint of a token account; None for any other account."""
        config = {**NEWEST, "encoding": "base64", "dataSlice": {"offset": MINT_AT, "length": 32}}
        found = await self._get_value(_Held | None, "getAccountInfo", account, config)
        if found is None or (found.owner, found.space) != (base58_of(TOKEN_PROGRAM), ACCOUNT_BYTES):
            return None
        return base58_of(found.data[0])

    async def get_token_supply(self, mint: str) -> tuple[int, int]:
        """The supply of a token, in its smallest unit, and its decimals. Raises Refused."""
        supply: _Amount = await self._get_value(_Amount, "getTokenSupply", mint, NEWEST)
        return int(supply.amount), supply.decimals

    async def get_tokens_held(self, mint: str) -> int:
        """The sum of all accounts of a token, each read by itself."""
        filters = [{"dataSize": ACCOUNT_BYTES}, {"memcmp": {"offset": MINT_AT, "bytes": mint}}]
        part = {"offset": AMOUNT_AT, "length": 8}
        config = {**NEWEST, "encoding": "base64", "filters": filters, "dataSlice": part}
        found = await self.call("getProgramAccounts", base58_of(TOKEN_PROGRAM), config)
        rows: list[_Row] = _convert(found, list[_Row])
        return sum(int.from_bytes(row.account.data[0], "little") for row in rows)

    async def get_token_balance(self, account: str) -> int:
        """The balance of a token account. Raises Refused."""
        balance: _Amount = await self._get_value(_Amount, "getTokenAccountBalance", account, NEWEST)
        return int(balance.amount)

    async def get_latest_blockhash(self) -> tuple[str, int]:
        """The tick to name, base58, and the last block height at which its transaction can run."""
        latest: _Blockhash = await self._get_value(_Blockhash, "getLatestBlockhash", NEWEST)
        return latest.blockhash, latest.last_valid_block_height

    async def get_task(self, task: str) -> TaskView | None:
        """A task as it stands; None if there is none."""
        view: TaskView | None = _convert(await self.call("getTask", task), TaskView | None)
        return view

    async def get_head(self, task: str, node: str | None = None) -> HeadView | None:
        """The head of a task with the records of a node, if one is named; None if there is no such task."""
        view: HeadView | None = _convert(await self.call("getTaskHead", task, node), HeadView | None)
        return view

    async def get_stakes(self, task: str, since_slot: int, digest: str) -> StakeNews | None:
        """The nodes whose stake or endpoint changed in a slot or later; None if there is no such task.

        `digest` is that of the stakes that the reader has.
        """
        answer = await self.call("getTaskStakes", task, since_slot, digest)
        news: StakeNews | None = _convert(answer, StakeNews | None)
        return news

    async def get_rows(self, task: str, part: PartKey, since_slot: int) -> list[Row]:
        """The rows of a part that grows, from a slot on."""
        answer = await self.call("getRoundRows", task, part.round, part.kind.value, since_slot)
        kind: Any = PART_ROWS[part.kind]
        news: _Rows[Any] = _convert(answer, _Rows[kind])
        return news.rows

    async def get_blob(self, content_id: str) -> bytes:
        """A page or an index of a part, unchecked. Raises RemoteError if the ledger does not serve it."""
        import httpx2

        url = f"{self.url.rstrip('/')}/ipfs/{content_id}"
        try:
            response = await self._http.get(url, headers={"accept-encoding": "zstd"})
        except httpx2.RequestError as error:
            raise Unreachable(f"{url} does not answer: {type(error).__name__} {error}") from error
        if response.status_code != 200:
            raise RemoteError(f"{url} answers {response.status_code}")
        data: bytes = response.content
        if response.headers.get("content-encoding") != "zstd":
            return data
        try:
            return decode_zstd(data, BLOB_BYTES_MAX)
        except Malformed as error:
            raise RemoteError(f"{url} answers {error}") from error

    async def get_tasks(self) -> list[TaskView]:
        """Every task of the ledger, in the order of addresses."""
        config = {**NEWEST, "encoding": "base64", "dataSlice": {"offset": 0, "length": 0}}
        programs = (TASK_PROGRAM, KPL_PROGRAM)
        calls = [("getProgramAccounts", base58_of(program), config) for program in programs]
        found: list[list[_Row]] = _convert(await self.call_many(*calls), list[list[_Row]])
        keys = sorted(row.pubkey for rows in found for row in rows)
        views: list[TaskView | None] = []
        for at in range(0, len(keys), TASKS_AT_ONCE):
            answers = await self.call_many(*(("getTask", key) for key in keys[at : at + TASKS_AT_ONCE]))
            views += _convert(answers, list[TaskView | None])
        return [view for view in views if view is not None]  # other accounts of the programs hold no task

    async def get_round(self, task: str, round_number: int) -> RoundView | None:
        """A round as it stands; None if there is no such task."""
        view: RoundView | None = _convert(await self.call("getRound", task, round_number), RoundView | None)
        return None if view is None else await self._read_on(task, view)

    async def _read_on(self, task: str, first: RoundView) -> RoundView:
        """A round, from its first page and those that follow."""
        pages = [first]
        while (after := pages[-1].next_after) is not None:
            answer = await self.call("getRound", task, first.round, {"after": after})
            pages.append(_convert(answer, RoundView))
            if len(pages) > PAGES_MAX:
                raise RemoteError(f"{self.url} answers round {first.round} without an end")
        return first if len(pages) == 1 else join_rounds(pages)

    async def get_drawn_round(
        self, task: str, round_number: int, node: str
    ) -> tuple[RoundView, AssignmentsView] | None:
        """A round, and what a node was drawn for in it, not older; None if there is no such task."""
        shown, drawn = await self.call_many(
            ("getRound", task, round_number), ("getAssignments", task, round_number, node)
        )
        if shown is None or drawn is None:
            return None
        view = await self._read_on(task, _convert(shown, RoundView))
        own: AssignmentsView = _convert(drawn, AssignmentsView)
        return view, own

    async def get_posted_proof(self, task: str, round_number: int, node: str) -> bytes | None:
        """The proof of a node's submission that lies on the ledger; None if it does not."""
        text: str | None = _convert(await self.call("getPostedProof", task, round_number, node), str | None)
        try:
            return None if text is None else bytes.fromhex(text)
        except ValueError as error:
            raise RemoteError(f"{self.url} answered a proof that is not hex") from error

    async def get_rounds(self, task: str, round_numbers: list[int]) -> dict[int, RoundView]:
        """Several rounds at once."""
        views: list[RoundView] = []
        for at in range(0, len(round_numbers), ROUNDS_AT_ONCE):
            numbers = round_numbers[at : at + ROUNDS_AT_ONCE]
            answers = await self.call_many(*(("getRound", task, round_number) for round_number in numbers))
            views += _convert(answers, list[RoundView])
        return {view.round: await self._read_on(task, view) for view in views}

    async def get_round_proof(self, task: str, round_number: int, node: str) -> RoundProof | None:
        """What shows what became of a node in a round that is over; None if there is no such proof."""
        answer = await self.call("getRoundProof", task, round_number, node)
        proof: RoundProof | None = _convert(answer, RoundProof | None)
        return proof

    async def get_ledger(self) -> LedgerView:
        """The parameters that the ledger was founded with."""
        view: LedgerView = _convert(await self.call("getLedger"), LedgerView)
        if view.slot_ms <= 0:
            raise RemoteError(f"{self.url} has slots of {view.slot_ms} ms")
        return view

    async def request_airdrop(self, address: str, amount: int) -> str:
        """Have a development ledger's faucet give; the signature."""
        return str(await self.call("requestAirdrop", address, amount))

    async def send(self, wire: bytes) -> str:
        """Send a signed transaction; its signature. Raises what a simulation of it raises."""
        text = base64.b64encode(wire).decode()
        return str(await self.call("sendTransaction", text, {"encoding": "base64"}))

    async def confirm(self, signature: str, last_valid: int) -> None:
        """Wait until a transaction is durable.

        Raises the error that rejected it, and BlockhashNotFound if it lapsed at height `last_valid`.
        """
        while True:
            kind = tuple[_Status | None]
            [status] = await self._get_value(kind, "getSignatureStatuses", [signature], _DEEP)
            if status is not None:
                if status.err is not None:
                    raise await self._read_rejection(signature)
                return
            if await self.get_slot() > last_valid:
                raise errors.BlockhashNotFound(f"{signature} was not executed until slot {last_valid}")
            await asyncio.sleep(POLL_SECONDS)

    async def get_received(self, signature: str, address: str) -> int:
        """The roe that a transaction gave to an address, without the fee that the address may have paid."""
        config = {**NEWEST, "maxSupportedTransactionVersion": 0, "encoding": "json"}
        executed: _Executed = _convert(await self.call("getTransaction", signature, config), _Executed)
        keys, meta = executed.transaction.message.account_keys, executed.meta
        if address not in keys or not len(keys) <= len(meta.pre_balances) == len(meta.post_balances):
            raise RemoteError(f"the ledger's answer about {signature} has no balance of {address}")
        at = keys.index(address)
        return meta.post_balances[at] - meta.pre_balances[at] + (meta.fee if at == 0 else 0)

    async def _read_rejection(self, signature: str) -> RoundworkError:
        config = {**NEWEST, "maxSupportedTransactionVersion": 0}
        meta: _Meta = _convert(await self.call("getTransaction", signature, config), _Meta)
        return _read_reason(meta.meta) or RemoteError(f"{signature} failed: {meta.meta.get('err')}")

    async def _get_value(self, kind: Any, method: str, *params: Any) -> Any:
        """The value of an answer that has a context beside it, as a `kind`."""
        return _convert(await self.call(method, *params), _Value[kind]).value


def _shorten(text: str) -> str:
    """A text of another process as a line: a page of HTML, for one, must not fill a terminal or a log."""
    line = " ".join(text[: 10 * LINE_CHARACTERS_MAX].split())
    return line if len(line) <= LINE_CHARACTERS_MAX else f"{line[:LINE_CHARACTERS_MAX]}…"


def _read_reason(data: Any) -> RoundworkError | None:
    """The law's error that an RPC error's data or a transaction's meta names; None if it names none."""
    reason = data.get("roundwork") if isinstance(data, dict) else None
    if not isinstance(reason, dict):
        return None
    name = reason.get("name")
    if not isinstance(name, str) or name not in _CLASSES:
        return None
    return _CLASSES[name](_shorten(str(reason.get("text", ""))))


def _read_answer(answer: Any) -> Any:
    if not isinstance(answer, dict) or not answer.keys() & {"result", "error"}:
        raise RemoteError(f"the ledger answered {answer!r:.200}, which is not JSON-RPC")
    if answer.get("error") is not None:
        error: _Failure = _convert(answer["error"], _Failure)
        raise _read_reason(error.data) or Refused(error.code, error.message)
    return answer.get("result")


def _convert(value: Any, kind: Any) -> Any:
    try:
        return convert(value, kind)
    except WrongShape as error:
        raise RemoteError(f"the ledger's answer has an unexpected form: {error}") from error


def _walk(base: type[RoundworkError]) -> dict[str, type[RoundworkError]]:
    classes = {base.__name__: base}
    for child in base.__subclasses__():
        classes |= _walk(child)
    return classes


NEWEST = {"commitment": "processed"}
"""Our own reads are of the newest block. The methods of ours that take no configuration are, too."""

_DEEP = {"searchTransactionHistory": True}

_CLASSES = _walk(Rejected) | _walk(Void)


def check_url(url: str) -> None:
    """Raises BadConfig for a text that is not a URL of HTTP."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bad port or address
        is_good = False
    if not is_good or not url.isprintable() or " " in url:
        raise BadConfig(f"--url {url!r}: it must be a URL, such as http://127.0.0.1:8899")
