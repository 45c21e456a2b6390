"""Calls through the router: perhaps there, perhaps not, none without a timeout; and one run for all who want it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from autobahn.wamp.exception import ApplicationError, TransportLost
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as DeadlinePassed

from sisock.core import times
from sisock.core.errors import NodeUnavailable, SisockError

__all__ = [
    "CALL_FAILURES",
    "NO_SUCH_PROCEDURE",
    "ApplicationError",
    "Caller",
    "DeadlinePassed",
    "RouterLink",
    "TransportLost",
    "in_words",
]

CALL_FAILURES = (DeadlinePassed, ApplicationError, TransportLost, SisockError)
"""What calls fail with; anything else is a mistake of ours, or a reply that broke the reading of it."""
NO_SUCH_PROCEDURE = ApplicationError.NO_SUCH_PROCEDURE


class Caller(Protocol):
    """What can call WAMP procedures: a session that is joined, or a fake."""

    def call(self, procedure: str, *arguments: Any, **keywords: Any) -> Deferred[Any]:
        """Call a procedure by its full URI."""


class RouterLink:
    """Calls through whichever session is connected now.

    Parameters
    ----------
    clock
        Twisted's IReactorTime, for whatever takes time; a step of the wall clock should not touch it.
    wall
        Returns the present, UNIX seconds, for what people are told; the clock's time unless given.
    """

    def __init__(self, caller: Caller | None, clock: Any, wall: Callable[[], float] | None = None) -> None:
        self.clock = clock
        self.wall: Callable[[], float] = wall or clock.seconds
        self._caller = caller
        self._since = self.wall()

    def connected(self, caller: Caller) -> None:
        """Use this session from now on."""
        self._caller = caller
        self._since = self.wall()

    def disconnected(self) -> None:
        """Note that the session is gone."""
        if self._caller is not None:
            self._caller = None
            self._since = self.wall()

    @property
    def outage(self) -> str | None:
        """Return in words that the router is not connected, and since when; None while it is."""
        if self._caller is not None:
            return None
        return f"the router is not connected since {times.format_iso8601(self._since)}"

    def call(self, timeout_s: float, procedure: str, *arguments: Any, **keywords: Any) -> Deferred[Any]:
        """Call a procedure; the Deferred fails with DeadlinePassed when no answer came within ``timeout_s``."""
        if self._caller is None:
            raise NodeUnavailable(self.outage)
        # The router's own timeouts work in whole seconds and leak concurrency slots.
        reply = maybeDeferred(self._caller.call, procedure, *arguments, **keywords)
        return reply.addTimeout(max(timeout_s, 0.0), self.clock)


def in_words(error: BaseException, deadline_s: float) -> str:
    """Return what happened to a call, as the rest of a sentence that starts with the node."""
    if isinstance(error, DeadlinePassed):
        return f"did not answer within {times.format_duration(deadline_s)}"
    if isinstance(error, TransportLost) or _is_closing(error):
        return "could not be asked: the connection to the router was lost; it is made again by itself"
    if isinstance(error, ApplicationError):
        return _application_error(error)
    if isinstance(error, SisockError):
        return f"was not asked or not understood: {error}"
    return f"sent something that broke the reading of it ({type(error).__name__}: {error})"


def _is_closing(error: BaseException) -> bool:
    """Tell whether a call ended because its session did, which Autobahn makes look like an answer."""
    return isinstance(error, ApplicationError) and error.error.startswith("wamp.close.")


def _application_error(error: ApplicationError) -> str:
    if error.error == NO_SUCH_PROCEDURE:
        return "is listed by the hub, but serves nothing: it has just left, or is still starting"
    if error.error == ApplicationError.CANCELED:
        return "left while it was asked"
    said = "; ".join(str(argument) for argument in error.args) or error.error
    return f"answered with an error: {said}"


class SingleFlight:
    """Starts a task when it is wanted and not under way; whoever wants it meanwhile waits for the same run.

    Someone who stops waiting (a timeout, a cancel) stops nothing: the run goes on for the others. The task must
    deal with its own failures.
    """

    def __init__(self, start: Callable[[], Deferred[Any]]) -> None:
        self._start = start
        self._waiting: list[Deferred[None]] | None = None

    def join(self) -> Deferred[None]:
        """Return a Deferred that fires when the run that is under way, or that starts now, has ended."""
        waiter: Deferred[None] = Deferred()
        if self._waiting is not None:
            self._waiting.append(waiter)
            return waiter
        self._waiting = [waiter]
        self._start().addBoth(self._ended)
        return waiter

    def _ended(self, _: Any) -> None:
        waiting, self._waiting = self._waiting or [], None
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(None)
