"""What our programs log: one line an event, on standard error."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from sisock.core.errors import ConfigurationError

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

    start_plain_logging(level)
    txaio.use_twisted()
    predicate = LogLevelFilterPredicate(LogLevel.levelWithName(LEVELS[level]))
    if level != "debug":
        for namespace in QUIET_NAMESPACES:
            predicate.setLogLevelForNamespace(namespace, LogLevel.warn)
    observer = FilteringLogObserver(FileLogObserver(sys.stderr, _line), [predicate])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    txaio.set_global_log_level(LEVELS[level])


def start_plain_logging(level: str) -> None:
    """Send what our own modules log to standard error, for programs without Twisted; errors as above."""
    if level not in LEVELS:
        raise ConfigurationError(f"LOGLEVEL is '{level}', but must be one of {', '.join(LEVELS)}")
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
    )


def _line(event: Any) -> str:
    from twisted.logger import formatEvent

    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["log_time"]))
    text = formatEvent(event).strip()
    failure = event.get("log_failure")
    trace = "\n" + failure.getTraceback().rstrip() if failure is not None else ""
    return f"{stamp} {text}{trace}\n" if text or trace else ""
