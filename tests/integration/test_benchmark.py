"""The benchmark: that it runs, that what must be right in it is right, and that a wrong answer is noticed."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import orjson
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

import twins

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RIGHT = {  # what must hold at any size, on any machine
    "spikes": [
        "waves at 50 zooms as by brute force, node",
        "waves at 50 zooms as by brute force, adapter",
        "states at 50 zooms as by brute force, node",
        "states at 50 zooms as by brute force, adapter",
        "planted samples of waves drawn",
        "planted samples of states drawn",
    ],
    "refresh": [
        "samples of a refresh, of the first load, mean",
        "payload of a refresh, of the first load, mean",
        "final points compared over 50 refreshes",
        "of them changed",
    ],
    "buffer": ["of 20,000 samples, late and doubled, in their place"],
    "flat": [
        "index, of the values' size",
        "archive, 400,000 samples: files read at the first start",
        "archive, 400,000 samples: files read after a restart",
    ],
}


@pytest.fixture(scope="module")
def modules():
    """Give the modules of the benchmark, which are scripts beside one another and no package."""
    names = [path.stem for path in BENCHMARKS.glob("*.py")]
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(BENCHMARKS))
    try:
        wanted = ("brute_force", "clients", "figures", "panels", "peers", "viewers")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in wanted})
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def run_benchmark(tmp_path, *groups):
    """Run some groups in short form; return their figures by group and name, what was printed, and the exit status."""
    report_path = tmp_path / "report.json"
    command = [sys.executable, str(BENCHMARKS / "bench.py"), *groups, "--short", "--json", str(report_path)]
    benchmark = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    started = set()
    printed = None
    while printed is None:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            started.update(benchmark.children(recursive=True))
        with contextlib.suppress(subprocess.TimeoutExpired):
            printed, errors = benchmark.communicate(timeout=0.2)
    assert not errors
    assert not [process for process in started if process.is_running()]
    figures = json.loads(report_path.read_text())["figures"]
    return {(one["group"], one["name"]): one for one in figures}, printed, benchmark.returncode


@pytest.mark.parametrize("group", RIGHT)
def test_what_must_be_right_is_right(tmp_path, group):
    """No spike is lost, no final point changes, refreshes are small, late samples are in place, files read once."""
    figures, _, _ = run_benchmark(tmp_path, group)
    assert {name: figures[group, name]["met"] for name in RIGHT[group]} == dict.fromkeys(RIGHT[group], True)


def test_both_sides_draw_the_same_panel_and_all_processes_end(tmp_path):
    """A short run gets right answers from all sides, tells whether targets are met, and leaves no process behind."""
    figures, printed, status = run_benchmark(tmp_path, "panels")
    rates = {name: one["value"] for (_, name), one in figures.items() if one["unit"] == "/s"}
    sides = ("sisock", "reference", "concurrent")
    assert rates.keys() == {f"{side}, {clients}" for clients in ("1 client", "4 clients") for side in sides}
    assert all(rate > 0 for rate in rates.values())
    (ratio,) = [one for one in figures.values() if one["target"]]
    assert ratio["met"] == (ratio["value"] >= 5) == (status == 0)
    assert ("every target met" in printed) == ratio["met"]


def test_a_group_that_does_not_exist_is_refused(tmp_path):
    """Whoever asks for a group that does not exist is told which do."""
    command = [sys.executable, str(BENCHMARKS / "bench.py"), "spike"]
    refused = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert "choose of spikes, " in refused.stderr


def test_missing_databases_are_asked_for_by_their_packages(modules):
    """Where databases are not installed, the comparison names the packages that it needs."""
    with pytest.raises(RuntimeError, match="apt-get install influxdb victoria-metrics"):
        modules.peers.find_binaries(lambda program: None)
    with pytest.raises(RuntimeError, match=r"apt-get install victoria-metrics$"):
        modules.peers.find_binaries({"influxd": "/usr/bin/influxd"}.get)
    assert modules.peers.find_binaries(str) == {"influxdb": "influxd", "victoria-metrics": "victoria-metrics"}


@pytest.mark.parametrize(
    ("other", "by_bucket", "agrees"),
    [
        ({1: (0.0, 2.0), 2: (1.0, 5.0)}, True, True),
        ({1: (0.0, 2.0), 2: (1.0, 6.0)}, False, False),
        ({1: (0.0, 2.0), 3: (1.0, 5.0)}, False, False),
        ({1: (0.0, 1.0), 2: (1.0, 5.0)}, True, False),
        ({1: (0.0, 1.0), 2: (1.0, 5.0)}, False, True),
    ],
)
def test_answers_that_differ_are_not_compared(modules, other, by_bucket, agrees):
    """The databases' times count only if they draw the same extremes."""

    def extremes(buckets):
        return modules.peers.Extremes(*({number: one[side] for number, one in buckets.items()} for side in (0, 1)))

    ours = extremes({1: (0.0, 2.0), 2: (1.0, 5.0)})
    with contextlib.nullcontext() if agrees else pytest.raises(RuntimeError, match="other"):
        modules.peers.check_agreement(ours, extremes(other), "db", by_bucket=by_bucket)


