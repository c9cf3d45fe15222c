"""The methods of a node that a main.js may call: the published ones by name, and no others.

The original lets a task call any method of the node's own object. Here a table lists the methods; each entry
is a method of `Namespace` that takes JSON values and answers a JSON value.
"""

from __future__ import annotations

import asyncio
import inspect
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
from solders.pubkey import Pubkey

from ...client.rpc import NEWEST, PAGES_MAX
from ...participant.moment import compute_moment, compute_timetable
from ...participant.selection import Submissions, select_node
from ...participant.step import find_list
from ...protocol.addresses import find_associated, find_authority
from ...protocol.params import KPL_PROGRAM, MONEY_MAX, NodeKey, TaskKey, key_of
from ...protocol.tasks.instructions import (
    CHUNK_BYTES,
    AuditDistribution,
    AuditSubmission,
    Claim,
    ClaimTokens,
    Payout,
    Stake,
    StakeTokens,
    SubmitDistributionList,
    SubmitTask,
    UploadDistributionList,
)
from ...protocol.tasks.round import Activity
from ...purposes import PAYLOAD, is_signed
from ...views import HeadView, RoundView, TaskView, join_rounds
from ...wire import convert, decode_json
from ..answers import ServiceError
from ..decoding import run_if_long
from ..lookout import CurrentTask
from ..peers.parts import PartBook
from ..peers.payload import PAYLOAD_BYTES_MAX, BadPayload, decode_base58, encode_base58
from ..peers.storage import TaskBlobs
from .arguments import choose_arguments, encode_list, read_round
from .held_task import PARTS, HeldTask
from .process import JavascriptSetting
from .slot_reads import ReadLedger, SlotReads
from .task_files import BadCall, TaskFiles
from .task_wallet import TaskWallet, read_bytes, read_key, read_keypair
from .turns import compute_own_turn, compute_turn_number

UPLOADS_MAX = 8
"""Chunks of a list that are on their way at a time."""

TASK_NODE_VERSION = "1.11.19"
"""The version of the published node whose contract this is; tasks compare it."""

DATABASE = "KOIIDB"
STORED = "stored"
"""The folder of the values that `storeSet` keeps, a file for each."""

KEEP_BLOBS_ROUNDS = 16
"""Blobs of a main.js are dropped after so many rounds: far beyond those in which a round can be open."""

LEVELS = ("log", "warn", "error")


