"""Whether no spike is ever lost: panels at many zooms, from the node and through the adapter, against brute force.

A panel counts when its points are exactly those of :mod:`brute_force`, in time and in value: so the lowest and the
highest sample of each bucket are there, the newest too, and none from outside the window.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import pairwise

import numpy as np
from brute_force import Array, Choice, drawn, first_change_last, lowest_and_highest, with_start
from figures import Figure, at_least
from harness import Bench, connected, make_query, post, running_site, wave_node
from samples import SPIKES, Wave, make_wave, planted

from sisock.client import Consumer
from sisock.gateway.drawing.planner import choose_resolution

GROUP = "spikes"
PIXELS = 1000
ZOOMS = 50
SHORTEST_S = 10.0
PARTS = 25  # of the whole, in each of which no bucket holds two of the planted samples
GOLDEN = (5**0.5 - 1) / 2
CHOICES: dict[str, Choice] = {"wave": lowest_and_highest, "state": first_change_last}


@dataclass(frozen=True)
class Sides:
    """The two that are asked: the adapter over HTTP, and the node over WAMP."""

    connection: HTTPConnection
    consumer: Consumer

    def adapter(self, field: str, start: float, end: float) -> tuple[Array, Array]:
        """Return what a panel draws, in seconds."""
        _, body = post(self.connection, "/query", make_query([f"wave::{field}"], start, end, PIXELS))
        points = np.array(json.loads(body)[0]["datapoints"], dtype=np.float64).reshape(-1, 2)
        return points[:, 1] / 1e3, points[:, 0]

    def node(self, field: str, start: float, end: float) -> tuple[Array, Array]:
        """Return what the node replies to the same question."""
        stride_s = choose_resolution(start, end, PIXELS).stride_s
        series = self.consumer.get(f"wave::{field}", start, end, min_stride=stride_s, reduce="minmax")
        return series.times, series.values


def measure(bench: Bench) -> Iterator[Figure]:
    """Compare all zooms of the number field and of the state, then look for each planted sample."""
    wave = make_wave(bench.wave_folder, bench.samples)
    with (
        running_site(bench.folder / "spikes", {"wave": wave_node(bench.wave_folder, ZOOMS)}) as site,
        connected(site.port) as connection,
        Consumer(site.settings) as consumer,
    ):
        sides = Sides(connection, consumer)
        for kind in CHOICES:
            for side in ("node", "adapter"):
                right = sum(is_right(sides, side, kind, wave, number) for number in range(ZOOMS))
                yield Figure(GROUP, f"{kind}s at {ZOOMS} zooms as by brute force, {side}", right, "zooms", EVERY_ZOOM)
        for number, kind in enumerate(CHOICES):
            seen = seen_planted(sides, kind, wave, planted(wave.times.size, seed=number))
            yield Figure(GROUP, f"planted samples of {kind}s drawn", seen, "samples", at_least(SPIKES))


EVERY_ZOOM = at_least(ZOOMS)


def make_window(wave: Wave, number: int) -> tuple[float, float]:
    """Return a zoom: from ten seconds for the first to all for the last, somewhere, on whole milliseconds."""
    whole_s = wave.end - wave.start
    length_s = SHORTEST_S * (whole_s / SHORTEST_S) ** (number / (ZOOMS - 1))
    start = wave.start + (whole_s - length_s) * (number * GOLDEN % 1)
    return round(start, 3), round(start + length_s, 3)


def is_right(sides: Sides, side: str, kind: str, wave: Wave, number: int) -> bool:
    """Tell whether the panel of a zoom is exactly what it must be."""
    start, end = make_window(wave, number)
    width = choose_resolution(start, end, PIXELS).buckets("number" if kind == "wave" else "bool").width_s
    values = wave.values if kind == "wave" else wave.states
    wanted_times, wanted = drawn(wave.times, values, start, end, width, CHOICES[kind])
    if side == "adapter":
        shown = wanted_times, wanted
        wanted_times, wanted = with_start(wave.times, values, start, end, shown, holds=kind == "state")
    times, values_drawn = getattr(sides, side)(f"{kind}{number}", start, end)
    return np.array_equal(times, wanted_times) and np.array_equal(values_drawn, wanted, equal_nan=kind == "wave")


def seen_planted(sides: Sides, kind: str, wave: Wave, indices: Array) -> int:
    """Return how many of the planted samples the adapter draws over all parts of the whole, with time and value."""
    values = wave.values if kind == "wave" else wave.states
    edges = np.round(np.linspace(wave.start, wave.end, PARTS + 1), 3).tolist()
    seen: set[tuple[float, float]] = set()
    for start, end in pairwise(edges):
        times, values_drawn = sides.adapter(f"{kind}0", start, end)
        seen |= set(zip(times.tolist(), values_drawn.tolist(), strict=True))
    return sum((float(wave.times[index]), float(values[index])) in seen for index in indices)
