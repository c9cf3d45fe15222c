"""Inputs that are almost right never hang, crash or mislead: a tenth of what `make hostile` runs."""

from random import Random
from typing import Any

import pytest

from roundwork.ledger.rpc import accounts
from roundwork.ledger.rpc.dispatch import METHODS

from .mutations import KINDS
from .mutations.bend import bend_json
from .mutations.campaign import attack
from .mutations.rpc_bodies import REQUESTS

SEED = "1"
PARTS = 4
COUNT = 10_000
PROCESSES = 20


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_inputs_in_process_are_refused_by_name_or_answered_right(kind: str, part: int) -> None:
    size = COUNT // PARTS

    findings = attack(kind, SEED, range(part * size, (part + 1) * size), is_process=False)

    assert not findings, "\n\n".join(finding.describe() for finding in findings)


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_inputs_to_processes_are_refused_by_name_or_answered_right(kind: str) -> None:
    findings = attack(kind, SEED, range(PROCESSES), is_process=True)

    assert not findings, "\n\n".join(finding.describe() for finding in findings)


def test_an_input_follows_from_the_seed_and_its_number() -> None:
    def make() -> list[bytes]:
        return [bend_json(Random(f"{SEED}/rpc/{number}"), REQUESTS[number], REQUESTS) for number in range(30)]

    assert make() == make()


def test_a_wrong_answer_is_found_with_the_command_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_more(ledger: Any, params: Any) -> Any:
        answer = accounts.METHODS["getBalance"](ledger, params)
        return {**answer, "value": answer["value"] + 1}

    monkeypatch.setitem(METHODS, "getBalance", get_more)

    [finding] = attack("rpc", SEED, range(10), is_process=False)

    assert "honest people have" in finding.text
    assert "replay: python -m tests.hostile.mutations rpc --seed 1 --only 9" in finding.describe()


def test_an_exception_that_escapes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(ledger: Any, params: Any) -> Any:
        raise KeyError("nobody catches this")

    for method in ("getBlock", "getEpochInfo", "getIdentity", "getSupply", "getVersion"):
        monkeypatch.setitem(METHODS, method, fail)

    findings = attack("rpc", SEED, range(100), is_process=False)

    assert any("KeyError: 'nobody catches this'" in finding.text for finding in findings)
