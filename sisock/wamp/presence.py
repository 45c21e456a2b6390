"""The presence of a data node on the network: with the router and the hub, again and again, or its process ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from autobahn.twisted.wamp import ApplicationSession
from autobahn.wamp.exception import ApplicationError, TransportLost
from twisted.internet import reactor, task
from twisted.internet.defer import TimeoutError as DeadlinePassed
from twisted.internet.defer import inlineCallbacks
from twisted.internet.error import ReactorNotRunning

from sisock.core.wire.info import uri
from sisock.wamp.connection import RECONNECTS

RETRY_S = 0.5
# The hub forgets when it restarts; so often is it told again.
GREETING_INTERVAL_S = 2.0
STANDARD_ERROR = 2
# How long an unknown runner has for a reconnect of its own.
GRACE_S = 10.0


class Presence:
    """Keeps one session's procedures registered and its name in the hub's list, for as long as the session lasts."""

    def __init__(self, session: ApplicationSession, name: str, description: str | None, session_id: int) -> None:
        self._session = session
        self._name = name
        self._description = description
        self._session_id = session_id
        self._state: str | None = None
        self._accepted = False
        self._next: Any = None

    @inlineCallbacks
    def register(self, procedures: Mapping[str, Callable[..., Any]]) -> Any:
        """Register procedures by URI; a name that a dying session still holds is tried again until it is free."""
        for address, function in procedures.items():
            while self._session.is_attached():
                try:
                    yield self._session.register(function, address)
                    break
                except ApplicationError as error:
                    held = error.error == ApplicationError.PROCEDURE_ALREADY_EXISTS
                    refused = self._held() if held else f"{address}: {error.error_message()}"
                    self._tell(f"the router refuses {refused}; trying again")
                    yield task.deferLater(reactor, RETRY_S)

    @inlineCallbacks
    def announce(self) -> Any:
        """Add the node to the hub, and keep doing so; return after the first attempt."""
        yield self._greet()
        if self._session.is_attached():
            delay_s = GREETING_INTERVAL_S if self._accepted else RETRY_S
            self._next = reactor.callLater(delay_s, self.announce)

    def stop(self) -> None:
        """Stop greeting the hub."""
        if self._next is not None and self._next.active():
            self._next.cancel()

    @inlineCallbacks
    def _greet(self) -> Any:
        self._accepted = False
        try:
            self._accepted = yield self._session.call(
                uri("data_node.add"), self._name, self._description, self._session_id
            ).addTimeout(GREETING_INTERVAL_S * 2, reactor)
        except ApplicationError as error:
            waiting = error.error == ApplicationError.NO_SUCH_PROCEDURE
            self._tell("waiting for the hub" if waiting else f"the hub refuses: {error.error_message()}")
        except (TransportLost, DeadlinePassed) as error:
            self._tell(f"the hub does not answer: {str(error) or type(error).__name__}")
        else:
            self._tell("in the hub's list" if self._accepted else f"the hub refuses {self._held()}; trying again")

    def _held(self) -> str:
        """Return in words that another session holds the name, and what to do; it may just have died."""
        return (
            f"the name '{self._name}': a data node of that name is online already, or was a moment ago; "
            "stop that one, or give this one another name, as with 'sisock node … --name NAME'"
        )

    def _tell(self, state: str) -> None:
        """Log a state once, when it changes; what a call says of a session that has just ended is no state."""
        if state != self._state and self._session.is_attached():
            self._state = state
            self._session.log.info("data node '{name}': {state}", name=self._name, state=state)


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
        # With sessions online this is an orderly end; without any, the server may have stopped over their loss.
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
        # The server is stopping it.
        with contextlib.suppress(ReactorNotRunning):
            reactor.stop()


def _exit_with_failure() -> None:
    # A script that calls ApplicationRunner.run() goes on after it as if all were well, so nothing but this tells.
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    os._exit(1)


LIFELINE = Lifeline()
