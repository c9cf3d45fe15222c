"""Recorded rounds under changed code: what a task's functions would have decided about them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import msgspec
from solders.keypair import Keypair

from ..errors import BadConfig, Malformed, TaskFailed
from ..ledger.chain import read_genesis, replay_entry
from ..ledger.store.agreement import Files
from ..node.peers.outgoing import Fetcher
from ..node.peers.storage import BlobStore, is_store, read_blob
from ..node.python.channel import Services
from ..node.python.environments import prepare_environment
from ..node.python.lanes import Lanes
from ..node.python.services import StorageGet
from ..node.trial import build_services, compose_setting
from ..package.config import read_slash, read_split
from ..package.folder import Package, check_params, check_secrets, choose_secrets, merge_params
from ..participant.sealed import keep_payments
from ..protocol.genesis import create_state
from ..protocol.params import KOII_1, base58_of
from ..protocol.read import view_round
from ..protocol.records import Task
from ..protocol.tasks.configuration import SLASH_PERCENT, compute_terms
from ..protocol.tasks.events import ClosedUnpaid, Settled
from ..protocol.tasks.ranked import divide_bounty
from ..views import RoundView, SubmissionView
from ..wire import decode_json, read_roe

NODE = Keypair.from_seed(bytes(32))
"""The node that the functions run for. It is not one of the journal's nodes."""
CALL_SECONDS = 120.0

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


ROUND_MAX = 2**63 - 1
"""The last round that there can be."""


class ReplayRules(NamedTuple):
    """What a rule set leaves to the task and a round can be replayed under."""

    rules: str
    """The name of the rule set."""
    bounty_per_round: int
    """The most that a round pays, in roe or the smallest unit of the task's token."""
    slash_percent: int = SLASH_PERCENT
    """How much of its stake a convicted node loses under roundwork-1."""
    is_split_by_stake: bool = False
    """Whether the ledger splits a bounty by stake under roundwork-1, or in equal parts."""


MISSING = "missing"
"""The verdict on a submission whose proof was challenged and did not come, under roundwork-1."""


class Recorded(NamedTuple):
    """A round as the ledger closed it, with the rules that it was played by."""

    rules: ReplayRules
    view: RoundView


class Difference(msgspec.Struct, frozen=True):
    """A result that would have been different."""

    round: int
    node: str
    """The submitter's address."""
    what: str
    """ "amount" of the paid list, "split" of the ledger's own list, "slash", or "audit"."""
    recorded: int | str
    """In roe or the smallest unit of the token; of an audit what most auditors found, or "untried"."""
    replayed: int | str
    """The same; of an audit that fails "no opinion: " and why."""


class Replayed(msgspec.Struct, frozen=True):
    """One round under the changed code."""

    round: int
    submissions: int
    audited: int
    """Submissions that were audited again, because their proof was found."""
    differences: list[Difference]
    failure: str = ""
    """Why the distribution function gave no list."""


def read_rounds(
    directory: Path, task: str | None, first: int, last: int, progress: Progress
) -> list[Recorded]:
    """The rounds from `first` to `last` of a task that are closed in the journal of a ledger's directory.

    `task` may be None if the ledger has one task. Writes nothing. Raises BadConfig for another task,
    BadGenesis, OldLaw, StoreCorrupt.
    """
    state = create_state(read_genesis(directory))
    rounds: dict[str, list[Recorded]] = {}
    with closing(Files(directory)) as files:
        files.check(state.genesis_hash)
        for entry in files.journal.read_from(1):
            outcome = replay_entry(state, entry, str(files.journal.path))
            for event in outcome.events:
                if isinstance(event, Settled | ClosedUnpaid):
                    key = event.task
                    of_task = rounds.setdefault(base58_of(key), [])
                    if first <= event.round <= last:
                        rules = _get_rules(state.tasks.rows[key])
                        of_task.append(Recorded(rules, view_round(state, key, event.round)))
            progress(entry.block.height, files.journal.height)
    if task is None and len(rounds) > 1:
        raise BadConfig(f"the journal has rounds of {len(rounds)} tasks: name one of {', '.join(rounds)}")
    if task is not None and task not in rounds:
        raise BadConfig(
            f"the journal has no closed round of {task}; it has those of {', '.join(rounds) or 'no task'}"
        )
    chosen = rounds[task] if task is not None else next(iter(rounds.values()), [])
    if not chosen:
        until = "" if last == ROUND_MAX else f" to {last}"
        raise BadConfig(f"the journal has no closed round from {first}{until}")
    return chosen


