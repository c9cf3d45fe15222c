"""Options: each method takes its own fields, of the right kind, and refuses every other by its name."""

import asyncio
import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from roundwork.ledger.rpc.block_feeds import KINDS
from roundwork.ledger.rpc.dispatch import METHODS
from roundwork.ledger.rpc.params import COMMON, FIELDS

from ..process import RunningLedger, running

KEY = "11111111111111111111111111111111"
TOKENS = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
SIGNATURE = "1" * 64
OF_OWNER = [KEY, {"programId": TOKENS}]

ACCOUNT = {"encoding", "dataSlice"}
PROGRAM = ACCOUNT | {"filters", "withContext", "sortResults"}
TRANSACTION = {"encoding", "maxSupportedTransactionVersion"}
BLOCK = TRANSACTION | {"transactionDetails", "rewards"}
SENDING = {"encoding", "skipPreflight", "preflightCommitment", "maxRetries"}
SIMULATION = {"encoding", "sigVerify", "replaceRecentBlockhash", "accounts", "innerInstructions"}
OF_UMI = {"id", "signal"}
HISTORY = {"before", "until", "limit"}

OPTIONS: dict[str, tuple[list[Any], set[str]]] = {
    "getAccountInfo": ([KEY], ACCOUNT | OF_UMI),
    "getBalance": ([KEY], OF_UMI),
    "getBlock": ([0], BLOCK),
    "getBlockHeight": ([], OF_UMI),
    "getBlockProduction": ([], {"encoding", "identity", "range"}),
    "getBlocks": ([0, 1], set()),
    "getBlocksWithLimit": ([0, 1], set()),
    "getConfirmedBlock": ([0], BLOCK),
    "getConfirmedBlocks": ([0, 1], set()),
    "getConfirmedSignaturesForAddress2": ([KEY], HISTORY),
    "getConfirmedTransaction": ([SIGNATURE], TRANSACTION),
    "getEpochInfo": ([], set()),
    "getFeeCalculatorForBlockhash": ([KEY], set()),
    "getFeeForMessage": (["AAAA"], set()),
    "getInflationGovernor": ([], set()),
    "getInflationReward": ([[KEY]], {"epoch"}),
    "getLargestAccounts": ([], {"filter", "sortResults"}),
    "getLatestBlockhash": ([], OF_UMI),
    "getLeaderSchedule": ([0], {"identity"}),
    "getMinimumBalanceForRentExemption": ([0], set()),
    "getMultipleAccounts": ([[KEY]], ACCOUNT | OF_UMI),
    "getProgramAccounts": ([KEY], PROGRAM | OF_UMI),
    "getRecentBlockhash": ([], set()),
    "getSignatureStatuses": ([[]], {"searchTransactionHistory"}),
    "getSignaturesForAddress": ([KEY], HISTORY),
    "getSlot": ([], OF_UMI),
    "getSlotLeader": ([], set()),
    "getStakeMinimumDelegation": ([], set()),
    "getSupply": ([], {"excludeNonCirculatingAccountsList"}),
    "getTokenAccountBalance": ([KEY], set()),
    "getTokenAccountsByDelegate": (OF_OWNER, ACCOUNT),
    "getTokenAccountsByOwner": (OF_OWNER, ACCOUNT),
    "getTokenLargestAccounts": ([KEY], set()),
    "getTokenSupply": ([KEY], set()),
    "getTransaction": ([SIGNATURE], TRANSACTION),
    "getTransactionCount": ([], set()),
    "getVoteAccounts": ([], {"votePubkey", "keepUnstakedDelinquents", "delinquentSlotDistance"}),
    "isBlockhashValid": ([KEY], set()),
    "requestAirdrop": ([KEY, 1], {"recentBlockhash"}),
    "sendTransaction": (["AAAA"], SENDING),
    "simulateTransaction": (["AAAA"], SIMULATION),
    # Of tasks
    "getAssignments": ([KEY, 0, KEY], set()),
    "getLedger": ([], set()),
    "getMyTaskStakeInfo": ([KEY, KEY], set()),
    "getMyTaskSubmissionRoundInfo": ([KEY, KEY], {"encoding", "round"}),
    "getRound": ([KEY, 0], {"after", "limit"}),
    "getRoundProof": ([KEY, 0, KEY], set()),
    "getPostedProof": ([KEY, 0, KEY], set()),
    "getTask": ([KEY], set()),
    "getTaskAccountInfo": ([KEY], {"encoding", "submission", "distribution", "balance", "stake"}),
    "getTaskDistributionInfo": ([KEY], {"encoding", "round"}),
    "getTaskSubmissionInfo": ([KEY], {"encoding", "round"}),
    # Subscriptions
    "accountSubscribe": ([KEY], ACCOUNT),
    "blockSubscribe": (["all"], TRANSACTION | {"transactionDetails", "showRewards"}),
    "logsSubscribe": (["all"], set()),
    "programSubscribe": ([KEY], PROGRAM | OF_UMI),
    "signatureSubscribe": ([SIGNATURE], {"enableReceivedNotification"}),
}
"""The parameters before the options, and the fields that the options may have beside those of COMMON.

They are the fields of Solana's validator, and what a stock client sends beyond them.
"""

