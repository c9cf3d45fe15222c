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
from ..node.peers.storage import BlobStore, read_blob
from ..node.python.channel import Services
from ..node.python.environments import prepare_environment
from ..node.python.lanes import Lanes
from ..node.python.services import StorageGet
from ..node.trial import build_services, compose_setting
from ..package.folder import Package, check_params, merge_params
from ..participant.sealed import keep_payments
from ..protocol.genesis import create_state
from ..protocol.params import base58_of
from ..protocol.read import view_round, view_task
from ..protocol.tasks.events import ClosedUnpaid, Settled
from ..views import RoundView, SubmissionView
from ..wire import decode_json

NODE = Keypair.from_seed(bytes(32))
"""The node that the functions run for. It is not one of the journal's nodes."""
CALL_SECONDS = 120.0

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


class Recorded(NamedTuple):
    """A round as the ledger closed it. `bounty_per_round` in roe or the smallest unit of the token."""

    bounty_per_round: int
    view: RoundView


class Difference(msgspec.Struct, frozen=True):
    """A result that would have been different."""

    round: int
    node: str
    """The submitter's address."""
    what: str
    """ "amount", in roe or the smallest unit of the token, or "audit"."""
    recorded: int | str
    """What the paid list gave (above 0) or took (below 0); what most auditors found, or "unaudited"."""
    replayed: int | str


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
                        bounty = view_task(state, key).bounty_per_round
                        of_task.append(Recorded(bounty, view_round(state, key, event.round)))
            progress(entry.block.height, files.journal.height)
    if task is None and len(rounds) > 1:
        raise BadConfig(f"the journal has rounds of {len(rounds)} tasks: name one of {', '.join(rounds)}")
    if task is not None and task not in rounds:
        raise BadConfig(
            f"the journal has no closed round of {task}; it has those of {', '.join(rounds) or 'no task'}"
        )
    return rounds[task] if task is not None else next(iter(rounds.values()), [])


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
    environment = await prepare_environment(environments, package.lock, package.requires_python)
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="roundwork-")))
        store = stack.enter_context(closing(BlobStore(home / "blobs")))
        fetcher = Fetcher(is_development=True)
        stack.push_async_callback(fetcher.close)
        all_params = merge_params(package, params)
        setting = compose_setting(package, str(NODE.pubkey()), home / "task", environment, all_params)
        setting = msgspec.structs.replace(setting, secrets=secrets)
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


async def replay_round(lanes: Lanes, recorded: Recorded) -> Replayed:
    """Audit and distribute a recorded round again; returns what differs."""
    view = recorded.view
    audited, differences = 0, []
    for submission in view.submissions:
        opinion = await _audit(lanes, view, submission)
        if opinion is None:
            continue
        audited += 1
        was = summarize_audits(submission)
        if opinion not in (was, "valid" if was == "unaudited" else was):
            differences.append(Difference(view.round, submission.node, "audit", was, opinion))
    failure = ""
    try:
        amounts = await lanes.distribute(
            view.round, recorded.bounty_per_round, view.submissions, CALL_SECONDS
        )
        differences += compare_amounts(view, amounts)
    except TaskFailed as error:
        failure = str(error)
    return Replayed(view.round, len(view.submissions), audited, differences, failure)


async def _audit(lanes: Lanes, view: RoundView, submission: SubmissionView) -> str | None:
    """ "valid" or "invalid"; None if the audit could give no view."""
    try:
        opinion = await lanes.audit(
            view.round, view.seed, submission.node, submission.value, submission.stake, CALL_SECONDS
        )
    except TaskFailed:
        return None
    return None if opinion.kind == "unavailable" else opinion.kind


def summarize_audits(submission: SubmissionView) -> str:
    """What most nodes that audited it found, "valid" or "invalid"; "unaudited" if no audit was raised."""
    return "unaudited" if submission.trigger_by is None else "valid" if submission.votes > 0 else "invalid"


def compare_amounts(view: RoundView, amounts: Mapping[str, int]) -> list[Difference]:
    """What a list of these amounts would have changed in a round that is over."""
    if view.hardened is not None:
        amounts = keep_payments(amounts)
    is_paid = view.status == "PayoutSuccessful"
    listed = next((each.amounts for each in view.lists if is_paid and each.attempt == view.attempt), {})
    nodes = sorted(listed.keys() | amounts.keys())
    return [
        Difference(view.round, node, "amount", listed.get(node, 0), amounts.get(node, 0))
        for node in nodes
        if listed.get(node, 0) != amounts.get(node, 0)
    ]
