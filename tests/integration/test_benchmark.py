"""The benchmark: that it runs, that both sides answer the same question, and that a wrong answer is noticed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import orjson
import psutil
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def panels():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("panels", BENCHMARKS / "panels.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["panels"] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCHMARKS))
        sys.modules.pop("panels", None)
        sys.modules.pop("bench_node", None)


def test_both_sides_draw_the_same_panel_and_all_processes_end(tmp_path):
    """A short run gets right answers from both sides, writes its figures, and leaves no process behind."""
    report_path = tmp_path / "report.json"
    command = [sys.executable, str(BENCHMARKS / "panels.py"), "--seconds", "0.2", "--rounds", "1"]
    benchmark = psutil.Popen(
        [*command, "--json", str(report_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    started = set()
    printed = None
    while printed is None:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            started.update(benchmark.children(recursive=True))
        with contextlib.suppress(subprocess.TimeoutExpired):
            printed, errors = benchmark.communicate(timeout=0.2)
    assert not errors
    assert benchmark.returncode in {0, 1}, "1 when the target is missed, as it may be in so short a run"
    assert not [process for process in started if process.is_running()]
    report = json.loads(report_path.read_text())
    asked = {(row["clients"], row["side"]) for row in report["rows"] if row["requests"] > 0}
    assert asked == {(clients, side) for clients in (1, 4) for side in ("sisock", "reference", "concurrent")}
    assert report["met"] == (report["ratios"]["reference"]["4"] >= 5)
    assert ("target met" in printed) == report["met"]


def test_windows_never_repeat_and_stay_inside_the_series(panels):
    """Each request asks for another window, wholly inside the series, so that nothing remembered helps a side."""
    windows = [panels.make_window(number) for number in range(5000)]
    assert len({start for start, _ in windows}) == len(windows)
    last = panels.START_S + panels.SAMPLES * panels.INTERVAL_S
    assert all(start >= panels.START_S and end <= last for start, end in windows)
    assert all(end - start == pytest.approx(2000) for start, end in windows)


def make_answer(times_ms):
    return orjson.dumps([{"target": "bench::wave", "datapoints": [[0.5, time_ms] for time_ms in times_ms]}])


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, make_answer(range(0, 2_000_000, 2000)), None),
        (500, b"no", "status 500"),
        (200, make_answer(range(0, 2_000_000, 20_000)), "100 points"),
        (200, make_answer(range(0, 2_000_000, 1000)), "2000 points"),
        (200, make_answer(range(-1, 1_999_999, 2000)), "outside"),
        (200, make_answer(range(2000, 2_002_000, 2000)), "outside"),
    ],
)
def test_a_wrong_answer_does_not_count(panels, status, body, fault):
    """Only an answer with status 200, about 1000 points and all times in [start, end) is counted."""
    found = panels.find_fault(status, body, 0.0, 2000.0)
    assert found is None if fault is None else fault in found
