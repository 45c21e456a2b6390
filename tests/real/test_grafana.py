"""What Grafana calculates from our replies is what the samples say: joined, added, stacked and reduced by its code."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sisock.core.times import LADDER
from sisock.testing import FakeNode

from grafana_panels import Panels
from real import grafana_code

NOW = 1_795_325_987.0
DAYS_S = 2 * 86_400.0
# Of each node: its interval in seconds, its phase, how far samples stray from that, its mean; and a hole of one.
RATES = [
    (1.0, 0.0, 0.0, 100.0),
    (1.7, 0.37, 0.06, 40.0),
    (5.0, 2.2, 0.2, -30.0),
    (0.5, 0.11, 0.02, 7.0),
    (10.3, 4.4, 0.4, 1e3),
]
HOLE = (NOW - 40_000.0, NOW - 37_000.0)
HOLED = 1
ZOOMS = 20
MADE: dict[str, Callable[[Any], float]] = {
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "sum": np.sum,
    "count": np.size,
    "stddev": np.std,
}
DOCS = Path(__file__).parents[2] / "docs" / "grafana.md"
COLUMNS = {"First": "first", "Last": "last", "Min": "min", "Max": "max", "Mean": "mean", "Total": "sum"}
GRAFANAS = {"first": "firstNotNull", "last": "lastNotNull"}  # its names, where they are others than ours


def samples() -> list[tuple[Any, Any]]:
    """Return times and values of each node."""
    rng = np.random.default_rng(11)
    made = []
    for n, (interval_s, phase_s, stray_s, mean) in enumerate(RATES):
        times = np.arange(NOW - DAYS_S, NOW - 1, interval_s) + phase_s
        times += rng.uniform(-stray_s, stray_s, times.size)
        if n == HOLED:
            times = times[(times < HOLE[0]) | (times >= HOLE[1])]
        pulses = 30.0 * (times % 10 < 1)  # so that the mean of some samples, or of extremes, is not that of all
        made.append((times, mean + 10 * np.sin(times / 400.0) + rng.normal(size=times.size) + pulses))
    return made


SAMPLES = samples()


@pytest.fixture(scope="module")
def panels() -> Panels:
    nodes = [FakeNode(f"node{n}", {"power": one}, interval_s=RATES[n][0]) for n, one in enumerate(SAMPLES)]
    return Panels(*nodes, now=NOW)


def targets(count: int) -> list[str]:
    return [f"node{n}::power" for n in range(count)]


def zooms() -> list[tuple[float, float, int]]:
    """Return windows and widths: from two days to some minutes, at odd places, some over the hole."""
    chance = random.Random(5)
    windows = []
    for span_s in np.geomspace(DAYS_S, 300.0, ZOOMS).tolist():
        end = NOW - chance.uniform(0, min(DAYS_S - span_s, 45_000.0))
        windows.append((round(end - span_s, 3), round(end, 3), chance.choice([90, 300, 800, 1500])))
    return windows


@dataclass(frozen=True)
class Grid:
    """The cells of a reply, found from its times: aligned buckets of one width, cut by the window."""

    start: float
    end: float
    width_s: float
    numbers: list[int]

    def cell(self, n: int, number: int) -> Any:
        """Return the samples of a node in a cell, as far as it is in the window."""
        times, values = SAMPLES[n]
        edges = max(number * self.width_s, self.start), min((number + 1) * self.width_s, self.end)
        return values[slice(*times.searchsorted(edges))]

    def column(self, n: int, reducer: str) -> list[float | None]:
        """Return what the samples of a node say for each cell; None where there are none."""
        cells = [self.cell(n, number) for number in self.numbers]
        return [float(MADE[reducer](cell)) if cell.size else None for cell in cells]


def grid_of(times_ms: Sequence[float], start: float, end: float) -> Grid:
    """Return the grid on which these times are; they are all of its cells, one after the other."""
    times = [time_ms / 1e3 for time_ms in times_ms]
    spacing_s = times[2] - times[1]
    width_s = min(LADDER, key=lambda step: abs(math.log(step / spacing_s)))
    numbers = [math.floor(t / width_s + 1e-6) for t in times]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert times == pytest.approx([max(number * width_s, start) for number in numbers], abs=1e-5)
    assert times[0] < start + 2 * width_s
    assert times[-1] + 2 * width_s >= end
    return Grid(start, end, width_s, numbers)


def total(row: Sequence[float | None]) -> float:
    return sum(value or 0.0 for value in row)


def close(found: Sequence[Any], wanted: Sequence[Any]) -> None:
    """Compare numbers as two programs add them up, and what is missing."""
    assert [value is None for value in found] == [value is None for value in wanted]
    numbers = [[value for value in values if value is not None] for values in (found, wanted)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("reducer", ["", *MADE])
def test_aligned_series_are_added_right(panels, count, reducer):
    """Totals, differences and stacks of nodes that share no time are those of their samples, at every zoom.

    Rows are whole: each series has a value in each cell in which it has samples, and only the hole is null.
    """
    names = targets(count)
    payload = {"align": True} | ({"reduce": reducer} if reducer else {})
    replies = [panels.draw(names, *zoom, **payload) for zoom in zooms()]
    holes = 0
    for (start, end, width), joined in zip(zooms(), grafana_code.join(replies), strict=True):
        assert len(joined.times) <= width
        grid = grid_of(joined.times, start, end)
        wanted = [grid.column(n, reducer or "mean") for n in range(count)]
        for name, column in zip(names, wanted, strict=True):
            close(joined.columns[name], column)
        rows = list(zip(*wanted, strict=True))
        holes += sum(None in row for row in rows)
        assert all(
            None not in row or reaches_the_hole(grid, number) for row, number in zip(rows, grid.numbers, strict=True)
        )
        close(joined.total, [total(row) for row in rows])
        close(joined.difference, [total(row[:1]) - total(row[1:2]) for row in rows])
        for level in range(count):
            close(joined.stack[level], [total(row[: level + 1]) for row in rows])
    assert holes


def reaches_the_hole(grid: Grid, number: int) -> bool:
    return number * grid.width_s < HOLE[1] and (number + 1) * grid.width_s > HOLE[0]


def test_what_is_made_of_buckets_needs_no_option(panels):
    """The mean, lowest and highest of buckets are joined as they come, without `align`."""
    names = targets(5)
    for reducer in ("mean", "min", "max", "sum", "count", "stddev"):
        replies = [panels.draw(names, *zoom, reduce=reducer) for zoom in zooms()]
        for (start, end, _), joined in zip(zooms(), grafana_code.join(replies), strict=True):
            grid = grid_of(joined.times, start, end)
            for n, name in enumerate(names):
                close(joined.columns[name], grid.column(n, reducer))


def test_extremes_become_two_series(panels):
    """Aligned, `minmax` is a series of the lowest and one of the highest of each cell."""
    names = targets(2)
    replies = [panels.draw(names, *zoom, align=True, reduce="minmax") for zoom in zooms()]
    for (start, end, _), joined in zip(zooms(), grafana_code.join(replies), strict=True):
        grid = grid_of(joined.times, start, end)
        assert list(joined.columns) == [f"{name} {end}" for name in names for end in ("min", "max")]
        for n, name in enumerate(names):
            for reducer in ("min", "max"):
                close(joined.columns[f"{name} {reducer}"], grid.column(n, reducer))


def test_reduced_series_are_numbers(panels):
    """Whatever "Reduce", legends and stat panels calculate of aligned series is made of the values of their cells."""
    names = targets(5)
    replies = [panels.draw(names, *zoom, align=True) for zoom in zooms()]
    for (start, end, _), joined in zip(zooms(), grafana_code.join(replies), strict=True):
        grid = grid_of(joined.times, start, end)
        for n, name in enumerate(names):
            cells = np.array([value for value in grid.column(n, "mean") if value is not None])
            made = joined.reduced[name]
            for reducer in COLUMNS.values():
                assert made[GRAFANAS.get(reducer, reducer)] == pytest.approx(MADE[reducer](cells))
            assert made["count"] == cells.size
            assert made["diff"] == pytest.approx(cells[-1] - cells[0])


def truths() -> list[list[str]]:
    """Return the rows of the table that says what is true of what Grafana calculates, without its head."""
    behind = DOCS.read_text().partition("### What Grafana calculates\n")[2]
    lines = re.findall(r"^\|(.*)\|$", behind.partition("###")[0], re.MULTILINE)
    head, _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert head == ["payload", *COLUMNS, "rows of several series"]
    return rows


@pytest.mark.parametrize("row", truths(), ids=lambda row: row[0])
def test_what_the_docs_call_true_is_true(panels, row):
    """What is said to be true of a reducer is what the samples say at every zoom; the rest is wrong at some."""
    payload = json.loads(found[0]) if (found := re.findall(r"{.*}", row[0])) else {}
    said = dict(zip([*COLUMNS.values(), "rows"], row[1:], strict=True))
    error: dict[str, float] = dict.fromkeys(said, 0.0)
    for joined in grafana_code.join([panels.draw(targets(2), *zoom, **payload) for zoom in zooms()]):
        error["rows"] += "undefined" in [cell for column in joined.columns.values() for cell in column]
    for n, name in enumerate(targets(2)):
        alone = grafana_code.join([panels.draw([name], *zoom, **payload) for zoom in zooms()])
        for (start, end, _), drawn in zip(zooms(), alone, strict=True):
            times, values = SAMPLES[n]
            inside = values[slice(*times.searchsorted([start, end]))]
            for reducer in COLUMNS.values():
                made = drawn.reduced[name][GRAFANAS.get(reducer, reducer)]
                far = abs(made - MADE[reducer](inside)) / np.ptp(inside)
                error[reducer] = max(error[reducer], float(far))
    assert said == {name: word_for(far) for name, far in error.items()}, error


def word_for(error: float) -> str:
    """Return what to say of a calculation that is as far from the truth, in parts of the range of the values."""
    return "yes" if error < 1e-9 else "nearly" if error < 0.05 else "no"


def test_the_mean_of_extremes_is_no_mean(panels):
    """A pulse of 1 s a minute is far from its mean when the drawn extremes are averaged, and near it by `mean`."""
    times = np.arange(NOW - 86_400, NOW)
    pulse = Panels(FakeNode("lab", {"pulse": (times, (times % 60 == 7).astype(float))}), now=NOW)
    window = (NOW - 86_400, NOW, 800)
    extremes, means = grafana_code.join(
        [pulse.draw(["lab::pulse"] * 2, *window, reduce=one) for one in ("minmax", "mean")]
    )
    assert extremes.reduced["lab::pulse"]["mean"] > 0.4
    assert means.reduced["lab::pulse"]["mean"] == pytest.approx(1 / 60, rel=0.01)


def test_numbers_and_states_are_joined():
    """Numbers and texts of several nodes stand in the same rows, by the field `Time`; a text holds until the next."""
    changes = np.cumsum(np.random.default_rng(3).uniform(5.0, 200.0, 2000)) + NOW - 200_000
    modes = np.array([f"mode {n % 7}" for n in range(changes.size)], dtype=object)
    lab = Panels(
        FakeNode("lab", {"mode": (changes, modes)}, interval_s=None),
        FakeNode("node0", {"power": SAMPLES[0]}, interval_s=RATES[0][0]),
        now=NOW,
    )
    windows = [zoom for zoom in zooms() if zoom[0] > changes[0]]
    replies = [lab.draw(["node0::power", "lab::mode"], *zoom, align=True) for zoom in windows]
    for (start, end, _), joined in zip(windows, grafana_code.join(replies), strict=True):
        assert joined.frames == 1
        grid = grid_of(joined.times, start, end)
        ends = np.minimum((np.array(grid.numbers) + 1) * grid.width_s, end)
        known = changes.searchsorted(ends) - 1
        assert joined.columns["lab::mode"] == modes[known].tolist()
        close(joined.columns["node0::power"], grid.column(0, "mean"))


def test_states_as_they_are_can_be_joined():
    """Without a grid, too, the time of texts has the name that Grafana gives to that of numbers."""
    times = np.arange(NOW - 600, NOW, 60)
    lab = Panels(FakeNode("lab", {"x": (times, times), "s": (times, np.array(["a"] * times.size, object))}), now=NOW)
    (joined,) = grafana_code.join([lab.draw(["lab::x", "lab::s"], NOW - 600, NOW, 100)])
    assert joined.frames == 1
    assert joined.columns == {"lab::x": times.tolist(), "lab::s": ["a"] * times.size}


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("reducer", ["", "max"])
def test_rows_of_several_series_raise_alerts(panels, count, reducer):
    """Made wide by Grafana's server, rows of several nodes are lines: Last and Max of each are numbers, and right."""
    names = targets(count)
    windows = [zoom for zoom in zooms() if zoom[1] < HOLE[0] or zoom[0] > HOLE[1]]
    assert len(windows) > ZOOMS / 4
    replies = [panels.rows(names, *zoom, f"&reduce={reducer}" if reducer else "") for zoom in windows]
    for (start, end, _), wide in zip(windows, grafana_code.widen(replies), strict=True):
        grid = grid_of(wide.times, start, end)
        for n, name in enumerate(names):
            close(wide.series[name], grid.column(n, reducer or "last"))
            assert None not in wide.series[name]


