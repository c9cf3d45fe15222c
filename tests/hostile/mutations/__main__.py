"""`python -m tests.hostile.mutations rpc --seed 1 --count 100000`, or `--only 4711` to replay one input."""

import argparse
import sys
import time

from rich.console import Console
from rich.progress import Progress

from . import KINDS
from .campaign import attack, run_all
from .surface import Finding, merge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="kind", help=f"of {', '.join(KINDS)}; all of them")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=100_000, help="inputs of each kind in process")
    parser.add_argument(
        "--processes",
        type=int,
        default=200,
        help="inputs of each kind against processes, each against new ones",
    )
    parser.add_argument("--only", type=int, help="the number of one input")
    parser.add_argument("--process", action="store_true", help="with --only: against a process")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    kinds = options.kinds or list(KINDS)
    found = []
    if options.only is not None:
        for kind in kinds:
            found += attack(kind, options.seed, [options.only], options.process, has_alarm=True)
        print("\n\n".join(finding.describe() for finding in found))
    else:
        for kind in kinds:
            for count, is_process in ((options.count, False), (options.processes, True)):
                found += run_shown(kind, options.seed, count, options.jobs, is_process)
    sys.exit(bool(found))


def run_shown(kind: str, seed: str, count: int, jobs: int, is_process: bool) -> list[Finding]:
    """Run all inputs of a kind with a progress bar, and print how it went."""
    where = "against processes" if is_process else "in process"
    begun = time.monotonic()
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"{kind} {where}", total=count)

        def report(done: int, findings: int) -> None:
            progress.update(bar, completed=done, description=f"{kind} {where}, {findings} findings")

        findings = merge(run_all(kind, seed, count, jobs, is_process, report))
    seconds = time.monotonic() - begun
    print(f"{kind}: {count:,} inputs {where} in {seconds:.0f} s, {len(findings)} findings", flush=True)
    for finding in findings:
        print(f"{finding.describe()}\n", flush=True)
    return findings


if __name__ == "__main__":
    main()
