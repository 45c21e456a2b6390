"""Draws docs/joining.svg from real replies: two fields of one node, added up row by row, without and with `align`.

Run it as ``.venv/bin/python tests/joining_picture.py``; a test says when the picture is no longer what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sisock.testing import FakeNode

from grafana_panels import Panels

PICTURE = Path(__file__).parent.parent / "docs" / "joining.svg"
NOW = 1_795_326_000.0
SPAN_S = 1800.0
PIXELS = 90
FIELDS = ["lab::pump", "lab::heater"]
TRUE_SUM = (140.0, 160.0)
MOST = 170.0  # at the top of each chart
WIDTH, HEIGHT = 420.0, 230.0
CHARTS = [(50.0, "As they are", {}), (520.0, "With {&quot;align&quot;: true}", {"align": True})]
Point = tuple[float, float]

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 328" role="img" aria-labelledby="title text"
     font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif">
  <title id="title">Two series and their sum, joined by time</title>
  <desc id="text">A pump takes 100 to 110 W and a heater 40 to 50 W, so both take 140 to 160 W. On the left, the sum of
  the joined rows jumps between 40 and 160. On the right, with align, it stays where it is true.</desc>
  <style>
    .card { fill: #ffffff; stroke: #d0d7de; }
    .true { fill: #dff3e4; }
    .first { fill: none; stroke: #3b6ea5; stroke-width: 1.2; }
    .second { fill: none; stroke: #8a6d1a; stroke-width: 1.2; }
    .sum { fill: none; stroke: #b3261e; stroke-width: 1.2; }
    .axis { stroke: #8c959f; }
    text { fill: #24292f; font-size: 15px; }
    .small { fill: #57606a; font-size: 12.5px; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #161b22; stroke: #30363d; }
      .true { fill: #173322; }
      .first { stroke: #6ea4e0; }
      .second { stroke: #d6b656; }
      .sum { stroke: #f28b82; }
      .axis { stroke: #6e7681; }
      text { fill: #e6edf3; }
      .small { fill: #9aa4af; }
    }
  </style>
  <rect class="card" x="0.5" y="0.5" width="959" height="327" rx="8"/>
"""
TAIL = """\
  <g transform="translate(50 308)">
    <path class="first" d="M0 0h24"/><text class="small" x="30" y="4">pump</text>
    <path class="second" d="M90 0h24"/><text class="small" x="120" y="4">heater</text>
    <path class="sum" d="M190 0h24"/><text class="small" x="220" y="4">sum of a row, as Grafana adds it up</text>
    <rect class="true" x="470" y="-6" width="24" height="12"/>
    <text class="small" x="500" y="4">where the sum truly is</text>
  </g>
</svg>
"""


def draw() -> str:
    """Return the picture."""
    times = np.arange(NOW - SPAN_S, NOW)
    seconds = NOW - times
    pump = 105 + 3 * np.sin(seconds / 130) + 2 * np.sin(seconds**1.1)
    heater = 45 + 3 * np.cos(seconds / 90) + 2 * np.cos(seconds**1.2)
    panels = Panels(FakeNode("lab", {"pump": (times, pump), "heater": (times, heater)}), now=NOW)
    charts = [
        chart(left, title, panels.draw(FIELDS, NOW - SPAN_S, NOW, PIXELS, **payload))
        for left, title, payload in CHARTS
    ]
    return HEAD + "".join(charts) + TAIL


def chart(left: float, title: str, reply: list[dict[str, Any]]) -> str:
    """Return both series of a reply, and what their rows add up to when they are joined by time."""
    lines = [[(time_ms / 1e3, value) for value, time_ms in entry["datapoints"]] for entry in reply]
    styles = zip(("first", "second", "sum"), [*lines, sums(lines)], strict=True)
    scale = "".join(
        f'<text class="small" x="-8" y="{height(value) + 4:.1f}" text-anchor="end">{value}</text>'
        for value in range(0, 161, 40)
    )
    low, high = map(height, TRUE_SUM)
    return "\n    ".join(
        [
            f'  <g transform="translate({left:g} 52)">',
            f'<text x="0" y="-26">{title}</text>{scale}',
            f'<rect class="true" x="0" y="{high:.1f}" width="{WIDTH:g}" height="{low - high:.1f}"/>',
            *(f'<polyline class="{style}" points="{places(line)}"/>' for style, line in styles),
            f'<path class="axis" d="M0 {HEIGHT:g}h{WIDTH:g}"/>\n  </g>\n',
        ]
    )


def sums(lines: Iterable[Iterable[Point]]) -> list[Point]:
    """Return the sum of each row of an outer join by time, in which what is missing counts as nothing."""
    rows: dict[float, float] = {}
    for line in lines:
        for t, value in line:
            rows[t] = rows.get(t, 0.0) + value
    return sorted(rows.items())


def places(line: Iterable[Point]) -> str:
    """Return where the points of a line are drawn."""
    return " ".join(f"{(t - NOW + SPAN_S) / SPAN_S * WIDTH:.1f},{height(value):.1f}" for t, value in line)


def height(value: float) -> float:
    return HEIGHT * (1 - value / MOST)


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
