"""A slice of the fuzzer in every run of the tests: what it must see, and that it would see what is wrong."""

import pytest

from roundwork.protocol import execute as law
from roundwork.protocol.money import credit
from roundwork.protocol.params import Key
from roundwork.protocol.state import State

from .fuzz import Fuzz, Tally, describe, find_gaps, list_rules, run, run_world

SEED = 7
COUNT = 20_000


@pytest.mark.timeout(300)
def test_twenty_thousand_signed_transactions_break_nothing() -> None:
    tally = run(COUNT, SEED)

    print(describe(tally, SEED, 0))
    assert tally.count >= COUNT
    assert len([gap for gap in find_gaps(tally, 1) if not gap.startswith("rule")]) <= 5
    assert len([number for number in list_rules() if not tally.rules[number]]) <= len(list_rules()) // 10


def test_a_seed_gives_one_run() -> None:
    def play() -> list[bytes]:
        fuzz = Fuzz("again")
        tally = Tally()
        for _ in range(30):
            fuzz.step(tally)
        return [outcome.state_hash for _, _, outcome in fuzz.blocks]

    assert play() == play()


def test_a_law_that_makes_money_is_found_with_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def credit_more(state: State, key: Key, amount: int) -> None:
        credit(state, key, amount + (amount > 0))

    monkeypatch.setattr(law, "credit", credit_more)

    with pytest.raises(AssertionError) as caught:
        run_world("wrong", 400)

    assert "seed 'wrong'" in caught.value.__notes__[0]
