"""The speed of a live buffer, the memory that it takes for samples, and whether late and doubled ones are right."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import psutil
from figures import Figure, at_least, at_most
from harness import HERE, Bench

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.model import Times, Values
from sisock.gateway.drawing.planner import choose_resolution

GROUP = "buffer"
BATCH = 100
LEAST_RATE = 1e6
MOST_BYTES = 20.0
CHECKED = 20_000
DRAWN_EVERY = 1000 * BATCH
POINTS = 1000
FIELD = "temperature"


def measure(bench: Bench) -> Iterator[Figure]:
    """Feed a timeline with one field."""
    count = 100_000 if bench.short else 5_000_000
    rate, resident = feed_in_a_fresh_process(count, count)
    yield Figure(GROUP, f"samples taken in batches of {BATCH}", rate, "/s", at_least(LEAST_RATE))
    yield Figure(GROUP, f"resident memory, {count:,} kept", resident, "B/sample", at_most(MOST_BYTES))
    rate, resident = feed_in_a_fresh_process(count, count // 5)
    yield Figure(GROUP, f"samples taken where {count // 5:,} of {count:,} are kept", rate, "/s", at_least(LEAST_RATE))
    what = f"resident memory, {count // 5:,} of {count:,} kept"
    yield Figure(GROUP, what, resident, "B/sample", at_most(MOST_BYTES))
    yield Figure(GROUP, f"of {CHECKED:,} samples, late and doubled, in their place", check(), "samples", _ALL)


_ALL = at_least(CHECKED)


def feed_in_a_fresh_process(count: int, kept: int) -> tuple[float, float]:
    """Return what :func:`feed` measures where nothing was allocated and freed before."""
    command = [sys.executable, str(HERE / "buffer.py"), str(count), str(kept)]
    rate, resident = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return rate, resident


def feed(count: int, kept: int) -> tuple[float, float]:
    """Return the samples taken a second, and the bytes of resident memory that each kept one takes."""
    times = 1.7e9 + np.arange(count) / 200
    values = np.random.default_rng(0).standard_normal(count)
    draw(filled(times[:300_000], values[:300_000]))  # what drawing takes does not grow with the samples
    buffer = RollingBuffer({FIELD: "number"}, kept / 200, "bench")
    resident = _resident()
    began = time.perf_counter()
    for low in range(0, count, BATCH):
        buffer.extend(times[low : low + BATCH], {FIELD: values[low : low + BATCH]})
        if low % DRAWN_EVERY == 0:
            draw(buffer)
    draw(buffer)  # so that all that drawing needs is in memory, too
    took_s = time.perf_counter() - began
    return count / took_s, (_resident() - resident) / len(buffer)


def filled(times: Times, values: Values) -> RollingBuffer:
    """Return a buffer with some samples."""
    buffer = RollingBuffer({FIELD: "number"}, 1e9, "bench")
    buffer.extend(times, {FIELD: values})
    return buffer


def draw(buffer: RollingBuffer) -> None:
    """Draw all that is kept, as a panel that somebody looks at meanwhile."""
    oldest, newest = buffer.oldest, buffer.newest
    assert oldest is not None
    assert newest is not None
    stride_s = choose_resolution(oldest, newest + 1, POINTS).stride_s
    buffer.column(FIELD).reduced(oldest, newest + 1, "minmax", stride_s)


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def check() -> int:
    """Return how many samples are where a stable sort by time puts them, when some come late and some come twice."""
    generator = np.random.default_rng(1)
    times = 1.7e9 + np.arange(CHECKED) // 2 / 8  # each time twice
    late = generator.choice(CHECKED, CHECKED // 10, replace=False)
    times[late] -= generator.integers(0, 4000, late.size) / 8
    values = generator.standard_normal(CHECKED)
    buffer = RollingBuffer({FIELD: "number"}, 1e9, "bench")
    for low in range(0, CHECKED, BATCH):
        buffer.extend(times[low : low + BATCH], {FIELD: values[low : low + BATCH]})
    block = buffer.block([FIELD], 1.0, 1e12)
    order = np.argsort(times, kind="stable")
    if block.times.size != CHECKED:
        return 0
    return int(np.count_nonzero((block.times == times[order]) & (block.values[FIELD] == values[order])))


if __name__ == "__main__":
    print(json.dumps(feed(int(sys.argv[1]), int(sys.argv[2]))))
