"""Under roundwork-1 a node that plays as PROTOCOL.md says loses only what the invariants allow.

Worlds of all strategies, networks that delay and double, outages of the ledger, and nodes that crash at any
slot and come back. Every invariant of the law is checked after each block (`SealedLaws`).
"""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roundwork.participant.sealed import (
    SealedDuty,
    SealedMemory,
    SealedView,
    SendAccusation,
    SendAmounts,
)  # fmt: skip
from roundwork.protocol.params import base58_of
from roundwork.protocol.rules import RULES
from roundwork.protocol.tasks.events import Fined, Slashed
from roundwork.protocol.tasks.round import WINDOWS, Activity
from roundwork.sealed_strategies import STRATEGIES, Canary, Late, SealedMember, SealedStrategy
from roundwork.sim.faults import ClockSkew, Faults, LedgerOutage, LedgerRestart, NodeCrash, SlowDisk
from roundwork.sim.laws import LawBroken
from roundwork.sim.network import NetworkModel
from roundwork.sim.simulation import NodeSetting

from .sealed_village import STAKE, Village, make_setting

HONEST, LIFE = 7, 6 * 60
"""Honest nodes, and the slots in which something may happen to them. Cheats are at most 3 of 10 nodes."""

CHEATS = [name for name, strategy in STRATEGIES.items() if name != "honest" and not strategy.is_split]

crashes = st.lists(
    st.builds(
        NodeCrash,
        node=st.just("node-1"),
        slot=st.integers(2, LIFE),
        slots=st.integers(1, 50),
        is_proof_gone=st.booleans(),
    ),
    max_size=3,
)


def play(
    cheat: str,
    cheats: int,
    seed: int,
    faults: Faults | None = None,
    network: NetworkModel | None = None,
    has_canary: bool = False,
) -> Village:
    """A world of honest nodes and a coalition of cheats; with a canary whose work is always bad."""
    names = [f"node-{at + 1}" for at in range(HONEST + cheats)]
    members = tuple(names[HONEST:])
    nodes = [
        NodeSetting(
            name=name,
            stake=STAKE,
            role=cheat if name in members else "honest",
            coalition=members if name in members else (),
        )
        for name in names
    ]
    playing: dict[str, SealedStrategy] = dict.fromkeys(members, STRATEGIES[cheat]())
    if has_canary:
        nodes.append(NodeSetting(name="canary", stake=STAKE, role="canary"))
        playing["canary"] = Canary(1.0, 0.0)
    setting = make_setting(
        rounds=3,
        seed=seed,
        nodes=tuple(nodes),
        faults=faults or Faults(),
        network=network or NetworkModel(),
        are_signatures_real=False,
    )
    return Village(setting, strategies=playing)


def list_honest(village: Village) -> set[str]:
    return {node.address for node in village.world.nodes if node.setting.role == "honest"}


def check_only_allowed_losses(village: Village, crashed: str = "") -> None:
    """No honest node is slashed or convicted, and one that has not crashed pays no lapse."""
    honest = list_honest(village)
    slashed = {base58_of(event.node) for event in village.events if isinstance(event, Slashed)}
    assert not slashed & honest
    for number, view in village.result.rounds.items():
        assert view.hardened is not None
        for shown in view.hardened.submissions:
            if shown.node not in honest:
                continue
            assert shown.verdict != "convicted"
            if shown.node != crashed:
                assert shown.verdict != "missing"
                assert shown.audits_done == shown.audits_assigned, f"round {number}"
        wrong = {
            checker
            for shown in view.hardened.submissions
            if shown.verdict == "convicted"
            for checker, is_valid in shown.receipts.items()
            if is_valid
        }
        assert not (wrong & honest) - {crashed}


@pytest.mark.timeout(300)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    cheat=st.sampled_from(CHEATS),
    cheats=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    crashing=crashes,
    outages=st.lists(st.builds(LedgerOutage, slot=st.integers(2, LIFE), slots=st.integers(1, 9)), max_size=2),
)
def test_an_honest_node_that_crashes_at_any_slot_is_never_slashed(
    cheat: str, cheats: int, seed: int, crashing: list[NodeCrash], outages: list[LedgerOutage]
) -> None:
    faults = Faults(crashes=tuple(crashing), outages=tuple(outages))

    village = play(cheat, cheats, seed, faults)

    check_only_allowed_losses(village, village.get_address("node-1"))


@pytest.mark.timeout(300)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    cheat=st.sampled_from(CHEATS),
    cheats=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    duplicates=st.sampled_from((0, 30)),
    delay=st.integers(1, 2),
)
def test_an_honest_node_on_a_slow_network_pays_no_lapse(
    cheat: str, cheats: int, seed: int, duplicates: int, delay: int
) -> None:
    network = NetworkModel(delay_slots_max=delay, duplicate_percent=duplicates)

    village = play(cheat, cheats, seed, network=network)

    check_only_allowed_losses(village)


