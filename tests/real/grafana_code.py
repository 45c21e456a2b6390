"""What Grafana makes of our replies, by its own code: that of its pages (JavaScript) and of its server (Go)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "grafana"
INSTALLED = Path(__file__).parents[2] / "build" / "grafana"  # by tools/install_real.py
LONGEST_S = 60.0


@dataclass(frozen=True)
class Joined:
    """What transformations make of one reply of ``/query``.

    Parameters
    ----------
    frames
        How many tables are left when the series were joined by time: one, if the join works.
    times
        Of the rows, milliseconds.
    columns
        The values of each series, by its legend; None where it has a null, ``"undefined"`` where it has no sample.
    total, difference
        Of each row: the sum of all numbers, and the first number less the second.
    stack
        Of each number, the sum of it and those before it, row by row.
    reduced
        Of each series, by its legend, what "Reduce", legends and stat panels show, by Grafana's name for it.
    shown
        The first value of each series as a panel shows it that is set to volts: ``default``, by its standard options;
        ``override``, by an override for numbers.
    """

    frames: int
    times: list[float]
    columns: dict[str, list[Any]]
    total: list[Any]
    difference: list[Any]
    stack: list[list[Any]]
    reduced: dict[str, dict[str, Any]]
    shown: dict[str, list[str]]


@dataclass(frozen=True)
class Wide:
    """Rows made wide: times in milliseconds, and the cells of each metric; None where it has no row."""

    times: list[float]
    series: dict[str, list[float | None]]


def join(replies: Sequence[Any]) -> list[Joined]:
    """Return what "Join by field: Time", calculations and reductions make of each reply of ``/query``."""
    environment = os.environ | {"NODE_PATH": str(INSTALLED / "node_modules")}
    return [Joined(**one) for one in _run(["node", str(SOURCES / "calculations.cjs")], replies, environment)]


def widen(replies: Sequence[Any]) -> list[Wide]:
    """Return what an alert rule sees of each reply of ``/rows``: "time series", made by Grafana's server."""
    return [Wide(**one) for one in _run([str(INSTALLED / "long_to_wide")], replies, dict(os.environ))]


def _run(command: list[str], replies: Sequence[Any], environment: dict[str, str]) -> Any:
    text = json.dumps(replies)
    result = subprocess.run(
        command, input=text, env=environment, capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
