"""The mostly cached panels a second that the adapter answers to eight clients, of ten series and of one.

Each client's window moves on at every request, by less than a bucket: the whole buckets inside are kept, and what the
window cuts off at its ends is new each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from asking import Asked, ask_side_by_side
from figures import Figure, Target, at_least
from harness import Bench, RunningSite, connected, make_body, make_query, post, running_site, wave_node
from samples import Wave, make_wave

GROUP = "throughput"
CLIENTS = 8
POINTS = 1262  # draws about 1000: the buckets of the next step of the ladder
LEAST_DRAWN = 950
TARGETS = {10: at_least(300), 1: at_least(900)}
SPAN_S = 3600.0
STEP_S = 0.731  # of a bucket of eight seconds


def measure(bench: Bench) -> Iterator[Figure]:
    """Let eight clients ask for panels, after each has been drawn once."""
    wave = make_wave(bench.folder / "throughput-wave", 400_000 if bench.short else 4_000_000)
    nodes = {"wave": wave_node(bench.folder / "throughput-wave", max(TARGETS))}
    with running_site(bench.folder / "throughput", nodes) as site:
        for series, target in TARGETS.items():
            yield from _figures(bench, site, wave, series, target)


def _figures(bench: Bench, site: RunningSite, wave: Wave, series: int, target: Target) -> Iterator[Figure]:
    check_points(site, wave, series)
    run_clients(bench, site, wave, series, 0.5)  # warm up
    asked = run_clients(bench, site, wave, series, 0.5 if bench.short else 8.0)
    yield Figure(GROUP, f"requests for {series} series of 1000 points, {CLIENTS} clients", asked.rate, "/s", target)
    yield Figure(GROUP, f"requests for {series} series, p99", asked.p99_ms, "ms")


def check_points(site: RunningSite, wave: Wave, series: int) -> None:
    """Raise RuntimeError unless a panel has as many series as it should, of about a thousand points each."""
    start = (wave.start + wave.end - span_of(wave)) / 2
    targets = [f"wave::wave{number}" for number in range(series)]
    with connected(site.port) as connection:
        _, answer = post(connection, "/query", make_query(targets, start, start + span_of(wave), POINTS))
    drawn = [len(one["datapoints"]) for one in json.loads(answer)]
    if len(drawn) != series or min(drawn) < LEAST_DRAWN:
        raise RuntimeError(f"{series} series of at least {LEAST_DRAWN} points are wanted, and these came: {drawn}")


def span_of(wave: Wave) -> float:
    """Return the length of a panel's window, seconds."""
    return min(SPAN_S, (wave.end - wave.start) / 2)


def run_clients(bench: Bench, site: RunningSite, wave: Wave, series: int, seconds: float) -> Asked:
    """Let the clients ask for some seconds."""
    body = make_body([f"wave::wave{number}" for number in range(series)], POINTS)
    span_s = span_of(wave)
    clients = [
        {"bodies": [body], "span_s": span_s, "end": wave.start + span_s + 0.1 * number, "step_s": STEP_S}
        for number in range(CLIENTS)
    ]
    return ask_side_by_side(bench.folder, site.port, clients, seconds)