@pytest.mark.timeout(300)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    restart=st.builds(
        LedgerRestart, slot=st.integers(2, LIFE), slots=st.integers(1, 9), is_torn=st.booleans()
    ),
    write_slots=st.integers(1, 5),
    skew=st.sampled_from((-9, -1, 1, 9)),
)
@example(seed=1, restart=LedgerRestart(62, 1, is_torn=True), write_slots=1, skew=1)
def test_no_honest_node_is_slashed_whatever_disks_clocks_and_the_ledger_do(
    seed: int, restart: LedgerRestart, write_slots: int, skew: int
) -> None:
    faults = Faults(
        restarts=(restart,),
        slow_disks=(SlowDisk("node-1", write_slots),),
        skews=(ClockSkew("node-2", skew),),
    )

    village = play("lie", 1, seed, faults)

    slashed = {base58_of(event.node) for event in village.events if isinstance(event, Slashed)}
    assert not slashed & list_honest(village)
    assert slashed
    assert village.lines == play("lie", 1, seed, faults).lines


@pytest.mark.parametrize("cheat", CHEATS)
def test_beside_each_strategy_every_invariant_holds_and_each_honest_node_is_paid(cheat: str) -> None:
    village = play(cheat, 3, 11, has_canary=True)

    check_only_allowed_losses(village)
    for view in village.result.rounds.values():
        assert "PayoutSuccessful" == view.status
        assert {payment.node for payment in view.payments if payment.reward} >= list_honest(village)
    members = [node for node in village.world.nodes if node.setting.role == cheat]
    assert any(node.member.deviations for node in members)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), slot=st.integers(62, 130), slots=st.integers(1, 40))
@example(seed=1, slot=62, slots=8)
def test_what_a_crash_costs_is_bounded(seed: int, slot: int, slots: int) -> None:
    """A lapse for each kind that it committed and could not reveal, one for a proof, and duties."""
    village = play("lie", 1, seed, Faults(crashes=(NodeCrash("node-1", slot, slots, is_proof_gone=True),)))
    address = village.get_address("node-1")

    fines = [
        event.amount
        for event in village.events
        if isinstance(event, Fined) and base58_of(event.node) == address and event.round == 0
    ]

    assert sum(fines) <= 4 * (STAKE // 10) + STAKE // 10


@pytest.mark.parametrize("cheat", [name for name, play in STRATEGIES.items() if not play.is_split])
def test_a_coalition_that_submitted_nothing_plays_on(cheat: str) -> None:
    absent = play(cheat, 1, 1, Faults(crashes=(NodeCrash(f"node-{HONEST + 1}", 58, 20),)))

    assert absent.get_verdict(f"node-{HONEST + 1}") == ""


class Hasty(SealedStrategy):
    """Accuses a submission whose proof it has not posted."""

    name = "hasty"

    def change_duties(
        self,
        me: SealedMember,
        memory: SealedMemory,
        view: SealedView,
        slot: int,
        owed: Sequence[SealedDuty],
    ) -> Sequence[SealedDuty]:
        window = WINDOWS["roundwork-1"][Activity.ACCUSE]
        if not window.is_open(view.table, slot, view.round.round):
            return owed
        others = [each.node for each in view.round.submissions if each.node != me.node]
        return [*owed, SendAccusation(view.round.round, others[0])]


class Eager(SealedStrategy):
    """Hands its list in at once, whatever its rank."""

    name = "eager"

    def change_duties(
        self,
        me: SealedMember,
        memory: SealedMemory,
        view: SealedView,
        slot: int,
        owed: Sequence[SealedDuty],
    ) -> Sequence[SealedDuty]:
        window = WINDOWS["roundwork-1"][Activity.LIST]
        if memory.amounts is None or not window.is_open(view.table, slot, view.round.round):
            return owed
        return [SendAmounts(view.round.round, view.round.attempt)]


@pytest.mark.parametrize(
    ("number", "strategy", "text"),
    [
        ("16.2", Late, "a commitment of kind 0 in slot"),
        ("16.5", STRATEGIES["equivocator"], "a record of table E was replaced"),
        ("18.2", Hasty, "a trial without the proof on the ledger"),
        ("19.2", Eager, "before its turn"),
    ],
)
def test_a_law_without_a_rule_is_noticed(number: str, strategy: type[SealedStrategy], text: str) -> None:
    setting = make_setting(rounds=3)
    cheats: dict[str, SealedStrategy] = {f"node-{at}": STRATEGIES["silent-leader"]() for at in range(1, 5)}
    cheats["node-5"] = strategy()
    Village(setting, strategies=cheats)

    with RULES[number].out_of_force(), pytest.raises(LawBroken, match=text):
        Village(setting, strategies=cheats)
