"""The log of our programs: one line an event, on standard error."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from sisock.core.errors import ConfigurationError
from sisock.core.window.remarks import Once, join_remarks, kind_of

LEVELS = {"debug": "debug", "info": "info", "warn": "warn", "warning": "warn", "error": "error"}
# Libraries that tell at "info" what only helps to debug them.
QUIET_NAMESPACES = ("twisted", "autobahn", "log_legacy")


def start_logging(level: str) -> None:
    """Send what our programs and their libraries log to standard error.

    Raises
    ------
    ConfigurationError
        For a level that there is not.
    """
    import txaio
    from twisted.logger import (
        FileLogObserver,
        FilteringLogObserver,
        LogLevel,
        LogLevelFilterPredicate,
        globalLogBeginner,
    )

    # First, because it refuses levels that there are not.
    start_plain_logging(level)
    txaio.use_twisted()
    predicate = LogLevelFilterPredicate(LogLevel.levelWithName(LEVELS[level]))
    if level != "debug":
        for namespace in QUIET_NAMESPACES:
            predicate.setLogLevelForNamespace(namespace, LogLevel.warn)
    observer = FilteringLogObserver(FileLogObserver(sys.stderr, _line), [predicate])
    # What a server's author prints stays on standard output.
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    txaio.set_global_log_level(LEVELS[level])


def start_plain_logging(level: str) -> None:
    """Send what our own modules log to standard error, for programs without Twisted; errors as above."""
    if level not in LEVELS:
        raise ConfigurationError(f"LOGLEVEL is '{level}', but must be one of {', '.join(LEVELS)}")
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    )


class FaultLog:
    """A log of the faults of data node servers, for their authors: each once, and at most once an hour after that.

    It is shared by all sessions of a process: a server gets a new session each time that its connection was lost.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._once = Once()
        # Nodes are read in several threads.
        self._lock = threading.Lock()

    def tell(self, log: Any, node: str | None, problems: Iterable[str]) -> None:
        """Log in words what was wrong with a reply; the same of several fields is one line."""
        due = [one for one in dict.fromkeys(problems) if self._is_due((node, kind_of(one)))]
        for problem in join_remarks(due):
            log.error("data node '{name}': {problem}", name=node, problem=problem)

    def tell_failure(self, log: Any, node: str | None, what: str, error: Exception) -> None:
        """Log the exception that is being handled, with its trace; the same is what came from the same line."""
        place = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)[-1:]]
        if self._is_due((node, what, type(error), *place)):
            log.failure("data node '{name}': {what} failed", name=node, what=what)

    def _is_due(self, thing: Hashable) -> bool:
        with self._lock:
            return self._once.is_due(thing, self._clock())


def _line(event: Any) -> str:
    from twisted.logger import formatEvent

    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["log_time"]))
    text = formatEvent(event).strip()
    failure = event.get("log_failure")
    trace = "\n" + failure.getTraceback().rstrip() if failure is not None else ""
    return f"{stamp} {text}{trace}\n" if text or trace else ""
