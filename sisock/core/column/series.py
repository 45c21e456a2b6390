"""The samples of a field as they can be read and reduced, whether they are one column or several joined."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from sisock.core.model import Statement
from sisock.core.reduce.reducers import Samples


class ReducibleSeries(Protocol):
    """The samples of one field, in order of time, which never change for who holds it."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of every value."""
        ...

    @property
    def statement(self) -> Statement:
        """The statement about the samples."""
        ...

    def within(self, start: float, end: float) -> Samples:
        """Return the samples inside [start, end), UNIX seconds, as views where possible."""
        ...

    def newest(self, start: float, end: float) -> Samples:
        """Return the last sample inside [start, end), UNIX seconds, or none."""
        ...

    def following(self, start: float, until: float, end: float, most: int) -> Samples:
        """Return the first samples inside [start, end): those before ``until`` and the next one, ``most`` at most.

        Parameters
        ----------
        start, until, end
            UNIX seconds.
        """
        ...

    def reduced(self, start: float, end: float, reducer: str, stride: float) -> Samples:
        """Return what a reducer keeps of each bucket of [start, end), without the newest sample for its own sake.

        Parameters
        ----------
        start, end, stride
            UNIX seconds, and seconds.
        reducer
            A key of :data:`sisock.core.reduce.reducers.REDUCERS`.
        """
        ...
