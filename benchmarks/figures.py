"""Figures with the targets beside them: as a table, and as JSON."""

from __future__ import annotations

import json
import math
import operator
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HOLDS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Target:
    """The target of a figure: a comparison, ``<=`` or ``>=``, and the bound."""

    comparison: str
    bound: float

    def __str__(self) -> str:
        """Return it as the table has it."""
        return f"{self.comparison} {_number(self.bound)}"

    def holds(self, value: float) -> bool:
        """Tell whether a value reaches it."""
        return bool(_HOLDS[self.comparison](value, self.bound))


def at_most(bound: float) -> Target:
    """Return the target of a figure that must not be larger."""
    return Target("<=", bound)


def at_least(bound: float) -> Target:
    """Return the target of a figure that must not be smaller."""
    return Target(">=", bound)


@dataclass(frozen=True)
class Figure:
    """Something measured, in a unit, and what it must reach; None where it is told for information."""

    group: str
    name: str
    value: float
    unit: str
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one. What is not a number meets none."""
        return None if self.target is None else self.target.holds(self.value)


_VERDICTS = {True: "met", False: "MISSED", None: ""}


def print_figures(figures: Iterable[Figure]) -> list[Figure]:
    """Print figures as they come, a line each, a group's name before its first; return them."""
    printed: list[Figure] = []
    for one in figures:
        if not printed or one.group != printed[-1].group:
            print(f"\n{one.group}")
        aim = f"{one.target} {one.unit}" if one.target else ""
        line = f"  {one.name:<60} {_number(one.value):>10} {one.unit:<8} {aim:<18} {_VERDICTS[one.met]}"
        print(line.rstrip(), flush=True)
        printed.append(one)
    return printed


def all_met(figures: Iterable[Figure]) -> bool:
    """Tell whether each figure with a target reaches it."""
    return all(one.met is not False for one in figures)


def write_json(path: Path, figures: Sequence[dict[str, Any]]) -> None:
    """Write entries of figures to a file, with the number of processors that they are from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"processors": os.cpu_count(), "figures": figures}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def entries(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """Return figures as JSON has them."""
    return [
        {
            "group": one.group,
            "name": one.name,
            "value": one.value if math.isfinite(one.value) else None,
            "unit": one.unit,
            "target": str(one.target) if one.target else None,
            "met": one.met,
        }
        for one in figures
    ]


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.3g}"