def test_whose_unit_counts():
    """A unit that is sent counts more than the panel's, unless that is an override; none is sent on demand."""
    times = np.arange(NOW - 60, NOW)
    lab = Panels(FakeNode("lab", {"p": (times, times * 0 + 1040)}, units={"p": "mbar"}), now=NOW)
    units = ["", "kelvin", "suffix:mbar", "panel"]
    replies = [lab.draw(["lab::p"], NOW - 60, NOW, 100, units=one) for one in units]
    made = grafana_code.join(replies)
    assert [one.shown["default"] for one in made] == [["1.04 bar"], ["1040 K"], ["1040 mbar"], ["1.04 kV"]]
    assert [one.shown["override"] for one in made] == [["1.04 kV"]] * 4


def series(name, *points):
    return {"target": name, "title": name, "datapoints": [[value, time_ms] for time_ms, value in points]}


def test_what_is_missing_counts_as_nothing():
    """Sums, differences and stacks of Grafana take a null for 0; a row in which a sample is missing is no number."""
    left = series("left", (1000, 1.0), (2000, 2.0), (3000, 3.0), (4000, 4.0))
    right = series("right", (1000, 10.0), (2000, None), (3000, 30.0), (5000, 50.0))
    (joined,) = grafana_code.join([[left, right]])
    assert joined.times == [1000, 2000, 3000, 4000, 5000]
    assert joined.columns["right"] == [10.0, None, 30.0, "undefined", 50.0]
    assert joined.total == [11.0, 2.0, 33.0, 4.0, 50.0]
    assert joined.difference == [-9.0, 2.0, -27.0, "NaN", "NaN"]
    assert joined.stack[-1] == [11.0, 2.0, 33.0, "NaN", "NaN"]


def test_an_alert_cannot_be_made_of_rows_at_different_times():
    """Made wide, rows of two series that share no time are null in turn, and the last of the first is null."""
    rows = [{"time": 1000.0 + i, "metric": "ab"[i % 2], "value": float(i)} for i in range(4)]
    (wide,) = grafana_code.widen([rows])
    assert wide.series == {"a": [0.0, None, 2.0, None], "b": [None, 1.0, None, 3.0]}
