import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana_json.requests import is_grafanas, least_interval_s, parse_query, rounded_ms

CAPTURED = sorted((Path(__file__).parents[2] / "data" / "grafana").glob("*.json"))


def test_what_panels_sent_without_a_minimum():
    """No request that was seen from a panel without a minimum interval is taken for one with it."""
    without = [path for path in CAPTURED if path.stem != "panel-min-interval"]
    bodies = [json.loads(path.read_text(encoding="utf-8")).get("request") for path in without]
    queries = [body for body in bodies if isinstance(body, dict) and "intervalMs" in body and "targets" in body]
    assert len(queries) > 8
    assert [parse_query(body).least_s for body in queries] == [0.0] * len(queries)


@pytest.mark.parametrize(
    ("interval_ms", "rounded"),
    [
        *((0.3, 10), (9.9, 10), (14.9, 10), (15, 20), (34.28, 20), (74, 50), (75, 100), (349, 200), (600, 500)),
        *((1499, 1000), (1500, 2000), (13_500, 15_000), (21_600, 20_000), (34_280, 30_000), (44_999, 30_000)),
        *((45_000, 60_000), (2_699_000, 1_800_000), (5.4e6, 7.2e6), (3.2e7, 2.16e7), (8.6e7, 4.32e7), (1e8, 8.64e7)),
        *((6.1e8, 6.048e8), (2e9, 2.592e9), (1e10, 3.1536e10)),
    ],
)
def test_what_grafana_rounds_to(interval_ms, rounded):
    """Range / maxDataPoints is rounded as Grafana rounds it."""
    assert rounded_ms(interval_ms) == rounded


@given(st.floats(1e-3, 1e9), st.integers(1, 5000), st.floats(1.0, 1e11))
def test_a_minimum_is_what_is_longer_than_the_rounding(length, points, minimum_ms):
    """The larger of minimum and rounding is sent: the minimum is known exactly where it is the larger one."""
    unset = rounded_ms(length * 1e3 / points)
    sent = {"intervalMs": max(unset, minimum_ms)}
    assert least_interval_s(sent, 1e9, 1e9 + length, points) == pytest.approx(
        minimum_ms / 1e3 if minimum_ms > rounded_ms((1e9 + length - 1e9) * 1e3 / points) else 0.0
    )


def test_rounding_of_times_is_no_minimum():
    """A range that lies on a limit of Grafana's rounding is not taken for shorter because UNIX times are rounded."""
    starts = 1795325987.03 + np.arange(1000) * 1.003
    assert not any(least_interval_s({"intervalMs": 20}, start, start + 0.015 * 40, 40) for start in starts.tolist())


@pytest.mark.parametrize(
    "sent", [{}, {"intervalMs": None}, {"intervalMs": "x"}, {"intervalMs": True}, {"intervalMs": 1e999}]
)
def test_no_interval(sent):
    """What is no interval is none; without a width an interval means nothing."""
    assert least_interval_s(sent, 0.0, 100.0, 100) == 0.0
    assert least_interval_s({"intervalMs": 3.15e10}, 0.0, 100.0, None) == 0.0


def test_an_interval_that_is_sure():
    """Grafana tells its interval twice."""
    assert is_grafanas({"intervalMs": 60000, "scopedVars": {"__interval_ms": {"text": "60000", "value": 60000}}})
    assert not is_grafanas({"intervalMs": 60000, "scopedVars": {}})
    assert not is_grafanas({"intervalMs": 60000, "scopedVars": {"__interval_ms": 60000}})
    assert not is_grafanas({"scopedVars": {"__interval_ms": {"value": 60000}}})
