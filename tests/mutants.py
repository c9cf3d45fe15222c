"""`make mutants`: small faults planted in the law, one at a time, and whether the tests of the law notice.

The sample is drawn by a fixed seed from all mutants of a set of operators that was chosen beforehand. Each
mutant runs in a copy of the tree. The table goes to docs/MUTANTS.md.
"""

import argparse
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db

ROOT = Path(__file__).parents[1]
LAW = Path("src/roundwork/protocol")
SEED, SAMPLE = 20261128, 300
TIMEOUT_SECONDS = 180

OPERATORS = (
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBinaryOperator_Mul_FloorDiv",
    "ReplaceBinaryOperator_FloorDiv_Mul",
    "ReplaceBinaryOperator_Mod_FloorDiv",
    "ReplaceBinaryOperator_LShift_RShift",
    "ReplaceBinaryOperator_RShift_LShift",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceUnaryOperator_Delete_Not",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "NumberReplacer",
    "ZeroIterationForLoop",
)
"""Not those that change types in annotations, and not the removal of decorators: every rule is one."""

FIRST = ("test_journal.py", "test_rules.py", "test_round.py", "test_order.py")
LAST = ("test_fuzz.py", "test_programs.py", "test_machine.py")
"""Test files that run before and after the others: quick ones that see much first, slow ones last."""


class Mutant(NamedTuple):
    """One planted fault. `change` is the line before and after."""

    number: int
    path: Path
    operator: str
    occurrence: int
    line: int
    source: str
    change: str


def find_mutants(modules: Sequence[str]) -> list[Mutant]:
    """Every mutant of the law that changes anything; only those of some modules if they are given."""
    known = [path.relative_to(ROOT) for path in (ROOT / LAW).rglob("*.py") if path.stat().st_size]
    paths = [LAW / module for module in modules] or known
    with (
        tempfile.TemporaryDirectory() as folder,
        use_db(str(Path(folder) / "work.sqlite"), WorkDB.Mode.create) as database,
    ):
        init(sorted(paths), database, {})
        items = [item.mutations[0] for item in database.work_items]
    wanted = [item for item in items if item.operator_name.removeprefix("core/") in OPERATORS]
    wanted.sort(key=lambda item: (str(item.module_path), item.start_pos, item.operator_name, item.occurrence))
    found = []
    for number, item in enumerate(wanted):
        path, name = Path(item.module_path), item.operator_name
        before = (ROOT / path).read_text()
        operator = get_operator(name)(**item.operator_args)
        after = mutate_code(before.encode(), operator, item.occurrence)
        if after is not None and _decode(after) != before:
            source, line = _decode(after), item.start_pos[0]
            short = name.removeprefix("core/")
            found.append(Mutant(number, path, short, item.occurrence, line, source, describe(before, source)))
    return found


def _decode(source: str | bytes) -> str:
    return source if isinstance(source, str) else source.decode()


def describe(before: str, after: str) -> str:
    """What a mutant changed: the first line that differs, before and after."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    was = next((line[1:].strip() for line in changed if line[0] == "-"), "")
    now = next((line[1:].strip() for line in changed if line[0] == "+"), "")
    return f"`{was}` → `{now}`".replace("|", "\\|")


def list_tests(tree: Path) -> list[str]:
    """The files of the law's tests in the order in which they run."""
    names = sorted(path.name for path in (tree / "tests" / "protocol").glob("test_*.py"))
    middle = [name for name in names if name not in (*FIRST, *LAST)]
    return [f"tests/protocol/{name}" for name in (*FIRST, *middle, *LAST)]


def is_killed(tree: Path, mutant: Mutant) -> bool:
    """Whether the tests of the law notice a mutant, in a copy of the tree."""
    path = tree / mutant.path
    original = path.read_text()
    path.write_text(mutant.source)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *list_tests(tree)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(original)
    return done.returncode != 0


def copy_tree(target: Path) -> Path:
    """What the law's tests need, in a folder of its own."""
    for name in ("src", "tests", "docs"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def run(mutants: list[Mutant], jobs: int) -> list[Mutant]:
    """The mutants that survive."""
    survivors: list[Mutant] = []
    begun, done = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        trees: Queue[Path] = Queue()
        for at in range(jobs):
            trees.put(copy_tree(Path(folder) / str(at)))
        sound = trees.get()
        assert not is_killed(sound, mutants[0]._replace(source=(ROOT / mutants[0].path).read_text())), (
            "the tests fail without a mutant"
        )
        trees.put(sound)

        def test(mutant: Mutant) -> tuple[Mutant, bool]:
            tree = trees.get()
            try:
                return mutant, is_killed(tree, mutant)
            finally:
                trees.put(tree)

        for mutant, killed in pool.map(test, mutants):
            done += 1
            if not killed:
                survivors.append(mutant)
                print(
                    f"\nsurvives: {mutant.path}:{mutant.line} {mutant.operator} {mutant.change}", flush=True
                )
            left = (time.monotonic() - begun) / done * (len(mutants) - done)
            print(
                f"\r{done} of {len(mutants)}, {len(survivors)} survive, {left:.0f} s left ",
                end="",
                flush=True,
            )
    print()
    return survivors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=SAMPLE)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--only", type=int, nargs="*", help="numbers of mutants to run, instead of the sample"
    )
    parser.add_argument(
        "--modules", nargs="*", default=[], help="modules of the law, such as tasks/sealed.py"
    )
    options = parser.parse_args()
    mutants = find_mutants(options.modules)
    if options.only:
        sample = [mutant for mutant in mutants if mutant.number in options.only]
    else:
        sample = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    print(f"{len(mutants)} mutants; {len(sample)} of them are run")
    survivors = run(sample, options.jobs)
    print(f"{len(sample) - len(survivors)} of {len(sample)} killed")
    for mutant in survivors:
        place = f"{mutant.path.relative_to(LAW)}:{mutant.line}"
        print(f"| {mutant.number} | {place} | {mutant.operator} | {mutant.change} |")


if __name__ == "__main__":
    main()
