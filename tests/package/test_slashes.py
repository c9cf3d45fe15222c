"""A slash that a main.js computes with a fraction is found, and the advice is the same part as an integer."""

from pathlib import Path

import pytest

from roundwork.cli.task_view import find_warnings
from roundwork.package.folder import load_package
from roundwork.package.slashes import NEAR_BYTES, NESTED_MAX, find_fractional_slashes

from .test_folder import write_task

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("const slashedStake = candidateStake * 0.7;", "Math.floor((candidateStake * 7) / 10)"),
        ("const slashedStake = 0.7 * candidateStake;", "Math.floor((candidateStake * 7) / 10)"),
        ("list[key] = -Math.floor(stake_list[key] * .7);", "Math.floor((stake_list[key] * 7) / 10)"),
        ("const i=o.stake_list;n[t]=-(.7*i[t])", "Math.floor((i[t] * 7) / 10)"),
        (
            "const SLASH_PERCENT = 0.7;\nlist[key] = -stakeList[key] * SLASH_PERCENT;",
            "-Math.floor((stakeList[key] * 7) / 10)",
        ),
        (
            "const config = { penaltyRate: 0.25 };\nlist[key] = -(stake * config.penaltyRate);",
            "Math.floor(stake / 4)",
        ),
        ("r=(0,n.floor)(e.stake_list[t]\n  *.7)", "Math.floor((e.stake_list[t] * 7) / 10)"),
        ("x = stake * 7 / 10", "Math.floor((stake * 7) / 10)"),
        ("x = stake * 70/100", "Math.floor((stake * 7) / 10)"),
        ("x = stake / 2", "Math.floor(stake / 2)"),
        ("x = stake * (1 - 0.3)", "Math.floor((stake * 7) / 10)"),
        ("x = stake * 7e-1", "Math.floor((stake * 7) / 10)"),
        ("x = stake * -0.7", "-Math.floor((stake * 7) / 10)"),
        ("stake *= 0.7", "stake = Math.floor((stake * 7) / 10)"),
        ("stake /= 2", "stake = Math.floor(stake / 2)"),
        ("const factor = 0.7; x = stake * factor", "Math.floor((stake * 7) / 10)"),
        ("SLASH = 7/10; x = stake * SLASH", "Math.floor((stake * 7) / 10)"),
        ("x = Math.floor(stake * (7 / 10))", "Math.floor((stake * 7) / 10)"),
        ("x = Math.floor(stake / 10 * 7)", "Math.floor((stake * 7) / 10)"),
        ("x = stake - stake * 0.3", "Math.floor((stake * 3) / 10)"),
        ("x = Math.floor(stake * (percent / 100))", "Math.floor((stake * percent) / 100)"),
        (
            "for (const [k, v] of Object.entries(state.stake_list)) list[k] = -(v * 7 / 10)",
            "Math.floor((v * 7) / 10)",
        ),
        ("const s = getStake(); let t = s; t = t * 0.5", "Math.floor(t / 2)"),
        ("x = Math.round(stake * 0.7)", "Math.floor((stake * 7) / 10)"),
        ("x = (stake * 7 / 10).toFixed(0)", "Math.floor((stake * 7) / 10)"),
        (
            "let stake = 0; keys.forEach((k) => { stake = read(k) }); x = stake * 0.7",
            "Math.floor((stake * 7) / 10)",
        ),
        ("let stake = 0; stake += read(); x = stake * 7 / 10", "Math.floor((stake * 7) / 10)"),
        ("let f; f = 0.7; x = stake * f", "Math.floor((stake * 7) / 10)"),
        ("function cut(amount) { return 0.7 * amount } cut(stake)", "Math.floor((amount * 7) / 10)"),
        ("x = (ok ? stake : 0) * 0.7", "Math.floor(((ok ? stake : 0) * 7) / 10)"),
        ("class A { static S = 0.7 } ; const a = 1; x = stake * (1 / 3)", "Math.floor(stake / 3)"),
    ],
)
def test_a_fraction_of_a_stake_is_found_and_the_advice_is_the_same_part(source: str, advice: str) -> None:
    [found] = find_fractional_slashes(source)

    assert advice == found.advice
    assert [] == find_fractional_slashes(" ".join(source.split()).replace(found.product, advice))


@pytest.mark.parametrize(
    "source",
    [
        "list[key] = -Math.floor((state.stake_list[key] * 7) / 10);",
        "x = Math.floor(stake * 7 / 10)",
        "x = - (stake * 7n / 10n)",
        "x = stake - (BigInt(stake) * 7n / 10n)",
        "x = (stake * 7n) / BigInt(10)",
        "x = Math.trunc(stake / 2)",
        "x = stake * 2",
        "x = stake * 10 / 5",
        "const more = stake * 1.5;",
        "const wait = Math.random() * 0.5; // before the stake is read",
        "const wait = 0.5 * Math.random(); // before the stake",
        "const version = '2.0.7'; stake * version",
        "const opacity = 0.7; stake * opacity2",
        "const n = Math.floor(stakes.length / 2) ; m = stakes.length / 2",
        "const seconds = (Date.now() - start) / 1000; stake",
        "x = stake * 7 / 10 | 0",
        "x = ~~(stake * 7 / 10)",
        "x = bounty * stake / total",
        "x = Math.floor((stake * 7) / 10 + 1)",
        "x = -Math.ceil(stake * 3 / 10)",
        "function cut(amount) { return amount * 7 / 10 } cut(votes); stake",
        "let f = 0.7; f = read(); x = other * f",
        "const _10n = BigInt(10); x = stake * 7n / _10n",
        "const half = votes / 2; if (stake) {}",
        "x = parseInt(stake * 7 / 10)",
        f"const wait = pause * 0.3; {' ' * NEAR_BYTES} stake",
        "const pause = 0.3;",
    ],
)
def test_integers_and_other_products_are_not(source: str) -> None:
    assert [] == find_fractional_slashes(source)


@pytest.mark.parametrize(
    "source",
    [
        "stake * " + "(" * NESTED_MAX + "0.7" + ")" * NESTED_MAX,
        "stake" + " * 0.7" * NESTED_MAX,
        "let a = b; let b = a; stake * a",
        "stake * a;" + "a = b;" * 10_000,
        "stake * 0x; stake * 1e99999; stake / 0; stake * " + "9" * 1000 + ".5",
        "stake * (((; 0.7",
    ],
)
def test_a_program_that_is_made_to_be_hard_is_read_to_its_end(source: str) -> None:
    assert [] == find_fractional_slashes(source)


def test_our_own_programs_compute_with_integers() -> None:
    for path in (
        ROOT / "examples" / "hello-js" / "main.js",
        ROOT / "tests" / "compat" / "javascript" / "main.js",
    ):
        assert [] == find_fractional_slashes(path.read_text())


def test_a_check_warns_of_a_fraction_and_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "main.js").write_text(
        "for (const key of keys) list[key] = -stakeList[key] * 0.7;\nconst fine = -(stakeList[key] / 4);"
    )
    package = load_package(write_task(tmp_path, task_audit_program="main.js"))

    [warning] = [each for each in find_warnings(package) if "fraction" in each]

    assert "for `-stakeList[key] * 0.7` write `-Math.floor((stakeList[key] * 7) / 10)`" in warning
    assert warning.endswith("for `stakeList[key] / 4` write `Math.floor(stakeList[key] / 4)`")
