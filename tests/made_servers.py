"""Data node servers made at random, each as the API permits; and what they really have, for who wants to compare."""

from __future__ import annotations

import random

import numpy as np
from autobahn.wamp.types import ComponentConfig
from twisted.internet.defer import succeed

from sisock.wamp.data_node_server import DataNodeServer

from twins import thin

NOW = 1_700_000_000.0
INTERVALS_S = (0.001, 0.01, 0.1, 0.25, 1.0, 1.0, 10.0, 20.0, 60.0, 600.0, 3600.0, 86400.0)
MOST_SAMPLES = 1500  # of a timeline before the first request; as many may come later
HORIZON_S = 4e6  # nobody asks later than this after the start


class Line:
    """One timeline: samples that become visible when they arrive, which may be late; and fields on it.

    Attributes
    ----------
    times, arrivals
        Of each sample, UNIX seconds.
    surprises
        Samples that come although what was before them had been called final.
    """

    def __init__(self, made: random.Random, name: str, *, generations: bool) -> None:
        self.name = name
        self.interval_s = made.choice(INTERVALS_S)
        self.times = self._make_times(made)
        count = len(self.times)
        late = made.choice((0.0, 0.0, 0.0, 0.05, 0.5)) > np.array([made.random() for _ in range(count)])
        lag_s = made.choice((0.3, 3.0, 30.0)) * self.interval_s
        self.arrivals = self.times + late * np.array([made.expovariate(1 / lag_s) for _ in range(count)])
        if made.random() < 0.15:  # in batches
            self.arrivals = np.ceil(self.arrivals / (8 * self.interval_s)) * 8 * self.interval_s
        self.surprises = np.zeros(count, dtype=bool)
        if generations:
            self.surprises = np.array([made.random() < 0.02 for _ in range(count)])
            delays = np.array([made.choice((5.0, 100.0)) * self.interval_s + 2.0 for _ in range(count)])
            self.arrivals = np.where(self.surprises, self.times + delays, self.arrivals)
        self.lost_at: list[float] = []
        self.keeps_s = made.choice((np.inf, np.inf, np.inf, 600 * self.interval_s))
        self.types = {
            f"{name}{number}": made.choice(("number", "number", "string", "bool"))
            for number in range(made.choice((1, 1, 2, 4)))
        }
        self.values = {field: self._make_values(made, kind) for field, kind in self.types.items()}
        self.stated_interval = made.choice((self.interval_s, self.interval_s, self.interval_s, None))

    def _make_times(self, made: random.Random) -> np.ndarray:
        kind = made.choice(("regular", "regular", "jitter", "random", "changing", "gaps", "rare"))
        before, after = made.randint(0, MOST_SAMPLES), made.randint(MOST_SAMPLES // 4, MOST_SAMPLES)
        spacings = np.full(before + after, self.interval_s)
        if kind in ("random", "rare"):
            mean_s = self.interval_s * (1 if kind == "random" else 20)
            spacings = np.array([made.expovariate(1 / mean_s) for _ in spacings])
        if kind == "changing":
            spacings[made.randint(0, len(spacings)) :] *= made.choice((0.1, 10.0))
        if kind == "gaps":
            for _ in range(made.randint(1, 6)):
                spacings[made.randrange(len(spacings))] *= made.choice((4.0, 50.0, 300.0))
        times = NOW + np.cumsum(spacings)
        times -= times[before - 1] - NOW if before else 0.0
        if kind == "regular" and made.random() < 0.5:
            times = np.unique(np.rint(times / self.interval_s)) * self.interval_s
        if kind == "jitter":
            times = times + np.array([made.uniform(-0.4, 0.4) for _ in times]) * self.interval_s
        return np.unique(times)

    def _make_values(self, made: random.Random, kind: str) -> list:
        if kind == "string":
            return [made.choice(("on", "on", "on", "off", "é")) for _ in self.times]
        if kind == "bool":
            return [made.random() < 0.8 for _ in self.times]
        if made.random() < 0.3:
            return [made.randint(-5, 5) for _ in self.times]
        odd = made.random() < 0.3
        return [
            made.choice((np.nan, np.inf, 1e300)) if odd and made.random() < 0.05 else made.gauss(0, 1)
            for _ in self.times
        ]

    def visible(self, now: float) -> np.ndarray:
        """Return the indices of the samples that are there at a time, ascending."""
        lost = max((at for at in self.lost_at if at <= now), default=-np.inf)
        return np.flatnonzero((self.arrivals <= now) & (self.arrivals > lost) & (self.times >= now - self.keeps_s))

    def final_until(self, now: float) -> float:
        """Return the time before which nothing will come, as far as the server can know."""
        coming = self.times[(self.arrivals > now) & ~self.surprises]
        return float(min(coming.min() if coming.size else np.inf, NOW + HORIZON_S))

    def generation(self, now: float) -> str:
        """Return an identity that changes when something came that nobody expected, or was lost."""
        came = np.unique(self.arrivals[self.surprises & (self.arrivals <= now)]).size
        return f"{self.name} {came} {sum(at <= now for at in self.lost_at)}"


class Habits:
    """How one server answers, wherever the API leaves it a choice."""

    def __init__(self, made: random.Random) -> None:
        self.original_library = made.random() < 0.2
        self.generations = not self.original_library and made.random() < 0.2
        self.returns = made.choice(("value", "value", "deferred", "coroutine", "blocking"))
        if self.original_library:
            self.returns = made.choice(("value", "deferred"))
        self.list_of = made.choice((list, list, tuple) if self.original_library else (list, tuple, np.array))
        self.finality = made.choice(("zero", "honest", "honest", "none", "lag", "lag"))
        self.says_nothing = made.choice(("omitted", "omitted", "empty"))
        self.leaves_out = made.random() < 0.3  # fields without samples, also from the data
        self.adds_fields = made.random() < 0.2
        self.names_fields = made.random() < 0.2
        self.oversteps = made.random() < 0.15
        self.unsorted = made.random() < 0.1
        self.lists_all_fields = made.random() < 0.8
        self.downsamples = made.random() < 0.3
        self.allowance = made.choice((None, None, None, None, "count", "length"))
        self.most_values = made.choice((50, 300, 2000))
        self.longest = made.choice((100, 400))
        self.heeds_stride = self.downsamples or made.random() < 0.5


class MadeServer(DataNodeServer):
    """A server with habits; several of them may answer from the same lines, one after the other."""

    name = "made"
    description = "made at random"

    def __init__(self, lines: list[Line], habits: Habits, clock) -> None:
        super().__init__(ComponentConfig("realm", {}))
        self.lines = lines
        self.habits = habits
        self.clock = clock
        self.downsamples = habits.downsamples
        self.refused = 0

    def get_fields(self, start, end):
        end = end if end > 0 else self.clock() + end
        fields, timelines = {}, {}
        for line in self.lines:
            times = line.times[line.visible(self.clock())]
            if self.habits.lists_all_fields or ((times >= start) & (times < end)).any():
                timelines[line.name] = {"interval": line.stated_interval, "field": list(line.types)}
                for name, kind in line.types.items():
                    fields[name] = {"description": None, "timeline": line.name, "type": kind, "units": None}
        return fields, timelines

    def get_data(self, field, start, end, min_stride=None):
        if self.habits.returns == "blocking":
            return super().get_data(field, start, end, min_stride)
        if self.habits.returns == "deferred":
            return succeed(self._answer(field, start, end, min_stride))
        if self.habits.returns == "coroutine":
            return self._later(field, start, end, min_stride)
        return self._answer(field, start, end, min_stride)

    def _get_data_blocking(self, field, start, end, min_stride=None):
        return self._answer(field, start, end, min_stride)

    async def _later(self, *arguments):
        return self._answer(*arguments)

    def _answer(self, field, start, end, min_stride):
        habits, now = self.habits, self.clock()
        data = {} if habits.leaves_out else {name: [] for name in field}
        timelines, count = {}, 0
        stride = min_stride if habits.heeds_stride else None
        shortest_s = min(line.interval_s for line in self.lines)
        for line in self.lines:
            wanted = [name for name in line.types if habits.adds_fields or name in field]
            indices = line.visible(now)
            times = line.times[indices]
            beside_s = 3 * line.interval_s if habits.oversteps else 0.0
            indices = indices[(times >= start - beside_s) & (times < end + beside_s)]
            if stride and len(indices):
                indices = indices[thin(line.times[indices].tolist(), stride)]
            count += len(indices) * len(wanted)
            if not wanted or (not len(indices) and habits.says_nothing == "omitted"):
                continue
            if habits.unsorted:
                indices = indices[::-1]
            data.update((name, self._listed([line.values[name][one] for one in indices])) for name in wanted)
            timelines[line.name] = self._stated(line, wanted, line.times[indices].tolist(), end)
        if self._is_too_much(count, (end - start) / shortest_s, stride):
            self.refused += 1
            return False
        return {"data": data, "timeline": timelines}

    def _listed(self, values):
        if self.habits.list_of is np.array and any(isinstance(value, str) for value in values):
            return np.array(values, dtype=object)
        return self.habits.list_of(values)

    def _stated(self, line, wanted, times, end):
        habits, final = self.habits, line.final_until(self.clock())
        said = {
            "zero": 0,
            "honest": final,
            "none": None if final >= end else final,
            "lag": max(final - 7 * line.interval_s, 0.0),
        }[habits.finality]
        entry = {"t": self._listed(times), "finalized_until": said}
        if habits.names_fields:
            entry["field"] = list(wanted)
        if habits.generations:
            entry["generation"] = line.generation(self.clock())
        return entry

    def _is_too_much(self, count, length, stride):
        habits = self.habits
        if habits.allowance == "count":
            return count > habits.most_values
        return habits.allowance == "length" and stride is None and length > habits.longest
