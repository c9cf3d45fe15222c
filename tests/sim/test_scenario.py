"""Scenario files: what is wrong is named, with the field, its value and what it must be."""

from pathlib import Path
from typing import Any

import click
import pytest
from msgspec import inspect

from roundwork.cli.simulate import command
from roundwork.errors import BadConfig
from roundwork.sim.scenario import Scenario, fit_terms, read_scenario
from roundwork.sim.sealed_attack import TRIAL_TERMS

WRONG = {
    "- nodes": "must be fields, `nodes: 20` and so on",
    "twenty": "must be fields, `nodes: 20` and so on",
    "": "must be fields, `nodes: 20` and so on",
    "node: 4": "unknown field 'node'; did you mean nodes?; the fields are nodes, rounds",
    "3: 4": "unknown field 3; the fields are nodes",
    "nodes: 0": "nodes: 0 cannot be used; it must be a whole number from 1 to 1000000",
    "nodes: -3": "nodes: -3 cannot be used; it must be a whole number from 1",
    "nodes: many": "nodes: 'many' cannot be used; it must be a whole number",
    "nodes: [1]": "nodes: [1] cannot be used; it must be a whole number",
    "nodes: true": "nodes: true cannot be used; it must be a whole number",
    "nodes:": "nodes: nothing cannot be used; it must be a whole number",
    "rounds: 0": "rounds: 0 cannot be used; it must be a whole number from 1 to 10000",
    "rounds: 1.5": "rounds: '1.5' cannot be used; it must be a whole number",
    "liars: -1": "liars: -1 cannot be used; it must be a whole number of at least 0",
    "plays: [liar]": "plays: ['liar'] cannot be used; it must be names, each with a whole number",
    "plays: {liar: -1}": "plays: liar: -1 cannot be used; it must be a whole number of at least 0",
    "plays: {3: 3}": "plays: the name 3 cannot be used; it must be text",
    "plays: {lair: 3}": "there is no way to play 'lair'; the ways are honest, liar",
    "stakes: 3": "stakes: 3 cannot be used; it must be a list, each entry a whole number or text",
    "stakes: [true]": "stakes: entry 1: true cannot be used; it must be a whole number or text",
    "stakes: [2, '1,5']": "stakes: entry 2: '1,5' is not an amount",
    "seed: x": "seed: 'x' cannot be used; it must be a whole number",
    "rules: foo": "rules: 'foo' cannot be used; it must be koii-1 or roundwork-1",
    "rules: 3": "rules: 3 cannot be used; it must be koii-1 or roundwork-1",
    "round_slots: 3": "round_slots: 3 cannot be used; it must be a whole number from 20 to 1000000",
    "slot_ms: 0": "slot_ms: 0 cannot be used; it must be a whole number from 10 to 60000",
    "signatures: maybe": "signatures: 'maybe' cannot be used; it must be true or false",
    "work_cost: -0.5": "work_cost: -0.5 cannot be used; it must be a number from 0 to 1000000",
    "audit_cost: dear": "audit_cost: 'dear' cannot be used; it must be a number from 0",
    "params: 3": "params: 3 cannot be used; it must be names, each with a value",
    "params: {day: 2024-01-01}": "params: day: must have values that JSON has",
    "network: 3": "network: 3 cannot be used; it must be fields (delay_slots_min",
    "network: {delay: 3}": "network: unknown field 'delay'; the fields are delay_slots_min",
    "network: {delay_slots_min: 0}": "network: delay_slots_min: 0 cannot be used; it must be a whole number",
    "network: {delay_slots_min: 2}": "network: delay_slots_min is 2 and delay_slots_max is 1",
    "network: {loss_percent: 100}": "network: loss_percent: 100 cannot be used",
    "network: {duplicate_percent: -1}": "network: duplicate_percent: -1 cannot be used",
    "network: {partitions: {nodes: [a]}}": "network: partitions: {'nodes': ['a']} cannot be used",
    "network: {partitions: [{nodes: a, first_slot: 3, last_slot: 4}]}": "entry 1: nodes: 'a' cannot be used",
    "network: {partitions: [{nodes: [a], first_slot: 3}]}": "entry 1: the field last_slot is missing",
    "network: {partitions: [{nodes: [a], first_slot: -3, last_slot: 4}]}": "first_slot: -3 cannot be used",
    "faults: [3]": "faults: [3] cannot be used; it must be fields (crashes, slow_disks",
    "faults: {crash: []}": "faults: unknown field 'crash'; did you mean crashes?",
    "faults: {crashes: [{node: node-1, slot: 3}]}": "faults: crashes: entry 1: the field slots is missing",
    "faults: {crashes: [{node: 1, slot: 3, slots: 1}]}": "crashes: entry 1: node: 1 cannot be used",
    "faults: {slow_disks: [{node: node-1, slots: 0}]}": "slow_disks: entry 1: slots: 0 cannot be used",
    "faults: {skews: [{node: node-1, slots: a}]}": "skews: entry 1: slots: 'a' cannot be used",
    "faults: {outages: [{slot: -1, slots: 1}]}": "outages: entry 1: slot: -1 cannot be used",
    "faults: {restarts: [{slot: 1, slots: 1, is_torn: 1}]}": "is_torn: 1 cannot be used; it must be true or",
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), WRONG.items(), ids=list(WRONG))
def test_what_is_wrong_is_named_with_its_file_and_what_is_right(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text(f"{text}\n")

    with pytest.raises(BadConfig) as caught:
        read_scenario(path)

    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_every_field_has_a_wrong_value_above() -> None:
    first_words = {text.split(":")[0] for text in WRONG}

    assert {field.encode_name for field in _list_fields()} <= first_words


def test_a_correct_scenario_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text(
        "work_cost: 0.5\naudit_cost: 1\nnodes: 4.0\nrules:\nstakes: [2, 2.5]\n"
        "params: {half: 0.5, deep: {list: [1, null]}}\n"
    )

    scenario = read_scenario(path)

    assert (4, None, (2, "2.5")) == (scenario.nodes, scenario.rules, scenario.stakes)
    assert (0.5, 1) == (scenario.work_cost, scenario.audit_cost)
    assert {"half": 0.5, "deep": {"list": [1, None]}} == scenario.params


def test_options_and_fields_have_the_same_bounds() -> None:
    ranges = {
        option.name: option.type for option in command.params if isinstance(option.type, click.IntRange)
    }
    kinds = {field.encode_name: _find_number(field.type) for field in _list_fields()}

    shared = ranges.keys() & kinds.keys()

    assert {"nodes", "rounds", "liars", "round_slots"} == shared
    for name in shared:
        assert (ranges[name].min, ranges[name].max) == (kinds[name].ge, kinds[name].le)


@pytest.mark.parametrize("round_slots", [60, 61, 62, 100])
def test_a_round_has_the_slots_that_were_requested(round_slots: int) -> None:
    fitted = fit_terms(TRIAL_TERMS, Scenario(round_slots=round_slots))

    assert round_slots == fitted.round_time >= fitted.submission_window + fitted.audit_window + 1


def _list_fields() -> tuple[inspect.Field, ...]:
    kind = inspect.type_info(Scenario)
    assert isinstance(kind, inspect.StructType)
    return kind.fields


def _find_number(kind: inspect.Type) -> Any:
    """The number that a field takes, if it takes one."""
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return next((each for each in kinds if isinstance(each, inspect.IntType)), None)
