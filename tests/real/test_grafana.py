"""What Grafana calculates from our replies is what the samples say: joined, added, stacked and reduced by its code."""

from __future__ import annotations

from real import grafana_code


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
