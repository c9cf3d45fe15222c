"""What clients read of a round's submissions, made from parts as the ledger makes it from records."""

import pytest

from roundwork.ledger.rpc.task_forms import describe_submissions as describe_state
from roundwork.node.javascript.infos import describe_submissions
from roundwork.participant.plays import LIAR
from roundwork.protocol.read import read_part
from roundwork.views import PartKey, PartKind

from ...town import Town


@pytest.mark.parametrize("liars", [(), ("n03",), ("n01", "n03")])
def test_submissions_made_from_parts_are_those_that_the_ledger_shows(liars: tuple[str, ...]) -> None:
    town = Town(6)
    for name in liars:
        town.nodes[name].play = LIAR
    town.live_until(0, 2)
    state, task = town.world.state, town.world.task

    parts = [read_part(state, task, PartKey(0, kind)) for kind in (PartKind.SUBMISSIONS, PartKind.AUDITS)]

    shown = describe_state(state, task, 0)
    assert shown == describe_submissions(0, *parts)
    assert [*shown["submissions"]["0"]] == [*describe_submissions(0, *parts)["submissions"]["0"]]
    assert len(liars) == len(shown["submissions_audit_trigger"].get("0", {}))
