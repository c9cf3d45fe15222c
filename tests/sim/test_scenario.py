"""Scenario files: what is wrong is named."""

from pathlib import Path

import pytest

from roundwork.errors import BadConfig
from roundwork.sim.scenario import read_scenario


def test_a_rule_set_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yml"
    path.write_text("rules: foo\n")

    with pytest.raises(BadConfig, match=r"rules: there is no rule set 'foo'; koii-1 or roundwork-1"):
        read_scenario(path)
