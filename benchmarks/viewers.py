"""A wall of panels with one viewer, and with thirty: what the nodes, the adapter and the viewers notice.

Every viewer refreshes all panels at once, every five seconds from a time of its own on, over at most six connections,
as a browser does. What is not final yet must be asked for, and an answer to that may serve others for a second (for
no longer than a bucket). So a node need be asked for a panel once in the second behind each call, and then when the
next viewer comes: that is the bound that the calls are held against, worked out from the viewers' own times.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from asking import Asked, command, read
from figures import Figure, at_most
from harness import Bench, RunningSite, bench_node, make_body, running_site
from live_nodes import feed_names, make_counter
from numpy.typing import NDArray

from sisock.gateway.tiles import LONGEST_PATIENCE_S

GROUP = "viewers"
PANELS = 50
SERIES = 4
POINTS = 1000
SPAN_S = 6 * 3600.0
INTERVAL_S = 5.0
MANY = 30
MOST_P99_MS = 500.0
MOST_RESIDENT_MIB = 512.0
TOLERANCE = 1.05  # calls that just cross the edges of what was counted


@dataclass(frozen=True)
class Seen:
    """The figures with some viewers: calls of nodes a second, what they found, and the adapter's memory."""

    calls_per_s: float
    asked: Asked
    resident_mib: float


def measure(bench: Bench) -> Iterator[Figure]:
    """Let one viewer look, then thirty."""
    panels, many, seconds = (4, 3, 6.0) if bench.short else (PANELS, MANY, 20.0)
    counter = make_counter(bench.folder / "calls")
    feeds = bench_node("Feeds", feeds=panels, fields=SERIES, history_s=SPAN_S, count_calls=str(bench.folder / "calls"))
    with running_site(bench.folder / "viewers", {"feeds": feeds}) as site:
        phases = np.random.default_rng(3).uniform(0, INTERVAL_S, many).tolist()
        look(bench.folder, site, counter, panels, [0.0], INTERVAL_S)  # the first load
        one = look(bench.folder, site, counter, panels, phases[:1], seconds)
        yield from _figures(f"{panels} panels, 1 viewer", one)
        several = look(bench.folder, site, counter, panels, phases, seconds)
        yield from _figures(f"{panels} panels, {many} viewers", several)
        for who, seen, several_phases in (("1 viewer", one, phases[:1]), (f"{many} viewers", several, phases)):
            bound = panels * calls_needed(several_phases, seconds) / seconds
            what = f"{panels} panels, {who}: calls of nodes"
            yield Figure(GROUP, what, seen.calls_per_s, "/s", at_most(round(bound * TOLERANCE, 1)))
        growth = several.calls_per_s / one.calls_per_s
        allowed = calls_needed(phases, seconds) / calls_needed(phases[:1], seconds)
        yield Figure(GROUP, f"calls of nodes with {many} viewers / with 1", growth, "x")
        yield Figure(GROUP, "the same, if each panel is asked for as often as sharing allows", allowed, "x")


def look(
    folder: Path, site: RunningSite, counter: np.memmap, panels: int, phases: Sequence[float], seconds: float
) -> Seen:
    """Let viewers look for some seconds, each from its phase on."""
    bodies = [
        make_body([f"feeds::{name}" for name in feed_names(f"LSA{number:02}", SERIES)], POINTS)
        for number in range(panels)
    ]
    clients = [{"bodies": bodies, "span_s": SPAN_S, "interval_s": INTERVAL_S, "phase_s": phase} for phase in phases]
    before = int(counter[0])
    with subprocess.Popen(command(folder, site.port, clients, seconds), stdout=subprocess.PIPE, text=True) as process:
        asked = read(process, seconds)
    refreshes = visits(phases, seconds).size
    if len(asked.latencies_s) != refreshes * panels:
        raise RuntimeError(f"{len(asked.latencies_s)} answers came for {refreshes} refreshes of {panels} panels")
    resident = psutil.Process(site.processes["grafana"].pid).memory_info().rss / 2**20
    return Seen((int(counter[0]) - before) / seconds, asked, resident)


def calls_needed(phases: Sequence[float], seconds: float) -> int:
    """Return how many calls a panel needs with viewers who come at these phases, for some seconds.

    A viewer who comes within the patience behind a call is served by it; else a call is made.
    """
    calls, last = 0, -np.inf
    for visit in np.sort(visits(phases, seconds)).tolist():
        if visit - last > LONGEST_PATIENCE_S:
            calls, last = calls + 1, visit
    return calls


def visits(phases: Sequence[float], seconds: float) -> NDArray[np.float64]:
    """Return when viewers refresh."""
    return np.concatenate([np.arange(phase, seconds, INTERVAL_S) for phase in phases])


def _figures(who: str, seen: Seen) -> Iterator[Figure]:
    yield Figure(GROUP, f"{who}: panels", seen.asked.rate, "/s")
    yield Figure(GROUP, f"{who}: p50", seen.asked.p50_ms, "ms")
    yield Figure(GROUP, f"{who}: p99", seen.asked.p99_ms, "ms", at_most(MOST_P99_MS))
    yield Figure(GROUP, f"{who}: resident memory of the adapter", seen.resident_mib, "MiB", _RESIDENT)


_RESIDENT = at_most(MOST_RESIDENT_MIB)
