"""The list under roundwork-1: ranks, accusations, votes, retries, and the ledger's own split."""

from hashlib import sha256
from typing import Any

import pytest
from blake3 import blake3

from roundwork.protocol.execute import Receipt
from roundwork.protocol.tasks.events import ClosedUnpaid, Fined, Paid, Shared, Slashed
from roundwork.protocol.tasks.heads import compute_leaf, get_last_head, list_nodes
from roundwork.protocol.tasks.leaves import compute_head, compute_path, compute_root, compute_root_of_path
from roundwork.protocol.tasks.pledges import build_release
from roundwork.protocol.tasks.ranked import compute_ranks_seed
from roundwork.protocol.tasks.round import RoundState
from roundwork.protocol.tasks.sealed import get_ballot

from .hardened import (
    AUDIT_END,
    AW,
    MINIMUM,
    NODES,
    PROOF,
    STAKES,
    SW,
    Hardened,
    HardenedTokens,
    name_proof,
)  # fmt: skip
from .registry import shows

EQUAL = dict.fromkeys(NODES, 200)
BOND = MINIMUM // 10
SECOND_HALF = SW + AW // 2 + 1


def make_listed(changes: dict[str, Any] | None = None) -> Hardened:
    return Hardened(changes).submitted().judged().listed(EQUAL)


def go_to_vote(world: Hardened, attempt: int = 0) -> None:
    world.go(2 + attempt, SECOND_HALF).block()


def lister_and_others(world: Hardened, attempt: int = 0) -> tuple[str, list[str]]:
    listed = world.cursor().lists.rows[bytes([attempt])]
    lister = world.name_of(listed.submitter)
    return lister, [name for name in NODES if name != lister]


@shows("19.1")
def _lister() -> None:
    guilty = {"n00": False}
    world = Hardened().submitted().judged(guilty, guilty, "n02", ("n00",)).go(2)
    world.expect("NotLister", "n00", world.upload("n00", EQUAL))
    assert "n00" not in world.ranks()


@shows("19.2")
def _turn() -> None:
    _, second, third = Hardened().submitted().judged().ranks()
    last = next(name for name in NODES if name not in Hardened().submitted().judged().ranks())
    for name, offset in ((second, 3), (third, 6), (last, 9)):
        world = Hardened().submitted().judged().go(2, offset - 2)
        world.expect("ok", name, world.upload(name, EQUAL))
        world.go(2, offset - 1).expect("NotLister", name, world.hand_in(name))
        world.go(2, offset).expect("ok", name, world.hand_in(name))


@shows("19.3")
def _amounts_chunk() -> None:
    world = Hardened().submitted().judged().go(2)
    for wrong in (bytes(39), bytes(41), bytes(504), b""):
        world.expect("BadUpload", "n00", world.upload("n00", wrong))
    world.expect("ok", "n00", world.upload("n00", bytes(40)))


@shows("19.4")
def _whole() -> None:
    world = Hardened().submitted().judged().go(2)
    world.block()
    first = world.ranks()[0]
    world.expect("BadUpload", first, world.hand_in(first))


@shows("19.5")
def _deserved() -> None:
    guilty = {"n00": False}
    world = Hardened().submitted().judged(guilty, guilty, "n02", ("n00",)).go(2)
    world.block()
    assert "ListBadNode" == world.hand_in_whole(world.ranks()[0], {"n00": 1}).name
    assert "" == world.hand_in_whole(world.ranks()[0], {"n01": 1}).name


@shows("19.6")
def _accuses() -> None:
    world = make_listed()
    lister, others = lister_and_others(world)
    world.go(2, SW + 1).expect("NoAuditRaised", others[0], world.audit_list(others[0], lister, 1))


@shows("19.7")
def _list_unaccused() -> None:
    world = make_listed().go(2, SW + 1)
    lister, others = lister_and_others(world)
    world.expect("ok", others[0], world.audit_list(others[0], lister))
    world.expect("AlreadyAccused", others[1], world.audit_list(others[1], lister))


@shows("19.8")
def _list_accused() -> None:
    world = make_listed()
    lister, others = lister_and_others(world)
    go_to_vote(world)
    world.expect("NoAuditRaised", others[0], world.audit_list(others[0], lister), slots=0)