class Namespace:
    """The node as one JavaScript task sees it.

    `read_ledger(method, params)` makes one RPC call that reads; `parts` and `current` are what the node holds
    of the task; `list_nodes()` are the task's nodes that this node knows. A liar submits every value with its
    last character changed. Methods raise BadCall, or what the ledger refuses with.
    """

    def __init__(
        self,
        *,
        setting: JavascriptSetting,
        wallet: TaskWallet,
        files: TaskFiles,
        read_ledger: ReadLedger,
        parts: PartBook,
        current: CurrentTask,
        list_nodes: Callable[[], list[dict[str, Any]]],
        blobs: TaskBlobs,
        log: Callable[[str], None],
        is_liar: bool = False,
    ) -> None:
        self.secret = setting.secret
        self._setting = setting
        self._wallet = wallet
        self._files = files
        self._read_ledger = SlotReads(
            read_ledger, lambda: None if (slot := parts.get_slot()) is None else (slot, wallet.sent)
        ).read
        self._current = current
        self._get_slot = parts.get_slot
        self._held = HeldTask(parts, current, str(wallet.node), self._read_ledger, lambda: wallet.sent)
        self._list_nodes = list_nodes
        self._blobs = blobs
        self._newest_round = 0
        """The newest round that a blob was put in."""
        self._log = log
        self._is_liar = is_liar
        self._task = TaskKey(key_of(setting.task))
        self._node = NodeKey(bytes(wallet.node))

    async def call(self, method: object, arguments: list[Any]) -> Any:
        """One method by its published name. Raises BadCall, RoundworkError."""
        name = METHODS.get(method) if isinstance(method, str) else None
        if name is None:
            raise BadCall(
                f"{str(method)[:80]} is not served: a task may call the methods that docs/JAVASCRIPT.md "
                "lists, and never for a key of the node's"
            )
        function = getattr(self, name)
        arguments = choose_arguments(function, arguments)
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as error:
            raise BadCall(f"{method}: {error}") from error
        return await function(*arguments)

    # Reading

    async def get_task_state(self, options: Any = None) -> Any:
        return await self._get_state(self._setting.task, options)

    async def get_task_state_by_id(self, task: Any, options: Any = None, kind: Any = None) -> Any:
        return await self._get_state(str(read_key(task)), options)

    async def get_task_submission_info(self, round_number: Any) -> Any:
        round_number = read_round(round_number)
        info = await self._held.show_submissions(round_number)
        return info or await self._held.read_info("getTaskSubmissionInfo", round_number)

    async def get_task_distribution_info(self, round_number: Any) -> Any:
        round_number = read_round(round_number)
        info = await self._held.show_distributions(round_number)
        info = info or await self._held.read_info("getTaskDistributionInfo", round_number)
        await self._show_turn(info, round_number)
        return info

    async def get_distribution_list(self, node: Any, round_number: Any) -> str:
        submitter, round_number = str(read_key(node)), read_round(round_number)
        text = await self._held.show_list(submitter, round_number)
        if text is None:
            view = await self._read_whole_round(self._setting.task, round_number)
            handed_in = [listed for listed in view.lists if listed.submitter == submitter]
            text = msgspec.json.encode(handed_in[-1].amounts).decode() if handed_in else ""
        if not text:
            raise BadCall(f"{submitter} has handed in no list for round {round_number}")
        return text

    async def select_lister(self, round_number: Any, is_previous_failed: Any = False) -> str:
        """The node that the published rule selects to hand in a round's list; "" if it selects no node."""
        round_number = read_round(round_number)
        submitted, *before = await self._read_submissions(round_number)
        info = await self.get_task_distribution_info(round_number)
        has_failed = info["distributions_audit_record"].get(str(round_number)) == "PayoutFailed"
        failed = [*info["distribution_rewards_submission"].get(str(round_number), {})] if has_failed else []
        return select_node(submitted, before, failed, bool(is_previous_failed)) or ""

    async def get_current_slot(self) -> int:
        held = self._get_slot()
        slot: int = await self._read_ledger("getSlot", [NEWEST]) if held is None else held
        return slot

    async def get_round(self) -> int:
        return compute_timetable(self._current.task).compute_round(await self.get_current_slot())

    async def get_average_slot_time(self) -> float:
        samples = await self._read_ledger("getRecentPerformanceSamples", [1])
        if not samples or not samples[0]["numSlots"]:
            raise BadCall("the ledger has no sample of its slots yet")
        milliseconds: float = samples[0]["samplePeriodSecs"] * 1000 / samples[0]["numSlots"]
        return milliseconds

    async def get_rpc_url(self) -> str:
        return self._setting.ledger_url

    async def get_nodes(self, url: Any = None) -> Any:
        """All nodes that this node knows. `url` is not fetched: a task could name any address with it."""
        return self._list_nodes()

    async def get_program_accounts(self) -> Any:
        program = str(Pubkey(self._wallet.program))
        found = await self._read_ledger("getProgramAccounts", [program, {**NEWEST, "encoding": "base64"}])
        for each in found:
            data = b64decode(each["account"]["data"][0])
            each["account"]["data"] = {"type": "Buffer", "data": list(data)}
        return found

    # The node and its keys

    async def get_submitter_account(self) -> Any:
        """The key that holds this task's stake and nothing else; the task may use it."""
        pair = bytes(self._wallet.keypair)
        return {
            "_keypair": {
                "publicKey": {str(at): byte for at, byte in enumerate(pair[32:])},
                "secretKey": {str(at): byte for at, byte in enumerate(pair)},
            }
        }

    async def get_main_account_pubkey(self) -> str:
        return self._setting.main_key

    async def get_task_node_version(self) -> str:
        return TASK_NODE_VERSION

    async def default_task_setup(self) -> None:
        """Does nothing: the stake is on the ledger before the task starts."""

    async def sign_data(self, body: Any) -> str:
        """Signed by the main key, as published: readers verify with what `getMainAccountPubkey` answers."""
        text = msgspec.json.encode(body)
        if len(text) > PAYLOAD_BYTES_MAX:
            raise BadCall(f"{len(text)} bytes are too many to sign; {PAYLOAD_BYTES_MAX} are allowed")
        return encode_base58(self._wallet.sign_payload(text) + text)

    async def verify_signed_data(self, signed: Any, key: Any) -> Any:
        try:
            raw = decode_base58(signed) if isinstance(signed, str) else b""
        except BadPayload as error:
            return {"error": str(error)}
        if len(raw) < 64 or not is_signed(PAYLOAD, read_key(key), raw[:64], raw[64:]):
            return {"error": "Invalid signature"}
        return {"data": raw[64:].decode("utf-8", "replace")}

    async def log(self, level: Any, message: Any, action: Any = None) -> bool:
        if level not in LEVELS:
            return False
        self._log(" ".join(str(part) for part in (f"{level}:", message, action) if part is not None))
        return True

    # Files

    async def call_fs(self, method: Any, *arguments: Any) -> Any:
        return await self._files.run(method, *arguments)

    async def read_file(self, path: Any) -> Any:
        return await self._files.run("readFile", path)

    async def open_file(self, path: Any) -> None:
        """Make an empty file, as the original does first. Its stream cannot cross HTTP."""
        await self._files.run("writeFile", path, "")

    async def read_stored(self, key: Any) -> Any:
        """What `storeSet` kept under a key; nothing if it kept nothing."""
        try:
            reading = await self._files.run("readFile", _locate_stored(key), "utf8")
        except BadCall as error:
            if str(error).startswith("ENOENT"):
                return None
            raise
        text = await asyncio.to_thread(reading.read)
        return await run_if_long(len(text), decode_json, text)

    async def store(self, key: Any, value: Any) -> None:
        """Keep a value in a file of the task's own."""
        path = _locate_stored(key)
        await self._files.run("mkdir", STORED, {"recursive": True})
        await self._files.run("writeFile", f"{path}.part", msgspec.json.encode(value).decode())
        await self._files.run("rename", f"{path}.part", path)

    async def put_blob(self, data: Any) -> str:
        """Keep a blob for the other nodes of the task to get; its content id. Text is kept as UTF-8."""
        raw = data.encode() if isinstance(data, str) else read_bytes(data)
        round_number = await self.get_round()
        if round_number > self._newest_round:
            self._newest_round = round_number
            await self._blobs.drop(round_number - KEEP_BLOBS_ROUNDS)
        return await self._blobs.put(raw, round_number)

    async def get_blob(self, content_id: Any, encoding: Any = None, node: Any = None) -> Any:
        """A blob from this node, from the one named (in an audit the candidate), or from others.

        With an encoding "utf8" or "base64" it is text, else what JSON makes of a Buffer.
        """
        if encoding not in (None, "utf8", "utf-8", "base64"):
            raise BadCall(f"an encoding is utf8 or base64, not {encoding!r:.80}")
        first = None if node is None else str(read_key(node))
        try:
            data = await self._blobs.get(str(content_id), await self.get_round(), first)
        except ServiceError as error:
            raise BadCall(f"{error.kind}: {error}") from error
        if encoding is None:
            return {"type": "Buffer", "data": list(data)}
        return b64encode(data).decode() if encoding == "base64" else data.decode("utf-8", "replace")

    async def get_base_path(self) -> str:
        return str(self._files.root)

    async def get_database_path(self) -> str:
        return str(self._files.root / DATABASE)

    # Transactions

    async def submit(self, value: Any, round_number: Any) -> None:
        """Submit, unless the round already has a submission of this node."""
        round_number = read_round(round_number)
        if not isinstance(value, str):
            raise BadCall(f"a submission is text; this is {type(value).__name__}")
        info = await self.get_task_submission_info(round_number)
        if str(self._wallet.node) not in info["submissions"].get(str(round_number), {}):
            submitted = _lie(value) if self._is_liar else value
            await self._wallet.send(
                SubmitTask(self._task, self._node, submitted.rstrip(" ").encode(), round_number)
            )

    async def audit_submission(self, candidate: Any, is_valid: Any, round_number: Any) -> None:
        key = NodeKey(bytes(read_key(candidate)))
        instruction = AuditSubmission(
            self._task, self._node, key, int(bool(is_valid)), read_round(round_number)
        )
        await self._wallet.send(instruction)

    async def upload_list(self, amounts: Any, round_number: Any) -> bool:
        round_number, text = read_round(round_number), encode_list(amounts)
        uploads = asyncio.Semaphore(UPLOADS_MAX)

        async def upload(at: int, chunk: bytes) -> None:
            async with uploads:
                instruction = UploadDistributionList(
                    self._task, self._node, at, len(chunk), chunk, round_number
                )
                await self._wallet.send(instruction)

        chunks = [text[at : at + CHUNK_BYTES] for at in range(0, len(text), CHUNK_BYTES)]
        await asyncio.gather(*(upload(at, chunk) for at, chunk in enumerate(chunks)))
        return True

    async def submit_list(self, round_number: Any) -> None:
        await self._wallet.send(
            SubmitDistributionList(self._task, self._node, self._node, read_round(round_number))
        )

    async def audit_list(self, candidate: Any, is_valid: Any, round_number: Any) -> None:
        key = NodeKey(bytes(read_key(candidate)))
        instruction = AuditDistribution(
            self._task, self._node, key, int(bool(is_valid)), read_round(round_number)
        )
        await self._wallet.send(instruction)

    async def trigger_payout(self, round_number: Any = None) -> None:
        """Payouts happen without a request. While the round is open, a request is refused.

        The older form names no round: nothing is sent.
        """
        if round_number is not None:
            await self._wallet.send(Payout(self._task, read_round(round_number)))

    async def claim_reward(self, pot: Any, beneficiary: Any, claimer: Any = None) -> str:
        """Of a task that pays in a token, the beneficiary is an account of that token."""
        pair = self._wallet.keypair if claimer is None else read_keypair(claimer)
        node, key, target = NodeKey(bytes(pair.pubkey())), bytes(read_key(pot)), bytes(read_key(beneficiary))
        instruction: Claim | ClaimTokens = Claim(self._task, node, key, target)
        if self._wallet.program == KPL_PROGRAM:
            instruction = ClaimTokens(self._task, node, key, target, find_authority(key))
        try:
            return await self._wallet.send(instruction, pair)
        finally:
            self._held.forget_balances()

    async def stake_on_chain(self, task: Any, staker: Any, pot: Any, amount: Any) -> str:
        """Adds to the stake what the staking key itself holds: the main key moves no money for a task.

        Tokens are taken from its associated account.
        """
        pair = self._wallet.keypair if staker is None else read_keypair(staker)
        if type(amount) is not int or not 0 < amount <= MONEY_MAX:
            raise BadCall(f"a stake is an integer of roe above 0; this is {amount!r:.80}")
        node, key, of = NodeKey(bytes(pair.pubkey())), bytes(read_key(pot)), TaskKey(bytes(read_key(task)))
        view = self._current.task
        if of != self._task:
            view = await self._read(TaskView, "getTask", [str(Pubkey(of))])
        instruction: Stake | StakeTokens = Stake(of, node, key, amount)
        if view.mint is not None:
            instruction = StakeTokens(of, node, find_associated(node, key_of(view.mint)), key, amount)
        return await self._wallet.send(instruction, pair)

    async def send_transaction(self, source: Any, beneficiary: Any, amount: Any) -> str:
        if type(amount) is not int or not 0 < amount <= MONEY_MAX:
            raise BadCall(f"an amount is an integer of roe above 0; this is {amount!r:.80}")
        return await self._wallet.transfer(source, read_key(beneficiary), amount)

    async def send_own_transaction(self, transaction: Any, signers: Any = None) -> str:
        if not isinstance(signers, list | None):
            raise BadCall(f"signers are an array of keypairs; this is {signers!r:.80}")
        pairs = [read_keypair(signer) for signer in signers or []]
        return await self._wallet.pay_for(read_bytes(transaction), pairs)

    # Helpers

    async def _get_state(self, task: str, options: Any) -> Any:
        flags = options if isinstance(options, dict) else dict.fromkeys(_PARTS.values(), True)
        parts = {part: bool(flags.get(flag)) for part, flag in _PARTS.items()}
        if task == self._setting.task and (held := await self._held.show_state(parts)) is not None:
            state = {"task_id": task, **held}
            if parts["distribution"]:
                await self._show_turn(state)
            return state
        config = {**NEWEST, "encoding": "base64", **parts}
        answer = await self._read_ledger("getTaskAccountInfo", [task, config])
        if answer["value"] is None:
            raise BadCall(f"there is no task at {task}")
        state = {"task_id": task, **decode_json(b64decode(answer["value"]["data"][0]))}
        if parts["distribution"] and task == self._setting.task:
            await self._show_turn(state)
        if parts["stake"]:
            state["stake_list"] |= await self._read_round_stakes(task)
        return state

    async def _read_round_stakes(self, task: str) -> dict[str, int]:
        """What the nodes had at stake when they submitted for the rounds whose lists are due now.

        A slash is a part of that, not of what is at stake by now, so that every node computes the same
        list. Of a node in several such rounds, the newest counts.
        """
        view = await self._read(TaskView, "getTask", [task])
        now = compute_moment(view, view.slot)
        rounds = [await self._read_whole_round(task, round_number) for round_number in view.open_rounds]
        due = [shown for shown in rounds if now.is_due(Activity.LIST, shown.round, shown.attempt)]
        return {each.node: each.stake for shown in due for each in shown.submissions}

    async def _show_turn(self, shown: Any, only: int | None = None) -> None:
        """Change what is shown of rounds whose list is due and missing, once this node has its turn.

        Then the other nodes appear as if lists of theirs had failed, so the published rule selects this node.
        Of all rounds that are shown, or `only` of one.
        """
        head = await self._held.get_head()
        if head is None:
            head = (await self._read(HeadView, "getTaskHead", [self._setting.task])).head
        now = compute_moment(head, head.slot)
        for listed in head.rounds:
            is_wanted = listed.round in head.open_rounds and only in (None, listed.round)
            is_due = now.is_open(Activity.LIST, listed.round, listed.attempt) and find_list(listed) is None
            turn = compute_turn_number(now)
            if not (is_wanted and is_due and turn > 0):
                continue
            submitted, *before = await self._read_submissions(listed.round)
            node = str(self._wallet.node)
            if node in submitted and turn >= compute_own_turn(node, listed, submitted, before):
                name = str(listed.round)
                shown["distributions_audit_record"][name] = "PayoutFailed"
                shown["distribution_rewards_submission"][name] = {
                    other: {"submission_value": other, "slot": head.slot, "round": listed.round}
                    for other in submitted
                    if other != node
                }

    async def _read_submissions(self, round_number: int) -> list[Submissions]:
        """The submissions of a round, and of the up to two rounds before it."""
        rounds = [each for each in (round_number, round_number - 1, round_number - 2) if each >= 0]
        infos = [await self.get_task_submission_info(each) for each in rounds]
        return [info["submissions"].get(str(each), {}) for each, info in zip(rounds, infos, strict=True)]

    async def _read_whole_round(self, task: str, round_number: int) -> RoundView:
        pages = [await self._read(RoundView, "getRound", [task, round_number])]
        while (after := pages[-1].next_after) is not None and len(pages) < PAGES_MAX:
            pages.append(await self._read(RoundView, "getRound", [task, round_number, {"after": after}]))
        return join_rounds(pages)

    async def _read(self, kind: type[Any], method: str, params: list[Any]) -> Any:
        answer = await self._read_ledger(method, params)
        if answer is None:
            raise BadCall(f"there is no task at {self._setting.task}")
        return convert(answer, kind)


