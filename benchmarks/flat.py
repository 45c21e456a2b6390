"""Whether years cost what minutes cost: what a node takes for a panel over an hour, a day, and all there is.

The node's work is measured alone, from the request to the reply as it goes to the serializer. Each panel is for
another window, and nothing of an answer is kept by a node.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import many_files
import restart
from figures import Figure, at_least, at_most
from harness import Bench
from samples import Wave, make_wave

from sisock.core.column.column import Column
from sisock.core.window.spans import reduce_spans
from sisock.core.wire.replies import answer_spans
from sisock.core.wire.requests import parse_request
from sisock.gateway.drawing.planner import choose_resolution

GROUP = "flat"
PIXELS = 1000
PANELS = 101
SPANS_S = {"1 hour": 3600.0, "1 day": 86400.0, "all": float("inf")}
GOLDEN = (5**0.5 - 1) / 2
MOST_MS = 3.0
MOST_INDEX = 15.0
LEAST_RATE = 300.0
FIELD = "wave"


def measure(bench: Bench) -> Iterator[Figure]:
    """Summarise the samples, and draw panels from them."""
    wave = make_wave(bench.wave_folder, bench.samples)
    took_s, column = build(wave)
    values_bytes = wave.values.nbytes
    index_bytes = sum(one.nbytes for name, one in column.arrays().items() if name not in ("times", "values"))
    yield Figure(
        GROUP, "summary made of values with 1 % NaN", values_bytes / 1e6 / took_s, "MB/s", at_least(LEAST_RATE)
    )
    yield Figure(GROUP, "index, of the values' size", 100 * index_bytes / values_bytes, "%", at_most(MOST_INDEX))
    for name, span_s in SPANS_S.items():
        median_ms = 1e3 * statistics.median(draw(column, wave, span_s, number) for number in range(PANELS))
        yield Figure(GROUP, f"node, {PIXELS} pixels over {name}, median", median_ms, "ms", at_most(MOST_MS))
    yield from restart.measure(bench)
    yield from many_files.measure(bench)


def build(wave: Wave) -> tuple[float, Column]:
    """Return the seconds that the second making takes, when the files are in memory, and the column."""
    Column.of(wave.times, wave.values)
    began = time.perf_counter()
    column = Column.of(wave.times, wave.values)
    return time.perf_counter() - began, column


def draw(column: Column, wave: Wave, span_s: float, number: int) -> float:
    """Return the seconds for one panel; the window is elsewhere each time, or cut elsewhere where it is all."""
    whole_s = wave.end - wave.start
    length_s = span_s if span_s < whole_s else whole_s - (1 + number) / 7
    start = wave.start + (whole_s - length_s) * (number * GOLDEN % 1)
    stride_s = choose_resolution(start, start + length_s, PIXELS).stride_s
    began = time.perf_counter()
    extensions = {"reduce": "minmax", "packed": True, "spans": [[start, start + length_s]]}
    request = parse_request([FIELD], start, start + length_s, stride_s, **extensions)
    answer_spans(reduce_spans({FIELD: column}, request), request)
    return time.perf_counter() - began