@shows("19.9")
def _voter() -> None:
    guilty = {"n00": False}
    world = Hardened().submitted().judged(guilty, guilty, "n02", ("n00",)).go(2)
    world.block()
    lister = world.ranks()[0]
    assert not world.hand_in_whole(lister, {"n01": 1}, slots=0).kind
    world.go(2, SW + 1).expect("ok", "n00", world.audit_list("n00", lister))  # it may accuse
    assert 0 == world.cursor().list_audits.rows[b"\0"].invalid  # and does not count
    world = Hardened().submitted().judged(guilty, guilty, "n02", ("n00",)).listed({"n01": 1})
    accuser = next(name for name in ("n01", "n02") if name != lister)
    world.go(2, SW + 1).expect("ok", accuser, world.audit_list(accuser, lister))
    go_to_vote(world)
    world.expect("NotSubmitter", "n00", world.audit_list("n00", lister, 1), slots=0)


def test_a_list_asks_for_its_window_its_attempt_and_its_sum() -> None:
    world = Hardened().submitted().judged().go(2)
    world.block()
    first, second, _ = world.ranks()
    world.expect("ok", first, world.upload(first, {"n00": 1001}), slots=0)
    asked = [world.wire([first], world.instruct(world.hand_in(first))) for _ in range(2)]
    receipts = world.block(*asked).receipts
    assert ["ListOverBounty", "ListReadAlready"] == [receipt.name for receipt in receipts]
    assert not world.hand_in_whole(first, EQUAL).kind
    world.expect("ListStands", second, world.upload(second, EQUAL))
    world.expect("WrongPhase", first, world.audit_list(first, first))
    world.go(2, SW + 1).expect("WrongPhase", second, world.upload(second, EQUAL))
    world.expect("OwnSubmission", first, world.audit_list(first, first))
    world.expect("UnknownSubmission", second, world.audit_list(second, second))


def test_a_list_that_nobody_accuses_is_paid_and_held_back_until_the_audit_of_three_rounds_later_ends() -> (
    None
):
    world = make_listed().go(2, AUDIT_END)
    world.block()

    assert RoundState.PAID == world.cursor().opened.state
    assert [200] * 5 == [world.held_of(name, 2) for name in NODES]
    assert [0] * 5 == [world.available_of(name) for name in NODES]
    world.go(5, AUDIT_END - 1).block()
    assert [0] * 5 == [world.available_of(name) for name in NODES]
    world.go(5, AUDIT_END).block()
    assert [200] * 5 == [world.available_of(name) for name in NODES]
    assert [0] * 5 == [world.held_of(name, 2) for name in NODES]


@pytest.mark.parametrize("slices", [1, 2])
def test_a_payout_in_slices_is_held_back_too(slices: int) -> None:
    world = Hardened(settle_records_max=slices).submitted().judged().listed(EQUAL).go(2, AUDIT_END)
    for _ in range(5):
        world.block()

    assert [200] * 5 == [world.held_of(name, 2) for name in NODES]


def test_a_payout_that_is_later_than_its_release_is_available_at_once() -> None:
    world = Hardened(settle_records_max=1).submitted().judged().listed(EQUAL).go(2, AUDIT_END)
    world.block()
    cursor = world.cursor()
    paid = [name for name in NODES if world.held_of(name, 2)]

    del world.state.due.rows[build_release(cursor, 2).encode()]  # as if its slot had passed
    for _ in range(5):
        world.block()

    assert 1 == len(paid)
    assert [0 if name in paid else 200 for name in NODES] == [world.available_of(name) for name in NODES]


def test_rewards_of_two_rounds_that_are_paid_in_one_ledger_round_are_released_together() -> None:
    world = Hardened().submitted().judged()  # no list for round 0 in its first attempt
    world.submitted(number=1).judged(number=1)
    world.listed(EQUAL, attempt=1)
    world.listed(EQUAL, number=1).go(3, AUDIT_END).block()

    assert [400] * 5 == [world.held_of(name, 3) for name in NODES]
    world.go(6, AUDIT_END).block()
    assert [400] * 5 == [world.available_of(name) for name in NODES]


def test_a_release_finds_nothing_where_everything_was_taken() -> None:
    world = make_listed().go(2, AUDIT_END)
    world.block()
    held = world.cursor().find_held(2)
    assert held is not None
    world.supply -= sum(reward.amount for reward in held.rows.values())
    held.rows.clear()

    world.go(5, AUDIT_END).block()

    assert [0] * 5 == [world.available_of(name) for name in NODES]


