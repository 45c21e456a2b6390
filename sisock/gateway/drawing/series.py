"""What is asked of the gateway, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sisock.core.model import Field, FieldType, Times, Values

SEPARATOR = "::"
MERGE = "+"  # no node has it in its name


@dataclass(frozen=True)
class SeriesWanted:
    """One field of one node; or one quantity of several nodes, ``archive+live``, as a single series."""

    node: str
    field: str

    @property
    def target(self) -> str:
        """Return the name that panels use, ``node::field``."""
        return f"{self.node}{SEPARATOR}{self.field}"

    @property
    def parts(self) -> tuple[SeriesWanted, ...]:
        """Return what is asked of single nodes: itself, or each part of a merged series."""
        if MERGE not in self.node:
            return (self,)
        return tuple(SeriesWanted(node, self.field) for node in self.node.split(MERGE))


def _no_times() -> Times:
    return np.empty(0)


@dataclass(frozen=True)
class Series:
    """The samples of one field that may be drawn, and what must be said about them.

    Parameters
    ----------
    wanted
        What was asked for.
    times, values
        Shape (n,): UNIX seconds ascending, and float64, int64, bool, or object with None for a break of the line
        (NaN for numbers).
    type, units, interval_s
        Of the field; ``interval_s`` is None when aperiodic or unknown.
    bucket_s
        Width of the buckets that were reduced; None when every sample is here.
    finalized_until
        No sample before this time will change any more; +inf when none ever will, -inf when nothing is promised.
    before
        Time of the last sample before the window, UNIX seconds; None where it is not known.
    held
        Whether that sample's value is the first one here, at the window's start.
    problem
        What is missing, why, and since when, in words; None when all came. There may be samples all the same.
    notices
        What else a viewer should know, in words.
    """

    wanted: SeriesWanted
    times: Times = field(default_factory=_no_times)
    values: Values = field(default_factory=_no_times)
    type: FieldType = "number"
    units: str | None = None
    interval_s: float | None = None
    bucket_s: float | None = None
    finalized_until: float = math.inf
    before: float | None = None
    held: bool = False
    problem: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def newest(self) -> float | None:
        """Time of the newest sample in the window, UNIX seconds; None when there is none."""
        return float(self.times[-1]) if self.times.size > self.held else None

    @classmethod
    def missing(cls, wanted: SeriesWanted, problem: str, described: Field | None = None) -> Series:
        """Return a series without samples and the reason for that."""
        if described is None:
            return cls(wanted, problem=problem)
        return cls(wanted, type=described.type, units=described.units, problem=problem)


DrawnSeries = Mapping[SeriesWanted, Series]
"""Series by what was wanted."""


@dataclass(frozen=True)
class Answer:
    """One series for each that was wanted, in that order, inside [start, end)."""

    series: tuple[Series, ...]
    start: float
    end: float
