"""A slash that a main.js computes with a fraction is found; integer arithmetic is not."""

from pathlib import Path

import pytest

from roundwork.cli.task_view import find_warnings
from roundwork.package.folder import load_package
from roundwork.package.slashes import NEAR_CHARACTERS, find_fractional_slashes

from .test_folder import write_task

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "source",
    [
        "const slashedStake = candidateStake * 0.7;",
        "const slashedStake = 0.7 * candidateStake;",
        "list[key] = -Math.floor(stake_list[key] * .7);",
        "const i=o.stake_list;n[t]=-(.7*i[t])",
        "const SLASH_PERCENT = 0.7;\nlist[key] = -stakeList[key] * SLASH_PERCENT;",
        "const config = { penaltyRate: 0.25 };\nlist[key] = -(stake * config.penaltyRate);",
        "r=(0,n.floor)(e.stake_list[t]\n  *.7)",
    ],
)
def test_a_fraction_of_a_stake_is_found(source: str) -> None:
    assert 1 == len(find_fractional_slashes(source))


@pytest.mark.parametrize(
    "source",
    [
        "list[key] = -Math.floor((state.stake_list[key] * 7) / 10);",
        "const wait = Math.random() * 0.5; // before the stake is read",
        "const wait = 0.5 * Math.random(); // before the stake is read",
        "const more = stake * 1.5;",
        "const version = '2.0.7'; stake * version",
        "const opacity = 0.7; stake * opacity2",
        f"const wait = pause * 0.3; {' ' * NEAR_CHARACTERS} stake",
    ],
)
def test_other_products_are_not(source: str) -> None:
    assert [] == find_fractional_slashes(source)


def test_our_own_programs_compute_with_integers() -> None:
    for path in (
        ROOT / "examples" / "hello-js" / "main.js",
        ROOT / "tests" / "compat" / "javascript" / "main.js",
    ):
        assert [] == find_fractional_slashes(path.read_text())


def test_a_check_warns_of_a_fraction_and_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "main.js").write_text("for (const key of keys) list[key] = -stakeList[key] * 0.7;")
    package = load_package(write_task(tmp_path, task_audit_program="main.js"))

    [warning] = [each for each in find_warnings(package) if "fraction" in each]

    assert "main.js takes a fraction of a stake: `stakeList[key] * 0.7`" in warning
    assert warning.endswith("write Math.floor((stake * 7) / 10)")
