"""Measures what is promised, and prints each figure with the target beside it.

Each group of figures runs in a process of its own, one after another. The exit status is 0 when every target is met.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import sys
import tempfile
import time
import traceback
from pathlib import Path

from figures import Figure, all_met, at_most, print_figures, write_json
from harness import Bench, prepare_process

from sisock.supervisor import die_with_parent

GROUPS = ("spikes", "flat", "end_to_end", "refresh", "viewers", "throughput", "buffer", "catalogue", "panels")


def run_group(name: str, bench: Bench) -> list[Figure]:
    """Measure one group and print it; a group that fails has missed its target."""
    die_with_parent()
    prepare_process()
    try:
        return print_figures(importlib.import_module(name).measure(bench))
    except Exception:  # noqa: BLE001 - the others are measured all the same
        traceback.print_exc()
        return print_figures([Figure(name, "could not be measured: see above", 1, "group", at_most(0))])


def main() -> int:
    """Measure, tell, and return 0 when every target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"which figures; all of {', '.join(GROUPS)}")
    parser.add_argument("--short", action="store_true", help="small and quick: shows that it runs, not how fast it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    options = parser.parse_args()
    unknown = set(options.groups) - set(GROUPS)
    if unknown:
        parser.error(f"no group {min(unknown)!r}: choose of {', '.join(GROUPS)}")
    prepare_process()
    began = time.monotonic()
    figures: list[Figure] = []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.short)
        for name in options.groups or GROUPS:
            with context.Pool(1) as pool:
                figures += pool.apply(run_group, (name, bench))
                pool.close()
                pool.join()
    if options.json:
        write_json(options.json, figures)
    met = all_met(figures)
    print(f"\n{'every target met' if met else 'some targets MISSED'}, in {time.monotonic() - began:.0f} s")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
