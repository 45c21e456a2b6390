"""A data node that lost its router for good ends its process, so that whoever supervises it can start it again."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import ReactorNotRunning

from sisock.wamp.connection import RECONNECTS

STANDARD_ERROR = 2
GRACE_S = 10.0  # how long an unknown runner has for a reconnect of its own


class Lifeline:
    """Follows the sessions of this process, and ends it when none will come back.

    It is shared by all sessions of a process: a runner that reconnects makes a new session each time.
    """

    def __init__(self) -> None:
        self._joined = 0
        self._stopping = False
        self._watching = False
        self._ending = False

    def session_opened(self) -> None:
        """Say that a session has a connection."""
        self._joined += 1
        if not self._watching:
            self._watching = True
            reactor.addSystemEventTrigger("before", "shutdown", self._stop)

    def session_closed(self, name: str | None, reason: str, config: Any) -> None:
        """Say that a session lost its connection; end the process unless another session is to be expected."""
        self._joined -= 1
        if self._stopping:
            return
        message = f"data node '{name}': the connection to the router is gone ({reason}); the process ends"
        runner = getattr(config, "runner", None)
        if (getattr(config, "extra", None) or {}).get(RECONNECTS) or getattr(runner, "_client_service", None):
            return
        if runner is not None:
            self._end(message)
        else:
            reactor.callLater(GRACE_S, self._end_if_alone, message)
            # A subclass may stop the reactor by itself, as the original's did; that is no success either.
            reactor.addSystemEventTrigger("before", "shutdown", self._end_if_alone, message)

    def _stop(self) -> None:
        self._stopping = self._joined > 0

    def _end_if_alone(self, message: str) -> None:
        if self._joined <= 0:
            self._end(message)

    def _end(self, message: str) -> None:
        if self._ending:
            return
        self._ending = True
        # Not sys.stderr: once a runner has started its log, that is a part of the log, and perhaps never written.
        os.write(STANDARD_ERROR, f"{message}\n".encode())
        reactor.addSystemEventTrigger("after", "shutdown", _exit_with_failure)
        with contextlib.suppress(ReactorNotRunning):  # the server is stopping it
            reactor.stop()


def _exit_with_failure() -> None:
    # A script that calls ApplicationRunner.run() goes on after it as if all were well, so nothing but this tells.
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    os._exit(1)


LIFELINE = Lifeline()
