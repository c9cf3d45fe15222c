"""`python -m tests.hostile.mutations rpc --seed 1 --count 100000`, or `--only 4711` to replay one input."""

import argparse
import sys
import time

from . import KINDS
from .campaign import attack, run_all
from .surface import merge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="kind", help=f"of {', '.join(KINDS)}; all of them")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=100_000, help="inputs of each kind in process")
    parser.add_argument("--processes", type=int, default=200, help="inputs of each kind against processes")
    parser.add_argument("--only", type=int, help="the number of one input")
    parser.add_argument("--process", action="store_true", help="with --only: against a process")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    kinds = options.kinds or list(KINDS)
    found = []
    if options.only is not None:
        for kind in kinds:
            found += attack(kind, options.seed, [options.only], options.process, has_alarm=True)
    else:
        for kind in kinds:
            for count, is_process in ((options.count, False), (options.processes, True)):
                begun = time.monotonic()
                findings = (
                    merge(run_all(kind, options.seed, count, options.jobs, is_process)) if count else []
                )
                where = "against processes" if is_process else "in process"
                seconds = time.monotonic() - begun
                print(
                    f"{kind}: {count:,} inputs {where} in {seconds:.0f} s, {len(findings)} findings",
                    flush=True,
                )
                found += findings
    print("\n\n".join(finding.describe() for finding in found))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