WITHOUT: dict[str, list[Any]] = {
    "getBlockCommitment": [0],
    "getBlockTime": [0],
    "getClusterNodes": [],
    "getEpochSchedule": [],
    "getFirstAvailableBlock": [],
    "getGenesisHash": [],
    "getHealth": [],
    "getHighestSnapshotSlot": [],
    "getIdentity": [],
    "getInflationRate": [],
    "getMaxRetransmitSlot": [],
    "getMaxShredInsertSlot": [],
    "getRecentPerformanceSamples": [1],
    "getRecentPrioritizationFees": [[]],
    "getRoundRows": [KEY, 0, "raised", 0],
    "getSlotLeaders": [0, 1],
    "getTaskHead": [KEY, KEY],
    "getTaskStakes": [KEY, 0, "00"],
    "getVersion": [],
    "minimumLedgerSlot": [],
    "rootSubscribe": [],
    "slotSubscribe": [],
    "slotsUpdatesSubscribe": [],
    "taskHeadSubscribe": [KEY],
    **{f"{kind}Unsubscribe": [0] for kind in KINDS},
}
"""The methods that take no options, with all parameters that they take."""

WRONG: dict[type, list[Any]] = {
    bool: [1, "true", {}],
    dict: [5, "{}", []],
    int: ["5", 0.5, True, -2, 2**64, {}],
    list: [5, "[]", {}],
    str: [5, True, {}],
}
"""Values that a field of a kind does not take."""

RIGHT: dict[str, Any] = {
    "accounts": {"addresses": []},
    "before": SIGNATURE,
    "commitment": "finalized",
    "dataSlice": {"offset": 0, "length": 1},
    "encoding": "base64",
    "filter": "circulating",
    "id": "5",
    "identity": KEY,
    "limit": 5,
    "maxSupportedTransactionVersion": 0,
    "minContextSlot": 0,
    "preflightCommitment": "finalized",
    "recentBlockhash": KEY,
    "transactionDetails": "none",
    "until": SIGNATURE,
    "votePubkey": KEY,
}
"""A value that a field takes, where it is not the empty one of its kind."""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLedger]:
    with running(tmp_path_factory.mktemp("options") / "ledger") as process:
        yield process


