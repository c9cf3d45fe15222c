"""What clients read of a task, made from heads and parts as the ledger makes it from records."""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import pytest

from roundwork.ledger.rpc.task_forms import describe_submissions as describe_state
from roundwork.ledger.rpc.task_forms import describe_task, encode_distributions, encode_task
from roundwork.node.javascript.held_task import PARTS, HeldTask
from roundwork.node.javascript.infos import describe_submissions
from roundwork.node.lookout import CurrentTask
from roundwork.node.peers.parts import PartBook
from roundwork.participant.moment import compute_moment
from roundwork.participant.plays import LIAR
from roundwork.protocol.read import list_frozen, read_part, view_head, view_round, view_task
from roundwork.protocol.tasks.cursor import RoundCursor
from roundwork.protocol.tasks.round import Activity
from roundwork.views import PartKey, PartKind, Row, TaskHead
from roundwork.wire import Json

from ...town import Town

WHOLE = dict.fromkeys(PARTS, True)


@pytest.mark.parametrize("liars", [(), ("n03",), ("n01", "n03")])
def test_submissions_made_from_parts_are_those_that_the_ledger_shows(liars: tuple[str, ...]) -> None:
    town = make_town(liars)
    town.live_until(0, 2)
    state, task = town.world.state, town.world.task

    parts = [read_part(state, task, PartKey(0, kind)) for kind in (PartKind.SUBMISSIONS, PartKind.AUDITS)]

    shown = describe_state(state, task, 0)
    assert shown == describe_submissions(0, *parts)
    assert [*shown["submissions"]["0"]] == [*describe_submissions(0, *parts)["submissions"]["0"]]
    assert len(liars) == len(shown["submissions_audit_trigger"].get("0", {}))


class TownParts(PartBook):
    """Parts of a town's rounds: those that its newest head names, and those that grow."""

    def __init__(self, town: Town) -> None:
        self._town = town

    async def wait_for_head(self, slot: int) -> TaskHead:
        return view_head(self._town.world.state, self._town.world.task)

    async def read_rows(self, part: PartKey, head: TaskHead) -> Sequence[Row]:
        state, task = self._town.world.state, self._town.world.task
        frozen = list_frozen(RoundCursor(state, task, part.round))
        assert part in frozen or part.kind in (PartKind.SUBMITTED, PartKind.RAISED)
        return read_part(state, task, part)


class Place:
    """A town, and the task as one of its nodes holds it. `requests` are those that the ledger got."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.requests: list[str] = []
        self.current = CurrentTask(town.task)
        node = next(iter(town.nodes.values())).address
        self.held = HeldTask(TownParts(town), self.current, node, self.read_ledger, lambda: 0)

    async def read_ledger(self, method: str, params: list[Any]) -> Any:
        self.requests.append(method)
        state, task = self.town.world.state, self.town.world.task
        if method == "getTaskAccountInfo":
            text = encode_task(state, task, frozenset(part for part in PARTS if params[1][part]))
        else:
            assert method == "getTaskDistributionInfo"
            text = encode_distributions(state, task, params[1]["round"])
        return {"value": {"data": [b64encode(text).decode(), "base64"]}}

    def show(self) -> tuple[Json, Json]:
        """The task as the node holds it, and as the ledger shows it, but for what differs by rule."""
        state, task = self.town.world.state, self.town.world.task
        head = view_head(state, task)
        self.current.take_head(head)
        self.current.take_stakes(view_task(state, task).stakes)
        held = asyncio.run(self.held.show_state(WHOLE))
        assert held is not None
        return held, self._adapt(describe_task(state, task), head)

    def _adapt(self, shown: Json, head: TaskHead) -> Json:
        """Only rounds of the head, no votes before their AUDIT has ended, stakes of rounds that are due."""
        at_hand = {each.round: each for each in head.rounds}
        now = compute_moment(head, head.slot)
        for name, rounds in shown.items():
            if name.startswith(("submissions", "distribution")):
                shown[name] = {number: rows for number, rows in rounds.items() if int(number) in at_hand}
        for name, kind in (
            ("submissions_audit_trigger", PartKind.AUDITS),
            ("distributions_audit_trigger", PartKind.LIST_AUDITS),
        ):
            for number, rows in shown[name].items():
                each = at_hand[int(number)]
                frozen = {(part.kind, part.attempt) for part in each.parts}
                audited = [listed for listed in each.lists if listed.trigger_by]
                attempts = {listed.submitter: listed.attempt for listed in audited}
                for candidate, trigger in rows.items():
                    attempt = attempts[candidate] if kind is PartKind.LIST_AUDITS else 0
                    if (kind, attempt) not in frozen:
                        trigger["votes"] = []
        state, task = self.town.world.state, self.town.world.task
        for number in head.open_rounds:
            if now.is_due(Activity.LIST, number, at_hand[number].attempt):
                shown["stake_list"] |= {
                    each.node: each.stake for each in view_round(state, task, number).submissions
                }
        return shown


def make_town(liars: tuple[str, ...]) -> Town:
    town = Town(6)
    for name in liars:
        town.nodes[name].play = LIAR
    return town


@pytest.mark.parametrize(
    ("liars", "list_bonus"), [((), 0), (("n03",), 0), (("n01", "n03"), 0), (("n03",), 1)], ids=str
)
def test_the_state_that_a_node_holds_is_in_every_slot_what_the_ledger_shows(
    liars: tuple[str, ...], list_bonus: int
) -> None:
    town = make_town(liars)
    for node in list(town.nodes.values())[:4]:
        node.list_bonus = list_bonus
    place = Place(town)
    held: Json = {}
    for _ in range(130):
        town.live_slot()

        held, shown = place.show()

        assert shown == held
        assert repr(shown) == repr(held), "the order"
    assert bool(liars) == bool(held["submissions_audit_trigger"])
    assert bool(list_bonus) == bool(held["distributions_audit_trigger"])
    paid = sum(each.status == "PayoutSuccessful" for each in town.over.values())
    contests = place.requests.count("getTaskDistributionInfo")
    assert place.requests.count("getTaskAccountInfo") <= 2 * (130 // town.task.round_time + 1)
    assert bool(list_bonus) == bool(contests)
    assert list_bonus or paid


def test_a_round_that_is_over_is_read_once_and_one_to_come_never() -> None:
    place = Place(make_town(()))
    place.town.live_until(0, 12)

    infos = [asyncio.run(place.held.show_distributions(number)) for number in (0, 0, 99, 99)]

    assert infos[0] == infos[1]
    assert (
        infos[2]
        == infos[3]
        == {
            "distribution_rewards_submission": {},
            "distributions_audit_trigger": {},
            "distributions_audit_record": {},
        }
    )
    assert ["getTaskDistributionInfo"] == place.requests
