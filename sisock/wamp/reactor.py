"""The event loop: its delays, which no step of the wall clock touches, and one for programs that have none."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from twisted.internet import threads
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorAlreadyRunning, ReactorNotRestartable
from twisted.python import threadable

from sisock.core.errors import SisockError

STOP_S = 3.0
FORKED = (
    "this process was forked from one that had an event loop (Twisted's reactor) already, and cannot use that: ask in "
    "the new processes only, or start them anew with multiprocessing.set_start_method('spawn')"
)
IN_LOOP = (
    "a Consumer waits for its answers, and here that would stop the event loop which brings them: use it in another "
    "thread, as with twisted.internet.threads.deferToThread"
)


def keep_steady(reactor: Any) -> None:
    """Let a reactor measure delays by a clock that never steps, from what its clock shows now.

    It still shows UNIX time, as it would if nobody had set the clock since. What is due already stays due in as many
    seconds. To be called in the reactor's thread, or before it runs; a second call changes nothing.
    """
    ahead_s: float = reactor.seconds() - monotonic()

    def seconds() -> float:
        return monotonic() + ahead_s

    reactor.seconds = seconds
    for call in reactor.getDelayedCalls():
        # When it is put off, from now on, it is by the same clock.
        call.seconds = seconds


class Loop:
    """Twisted's reactor: that of the program when it runs one, or else one that is run in a thread, once a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inherited = False
        self._thread: threading.Thread | None = None
        os.register_at_fork(after_in_child=self._forked)

    @property
    def inherited(self) -> bool:
        """Tell whether the reactor in this process is that of the process that it was forked from."""
        return self._inherited

    def start(self) -> Any:
        """Return the reactor, running; SisockError where it cannot be used from here."""
        if self._inherited:
            raise SisockError(FORKED)
        from twisted.internet import reactor

        with self._lock:
            if not reactor.running:
                self._run(reactor)
        if threadable.isInIOThread():
            raise SisockError(IN_LOOP)
        return reactor

    def call(self, function: Callable[[], Deferred[Any]]) -> Any:
        """Call a function in the loop, and wait for its result."""
        return threads.blockingCallFromThread(self.start(), function)

    def later(self, function: Callable[[Any], Any]) -> None:
        """Let a function be called with the reactor in the loop, if that still runs, without waiting."""
        reactor = sys.modules.get("twisted.internet.reactor")
        if reactor is not None and not self._inherited:
            reactor.callFromThread(function, reactor)

    def _run(self, reactor: Any) -> None:
        # One that runs already is not ours.
        keep_steady(reactor)
        running = threading.Event()
        reactor.callWhenRunning(running.set)

        def run() -> None:
            # Told by the loop below.
            with contextlib.suppress(ReactorAlreadyRunning, ReactorNotRestartable, RuntimeError):
                reactor.run(installSignalHandlers=False)

        # A daemon, because Python waits for all other threads before it calls _stop, which ends this one.
        thread = threading.Thread(target=run, name="sisock reactor", daemon=True)
        thread.start()
        while not running.wait(0.05):
            if not thread.is_alive():
                raise SisockError(
                    "Twisted's reactor cannot run here: it was stopped before, or another event loop holds it; "
                    "use sisock in a process of its own"
                )
        self._thread = thread
        atexit.register(self._stop, reactor)

    def _stop(self, reactor: Any) -> None:
        """End the loop with the program, after all that ends with it."""
        if self._inherited or self._thread is None or not reactor.running:
            return
        reactor.callFromThread(reactor.stop)
        self._thread.join(STOP_S)

    def _forked(self) -> None:
        self._inherited = self._inherited or "twisted.internet.reactor" in sys.modules
        # Another thread may have held it.
        self._lock = threading.Lock()


LOOP = Loop()
