"""Measures what is promised, and prints each figure with the target beside it.

Each group of figures runs in a process of its own, one after another. The exit status is 0 when every target is met.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from figures import Figure, at_most, entries, print_figures, write_json
from harness import STOP_DEADLINE_S, Bench, prepare_process

from sisock.system import dying_with

GROUPS = (
    "spikes",
    "flat",
    "end_to_end",
    "refresh",
    "viewers",
    "throughput",
    "buffer",
    "feeds",
    "catalogue",
    "panels",
)


def measure_here(name: str, bench: Bench) -> list[dict[str, Any]]:
    """Measure one group and print it; a group that fails has missed its target."""
    try:
        return entries(print_figures(importlib.import_module(name).measure(bench)))
    except Exception:  # noqa: BLE001 - the others are measured all the same
        traceback.print_exc()
        return entries(print_figures([Figure(name, "could not be measured: see above", 1, "group", at_most(0))]))


def measure_apart(name: str, folder: str, *, short: bool) -> list[dict[str, Any]]:
    """Measure one group in a process of its own."""
    path = Path(folder) / f"{name}.json"
    command = [sys.executable, __file__, name, "--folder", folder, "--json", str(path), *["--short"] * short]
    process = subprocess.Popen(command, preexec_fn=dying_with(os.getpid()))  # noqa: PLW1509 - there is one thread
    try:
        process.wait()
    finally:
        process.terminate()
        process.wait(2 * STOP_DEADLINE_S)
    figures: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return figures


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"which figures; all of {', '.join(GROUPS)}")
    parser.add_argument("--short", action="store_true", help="small and quick: shows that it runs, not how fast it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    parser.add_argument("--folder", help="measure in this process, with files in this folder")
    options = parser.parse_args()
    unknown = set(options.groups) - set(GROUPS)
    if unknown:
        parser.error(f"no group {min(unknown)!r}: choose of {', '.join(GROUPS)}")
    return options


def main() -> int:
    """Measure, tell, and return 0 when every target is met."""
    options = parse()
    prepare_process()
    began = time.monotonic()
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.groups or GROUPS:
            if options.folder:
                figures += measure_here(name, Bench(Path(options.folder), options.short))
            else:
                figures += measure_apart(name, folder, short=options.short)
    met = all(one["met"] is not False for one in figures)
    if options.json:
        write_json(options.json, figures)
    if not options.folder:
        print(f"\n{'every target met' if met else 'some targets MISSED'}, in {time.monotonic() - began:.0f} s")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