def test_an_accused_list_stands_with_more_than_half_of_all_stake_and_the_bond_is_lost() -> None:
    world = make_listed().go(2, SW + 1)
    lister, others = lister_and_others(world)
    world.expect("ok", others[0], world.audit_list(others[0], lister))
    go_to_vote(world)
    for name in others[1:]:
        world.expect("ok", name, world.audit_list(name, lister, 1), slots=0)
    world.expect("AlreadyAudited", others[1], world.audit_list(others[1], lister), slots=0)
    world.expect("OwnSubmission", lister, world.audit_list(lister, lister, 1), slots=0)
    world.expect("AlreadyAudited", others[0], world.audit_list(others[0], lister), slots=0)

    world.go(2, AUDIT_END).block()

    assert RoundState.PAID == world.cursor().opened.state
    assert STAKES[others[0]] - BOND == world.stake_of(others[0])
    assert 100_000 - 1000 + BOND == world.bounty


def test_who_hands_in_a_list_that_most_of_the_stake_rejects_is_slashed() -> None:
    world = make_listed().go(2, SW + 1)
    lister, others = lister_and_others(world)
    world.expect("ok", others[0], world.audit_list(others[0], lister))
    go_to_vote(world)
    for name in others[1:]:
        world.expect("ok", name, world.audit_list(name, lister), slots=0)

    outcome = world.go(2, AUDIT_END).block()

    taken = STAKES[lister] * 70 // 100
    assert {Slashed, Shared} <= {type(event) for event in outcome.events}
    assert STAKES[lister] - taken == world.stake_of(lister)
    world.listed(EQUAL, attempt=1).go(3, AUDIT_END).block()
    payment = world.cursor().payments.rows[world.key(lister)]
    assert (200, taken) == (payment.reward, payment.slash)  # its list was wrong, its work was not
    assert taken // 4 == world.available_of(others[0])
    assert STAKES[others[0]] == world.stake_of(others[0])


def test_who_handed_in_a_list_that_failed_hands_in_no_other_in_this_round() -> None:
    world = make_listed().go(2, SW + 1)
    lister, others = lister_and_others(world)
    world.expect("ok", others[0], world.audit_list(others[0], lister))

    world.go(2, AUDIT_END).block()

    assert RoundState.RETRYING == world.cursor().opened.state
    assert lister not in world.ranks(attempt=1)
    world.go(3).expect("NotLister", lister, world.upload(lister, EQUAL))


def test_a_list_without_a_majority_fails_and_costs_nobody_anything() -> None:
    world = make_listed().go(2, SW + 1)
    lister, others = lister_and_others(world)
    world.expect("ok", others[0], world.audit_list(others[0], lister))

    world.go(2, AUDIT_END).block()

    assert STAKES == {name: world.stake_of(name) for name in NODES}
    assert RoundState.RETRYING == world.cursor().opened.state
    world.listed(EQUAL, attempt=1).go(3, AUDIT_END).block()
    assert RoundState.PAID == world.cursor().opened.state
    assert [200] * 5 == [world.held_of(name, 3) for name in NODES]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"rules:roundwork-1", {"n01": 200, "n02": 200, "n03": 200, "n04": 200}),
        (b"rules:roundwork-1 split:stake", {"n01": 133, "n02": 200, "n03": 266, "n04": 333}),
    ],
)
def test_without_a_list_the_ledger_splits(text: bytes, expected: dict[str, int]) -> None:
    guilty = {"n00": False}
    world = Hardened({"locals": text}).submitted().judged(guilty, guilty, "n02", ("n00",)).go(3, AUDIT_END)

    paid = [event for event in world.block().events if isinstance(event, Paid)]

    assert expected == {world.name_of(event.node): event.amount for event in paid}
    assert RoundState.PAID == world.cursor().opened.state


def test_a_list_that_half_of_the_stake_rejects_fails_without_a_slash() -> None:
    names = ("n00", "n01", "n02")  # 10,000, 20,000 and 30,000
    world = Hardened().submitted(names=names).judged().listed({"n00": 1})
    lister = world.ranks()[0]
    against = ["n02"] if lister != "n02" else ["n00", "n01"]
    world.go(2, SW + 1).expect("ok", against[0], world.audit_list(against[0], lister))
    go_to_vote(world)
    for voter in against[1:]:
        world.expect("ok", voter, world.audit_list(voter, lister), slots=0)
    world.go(2, AUDIT_END).block()

    assert 1 == world.cursor().opened.attempt
    assert STAKES[lister] == world.stake_of(lister)


