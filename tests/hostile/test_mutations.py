"""Inputs that are almost right never hang, crash or mislead: a tenth of what `make hostile` runs."""

from random import Random
from typing import Any, cast

import pytest

from roundwork.ledger.rpc import accounts
from roundwork.ledger.rpc.dispatch import METHODS
from roundwork.node.javascript.namespace import METHODS as NAMESPACE_METHODS
from roundwork.node.javascript.namespace import Namespace
from roundwork.node.python.services import TaskServices

from ..node.house import NODE
from .mutations import KINDS
from .mutations.bend import bend_json
from .mutations.campaign import attack
from .mutations.rpc_bodies import REQUESTS
from .mutations.service_requests import JAVASCRIPT, PYTHON

SEED = "1"
PARTS = 4
COUNT = 10_000
PROCESSES = 20
SLOW = {"store": 0.4}
"""The share of these numbers that CI takes of a kind whose inputs each take long: a ledger is opened anew."""


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_inputs_in_process_are_refused_by_name_or_answered_right(kind: str, part: int) -> None:
    size = int(COUNT * SLOW.get(kind, 1)) // PARTS

    findings = attack(kind, SEED, range(part * size, (part + 1) * size), is_process=False)

    assert not findings, "\n\n".join(finding.describe() for finding in findings)


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_inputs_to_processes_are_refused_by_name_or_answered_right(kind: str) -> None:
    findings = attack(kind, SEED, range(int(PROCESSES * SLOW.get(kind, 1))), is_process=True)

    assert not findings, "\n\n".join(finding.describe() for finding in findings)


def test_every_service_of_a_node_gets_mutated_requests() -> None:
    services = TaskServices(
        task="", keypair=NODE, hosts=(), fetcher=cast(Any, None), store=cast(Any, None),
        get_endpoints=dict, find_endpoint=cast(Any, None), read_ledger=cast(Any, None),
    ).list_services()  # fmt: skip

    assert services.keys() == {service for service, _ in PYTHON}
    assert NAMESPACE_METHODS.keys() == {method for method, *_ in JAVASCRIPT}


def test_a_service_that_fails_or_answers_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: Any, *arguments: Any) -> Any:
        raise KeyError("nobody catches this")

    async def get_another(self: Any) -> str:
        return "another key"

    monkeypatch.setattr(TaskServices, "_list_peers", fail)
    monkeypatch.setattr(Namespace, "get_main_account_pubkey", get_another)

    texts = [finding.text for finding in attack("service", SEED, range(1000), is_process=False)]

    assert any("KeyError: 'nobody catches this'" in text for text in texts)
    assert any("the main key is {'response': 'another key'}" in text for text in texts)


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