METHODS = {
    "auditSubmission": "audit_submission",
    "checkSubmissionAndUpdateRound": "submit",
    "claimReward": "claim_reward",
    "defaultTaskSetup": "default_task_setup",
    "distributionListAuditSubmission": "audit_list",
    "distributionListSubmissionOnChain": "submit_list",
    "fs": "call_fs",
    "fsReadStream": "read_file",
    "fsStaking": "call_fs",
    "fsWriteStream": "open_file",
    "getAverageSlotTime": "get_average_slot_time",
    "getBasePath": "get_base_path",
    "getCurrentSlot": "get_current_slot",
    "getDistributionList": "get_distribution_list",
    "getMainAccountPubkey": "get_main_account_pubkey",
    "getNodes": "get_nodes",
    "getProgramAccounts": "get_program_accounts",
    "getRound": "get_round",
    "getRpcUrl": "get_rpc_url",
    "getSubmitterAccount": "get_submitter_account",
    "getTaskDistributionInfo": "get_task_distribution_info",
    "getTaskLevelDBPath": "get_database_path",
    "getTaskNodeVersion": "get_task_node_version",
    "getTaskState": "get_task_state",
    "getTaskStateById": "get_task_state_by_id",
    "getTaskSubmissionInfo": "get_task_submission_info",
    "logger": "log",
    "nodeSelectionDistributionList": "select_lister",
    "payloadTrigger": "trigger_payout",
    "sendAndConfirmTransactionWrapper": "send_own_transaction",
    "sendTransaction": "send_transaction",
    "signData": "sign_data",
    "stakeOnChain": "stake_on_chain",
    "storageGet": "get_blob",
    "storagePut": "put_blob",
    "storeGet": "read_stored",
    "storeSet": "store",
    "uploadDistributionList": "upload_list",
    "verifySignedData": "verify_signed_data",
}
"""The function for each published name."""

_PARTS = dict(
    zip(
        PARTS,
        (
            "is_submission_required",
            "is_distribution_required",
            "is_available_balances_required",
            "is_stake_list_required",
        ),
        strict=True,
    )
)
"""The flag by which a request names each map of the state."""


def _locate_stored(key: Any) -> str:
    """The path of a stored value. Raises BadCall."""
    if not isinstance(key, str):
        raise BadCall(f"a key of the store is text; this is {key!r:.80}")
    return f"{STORED}/{sha256(key.encode()).hexdigest()}"


def _lie(value: str) -> str:
    return value[:-1] + ("b" if value.endswith("a") else "a")
