"""What `up` shows of rounds under roundwork-1: what is sealed, what is contested, and every coin."""

from typing import Any

import msgspec
import pytest
from rich.console import Console

from roundwork.cli.up_view import Lines, draw, make_console, print_summary
from roundwork.ledger.moves import collect_moves
from roundwork.localnet.judgement import judge
from roundwork.localnet.summary import explain_costs, explain_slashes, summarise
from roundwork.localnet.supervisor import Member
from roundwork.localnet.watch import Watch
from roundwork.node.peers.reasons import is_list_rejected
from roundwork.protocol.params import base58_of
from roundwork.protocol.read import view_ledger, view_round, view_task
from roundwork.wire import format_money

from ..protocol.hardened import (
    AUDIT_END,
    AW,
    MINIMUM,
    NODES,
    PROOF,
    STAKES,
    SUBMISSION,
    SW,
    Hardened,
    eighth,
    name_proof,
)

LAPSE = MINIMUM // 10


def observe(world: Hardened, rounds: int = 1) -> Watch:
    """A world as `up` sees a network that has stopped."""
    task = view_task(world.state, world.task)
    views = {number: view_round(world.state, world.task, number) for number in range(rounds)}
    blocks = [(block.slot, outcome.events) for block, _, outcome in world.blocks]
    return Watch(
        ledger=view_ledger(world.state),
        task=task,
        rounds=views,
        moves=collect_moves(blocks, task, views),
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


def summarise_nodes(world: Hardened, rounds: int = 1) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in summarise(observe(world, rounds))["nodes"]}


def list_costs(world: Hardened, rounds: int = 1) -> list[tuple[int, str, int, str]]:
    return [
        (each.round, each.node, each.amount, each.reason) for each in explain_costs(observe(world, rounds))
    ]


def print_lines(*watches: Watch) -> str:
    """What `up` prints while it runs, elsewhere than on a terminal."""
    console = make_console(as_json=False)
    lines = Lines(console, "up --restart")
    with console.capture() as capture:
        for watch in watches:
            lines.show(watch)
    return capture.get()


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


def test_a_fine_is_shown_beside_the_shares_of_its_node() -> None:
    """Shares once made it smaller, and larger ones hid it with its reason."""
    world = Hardened().submitted({"n01": b"garbage", "n02": name_proof(PROOF)})
    world.expect("ok", "n03", world.challenge("n03", "n02"), slots=0)
    guilty = {"n01": False}
    world.judged(guilty, guilty, world.checkers("n01")[0], ("n01",))
    world.listed({"n00": 100}).go(2, AUDIT_END).block()

    node = summarise_nodes(world)["n02"]

    assert LAPSE == node["costs"]
    assert node["shares"] > 0
    fined = (0, "n02", LAPSE, "its proof could not be had when it was challenged")
    assert [fined] == list_costs(world)
    assert STAKES["n02"] + node["shares"] - LAPSE == node["stake"] + node["available"] + node["claimed"]


def test_what_a_node_claimed_is_shown_also_when_a_fine_took_a_part_of_what_was_held_back() -> None:
    world = Hardened().submitted()
    world.judged().listed(dict.fromkeys(NODES, 200)).go(2, AUDIT_END).block()
    world.submitted(number=3, silent=("n00",))  # which pays a lapse from what is held back
    world.judged(number=3).go(5, AUDIT_END).block()
    world.expect("ok", "n01", world.ask_claim(world.task, "n01"), slots=0)

    nodes = summarise_nodes(world, rounds=4)

    assert (0, 200) == (nodes["n01"]["available"], nodes["n01"]["claimed"])
    assert (0, 0) == (nodes["n00"]["available"], nodes["n00"]["claimed"])
    assert STAKES["n00"] - (LAPSE - 200) == nodes["n00"]["stake"]


def test_a_slash_for_a_rejected_list_names_those_that_rejected_it() -> None:
    world = Hardened().submitted()
    world.judged().listed({"n00": 100}).go(2, SW + 1)
    lister = world.ranks()[0]
    accuser, *voters = [name for name in reversed(NODES) if name != lister]
    world.expect("ok", accuser, world.audit_list(accuser, lister))
    world.go(2, SW + AW // 2 + 1).block()
    for voter in voters:
        world.expect("ok", voter, world.audit_list(voter, lister), slots=0)
    world.go(3, AUDIT_END).block()

    [slash] = explain_slashes(observe(world))

    assert (lister, True) == (slash.node, slash.amount > 0)
    assert f"{', '.join(sorted([accuser, *voters]))} found its list wrong" == slash.reason


def test_a_round_with_too_few_proofs_says_so() -> None:
    world = Hardened().submitted(names=("n00", "n01")).go(2)
    watch = observe(world)

    few = "2 proofs, and a round of roundwork-1 needs 3"
    assert f"1 of 1 round closed unpaid: {few}" == judge(watch).faults[0]
    assert f"round 0: closed unpaid: {few}" in print_lines(watch)


def test_two_nodes_that_say_the_same_of_themselves_are_both_shown() -> None:
    own, common = "round 0: this node lost 1 KOII", "no node serves the proof of n02"
    watch = observe(Hardened())
    warnings = (("n00", own), ("n01", own), ("n00", common), ("n01", common))

    shown = print_lines(msgspec.structs.replace(watch, warnings=warnings))

    assert (2, 1) == (shown.count(own), shown.count(common))


def test_the_summary_says_what_its_words_mean() -> None:
    world = Hardened().submitted({"n01": b"garbage"})
    guilty = {"n01": False}
    world.judged(guilty, guilty, world.checkers("n01")[0], ("n01",))
    world.listed({"n00": 100}).go(2, AUDIT_END).block()
    console = make_console(as_json=False)
    with console.capture() as capture:
        print_summary(console, observe(world))

    shown = capture.get()

    assert "held back: paid, and available 3 ledger rounds later" in shown
    assert "untried: no node raised an audit against the proof" in shown
    assert "inconclusive" not in shown
    assert "found its proof 'garbage' invalid" in shown


def test_a_paid_withholder_of_text_had_nothing_to_withhold() -> None:
    world = Hardened().submitted()
    world.judged().listed({"n00": 100}).go(2, AUDIT_END).block()
    watch = observe(world)
    watch.members[1].role = "withholder"

    fault = judge(watch).faults[0]

    assert fault.startswith("n00 played withholder and was paid ")
    assert fault.endswith(" (its proofs are text on the ledger, which nobody can withhold)")


def test_a_node_that_is_slashed_for_its_list_is_told_so() -> None:
    world = Hardened().submitted({"n01": b"garbage"})
    guilty = {"n01": False}
    world.judged(guilty, guilty, world.checkers("n01")[0], ("n01",))
    view = view_round(world.state, world.task, 0)

    convicted, other = (base58_of(world.key(name)) for name in ("n01", "n02"))
    assert (False, True) == (is_list_rejected(view, convicted), is_list_rejected(view, other))


@pytest.mark.parametrize("width", [80, 110, 140, 200])
def test_no_amount_is_cut_on_a_narrow_terminal(width: int) -> None:
    world = Hardened().submitted({"n01": b"garbage"})
    guilty = {"n01": False}
    world.judged(guilty, guilty, world.checkers("n01")[0], ("n01",))
    world.listed({"n00": 100}).go(2, AUDIT_END).block()
    watch = observe(world)
    console = Console(width=width)
    with console.capture() as capture:
        print_summary(console, watch)

    shown = capture.get()

    assert "…" not in shown
    for node in summarise(watch)["nodes"]:
        for name in ("shares", "stake", "available"):
            assert format_money(node[name], "").strip() in shown
