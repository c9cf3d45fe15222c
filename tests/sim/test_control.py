"""What wins under koii-1 wins there still; and the control notices it where nothing wins."""

import pytest

from roundwork.strategies import STRATEGIES, Strategy

from .control import CONTROLS, find_losers, play


def test_what_docs_call_winners_under_koii_1_win(capsys: pytest.CaptureFixture[str]) -> None:
    assert find_losers([play(STRATEGIES[name]) for name in CONTROLS]) == []
    assert "last-slot-accuser under koii-1: +4.000 R a member" in capsys.readouterr().out


def test_honest_play_does_not_pass_the_control() -> None:
    assert find_losers([play(Strategy, nodes=5)]) == ["honest"]
