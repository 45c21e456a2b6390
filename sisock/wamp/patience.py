"""How long is looked for what would be good to know, when all else of a reply is there."""

from __future__ import annotations

import time
from collections.abc import Callable

from sisock.core.edge_reading import GROWTH

PATIENCE_S = 0.5


class Patience:
    """Lasts for looks of which each may take twice as long as the one before."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.monotonic
        self._began = self._looked = self._clock()

    def lasts(self) -> bool:
        """Tell whether there is time for one more look; to be asked before each of them."""
        now = self._clock()
        took_s, self._looked = now - self._looked, now
        return now - self._began + GROWTH * took_s < PATIENCE_S