def _get_rules(task: Task) -> ReplayRules:
    if task.rules == KOII_1.name:
        return ReplayRules(task.rules, task.bounty_per_round)
    terms = compute_terms(task.locals)
    return ReplayRules(task.rules, task.bounty_per_round, terms.slash_percent, terms.is_split_by_stake)


def choose_rules(recorded: ReplayRules, package: Package, given: Mapping[str, str]) -> ReplayRules:
    """The rules to replay under: those of the folder, with what was given; the bounty is the recorded one.

    `given` has texts by the names slash, split and bounty. Raises BadConfig for a folder under another rule
    set, and for what its rule set does not leave to a task.
    """
    if package.rules != recorded.rules:
        raise BadConfig(
            f"the folder is a task under {package.rules}, and the journal's is one under {recorded.rules}:"
            " rounds are replayed under the rule set that they were played by"
        )
    rules = recorded._replace(
        slash_percent=package.slash_percent, is_split_by_stake=package.is_split_by_stake
    )
    for name, text in given.items():
        if name in ("slash", "split") and recorded.rules == KOII_1.name:
            raise BadConfig(f"--rules {name}: {KOII_1.name} leaves it to the task's distribution function")
        try:
            match name:
                case "bounty":
                    rules = rules._replace(bounty_per_round=_read_bounty(text))
                case "slash":
                    rules = rules._replace(slash_percent=read_slash(text))
                case "split":
                    rules = rules._replace(is_split_by_stake=read_split(text) == "stake")
                case _:
                    raise BadConfig(f"--rules {name:.100}: a task chooses slash, split and bounty")
        except ValueError as error:
            raise BadConfig(f"--rules {name}: {error}") from None
    return rules


def _read_bounty(text: str) -> int:
    """Raises ValueError."""
    bounty = read_roe(text)
    if not 0 < bounty < 2**64:
        raise ValueError(f"{text!r:.100} must be more than 0")
    return bounty


def find_stores(directories: Sequence[Path]) -> list[Path]:
    """The stores of blobs in directories of nodes, which may be stores themselves. Raises BadConfig."""
    stores = []
    for directory in directories:
        if not directory.is_dir():
            raise BadConfig(f"--blobs {directory} is not a directory; name one of a node")
        store = directory / "blobs" if (directory / "blobs").is_dir() else directory
        if not is_store(store):
            raise BadConfig(f"--blobs {directory} is neither the directory of a node nor that of its blobs")
        stores.append(store)
    return stores


@asynccontextmanager
async def running_task(
    package: Package,
    params: dict[str, str],
    secrets: dict[str, str],
    sandbox: str,
    environments: Path,
    blobs: Sequence[Path],
    log: Callable[[str], None],
) -> AsyncIterator[Lanes]:
    """The task's functions in the sandbox. `blobs`: directories of nodes, whose blobs it can get.

    Raises BadTaskFile, BadConfig.
    """
    check_params(package, params)
    check_secrets(package, secrets)
    environment = await prepare_environment(environments, package.lock, package.requires_python)
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="roundwork-")))
        store = stack.enter_context(closing(BlobStore(home / "blobs")))
        fetcher = Fetcher(is_development=True)
        stack.push_async_callback(fetcher.close)
        all_params = merge_params(package, params)
        setting = compose_setting(package, str(NODE.pubkey()), home / "task", environment, all_params)
        setting = msgspec.structs.replace(setting, secrets=choose_secrets(package, secrets))
        services = _read_also(build_services(package, all_params, NODE, fetcher, store), blobs)
        lanes = Lanes(setting, sandbox, services, bytes(32), log)
        stack.push_async_callback(lanes.close)
        await lanes.check()
        yield lanes


def _read_also(services: Services, blobs: Sequence[Path]) -> Services:
    """The services, with the blobs of other directories to get."""
    get = services["storage.get"]

    async def get_blob(params: msgspec.Raw) -> Any:
        with contextlib.suppress(Malformed):
            content_id = decode_json(params, StorageGet).content_id
            for directory in blobs:
                if (data := read_blob(directory, content_id)) is not None:
                    return data
        return await get(params)

    return {**services, "storage.get": get_blob}


