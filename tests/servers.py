"""Servers made at random as the API permits, drawn by a gateway that keeps answers and one that does not.

Every reply is compared with what follows from the samples that the server has. ``python tests/servers.py 400`` makes
so many servers, and fails at the first difference.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
from made_servers import NOW, Habits, Line, MadeServer

from sisock.gateway.drawing.planner import Drawing, SeriesWanted, choose_resolution
from sisock.gateway.gateway import Gateway
from sisock.testing import FakeHub, FakeRouter, FakeServer, ManualClock, result_of

import twins

REDUCERS = ("minmax", "minmax", "minmax", "last", "first", "m4")
MOST_IN_WINDOW = 500
PATIENCE_S = 1.0
NEVER: list = []  # was anything asked for before
THINNED = "only one"
MANY_PARTS = 64  # in so many a window is read of a server that gives little at once and thins nothing


class Panel:
    """What somebody looks at: fields, over a time that ends a little before now, or wherever it was moved."""

    def __init__(self, made: random.Random, lines: list[Line]) -> None:
        fields = [(line, name) for line in lines for name in line.types]
        chosen = made.sample(fields, made.randint(1, len(fields)))
        self.fields = [name for _, name in chosen]
        self.quickest_s = min(line.interval_s for line, _ in chosen)
        self.points = made.choice((5, 20, 100, 100, 400, 1000, 3000))
        self.drawing = Drawing(made.choice(REDUCERS), breaks=made.random() < 0.7)
        self.lag_s = made.choice((0.0, 0.3, 2.0))
        self.moved_s = 0.0
        self.length_s = 0.0
        self.zoom(made)

    def zoom(self, made: random.Random) -> None:
        self.length_s = self.quickest_s * made.choice((0.7, 5, 60, 200, MOST_IN_WINDOW))

    def pan(self, made: random.Random) -> None:
        self.moved_s = made.choice(
            (0.0, 0.0, made.uniform(-2, 2) * self.length_s, -made.random() * 1000 * self.quickest_s)
        )

    def window(self, now: float) -> tuple[float, float]:
        end = now - self.lag_s + self.moved_s
        return end - self.length_s, end


class Ask:
    """When a field was asked for, over which window."""

    def __init__(self, at, start, end) -> None:
        self.at, self.start, self.end = at, start, end


class Session:
    """One server for a while."""

    def __init__(self, seed: int, counts: Counter | None = None) -> None:
        self.made = random.Random(seed)
        self.counts = Counter() if counts is None else counts
        self.clock = ManualClock(NOW + self.made.random())
        self.habits = Habits(self.made)
        names = ["slow", "quick", "other"][: self.made.choice((1, 1, 2, 3))]
        self.lines = [Line(self.made, name, generations=self.habits.generations) for name in names]
        self.line_of = {field: line for line in self.lines for field in line.types}
        self.node = self._node()
        self.hub = FakeHub([self.node])
        self.router = FakeRouter(self.hub, self.clock)
        self.keeping, self.plain = self._connected(2**24), self._connected(0)
        self.panels = [Panel(self.made, self.lines) for _ in range(self.made.choice((1, 1, 2, 3)))]
        self.asked: dict[tuple, list[Ask]] = {}

    def step(self) -> None:
        """Let time pass, let something happen at random, and look at a panel."""
        panel = self.made.choice(self.panels)
        quick_s = panel.quickest_s
        self.clock.advance(self.made.choice((0.0, 0.1, 0.1, 0.6, 1.0, 5.0, 30.0, min(quick_s, 3600.0), 3.3 * quick_s)))
        happens = self.made.random()
        if happens < 0.02:
            self._restart(lose=happens < 0.01)
        elif happens < 0.15:
            panel.zoom(self.made)
        elif happens < 0.25:
            panel.pan(self.made)
        elif happens < 0.33:
            self._hop(panel)
        self.query(panel)

    def _hop(self, panel: Panel) -> None:
        """Look at windows with holes between them, and then at all of it as finely: the holes are missing."""
        points, panel.points = panel.points, 400
        panel.length_s = panel.quickest_s * self.made.choice((20, 60))
        back = self.made.choice((0.1, 0.4, 2.0))
        for lengths in (-3.9, -2.6, -1.3, 0.0):
            panel.moved_s = (lengths - back) * panel.length_s
            self.query(panel)
        panel.length_s, panel.points = 5 * panel.length_s, 2000
        self.query(panel)
        panel.points = points

    def query(self, panel: Panel) -> None:
        """Draw a panel by both gateways, and compare."""
        start, end = panel.window(self.clock())
        if start < 1.0:
            return
        wanted = [SeriesWanted("made", name) for name in panel.fields]
        for gateway, asked in ((self.keeping, self.asked), (self.plain, {})):
            if not self.habits.lists_all_fields:
                result_of(gateway.directory.freshen(0.0))
            before = len(self.node.calls)
            answer = result_of(gateway.query(wanted, start, end, panel.points, panel.drawing))
            called = {name for what, given, _ in self.node.calls[before:] if what == "get_data" for name in given[0]}
            self.counts["replies"] += 1
            keeps = gateway is self.keeping
            for series in answer.series:
                key = (series.wanted.field, panel.drawing.reducer, self._width(series, panel, start, end))
                recent = [one for one in asked.get(key, ()) if 0 <= self.clock() - one.at <= min(PATIENCE_S, key[2])]
                self._compare(series, panel, start, end, recent if keeps else NEVER)
                if series.wanted.field in called:
                    asked[key] = [*recent, Ask(self.clock(), start, end)]

    # ---- the server

    def _node(self) -> FakeServer:
        server = MadeServer(self.lines, self.habits, self.clock)
        return FakeServer(server, original_library=self.habits.original_library)

    def _connected(self, cache_bytes: int) -> Gateway:
        gateway = Gateway(None, self.clock, 2.0, cache_bytes)
        self.hub.on_added.append(gateway.directory.node_added)
        self.hub.on_subtracted.append(gateway.directory.node_subtracted)
        result_of(gateway.connected(self.router))
        return gateway

    def _restart(self, *, lose: bool) -> None:
        self.hub.subtract("made")
        self.clock.advance(0.001)
        if lose:
            for line in self.lines:
                line.lost_at.append(self.clock())
        self.clock.advance(0.01)
        self.node = self._node()
        self.hub.add(self.node)

    # ---- the comparison

    def _width(self, series, panel, start, end):
        kind = self.line_of[series.wanted.field].types[series.wanted.field]
        return choose_resolution(start, end, panel.points, panel.drawing.reducer).buckets(kind).width_s

    def _compare(self, series, panel, start, end, recent) -> None:
        oracle = Oracle(self, series.wanted.field, panel, start, end)
        now = Ask(self.clock(), start, end)
        drawn = oracle.pairs(series.times, series.values)
        self.counts["series"] += 1
        window = f"[{start!r}, {end!r}) at {now.at!r}"
        about = f"{series.wanted.target} {panel.drawing} {panel.points} {window}: {vars(self.habits)}"
        expected = oracle.drawn(oracle.samples(now))
        if "more than it can give" in (series.problem or ""):
            shortest_s = self.habits.longest * min(line.interval_s for line in self.lines)
            assert self.habits.allowance == "length", f"{series.problem}: {about}"
            assert not self.habits.heeds_stride, f"{series.problem}: {about}"
            assert end - start > MANY_PARTS * shortest_s, f"{series.problem}: {about}"
            self.counts["refused"] += 1
            return
        if series.problem:
            unknown = "is not served by" in series.problem and not self.habits.lists_all_fields
            assert unknown, f"{series.problem}: {about}"
            assert not expected, f"{series.problem}: {about}"
            self.counts["unknown"] += 1
            return
        if any(THINNED in notice for notice in series.notices):
            self.counts["thinned"] += 1
            oracle.check_thinned(drawn, now, recent, about)
            return
        if same(drawn, expected) or any(same(drawn, other) for other in oracle.not_found(now)):
            return
        if recent is not NEVER and any(same(oracle.kept(drawn), other) for other in oracle.without_expired(now)):
            return
        assert drawn or not expected, f"blank: {about}"
        for one in recent:
            if any(same(oracle.kept(drawn), oracle.kept(other)) for other in oracle.shared(one, now)):
                self.counts["shared"] += 1
                return
        raise AssertionError(f"{about}\n{difference(drawn, expected)}\n  shared with {[vars(one) for one in recent]}")


class Oracle:
    """What must be drawn of one field, by brute force."""

    def __init__(self, session: Session, field: str, panel: Panel, start: float, end: float) -> None:
        self.line = session.line_of[field]
        self.values = self.line.values[field]
        self.kind = self.line.types[field]
        self.limited = session.habits.allowance is not None
        self.reducer = panel.drawing.reducer
        self.breaks = panel.drawing.breaks
        self.start, self.end, self.now = start, end, session.clock()
        self.resolution = choose_resolution(start, end, panel.points, self.reducer)
        self.points = panel.points
        self.width = self.resolution.buckets(self.kind).width_s

    def samples(self, ask: Ask):
        """All samples before the end of a window, those before its start too, as they were when it was asked for."""
        visible = self.line.visible(ask.at)
        return visible[self.line.times[visible] < ask.end]

    def drawn(self, indices, edge=None, *, first=True):
        """Times and values that are drawn of samples; ``edge`` are those about the start, if they are others."""
        edge = indices if edge is None else edge
        table = twins.OF_NUMBERS if self.kind == "number" else twins.OF_STATES
        inside = indices[self.line.times[indices] >= self.start]
        times, values = self._of(inside)
        kept = twins.reduce(times, values, table, self.resolution.reducer, self.resolution.stride_s) if times else []
        found = [(times[one], values[one]) for one in kept]
        found = self._with_edge(found, edge, first=first)
        found = found[-self.points :]
        return self._broken(found) if self.breaks else found

    def _of(self, indices):
        numbers = indices.tolist()
        return self.line.times[indices].tolist(), [self.values[one] for one in numbers]

    def _with_edge(self, found, edge, *, first):
        before = edge[self.line.times[edge] < self.start]
        inside = edge[(self.line.times[edge] >= self.start) & (self.line.times[edge] < self.end)]
        if first and self.kind == "number" and self.resolution.reducer == "minmax" and inside.size:
            time, value = self.line.times[inside[0]], self.values[inside[0]]
            if not found or time < found[0][0] or (time == found[0][0] and not twins.same(value, found[0][1])):
                found = [(time, value), *found]
        holds = self.resolution.holds(self.kind, self.line.stated_interval, self.end - self.start)
        if holds and before.size and not (found and found[0][0] <= self.start):
            found = [(self.start, self.values[before[-1]]), *found]
        return found

    def _broken(self, found):
        interval_s = self.line.stated_interval
        if self.kind != "number" or interval_s is None or self.points < 8 or len(found) < 2:
            return found
        times = [time for time, _ in found]
        spacings = [later - earlier for earlier, later in pairwise(times)]
        gaps = [place for place, one in enumerate(spacings) if one > self._longest_line(spacings, place)]
        room = max(self.points - len(found), 0)
        gaps = sorted(sorted(gaps, key=lambda place: spacings[place])[max(len(gaps) - room, 0) :])
        for place in reversed(gaps):
            found = [*found[: place + 1], (times[place] + self.width, math.nan), *found[place + 1 :]]
        return found

    def _longest_line(self, spacings, place):
        sides = (spacings[max(place - 16, 0) : place], spacings[place + 1 : place + 17])
        usual = [sorted(side)[(len(side) - 1) * 9 // 10] for side in sides if side]
        interval_s = self.line.stated_interval
        even = min(spacings) >= 2 / 3 * sorted(spacings)[len(spacings) // 2]
        least_s = interval_s if even or len(spacings) > 16 else 5 * interval_s
        return max(2 * self.width, least_s, 3 * max(usual, default=interval_s))

    def shared(self, ask, now):
        """What may be drawn when the end of the window, or what is about its start, is as it was a moment ago."""
        anew, known = self.samples(now), self.samples(ask)
        known = known[self.line.times[known] < self.end]
        edges = anew, known
        many = self.line.times[known]
        crowded = (
            ask.start < self.start and np.count_nonzero((many >= ask.start) & (many < ask.start + PATIENCE_S)) >= 60
        )
        for body in [anew, *self._mixed(anew, known, now.at, abs(ask.end - self.end) <= min(PATIENCE_S, self.width))]:
            for edge in edges:
                yield self.drawn(body, edge)
                if crowded:
                    yield self.drawn(body, edge, first=False)

    def kept(self, drawn):
        """Return what is drawn, but of what the server no longer has: that may still be drawn, for it is true."""
        expired = self.now - self.line.keeps_s
        if expired < self.start:  # but what was before the start may have expired
            return drawn if self.line.keeps_s == np.inf else [pair for pair in drawn if pair[0] != self.start]
        edge = (twins.bucket_of(expired, self.width) + 1) * self.width
        return [(time, value) for time, value in drawn if time >= edge and value == value]  # noqa: PLR0124 - no breaks

    def without_expired(self, now):
        """What must be drawn at least where some of the window has expired: its first sample is another then."""
        yield self.kept(self.drawn(self.samples(now)))
        if now.at - self.line.keeps_s >= self.start:
            yield self.kept(self.drawn(self.samples(now), first=False))

    def not_found(self, now):
        """What may be drawn of a server that gives little at once: what was long before the window is not reached."""
        if self.limited:
            inside = self.samples(now)
            yield self.drawn(inside, inside[self.line.times[inside] >= self.start])

    def _mixed(self, anew, known, now, near):
        """What is final is as it is now, and the rest as it was when it was asked for."""
        if not near:
            return
        yield known
        others = np.setxor1d(anew, known)
        final = self.line.final_until(now)
        numbers = sorted({twins.bucket_of(float(time), self.width) for time in self.line.times[others]})
        for number in numbers:
            edge = (number + 1) * self.width
            if edge <= final:
                early = anew[self.line.times[anew] < edge]
                yield np.concatenate([early, known[self.line.times[known] >= edge]])

    def check_thinned(self, drawn, now, recent, about) -> None:
        """Of what came thinned, all that is drawn is true but for breaks, and nothing is far from what is drawn."""
        asks = [now, *recent]
        true = {pair for ask in asks for pair in map(_as_drawn, self.pairs(*self._of(self.samples(ask))))}
        shown = [pair for pair in drawn if _as_drawn(pair) in true]
        wrong = [pair for pair in drawn if pair not in shown and pair[0] != self.start and pair[1] == pair[1]]
        assert not wrong, f"{wrong} were never measured: {about}"
        times = [time for time in self._of(self.samples(now))[0] if time >= self.start]
        assert shown or not times, f"blank: {about}"
        if self.points < 8 or recent or not times:
            return
        padded = np.array([-np.inf, *(time for time, _ in shown), np.inf])
        places = np.searchsorted(padded, times)
        far = np.minimum(np.array(times) - padded[places - 1], padded[places] - np.array(times))
        assert far.max() <= 2 * self.width, f"nothing is drawn for {far.max()} s: {about}"

    @staticmethod
    def pairs(times, values):
        """Return times and values as a list."""
        listed = values.tolist() if hasattr(values, "tolist") else values
        times = times.tolist() if hasattr(times, "tolist") else times
        return list(zip(times, listed, strict=True))


def same(one, other) -> bool:
    """Tell whether the same is drawn."""
    return len(one) == len(other) and all(
        left[0] == right[0] and (twins.same(left[1], right[1])) for left, right in zip(one, other, strict=True)
    )


def difference(drawn, expected) -> str:
    """Return in words what is drawn and not expected, and the other way round."""
    left, right = (
        [pair for pair in one if repr(pair) not in set(map(repr, other))]
        for one, other in ((drawn, expected), (expected, drawn))
    )
    return f"  only drawn {left[:9]} of {len(drawn)}\n  only expected {right[:9]} of {len(expected)}"


def _as_drawn(pair) -> str:
    """Whole numbers among others are drawn as those are."""
    time, value = pair
    return repr((time, float(value) if type(value) is int else value))


def run(seeds, steps: int) -> Counter:
    """Look at one server for each seed."""
    counts: Counter = Counter()
    for seed in seeds:
        session = Session(seed, counts)
        try:
            for _ in range(steps):
                session.step()
        except Exception as error:
            raise AssertionError(f"server {seed}, after {counts}: {error}") from error
        counts["servers"] += 1
    return counts


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print(dict(run(range(1000, 1000 + count), 35)))
