"""How far a buffer has come, and what keeps its samples beyond the end of the process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sisock.core.model import Times, Values


class Position(NamedTuple):
    """How far a buffer has come.

    Parameters
    ----------
    stop
        How many samples it has taken: the absolute index of the next.
    newest
        The time of the newest sample, UNIX seconds; -inf when there is none.
    floor
        What is older is not taken any more, UNIX seconds.
    dropped
        Whether any sample was dropped for its age.
    revision
        How often what was final has changed.
    """

    stop: int = 0
    newest: float = -math.inf
    floor: float = -math.inf
    dropped: bool = False
    revision: int = 0


class WriteAheadLog(Protocol):
    """Keeps what a buffer takes. It is told before any reader can see it, and raises nothing.

    ``generation`` is the identity of what is kept. When something cannot be kept, it has changed by the time that
    the call returns: what the buffer holds is other data from there on.
    """

    generation: str

    def extended(self, before: Position, times: Times, values: Sequence[Values]) -> None:
        """Keep a batch in ascending order, with the values of each field, that the buffer takes at a mark."""

    def resumed(self, mark: Position) -> None:
        """Keep that the samples newer than a mark's newest were dropped."""