async def replay_round(lanes: Lanes, recorded: Recorded, rules: ReplayRules) -> Replayed:
    """Audit and distribute a recorded round again, under these rules; returns what differs."""
    view = recorded.view
    audited, differences = 0, []
    for submission in view.submissions:
        if submission.verdict == MISSING:
            continue  # nobody judged it
        opinion = await _audit(lanes, view, submission)
        if opinion is None:
            continue
        audited += 1
        was = summarize_audits(submission)
        if opinion not in (was, "valid" if was == "untried" else was):
            differences.append(Difference(view.round, submission.node, "audit", was, opinion))
    failure = ""
    try:
        amounts = await lanes.distribute(view.round, rules.bounty_per_round, view.submissions, CALL_SECONDS)
        differences += compare_amounts(view, amounts)
    except TaskFailed as error:
        failure = str(error)
    differences += compare_split(view, rules)
    differences += compare_slashes(recorded, rules)
    return Replayed(view.round, len(view.submissions), audited, differences, failure)


async def _audit(lanes: Lanes, view: RoundView, submission: SubmissionView) -> str | None:
    """ "valid", "invalid" or how the audit fails; None if the proof cannot be had."""
    try:
        opinion = await lanes.audit(
            view.round, view.seed, submission.node, submission.value, submission.stake, CALL_SECONDS
        )
    except TaskFailed as error:
        return f"no opinion: {error}"
    return None if opinion.kind == "unavailable" else opinion.kind


def summarize_audits(submission: SubmissionView) -> str:
    """What most nodes that audited it found, "valid" or "invalid"; "untried" if no audit was raised."""
    return "untried" if submission.trigger_by is None else "valid" if submission.votes > 0 else "invalid"


def compare_amounts(view: RoundView, amounts: Mapping[str, int]) -> list[Difference]:
    """What a list of these amounts would have changed in a round that is over.

    Nothing where the ledger split the bounty: there no list stood.
    """
    if _get_split(view) is not None:
        return []
    if view.hardened is not None:
        amounts = keep_payments(amounts)
    is_paid = view.status == "PayoutSuccessful"
    listed = next((each.amounts for each in view.lists if is_paid and each.attempt == view.attempt), {})
    return _compare(view.round, "amount", listed, amounts)


def compare_split(view: RoundView, rules: ReplayRules) -> list[Difference]:
    """What the ledger would have split otherwise in a round that is over and in which no list stood."""
    split = _get_split(view)
    if split is None:
        return []
    stakes = {each.node: each.stake for each in view.submissions}
    parts = divide_bounty(rules.bounty_per_round, stakes, rules.is_split_by_stake)
    amounts = {each.node: parts[each.node] for each in view.submissions if each.votes > 0}
    return _compare(view.round, "split", split, amounts)


def compare_slashes(recorded: Recorded, rules: ReplayRules) -> list[Difference]:
    """What the law would have taken from other stakes under roundwork-1, as far as the stakes had it."""
    view, before = recorded.view, recorded.rules.slash_percent
    if view.hardened is None or before == rules.slash_percent:
        return []
    stakes = {each.node: each.stake for each in view.submissions}
    taken = {each.node: each.slash for each in view.payments if each.slash}
    slashes = {}
    for node, slash in taken.items():
        expected, changed = (stakes[node] * percent // 100 for percent in (before, rules.slash_percent))
        slashes[node] = min(changed, slash) if slash < expected else changed
    return _compare(view.round, "slash", taken, slashes)


def _get_split(view: RoundView) -> Mapping[str, int] | None:
    """The ledger's own list, which a round was paid by; None if it was paid otherwise."""
    return next((each.amounts for each in view.lists if each.submitter == view.task), None)


def _compare(
    round_number: int, what: str, before: Mapping[str, int], after: Mapping[str, int]
) -> list[Difference]:
    return [
        Difference(round_number, node, what, before.get(node, 0), after.get(node, 0))
        for node in sorted(before.keys() | after.keys())
        if before.get(node, 0) != after.get(node, 0)
    ]
