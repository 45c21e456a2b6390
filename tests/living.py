"""A site in memory that lives: data come, come late, expire, get lost; and two gateways that must agree on them.

``python tests/living.py 100000`` lets it live for so many steps, and fails at the first difference.
"""

from __future__ import annotations

import random
import sys

import numpy as np

from sisock.core.model import TimelineBlock
from sisock.core.times import bucket_number
from sisock.gateway.drawing.planner import Drawing, Resolution, SeriesWanted, choose_resolution
from sisock.gateway.gateway import Gateway
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

NOW = 1_700_000_000.0
NAMES = ("number", "on", "word")
REDUCERS = ("minmax", "minmax", "minmax", "last", "first", "m4", "mean", "min", "max", "count", "sum", "stddev")


class LivingSite:
    """One node with a number, a bool and a text on a timeline each, and a gateway that keeps and one that does not."""

    def __init__(self, seed: int, reducers=REDUCERS, cache_bytes: int = 2**20) -> None:
        self.random = random.Random(seed)
        self.reducers = reducers
        self.clock = ManualClock(NOW)
        self.samples = {name: [] for name in NAMES}
        self.lag_s = dict.fromkeys(NAMES, 0.0)
        self.available_from = dict.fromkeys(NAMES, -np.inf)
        self.final_until = dict.fromkeys(NAMES, -np.inf)
        self.generation = dict.fromkeys(NAMES, 0)
        self.hub = FakeHub([self._make()])
        self.router = FakeRouter(self.hub, self.clock)
        self.keeping = self._connected(cache_bytes)
        self.plain = self._connected(0)
        self.asked = []  # when, what was final then, and which generations
        self.queries = self.compared = 0
        for _ in range(40):
            self.append()

    def step(self) -> None:
        """Do one thing at random."""
        self.clock.advance(self.random.choice((0.0, 0.1, 1.5, 5.0)))
        self.random.choices(
            (self.query, self.append, self.late, self.reconnect, self.lose, self.step_clock, self.evict),
            (50, 30, 4, 3, 1, 1, 3),
        )[0]()

    # ---- what happens to the data

    def append(self) -> None:
        for name in self._some():
            newest = max((time for time, _ in self.samples[name]), default=self.clock() - 300.0)
            count = self.random.randint(1, 30)
            spacing = self.random.choice((0.01, 0.1, 1.0))
            self._put(name, [newest + spacing * number for number in range(self.random.choice((0, 1)), count)])

    def late(self) -> None:
        for name in self._some():
            times = [time for time, _ in self.samples[name]]
            if times:
                self._put(name, [self.random.uniform(times[-1] - 60.0, times[-1])])

    def reconnect(self) -> None:
        self._restart()

    def lose(self) -> None:
        for name in self._some():
            self.samples[name].clear()
            self.available_from[name], self.final_until[name] = -np.inf, -np.inf
            self.generation[name] += 1
        self._restart()

    def step_clock(self) -> None:
        for name in self._some():
            newest = max((time for time, _ in self.samples[name]), default=self.clock())
            self._put(name, [newest + self.random.choice((-3600.0, 600.0))])

    def evict(self) -> None:
        for name in self._some():
            kept = self.samples[name]
            if len(kept) > 50:
                del kept[: self.random.randint(1, len(kept) // 2)]
                self.available_from[name] = kept[0][0]

    def _put(self, name, times) -> None:
        kept = self.samples[name]
        times = [time for time in times if time >= self.available_from[name]]
        if any(time < self.final_until[name] for time in times):
            self.generation[name] += 1
            self.final_until[name] = -np.inf
        kept += [(time, self._value(name)) for time in times]
        kept.sort(key=lambda one: one[0])
        self.lag_s[name] = (
            self.random.choice((0.0, 0.0, 5.0, 100.0)) if self.random.random() < 0.05 else self.lag_s[name]
        )
        if kept:
            self.final_until[name] = max(self.final_until[name], kept[-1][0] - self.lag_s[name])
        self._publish(name)

    def _value(self, name):
        if name == "number":
            return self.random.choice((self.random.gauss(0, 1), self.random.gauss(0, 1), 0.0, np.nan, np.inf, -np.inf))
        return self.random.random() < 0.9 if name == "on" else self.random.choice("aaaaab")

    def _some(self):
        return [name for name in NAMES if self.random.random() < 0.6]

    # ---- the node

    def _make(self) -> FakeNode:
        node = FakeNode("node", {"number": ([1.0], [1.0]), "on": ([1.0], [True]), "word": ([1.0], ["a"])})
        node._blocks = {name: self._block(name) for name in NAMES}
        return node

    def _publish(self, name) -> None:
        self.hub.nodes["node"]._blocks[name] = self._block(name)

    def _restart(self) -> None:
        self.hub.subtract("node")
        self.hub.add(self._make())

    def _block(self, name) -> TimelineBlock:
        times = np.array([time for time, _ in self.samples[name]], dtype=np.float64)
        values = np.empty(len(times), dtype={"number": np.float64, "on": np.bool_, "word": object}[name])
        values[:] = [value for _, value in self.samples[name]]
        return TimelineBlock(
            times, {name: values}, self.final_until[name], self.available_from[name], f"g{self.generation[name]}"
        )

    def _connected(self, cache_bytes: int) -> Gateway:
        gateway = Gateway(None, self.clock, 2.0, cache_bytes)
        self.hub.on_added.append(gateway.directory.node_added)
        self.hub.on_subtracted.append(gateway.directory.node_subtracted)
        result_of(gateway.connected(self.router))
        return gateway

    # ---- what is asked

    def query(self) -> None:
        """Ask both gateways the same, and compare."""
        start, end = self._window()
        points = self.random.choice((20, 20, 100, 1000, 5))
        before = self.random.choice((None, None, None, True, False))
        align = self.random.random() < 0.3
        drawing = Drawing(self.random.choice(self.reducers), breaks=False, align=align, before=before)
        wanted = [SeriesWanted("node", name) for name in self._some() or NAMES]
        answers = [result_of(one.query(wanted, start, end, points, drawing)) for one in (self.keeping, self.plain)]
        self.asked = [one for one in self.asked if self.clock() - one[0] <= 1.0]
        self.queries += 1
        for kept, true in zip(answers[0].series, answers[1].series, strict=True):
            assert kept.problem is None
            assert true.problem is None
            inside = (kept.times >= start) & (kept.times < end)
            assert inside.all(), (kept.wanted.target, start, end, kept.times)
            assert (np.diff(kept.times) >= 0).all(), (kept.wanted.target, start, end, kept.times)
            resolution = choose_resolution(start, end, points, drawing.reducer)
            if align or (drawing.on_grid and true.type == "number"):
                cells = self.plain.gridder.cells({drawing: wanted}, start, end, points)[drawing]
                resolution = Resolution("last", cells.longest_s, points)
            self._compare(kept, true, start, resolution, held=align and true.type != "number")
        self.asked.append((self.clock(), dict(self.final_until), dict(self.generation)))

    def _window(self):
        newest = max((one[-1][0] for one in self.samples.values() if one), default=self.clock())
        length = self.random.choice((0.05, 3.0, 30.0, 300.0, 300.0, 3600.0))
        end = self.random.choice((newest + 1.0, newest + 1.0, newest, newest - self.random.uniform(0, 500.0)))
        if self.random.random() < 0.2:
            end = round(end / 10.0) * 10.0
        start = end - length
        if self.random.random() < 0.2:  # as samples have them, which may be bounds of what is final or kept as well
            times = [time for one in self.samples.values() for time, _ in one]
            start, end = (self._nearest(times, instant) for instant in (start, end))
        return (start, end) if start < end else (end - length, end)

    @staticmethod
    def _nearest(times, instant):
        return min(times, key=lambda time: abs(time - instant), default=instant)

    def _compare(self, kept, true, start, resolution, *, held) -> None:
        name = kept.wanted.field
        width = resolution.buckets(true.type).width_s
        low, high = self.available_from[name], np.inf
        if np.isfinite(low):
            low = (bucket_number(low, width) + 1) * width
        if self.asked:  # what others have asked for a moment ago may be drawn: it was true then
            if any(generation[name] != self.generation[name] for _, _, generation in self.asked):
                return
            final = min(final[name] for _, final, _ in self.asked)
            high = bucket_number(final, width) * width if final > 0 else -np.inf
            if resolution.buckets(true.type).looks_ahead and true.times.size:  # without the first of many samples
                low = max(low, (bucket_number(start, width) + 1) * width)
        if held and np.isfinite(low):
            return  # what the node has no more may be kept, and holds on
        self.compared += 1
        if resolution.max_points < 8 and (np.isfinite(low) or self.asked):
            return  # the newest few: where they begin depends on what is not final
        left, right = (self._cut(one, low, high) for one in (kept, true))
        assert left == right, (kept.wanted.target, left, right, width, self.generation, self.final_until)

    @staticmethod
    def _cut(series, low, high):
        inside = (series.times >= low) & (series.times < high)
        return series.times[inside].tolist(), [repr(value) for value in series.values[inside].tolist()]


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    sites = [LivingSite(seed) for seed in range(1000, 1000 + max(1, steps // 500))]
    for site in sites:
        for _ in range(500):
            site.step()
    queries, compared = sum(site.queries for site in sites), sum(site.compared for site in sites)
    print(f"{500 * len(sites)} steps, {queries} queries, {compared} series compared: no difference")