async def call_all(ledger: RunningLedger, calls: list[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
    """The answers to calls over a websocket, in their order."""

    async def call(websocket: ClientConnection, method: str, params: list[Any]) -> dict[str, Any]:
        call_id = next(ids)
        request = {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}
        await websocket.send(json.dumps(request))
        while True:
            answer: dict[str, Any] = json.loads(await websocket.recv())
            if answer.get("id") == call_id:  # else it is a notification
                return answer

    ids = count(1)
    async with asyncio.timeout(60), connect(f"ws://127.0.0.1:{ledger.port}", max_size=2**23) as websocket:
        return [await call(websocket, method, params) for method, params in calls]


def check_refused(ledger: RunningLedger, calls: list[tuple[str, list[Any], str]]) -> None:
    """Each call is refused with a text that has its name."""
    answers = asyncio.run(call_all(ledger, [(method, params) for method, params, _ in calls]))
    for (method, params, name), answer in zip(calls, answers, strict=True):
        error = answer.get("error", {})
        assert (-32602, True) == (error.get("code"), name in error["message"]), (method, params, answer)


def test_every_method_and_subscription_has_its_row() -> None:
    subscriptions = {f"{kind}{what}" for kind in KINDS for what in ("Subscribe", "Unsubscribe")}

    assert {*METHODS, *subscriptions} == OPTIONS.keys() | WITHOUT.keys()
    assert not OPTIONS.keys() & WITHOUT.keys()
    assert FIELDS.keys() == {*COMMON}.union(*(names for _, names in OPTIONS.values()))


@pytest.mark.parametrize("method", OPTIONS)
def test_a_field_that_a_method_does_not_have_is_refused_by_its_name(
    ledger: RunningLedger, method: str
) -> None:
    before, allowed = OPTIONS[method]
    foreign = FIELDS.keys() - allowed - {*COMMON}
    misspelt = {f"{name}s" for name in (*allowed, *COMMON)} | {name.lower() for name in COMMON} - {*COMMON}

    calls = [(method, [*before, {name: make_value(name)}], name) for name in sorted(foreign | misspelt)]
    check_refused(ledger, calls)


@pytest.mark.parametrize("method", OPTIONS)
def test_a_field_of_the_wrong_kind_is_refused_even_if_nothing_is_read_of_it(
    ledger: RunningLedger, method: str
) -> None:
    before, allowed = OPTIONS[method]
    least = {name: -1 if name == "round" else 0 for name in FIELDS}  # a round of -1 means all rounds

    calls = [
        (method, [*before, {name: value}], name)
        for name in (*COMMON, *sorted(allowed))
        for value in WRONG[FIELDS[name]]
        if not (type(value) is int and value == least[name])
    ]
    check_refused(ledger, calls)


@pytest.mark.parametrize("method", OPTIONS)
def test_a_field_that_a_method_has_is_accepted(ledger: RunningLedger, method: str) -> None:
    before, allowed = OPTIONS[method]
    names = (*COMMON, *sorted(allowed))

    calls = [(method, [*before, {name: make_value(name)}]) for name in names]
    for name, answer in zip(names, asyncio.run(call_all(ledger, calls)), strict=True):
        assert "the configuration" not in json.dumps(answer), (name, answer)
        assert f"{name} is" not in json.dumps(answer), (name, answer)


@pytest.mark.parametrize("method", [*OPTIONS, *WITHOUT])
def test_a_parameter_more_than_a_method_takes_is_refused(ledger: RunningLedger, method: str) -> None:
    full = WITHOUT[method] if method in WITHOUT else [*OPTIONS[method][0], {}]

    check_refused(ledger, [(method, [*full, more], "surplus") for more in ({"filter": "x"}, "x", 5)])


def make_value(name: str) -> Any:
    """A value that a field takes; a text for a name that is no field's."""
    kind = FIELDS.get(name, str)
    return RIGHT.get(name, kind())


def test_program_accounts_are_never_shown_unfiltered_for_a_misspelt_filter(ledger: RunningLedger) -> None:
    wanted = {"memcmp": {"offset": 0, "bytes": "1"}}

    check_refused(
        ledger,
        [
            ("getProgramAccounts", [KEY, {"filter": [wanted]}], "'filter'"),
            ("programSubscribe", [KEY, {"filter": [wanted]}], "'filter'"),
            ("getBalance", [KEY, {"encoding": 5}], "'encoding'"),
        ],
    )


def test_the_fields_of_each_method_are_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "RPC.md").read_text()
    [section] = re.findall(r"\n## Options\n(.*?)\n## ", text, re.DOTALL)
    documented = {}
    for methods, fields in re.findall(r"^\| (`.*) \| (.*) \|$", section, re.MULTILINE):
        for method in re.findall(r"`(\w+)`", methods):
            documented[method] = {*re.findall(r"`(\w+)`", fields)}

    expected = {method: fields for method, (_, fields) in OPTIONS.items() if fields - OF_UMI}
    assert {method: fields - OF_UMI for method, fields in expected.items()} == documented
