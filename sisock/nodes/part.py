"""A part of a field: the samples of files that follow one another, as one column."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sisock.core.column import Column
from sisock.nodes.cache import Entry
from sisock.nodes.index import Stretch

MERGED_AT_ONCE = 8


class Part:
    """Stretches of a field that follow one another, as one column.

    Parameters
    ----------
    members
        The stretches, by the time of their first sample.
    dtype
        What their values are joined to.
    entry
        Where the column is kept; None when it is not.
    source
        A column that has the samples among others; None when they are read from the files.

    Attributes
    ----------
    is_loose
        Whether a file was not as the index knows it when it was read last, so that the column could not be kept.
    is_lacking
        Whether there were fewer samples than the index knows of.
    """

    def __init__(
        self,
        members: tuple[Stretch, ...],
        dtype: np.dtype[Any],
        entry: Entry | None = None,
        source: Column | None = None,
    ) -> None:
        self.members = members
        self.dtype = dtype
        self.entry = entry
        self.source = source
        self.column: Column | None = None
        self.is_loose = self.is_lacking = False
        self.oldest = members[0].oldest
        self.newest = max(one.newest for one in members)
        self.count = sum(one.count for one in members)

    @property
    def level(self) -> int:
        """How many times its files were merged, eight to one."""
        return int(math.log(len(self.members) + 0.5, MERGED_AT_ONCE))

    @property
    def samples(self) -> int | None:
        """How many samples the column has; None while that is not known."""
        if self.entry is not None:
            return int(self.entry.meta["samples"])
        if self.column is not None:
            return self.column.stop
        return self.count if len(self.members) == 1 and self.members[0].dtype == self.dtype.name else None

    @property
    def is_ready(self) -> bool:
        """Whether its files need not be read."""
        return any(one is not None for one in (self.column, self.entry, self.source))
