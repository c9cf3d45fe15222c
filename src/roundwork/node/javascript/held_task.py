"""A main.js reads its own task from heads, parts and stakes that the node holds, not from the ledger."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import Callable, Mapping

import msgspec

from ...client.rpc import NEWEST
from ...participant.moment import compute_moment
from ...protocol.params import base58_of
from ...protocol.tasks.round import Activity
from ...views import (
    AmountRow,
    HeadView,
    ListHead,
    PartKey,
    PartKind,
    RoundHead,
    StakeView,
    SubmissionRow,
    TaskHead,
    empty_distributions,
    empty_submissions,
)
from ...wire import Json, convert, decode_json
from ..lookout import CurrentTask
from ..peers.parts import PartBook, find_part, find_round
from .infos import (
    UNOPENED,
    describe_lists,
    describe_submissions,
    describe_trigger,
    fill_state,
)
from .slot_reads import ReadLedger

HEAD_SECONDS = 5.0
"""How long a call waits for a head that shows what the task has sent."""

OVER_MAX = 16
"""Answers about rounds that are over that are kept."""

PARTS = ("submission", "distribution", "balance", "stake")
"""The maps of a task's state that a request may leave out."""


class HeldTask:
    """The task as its node holds it: what clients read of it costs no request for each call.

    Methods give None where the node holds too little, so that the ledger is to be requested: before the first
    head, when a head or a part does not come in time, and about rounds whose part is not known.
    """

    def __init__(
        self,
        parts: PartBook,
        current: CurrentTask,
        node: str,
        read_ledger: ReadLedger,
        count_sent: Callable[[], int],
    ) -> None:
        """`count_sent` counts the transactions that the task has sent."""
        self._parts = parts
        self._current = current
        self._node = node
        self._read_ledger = read_ledger
        self._count_sent = count_sent
        self._sent_shown = 0
        """The transactions that a head after `_blind_until_slot` shows."""
        self._blind_until_slot = -1
        self._looking = asyncio.Lock()
        self._described: dict[int, tuple[object, Json]] = {}
        """Submissions by round: what they were made of, and as clients read them. They are not changed."""
        self._contests: dict[tuple[int, int], Json] = {}
        """The raised audits of lists whose AUDIT is under way, by round and attempt."""
        self._over: dict[tuple[str, int], Json] = {}
        """What was read of rounds that are over, by method and round, oldest first."""
        self._base: Json | None = None
        """The state without rounds, as the ledger showed it last."""
        self._balances_of: object = None
        """The ledger round and the bounty that the balances in the base belong to; None if it has none."""

    async def get_head(self) -> TaskHead | None:
        """The newest head, which shows all that the task has sent."""
        if await self._parts.wait_for_head(-1) is None:
            return None
        async with self._looking:
            sent = self._count_sent()
            if sent > self._sent_shown:
                await self._read_own()
                self._sent_shown = sent
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAD_SECONDS):
                return await self._parts.wait_for_head(self._blind_until_slot + 1)
        return None

    async def _read_own(self) -> None:
        """Read the node's own records. The head of a later slot shows all that was sent before."""
        answer = await self._read_ledger("getTaskHead", [self._current.task.address, self._node])
        own = convert(answer, HeadView).own
        assert own is not None, "the request names the node"
        self._blind_until_slot = own.slot
        self._current.take_stakes([StakeView(own.node, own.amount, own.available, own.endpoint)])

    def forget_balances(self) -> None:
        """The task has claimed money: the balances are read again."""
        self._balances_of = None

    # Submissions

    async def show_submissions(self, round_number: int) -> Json | None:
        """What getTaskSubmissionInfo answers."""
        head = await self.get_head()
        if head is None:
            return None
        shown = find_round(head, round_number)
        if shown is not None:
            return await self._describe_submissions(head, shown)
        return await self._read_over(head, "getTaskSubmissionInfo", round_number, empty_submissions())

    async def _describe_submissions(self, head: TaskHead, shown: RoundHead) -> Json | None:
        number = shown.round
        if shown.status == UNOPENED:
            return empty_submissions()
        submissions, audits = PartKey(number, PartKind.SUBMISSIONS), PartKey(number, PartKind.AUDITS)
        is_frozen = find_part(head, submissions) is not None, find_part(head, audits) is not None
        made_of = is_frozen, shown.submissions, shown.raised
        if number in self._described and self._described[number][0] == made_of:
            return self._described[number][1]
        rows = await self._parts.read_rows(
            submissions if is_frozen[0] else PartKey(number, PartKind.SUBMITTED), head
        )
        opinions = await self._parts.read_rows(
            audits if is_frozen[1] else PartKey(number, PartKind.RAISED), head
        )
        if rows is None or opinions is None:
            return None
        described = describe_submissions(number, rows, opinions)
        first = head.rounds[0].round
        kept = {at: each for at, each in self._described.items() if at >= first}
        self._described = {**kept, number: (made_of, described)}
        return described

    # Lists

    async def show_distributions(self, round_number: int) -> Json | None:
        """What getTaskDistributionInfo answers."""
        head = await self.get_head()
        if head is None:
            return None
        shown = find_round(head, round_number)
        if shown is not None:
            return await self._describe_distributions(head, [shown])
        return await self._read_over(head, "getTaskDistributionInfo", round_number, empty_distributions())

    async def _describe_distributions(self, head: TaskHead, rounds: list[RoundHead]) -> Json | None:
        described = empty_distributions()
        for shown in rounds:
            triggers = {}
            for listed in shown.lists:
                if listed.trigger_by is None:
                    continue
                trigger = await self._find_trigger(head, shown, listed)
                if trigger is None:
                    return None
                triggers[listed.submitter] = trigger
            for name, rows in describe_lists(shown, triggers).items():
                described[name] |= rows
        return described

    async def _find_trigger(self, head: TaskHead, shown: RoundHead, listed: ListHead) -> Json | None:
        """The audit of a list. While AUDIT is under way, it is read once and has no votes."""
        audits = PartKey(shown.round, PartKind.LIST_AUDITS, listed.attempt)
        if find_part(head, audits) is not None:
            rows = await self._parts.read_rows(audits, head)
            return None if rows is None else describe_trigger(rows)
        place = shown.round, listed.attempt
        if place not in self._contests:
            info = await self.read_info("getTaskDistributionInfo", shown.round)
            found = info["distributions_audit_trigger"].get(str(shown.round), {}).get(listed.submitter)
            if found is None:
                return None
            first = head.rounds[0].round
            kept = {at: each for at, each in self._contests.items() if at[0] >= first}
            self._contests = {**kept, place: {**found, "votes": []}}
        return self._contests[place]

    async def show_list(self, node: str, round_number: int) -> str | None:
        """The text of the last list that a node has handed in for a round; "" if it has handed in none."""
        head = await self.get_head()
        shown = None if head is None else find_round(head, round_number)
        if head is None or shown is None:
            return None
        for listed in reversed(shown.lists):
            if listed.submitter == node:
                rows = await self._parts.read_rows(PartKey(round_number, PartKind.LIST, listed.attempt), head)
                if rows is None:
                    return None
                amounts = {base58_of(row.node): row.amount for row in rows if isinstance(row, AmountRow)}
                return msgspec.json.encode(amounts).decode()
        return ""

    # The whole state

    async def show_state(self, wanted: Mapping[str, bool]) -> Json | None:
        """What getTaskAccountInfo shows, with those of PARTS that are wanted."""
        head = await self.get_head()
        if head is None:
            return None
        submissions, distributions = empty_submissions(), empty_distributions()
        opened = [shown for shown in head.rounds if shown.status != UNOPENED]
        if wanted["submission"]:
            for shown in opened:
                described = await self._describe_submissions(head, shown)
                if described is None:
                    return None
                for name, rows in described.items():
                    submissions[name] |= rows
        if wanted["distribution"]:
            described = await self._describe_distributions(head, opened)
            if described is None:
                return None
            distributions = described
        due = await self._list_due_stakes(head) if wanted["stake"] else {}
        if due is None:
            return None
        base = await self._read_base(head, wanted["balance"])
        state = fill_state(base, head, self._current.task.stakes, wanted)
        state["stake_list"] |= due
        return {**state, **submissions, **distributions}

    async def _list_due_stakes(self, head: TaskHead) -> dict[str, int] | None:
        """What the nodes had at stake when they submitted for the rounds whose lists are due now.

        A slash is a part of that, not of what is at stake by now, so that every node computes the same
        list. Of a node in several such rounds, the newest counts.
        """
        now = compute_moment(head, head.slot)
        stakes: dict[str, int] = {}
        for shown in head.rounds:
            if shown.round in head.open_rounds and now.is_due(Activity.LIST, shown.round, shown.attempt):
                rows = await self._parts.read_rows(PartKey(shown.round, PartKind.SUBMISSIONS), head)
                if rows is None:
                    return None
                stakes |= {base58_of(row.node): row.stake for row in rows if isinstance(row, SubmissionRow)}
        return stakes

    async def _read_base(self, head: TaskHead, with_balances: bool) -> Json:
        """The state without rounds. Balances are read again after a payout, and in each ledger round."""
        moment = compute_moment(head, head.slot).ledger_round, head.bounty
        if self._base is None or (with_balances and self._balances_of != moment):
            wanted = {**dict.fromkeys(PARTS, False), "balance": with_balances}
            answer = await self._read_ledger(
                "getTaskAccountInfo", [self._current.task.address, {**NEWEST, "encoding": "base64", **wanted}]
            )
            self._base = decode_json(b64decode(answer["value"]["data"][0]))
            self._balances_of = moment if with_balances else None
        return self._base

    # The ledger

    async def read_info(self, method: str, round_number: int) -> Json:
        """What the ledger answers about one round."""
        config = {**NEWEST, "encoding": "base64", "round": round_number}
        answer = await self._read_ledger(method, [self._current.task.address, config])
        info: Json = decode_json(b64decode(answer["value"]["data"][0]))
        return info

    async def _read_over(self, head: TaskHead, method: str, round_number: int, nothing: Json) -> Json:
        """What is known of a round that the head does not have: nothing, or what is read of it once.

        Such a round is over, or its SUBMIT has not begun.
        """
        if round_number > max((shown.round for shown in head.rounds), default=-1):
            return nothing
        key = method, round_number
        if key not in self._over:
            info = await self.read_info(method, round_number)
            while len(self._over) >= OVER_MAX:
                del self._over[next(iter(self._over))]
            self._over[key] = info
        return self._over[key]