def test_windows_never_repeat_and_stay_inside_the_series(modules):
    """Each request asks for another window, wholly inside the series, so that nothing remembered helps a side."""
    panels = modules.panels
    windows = [panels.make_window(number) for number in range(5000)]
    assert len({start for start, _ in windows}) == len(windows)
    last = panels.START_S + panels.SAMPLES * panels.INTERVAL_S
    assert all(start >= panels.START_S and end <= last for start, end in windows)
    assert all(end - start == pytest.approx(2000) for start, end in windows)


def make_answer(times_ms):
    return orjson.dumps([{"target": "bench::wave", "datapoints": [[0.5, time_ms] for time_ms in times_ms]}])


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (make_answer(range(0, 2_000_000, 2000)), None),
        (b"no", "no points"),
        (make_answer(range(0, 2_000_000, 20_000)), "100 points"),
        (make_answer(range(0, 2_000_000, 1000)), "2000 points"),
        (make_answer(range(-1, 1_999_999, 2000)), "outside"),
        (make_answer(range(2000, 2_002_000, 2000)), "outside"),
    ],
)
def test_a_wrong_answer_does_not_count(modules, body, fault):
    """Only an answer with about 1000 points and all times in [start, end) is counted."""
    found = modules.panels.find_fault(body, 0.0, 2000.0)
    assert found is None if fault is None else fault in found


@pytest.mark.parametrize("answer", [[], [{"datapoints": []}], [{"datapoints": [[1, 2]]}, {"datapoints": []}]])
def test_an_answer_without_points_ends_the_clients(modules, answer):
    """Clients give up at an answer in which a series has no points."""
    with pytest.raises(RuntimeError, match="lacks points"):
        modules.clients.check(orjson.dumps(answer))
    modules.clients.check(orjson.dumps([{"datapoints": [[1, 2]]}]))


def test_a_target_is_met_at_its_bound(modules):
    """A figure meets its target when it is as good as it must be, never when it is no number; some have none."""
    figure, at_most, at_least = (getattr(modules.figures, name) for name in ("Figure", "at_most", "at_least"))
    met = {
        (str(target), value): figure("group", "name", value, "ms", target).met
        for target in (at_most(3), at_least(3))
        for value in (2, 3, 4, math.nan)
    }
    assert [key for key, one in met.items() if one] == [("<= 3", 2), ("<= 3", 3), (">= 3", 3), (">= 3", 4)]
    assert figure("group", "name", 3, "ms").met is None


def test_calls_that_viewers_need_are_those_that_no_call_just_before_serves(modules):
    """A call serves whoever comes within a second behind it."""
    assert modules.viewers.calls_needed([0.0], 5.0) == 1
    assert modules.viewers.calls_needed([0.0], 10.1) == 3
    assert modules.viewers.calls_needed([0.0, 0.9, 1.1], 5.0) == 2
    assert modules.viewers.calls_needed([0.0, 1.0, 2.0], 5.0) == 2


@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf, -math.inf]))),
    st.integers(0, 30),
    st.integers(1, 40),
    st.integers(1, 20),
)
def test_brute_force_chooses_as_the_readable_twins_do(modules, samples, start, length, width):
    """What the benchmark holds panels against is what the suite holds the reducers against."""
    times, values = (
        (np.array(one, dtype=np.float64) for one in zip(*sorted(samples, key=lambda one: one[0]), strict=True))
        if samples
        else (np.empty(0), np.empty(0))
    )
    low, high = np.searchsorted(times, [start, start + length])
    inside = twins.buckets(times[low:high].tolist(), width)
    for array, choose, twin in (
        (values, modules.brute_force.lowest_and_highest, twins.minmax),
        (values == 1.0, modules.brute_force.first_change_last, twins.first_change_last),
    ):
        part = array[low:high].tolist()
        kept = {int(low) + index for bucket in inside for index in twin(part, bucket)} | set(
            range(max(low, high - 1), high)
        )
        found_times, found = modules.brute_force.drawn(times, array, start, start + length, width, choose)
        assert np.array_equal(found_times, times[sorted(kept)])
        assert np.array_equal(found, array[sorted(kept)], equal_nan=array.dtype == np.float64)
