"""What `up` shows of rounds under roundwork-1: what is sealed, what is contested, and every coin."""

from typing import Any

from roundwork.cli.up_view import draw, make_console
from roundwork.localnet.summary import summarise
from roundwork.localnet.supervisor import Member
from roundwork.localnet.watch import Watch
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import view_ledger, view_round, view_task

from ..protocol.hardened import (
    AUDIT_END,
    MINIMUM,
    NODES,
    PROOF,
    STAKES,
    SUBMISSION,
    Hardened,
    eighth,
    name_proof,
)

LAPSE = MINIMUM // 10


def observe(world: Hardened) -> Watch:
    """A world as `up` sees a network."""
    return Watch(
        ledger=view_ledger(world.state),
        task=view_task(world.state, world.task),
        rounds={0: view_round(world.state, world.task, 0)},
        members=[
            Member("ledger", "ledger", []),
            *(Member(name, "honest", [], address=base58_of(world.key(name))) for name in NODES),
        ],
        full_round=0,
    )


def show(world: Hardened) -> str:
    """The picture as text."""
    console = make_console(as_json=False)
    with console.capture() as capture:
        console.print(draw(observe(world), 120))
    return next(line for line in capture.get().splitlines() if line.startswith("review "))


def summarise_nodes(world: Hardened) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in summarise(observe(world))["nodes"]}


def test_the_picture_counts_what_is_committed_submitted_challenged_and_accused() -> None:
    world = Hardened().committed({"n01": name_proof(PROOF), "n02": b"garbage"})
    assert show(world).endswith(": 5 committed")

    world = Hardened().submitted({"n01": name_proof(PROOF), "n02": b"garbage"})
    assert show(world).endswith(": 5")

    world.expect("ok", "n03", world.challenge("n03", "n01"), slots=0)
    assert show(world).endswith(": 5, 1 challenged")

    world.go(1, eighth(3)).block()
    assert show(world).endswith(": 5, 1 missing")

    accuser = next(name for name in world.checkers("n02"))
    world.checked({"n02": False}).accused(accuser, "n02")
    assert show(world).endswith(": 5, 1 contested, 1 missing")


def test_every_coin_of_a_node_has_its_column_until_it_is_available() -> None:
    world = Hardened().submitted({"n01": b"garbage"}, silent=("n02",))
    guilty = {"n01": False}
    accuser = world.checkers("n01")[0]
    world.judged(guilty, guilty, accuser, ("n01",))
    world.listed({"n00": 100, "n03": 50}).go(2, AUDIT_END).block()

    nodes = summarise_nodes(world)

    assert (100, 50, 0) == tuple(nodes[name]["held_back"] for name in ("n00", "n03", "n04"))
    assert nodes["n02"]["costs"] == LAPSE
    assert nodes["n01"]["slashed"] > 0 == nodes["n01"]["shares"]
    assert sum(node["shares"] for node in nodes.values()) > 0
    for name, node in nodes.items():
        gained = node["earned"] + node["shares"] - node["slashed"] - node["costs"]
        assert node["stake"] + node["available"] + node["held_back"] == STAKES[name] + gained

    world.go(5, AUDIT_END).block()
    released = summarise_nodes(world)
    assert {0} == {node["held_back"] for node in released.values()}
    for name, node in released.items():
        assert nodes[name]["available"] + nodes[name]["held_back"] == node["available"]


def test_a_commitment_of_a_round_is_no_submission_in_the_summary() -> None:
    world = Hardened()
    world.go(1).block()
    world.expect("ok", "n00", world.commit("n00", SUBMISSION, b"the work"), slots=0)

    assert {0} == {node["submitted"] for node in summarise_nodes(world).values()}