def make_missing() -> Hardened:
    """A judged round in which the proof of n01 is missing."""
    world = Hardened().submitted({"n01": name_proof(PROOF)})
    world.expect("ok", "n03", world.challenge("n03", "n01"), slots=0)
    return world.judged()


def test_a_list_pays_nothing_for_a_proof_that_is_missing() -> None:
    world = make_missing().go(2)
    world.block()

    receipt = world.hand_in_whole(world.ranks()[0], {"n00": 100, "n01": 1}, slots=0)

    assert "ListBadNode" == receipt.name


def test_the_split_pays_nothing_for_a_proof_that_is_missing() -> None:
    world = make_missing().go(3, AUDIT_END)

    paid = [event for event in world.block().events if isinstance(event, Paid)]

    assert ("MISSING", 0) == world.verdict("n01")
    others = [name for name in NODES if name != "n01"]
    assert dict.fromkeys(others, 200) == {world.name_of(event.node): event.amount for event in paid}


def test_retries_end_when_nobody_is_left_to_rank() -> None:
    names = NODES[:3]
    world = Hardened({"allowed_failed_distributions": 3}).submitted(names=names).judged()
    for attempt in range(3):
        world.listed(dict.fromkeys(names, 1), attempt=attempt).go(2 + attempt, SW + 1)
        lister = world.name_of(world.cursor().lists.rows[bytes([attempt])].submitter)
        accuser = next(name for name in names if name != lister)
        world.expect("ok", accuser, world.audit_list(accuser, lister))
        world.go(2 + attempt, AUDIT_END).block()

    assert RoundState.PAID == world.cursor().opened.state  # the third list was that of the last node
    assert [333] * 3 == [world.held_of(name, 4) for name in names]


def test_a_slash_takes_the_rewards_that_are_held_back_too() -> None:
    world = make_listed().go(2, AUDIT_END)
    world.block()
    guilty = {"n01": False}
    world.submitted(number=2)
    bounty = world.bounty
    world.judged(guilty, guilty, "n02", ("n01",), number=2)

    taken = STAKES["n01"] * 70 // 100
    payment = world.cursor(2).payments.rows[world.key("n01")]
    assert (0, taken) == (payment.reward, payment.slash)
    assert 0 == world.held_of("n01", 2)
    assert -taken - 200 == world.net_of("n01", 2)
    shares = sum(map(world.available_of, NODES))
    assert bounty + taken + 200 == world.bounty + shares


