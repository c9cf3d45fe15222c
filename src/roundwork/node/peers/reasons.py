"""Why nodes found proofs invalid: the node that gave the opinion keeps the reason, and answers its peers."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Annotated

import msgspec

from ...client.sealed_standing import LIST_REJECTED
from ...errors import Malformed, RoundworkError
from ...participant.step import View
from ...views import OwnRound, RoundView
from ...wire import decode_json, format_count, format_stake
from ..answers import ServiceError
from .outgoing import Fetcher

REASON_CHARACTERS_MAX = 300
"""Of a reason; the rest is cut off."""

AUDITORS_MAX = 5
"""At most this many auditors of a proof get a request for their reasons."""

ANSWER_SECONDS = 5.0
ANSWER_BYTES_MAX = 4 * 1024 * 1024

log = logging.getLogger(__name__)

_Reasons = dict[Annotated[str, msgspec.Meta(max_length=64)], str]
GetReasons = Callable[[int], Mapping[str, str]]
"""The reasons that this node gave in a round, by candidate."""

GetRound = Callable[[str, int], Awaitable[RoundView | None]]
"""Reads a round of a task; None if there is no such task. Raises RoundworkError."""


def shorten(reason: str) -> str:
    """A reason as a line that can be kept and shown: printable characters, and not too many."""
    printable = "".join(each if each.isprintable() else " " for each in reason[: REASON_CHARACTERS_MAX * 2])
    return printable.strip()[:REASON_CHARACTERS_MAX]


async def fetch_reasons(
    fetcher: Fetcher, task: str, view: RoundView, node: str, endpoints: Mapping[str, str]
) -> dict[str, str]:
    """By auditor: why each of the first few found the proof of `node` invalid; "" if it gives no reason.

    `endpoints` are those of nodes by address. Each auditor answers about its own opinions only.
    """
    against = list_against(view, node)

    async def fetch(auditor: str) -> str:
        endpoint = endpoints.get(auditor)
        if not endpoint:
            return ""
        try:
            answer = await fetcher.fetch(
                "GET",
                f"{endpoint.rstrip('/')}/reasons/{task}/{view.round}",
                hosts=None,
                body_bytes_max=ANSWER_BYTES_MAX,
                timeout_seconds=ANSWER_SECONDS,
            )
            return shorten(decode_json(answer.body, _Reasons).get(node, ""))
        except (ServiceError, Malformed) as error:
            log.debug("%s: %s", endpoint, error)
            return ""

    chosen = against[:AUDITORS_MAX]
    return dict(zip(chosen, await asyncio.gather(*map(fetch, chosen)), strict=True))


def list_against(view: RoundView, node: str) -> list[str]:
    """The nodes that found the proof of `node` in a round invalid; empty if it submitted nothing."""
    return [auditor for auditor, is_valid in list_opinions(view, node).items() if not is_valid]


def list_opinions(view: RoundView, node: str) -> dict[str, bool]:
    """Who found the proof of `node` in a round valid, and who did not; empty if it submitted nothing.

    Under roundwork-1 these are its accuser, its checkers that revealed their receipts, then its jurors.
    """
    for hardened in view.hardened.submissions if view.hardened else []:
        if hardened.node == node:
            trial = hardened.trial
            receipts = {each: found for each, found in hardened.receipts.items() if found is not None}
            accused = {trial.accuser: False} if trial else {}
            return {**accused, **receipts, **(trial.votes if trial else {})}
    return next((each.auditors for each in view.submissions if each.node == node), {})


def is_list_rejected(view: RoundView, node: str) -> bool:
    """Whether a slash of this node is for its list, because under roundwork-1 no verdict slashed it."""
    if view.hardened is None:
        return False
    return all(each.verdict != "convicted" for each in view.submissions if each.node == node)


class SlashNotices:
    """Warns of every slash of this node, with the reasons that its auditors give."""

    def __init__(
        self,
        fetcher: Fetcher,
        node: str,
        get_endpoints: Callable[[], Mapping[str, str]],
        get_round: GetRound,
        mint: str | None = None,
    ) -> None:
        """`mint`: the token that the task is staked in; None for native money."""
        self._fetcher = fetcher
        self._node = node
        self._get_endpoints = get_endpoints
        self._get_round = get_round
        self._mint = mint
        self._noticed: set[int] = set()
        self._jobs: set[asyncio.Task[None]] = set()

    def look(self, view: View) -> None:
        """Begin a notice for each slash in the rounds of a view that has none yet."""
        for own in view.own.rounds:
            if own.slash and own.round not in self._noticed:
                self._noticed.add(own.round)
                job = asyncio.create_task(self._warn(view.head.task, own))
                self._jobs.add(job)
                job.add_done_callback(self._jobs.discard)

    def close(self) -> None:
        """End the notices that are under way."""
        for job in self._jobs:
            job.cancel()

    async def _warn(self, task: str, own: OwnRound) -> None:
        why = "the ledger does not say why"
        try:
            view = await self._get_round(task, own.round)
        except RoundworkError as error:
            log.debug("round %d: %s", own.round, error)
        else:
            if view is not None and is_list_rejected(view, self._node):
                why = LIST_REJECTED
            elif view is not None:
                reasons = await fetch_reasons(self._fetcher, task, view, self._node, self._get_endpoints())
                why = describe(len(list_against(view, self._node)), reasons.values())
        lost = format_stake(own.slash, self._mint)
        log.warning("round %d: this node lost %s of its stake: %s", own.round, lost, why)


def describe(against: int, reasons: Iterable[str]) -> str:
    """How many nodes found a proof invalid, and the reasons of those that gave one, each reason once."""
    if not against:
        return "its list says so"
    counts = Counter(reason for reason in reasons if reason)
    said = "; ".join(f"{reason} ({format_count(count, 'node')})" for reason, count in counts.items())
    nodes = format_count(against, "node")
    return f"{nodes} found its proof invalid{': ' if said else ', without a reason'}{said}"
