"""The time of one panel over a hundred million samples over HTTP, with nothing kept of it.

Each request is for a field that nobody asked for before, and for another window, which holds all samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from figures import Figure, at_most
from harness import Bench, connected, make_query, percentile, post, running_site, wave_node
from samples import make_wave

GROUP = "end to end"
PIXELS = 1000
REQUESTS = 300
LEAST_POINTS = 500
MOST_MS = 8.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Ask one request after another."""
    wave = make_wave(bench.wave_folder, bench.samples)
    requests = 20 if bench.short else REQUESTS
    took_ms = []
    with (
        running_site(bench.folder / "end-to-end", {"wave": wave_node(bench.wave_folder, requests)}) as site,
        connected(site.port) as connection,
    ):
        for number in range(requests):
            query = make_query([f"wave::wave{number}"], wave.start - number / 1e3, wave.end + number / 1e3, PIXELS)
            took_s, body = post(connection, "/query", query)
            points = len(json.loads(body)[0]["datapoints"])
            if not LEAST_POINTS <= points <= PIXELS:
                raise RuntimeError(f"a panel has {points} points: {body[:200]!r}")
            took_ms.append(1e3 * took_s)
    what = f"panel over {wave.times.size:,} samples, nothing kept"
    yield Figure(GROUP, f"{what}, p50", percentile(took_ms, 50), "ms", at_most(MOST_MS))
    yield Figure(GROUP, f"{what}, p99", percentile(took_ms, 99), "ms")