def test_a_fine_takes_held_back_rewards_before_the_stake() -> None:
    world = make_listed().go(2, AUDIT_END)
    world.block()

    world.submitted(number=2, silent=("n01",))

    assert 0 == world.held_of("n01", 2)
    assert STAKES["n01"] - (MINIMUM // 10 - 200) == world.stake_of("n01")
    fined = [event for _, _, outcome in world.blocks for event in outcome.events if isinstance(event, Fined)]
    assert [MINIMUM // 10] == [event.amount for event in fined]


def test_a_fine_below_what_is_held_back_leaves_the_rest_of_it() -> None:
    world = make_listed().go(2, AUDIT_END)
    world.block()

    world.submitted(number=2).checked(number=2).accused("n03", "n02", number=2)
    world.voted(silent=("n01",), number=2).disclosed(number=2).go(3, AUDIT_END).block()

    assert 200 - MINIMUM // 100 == world.held_of("n01", 2)
    assert STAKES["n01"] == world.stake_of("n01")


def test_the_ranks_are_those_of_the_text() -> None:
    world = Hardened().submitted().judged()
    beacon = world.cursor().opened.beacon
    seed = blake3(b"roundwork/ranks/1" + beacon + b"\0").digest()

    drawn = get_ballot(world.cursor()).draw(seed, 3)

    assert seed == compute_ranks_seed(beacon, 0)
    assert [world.name_of(node) for node in drawn] == world.ranks()


def test_a_fine_takes_the_oldest_of_the_rewards_that_are_held_back_first() -> None:
    world = Hardened({"bounty_per_round": 5000})
    for number in (0, 2):
        world.submitted(number=number).judged(number=number).listed({"n00": 700}, number)
        world.go(number + 2, AUDIT_END).block()
    assert [700, 700] == [world.held_of("n00", 2), world.held_of("n00", 4)]

    world.submitted(number=4, silent=("n00",))  # costs a lapse

    assert [0, 1400 - MINIMUM // 10] == [world.held_of("n00", 2), world.held_of("n00", 4)]
    assert STAKES["n00"] == world.stake_of("n00")


# Heads


def test_the_head_of_a_round_holds_what_became_of_every_node() -> None:
    world = make_listed().go(2, AUDIT_END)
    world.block()
    cursor = world.cursor()

    leaves = [compute_leaf(cursor, node) for node in list_nodes(cursor)]
    head = next(iter(cursor.heads.rows.values()))

    node = world.key("n00")
    value = blake3(b"the work").digest()
    assert node + value + b"\0" + (1).to_bytes(8, "little") + (200).to_bytes(8, "little") in leaves
    assert compute_root(leaves) == head.root
    assert bytes(32) == head.previous
    assert compute_head(bytes(32), 0, head.root) == head.digest == get_last_head(world.state, world.task)


def test_heads_follow_one_another_in_the_order_in_which_rounds_end() -> None:
    world = make_listed().go(2, AUDIT_END)
    world.block()
    first = get_last_head(world.state, world.task)
    world.submitted(number=2, names=NODES[:2])  # too few: it closes at once

    head = next(iter(world.cursor(2).heads.rows.values()))

    assert first == head.previous
    assert any(isinstance(event, ClosedUnpaid) for event in world.blocks[-1][2].events)


class ManyTokens(HardenedTokens):
    """Tasks may have bounties of more than 2^63 tokens here."""

    def create_task(self, *args: Any, **changes: Any) -> Receipt:
        self.mint_to("manager.tokens", changes["total_bounty"])
        return super().create_task(*args, **changes)


def test_a_reward_of_more_tokens_than_a_leaf_can_say_does_not_end_the_chain() -> None:
    bounty = 2**63 + 1000
    world = ManyTokens({"total_bounty": bounty, "bounty_per_round": bounty})
    world.submitted().judged().listed({"n00": bounty}).go(2, AUDIT_END).block()

    assert RoundState.PAID == world.cursor().opened.state
    assert bounty == world.held_of("n00", 2)
    assert 2**63 - 1 == world.net_of("n00")
    assert world.cursor().heads.rows


def test_the_loss_of_more_tokens_than_a_leaf_can_say_does_not_end_the_chain() -> None:
    reward, guilty = 2**62 + 1000, {"n00": False}
    world = ManyTokens({"total_bounty": 3 * reward, "bounty_per_round": reward})
    for number in (0, 2):
        world.submitted(number=number).judged(number=number).listed({"n00": reward}, number)
        world.go(number + 2, AUDIT_END).block()
    world.submitted(number=4).judged(guilty, guilty, "n01", ("n00",), number=4)

    assert ("CONVICTED", -1) == world.verdict("n00", 4)
    assert -(2**63) == world.net_of("n00", 4)
    assert 0 == world.held_of("n00", 4)
    world.go(7, AUDIT_END).block()
    assert RoundState.PAID == world.cursor(4).opened.state


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 33])
def test_a_path_leads_from_every_leaf_to_the_root_and_from_no_other(count: int) -> None:
    leaves = [bytes([place]) * 3 for place in range(count)]
    root = compute_root(leaves)

    for place, leaf in enumerate(leaves):
        path = compute_path(leaves, place)

        assert root == compute_root_of_path(leaf, place, count, path)
        assert root != compute_root_of_path(b"other", place, count, path)
        assert compute_root_of_path(leaf, place, count, [*path, bytes(32)]) is None
        assert not path or compute_root_of_path(leaf, place, count, path[1:]) is None
    assert compute_root_of_path(leaves[0], count, count, []) is None


def test_the_tree_is_that_of_rfc_6962() -> None:
    def tree(leaves: list[bytes]) -> bytes:
        if not leaves:
            return sha256(b"").digest()
        if len(leaves) == 1:
            return sha256(b"\0" + leaves[0]).digest()
        split = 1 << (len(leaves) - 1).bit_length() - 1
        return sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:])).digest()

    for count in range(20):
        leaves = [bytes([place]) for place in range(count)]
        assert tree(leaves) == compute_root(leaves)


def test_a_pruned_round_leaves_nothing_behind() -> None:
    world = make_listed({"allowed_failed_distributions": 0}).go(4)
    world.block()

    suffix = world.task + bytes(8)
    assert [] == [name for name in world.state.tables if name[1:] == suffix]
