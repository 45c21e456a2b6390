"""The cost of a refresh, against the first load, and whether what was drawn of the past stands still.

A gateway asks a node through a router in memory that counts, on a clock that is set by hand: a day at 10 Hz of twenty
fields, refreshed every five seconds as the window slides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from counting import CountingRouter, Traffic
from figures import Figure, at_least, at_most
from harness import Bench
from live_nodes import Feeds

from sisock.core.times import bucket_number
from sisock.gateway.drawing.planner import SeriesWanted, choose_resolution
from sisock.gateway.drawing.series import Answer, Series
from sisock.gateway.gateway import Gateway
from sisock.testing import ManualClock, result_of

GROUP = "refresh"
FIELDS = 20
SPACING_S = 0.1
POINTS = 1000
INTERVAL_S = 5.0
DAY_S = 86400.0
NOW = 1_700_000_002.3
MOST_SAMPLES, MOST_BYTES = 1.0, 3.0  # percent of the first load


@dataclass
class Panel:
    """One panel over the last hours, and what it showed of the past when it was drawn last."""

    gateway: Gateway
    wanted: list[SeriesWanted]
    length_s: float
    settled: dict[SeriesWanted, Series] = field(default_factory=dict)
    compared: int = 0
    changed: int = 0

    def draw(self) -> Answer:
        """Draw it, and compare what is final with what was drawn there before."""
        now = self.gateway.now()
        answer: Answer = result_of(self.gateway.query(self.wanted, now - self.length_s, now, POINTS))
        for series in answer.series:
            if series.problem or not series.times.size:
                raise RuntimeError(f"{series.wanted.target} was not drawn: {series.problem}")
            self._compare(series, answer.start)
        return answer

    def _compare(self, series: Series, start: float) -> None:
        width = choose_resolution(start, start + self.length_s, POINTS).buckets("number").width_s
        low, high = (bucket_number(start, width) + 1) * width, bucket_number(series.finalized_until, width) * width
        former = self.settled.get(series.wanted)
        if former is not None:
            before, after = _points(former, low, np.inf), _points(series, low, float(former.finalized_until))
            self.compared += len(before)
            self.changed += len(before ^ after)
        inside = (series.times >= low) & (series.times < high)
        self.settled[series.wanted] = Series(
            series.wanted, series.times[inside], series.values[inside], finalized_until=high
        )


def _points(series: Series, low: float, high: float) -> set[tuple[float, float]]:
    inside = (series.times >= low) & (series.times < high)
    return set(zip(series.times[inside].tolist(), series.values[inside].tolist(), strict=True))


def measure(bench: Bench) -> Iterator[Figure]:
    """Load a panel, then refresh it a thousand times."""
    length_s, refreshes = (7200.0, 50) if bench.short else (DAY_S, 1000)
    clock = ManualClock(NOW)
    node = Feeds(1, FIELDS, SPACING_S, length_s, now=NOW)
    router = CountingRouter(node, clock)
    gateway = Gateway(None, clock)
    result_of(gateway.connected(router))
    panel = Panel(gateway, [SeriesWanted(node.name, name) for name in node.catalogue(0, 1e12).fields], length_s)
    router.take()
    panel.draw()
    first = router.take()
    refreshed = [_refresh(panel, node, router, clock) for _ in range(refreshes)]
    yield from _figures(first, refreshed, panel)


def _refresh(panel: Panel, node: Feeds, router: CountingRouter, clock: ManualClock) -> Traffic:
    clock.advance(INTERVAL_S)
    node.poll(clock.seconds())
    router.take()
    panel.draw()
    return router.take()


def _figures(first: Traffic, refreshed: list[Traffic], panel: Panel) -> Iterator[Figure]:
    samples = 100 * np.mean([one.samples for one in refreshed]) / first.samples
    payload = 100 * np.mean([one.payload_bytes for one in refreshed]) / first.payload_bytes
    most = 100 * max(one.payload_bytes for one in refreshed) / first.payload_bytes
    yield Figure(GROUP, f"first load of {FIELDS} fields", first.samples, "samples")
    yield Figure(GROUP, f"first load of {FIELDS} fields, payload", first.payload_bytes, "bytes")
    yield Figure(GROUP, "samples of a refresh, of the first load, mean", float(samples), "%", at_most(MOST_SAMPLES))
    yield Figure(GROUP, "payload of a refresh, of the first load, mean", float(payload), "%", at_most(MOST_BYTES))
    yield Figure(GROUP, "payload of the largest refresh, of the first load", float(most), "%")
    yield Figure(GROUP, "calls of a refresh", float(np.mean([one.calls for one in refreshed])), "calls")
    what = f"final points compared over {len(refreshed):,} refreshes"
    yield Figure(GROUP, what, panel.compared, "points", at_least(len(refreshed) * FIELDS))
    yield Figure(GROUP, "of them changed", panel.changed, "points", at_most(0))
