"""The same panel over the same samples, drawn from InfluxDB, from VictoriaMetrics, and from a data node of ours.

Each database runs with its defaults, but for where it listens and keeps its data, and for how long it keeps them.
Ours is asked over HTTP through adapter and router; the databases are asked directly, as Grafana asks them. Every
request is for another span, which holds all the samples, and nothing of an answer is remembered by anyone: ours is
asked for a field that nobody asked for before, and VictoriaMetrics for a step that it was not asked for before.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, all_met, at_least, at_most, entries, print_figures, write_json
from harness import connected, make_query, post, prepare_process, running_site, wave_node
from numpy.typing import NDArray
from peer_databases import DATABASES, Database, Panel
from samples import INTERVAL_MS, Wave, write_wave

from sisock.core.times import bucket_of
from sisock.gateway.drawing.planner import choose_resolution

PIXELS = 1000
SAMPLES = (10_000_000, 1000)
FIELDS = 2000
OURS_IN_A_ROUND = 10
TIMES_FASTER = {"influxdb": 100.0, "victoria-metrics": 30.0}
MOST_MS_FOR_FEW = 5.0
SAMPLES_WITHOUT_EDGES = 100  # in so wide a bucket a sample on its edge is hardly ever an extreme


@dataclass(frozen=True)
class Extremes:
    """The lowest and the highest value of each bucket, by the bucket's number."""

    lowest: Mapping[int, float]
    highest: Mapping[int, float]


def make_panel(wave: Wave, number: int) -> Panel:
    """Return the panel of a request: its span holds all samples, and starts and ends elsewhere each time."""
    start, end = wave.start - 0.001 * number, wave.end + 0.001 * (number % 7)
    width = choose_resolution(start, end, PIXELS).buckets("number").width_s
    return Panel(round(start, 3), round(end, 3), round(width * 1e3))


def ask_ours(connection: HTTPConnection, node: str, panel: Panel, number: int) -> tuple[float, Any]:
    """Draw the panel from a field that nobody asked for yet; return the seconds, and the points."""
    body = make_query([f"{node}::wave{number % FIELDS}"], panel.start, panel.end, PIXELS)
    took_s, answer = post(connection, "/query", body)
    return took_s, json.loads(answer)[0]["datapoints"]


def extremes_of(points: NDArray[np.float64], width_s: float) -> Extremes:
    """Return the extremes of each bucket from points (value, milliseconds)."""
    buckets = bucket_of(points[:, 1] / 1e3, width_s)
    starts = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
    lowest, highest = (fold.reduceat(points[:, 0], starts) for fold in (np.minimum, np.maximum))
    return Extremes(*(dict(zip(buckets[starts].tolist(), one.tolist(), strict=True)) for one in (lowest, highest)))


def check_agreement(ours: Extremes, theirs: Extremes, name: str, *, by_bucket: bool) -> None:
    """Raise RuntimeError unless two answers have the same extremes, over all and in each bucket."""
    for side, fold in (("lowest", min), ("highest", max)):
        mine, other = getattr(ours, side), getattr(theirs, side)
        same = fold(mine.values()) == fold(other.values()) and mine.keys() == other.keys()
        if by_bucket:
            same = same and np.allclose([mine[one] for one in other], [*other.values()], 1e-12, 0)
        if not same:
            raise RuntimeError(f"{name} has other {side} values than the data node")


def compare(
    connection: HTTPConnection, databases: Mapping[str, Database], wave: Wave, node: str, rounds: int
) -> dict[str, list[float]]:
    """Return the milliseconds that each side took, in rounds that alternate so that all are burdened alike."""
    numbers = count(1)
    took: dict[str, list[float]] = {name: [] for name in ("sisock", *databases)}
    for _ in range(rounds):
        for _ in range(OURS_IN_A_ROUND):
            number = next(numbers)
            took["sisock"].append(1e3 * ask_ours(connection, node, make_panel(wave, number), number)[0])
        for name, database in databases.items():
            number = next(numbers)
            panel = make_panel(wave, number)
            unseen = replace(panel, width_ms=panel.width_ms + (number if database.remembers else 0))
            took[name].append(1e3 * database.draw(node, unseen))
    return took


def agree(connection: HTTPConnection, databases: Mapping[str, Database], wave: Wave, node: str) -> None:
    """Check that all sides draw the same."""
    panel = make_panel(wave, 0)
    points = np.array(ask_ours(connection, node, panel, 0)[1], dtype=np.float64)
    ours = extremes_of(points, panel.width_ms / 1e3)
    # A sample on the edge of a bucket is in the one or the other by rounding: they count milliseconds, we seconds.
    by_bucket = panel.width_ms >= SAMPLES_WITHOUT_EDGES * INTERVAL_MS
    for name, database in databases.items():
        check_agreement(ours, Extremes(*database.extremes(node, panel)), name, by_bucket=by_bucket)


def make_figures(samples: int, took_ms: Mapping[str, list[float]]) -> list[Figure]:
    """Return medians and ratios, beside what is aimed at."""
    medians = {name: statistics.median(values) for name, values in took_ms.items()}
    group, ours = f"{samples:,} samples", medians.pop("sisock")
    few = samples == min(SAMPLES)
    figures = [Figure(group, "sisock", ours, "ms", at_most(MOST_MS_FOR_FEW) if few else None)]
    for name, median in medians.items():
        aim = at_least(1.0 if few else TIMES_FASTER[name]) if name == "influxdb" or not few else None
        figures += [Figure(group, name, median, "ms"), Figure(group, f"{name} / sisock", median / ours, "x", aim)]
    return figures


def measure(folder: Path, binaries: Mapping[str, str], counts: Sequence[int], rounds: int) -> Iterator[Figure]:
    """Load all sides with the same samples, check that they draw the same, and time them."""
    waves = {f"s{number}": write_wave(folder / f"s{number}", number, nan_share=0.0) for number in counts}
    nodes = {name: wave_node(folder / name, FIELDS) for name in waves}
    with ExitStack() as stack:
        databases = {name: stack.enter_context(DATABASES[name].running(binaries[name], folder)) for name in binaries}
        for name, wave in waves.items():
            for database in databases.values():
                database.load(name, wave)
        for database in databases.values():
            database.settle()
        site = stack.enter_context(running_site(folder, nodes))
        connection = stack.enter_context(connected(site.port))
        for name, wave in waves.items():
            agree(connection, databases, wave, name)
            yield from make_figures(wave.times.size, compare(connection, databases, wave, name, rounds))


def find_binaries(find: Callable[[str], str | None] = shutil.which) -> dict[str, str]:
    """Return where each database's program is; raise RuntimeError with the packages that are missing."""
    paths = {name: find(database.program) for name, database in DATABASES.items()}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        packages = " ".join(missing)
        raise RuntimeError(f"not installed: {' and '.join(missing)}. On Debian: apt-get install {packages}")
    return {name: path for name, path in paths.items() if path}


def main() -> int:
    """Measure, tell, and return 0 when every target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=SAMPLES, help="how many (default: 10000000 1000)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each side (default: 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    options = parser.parse_args()
    prepare_process()
    try:
        binaries = find_binaries()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        figures = print_figures(measure(Path(folder), binaries, options.samples, options.rounds))
    if options.json:
        write_json(options.json, entries(figures))
    return 0 if all_met(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
