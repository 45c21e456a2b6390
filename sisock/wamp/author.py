"""What the author of a data node server is told in its log: each thing once, for it is wrong at every call."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from sisock.core.once import Once, kind_of, summed


class Author:
    """Logs what a server does wrong, once, and at most once an hour after that.

    It is shared by all sessions of a process: a server gets a new session each time that its connection was lost.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._once = Once()
        self._lock = threading.Lock()  # nodes are read in several threads

    def tell(self, log: Any, node: str | None, problems: Iterable[str]) -> None:
        """Log in words what was wrong with a reply; the same of several fields is one line."""
        due = [one for one in dict.fromkeys(problems) if self._is_due((node, kind_of(one)))]
        for problem in summed(due):
            log.error("data node '{name}': {problem}", name=node, problem=problem)

    def tell_failure(self, log: Any, node: str | None, what: str, error: Exception) -> None:
        """Log the exception that is being handled, with its trace; the same is what came from the same line."""
        place = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)[-1:]]
        if self._is_due((node, what, type(error), *place)):
            log.failure("data node '{name}': {what} failed", name=node, what=what)

    def _is_due(self, thing: Hashable) -> bool:
        with self._lock:
            return self._once.is_due(thing, self._clock())


AUTHOR = Author()
