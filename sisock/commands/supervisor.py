"""Runs the programs of a site, each in its own process, and starts again what dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable

from sisock.commands.site import Program
from sisock.system import STOP_SIGNALS, dying_with

# What our programs end with when something must be changed before they can run.
CONFIGURATION_EXIT = 2
# A program that ends at once is started ever later, so that it does not fill the log.
FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
# After so long its next start is not held back by earlier failures: what ended it is new.
HEALTHY_AFTER_S = 10.0
# More than the 5 s that the router itself gives Crossbar's workers to stop.
STOP_TIMEOUT_S = 6.0
_AWAITED = {*STOP_SIGNALS, signal.SIGCHLD}


class Child:
    """One program: its process, and when it may be started again."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.start_at = 0.0
        self.delay_s = FIRST_DELAY_S
        self.starts = 0

    def start(self, now: float) -> None:
        """Start the program in a session of its own, so that a Ctrl-C in the terminal reaches only the supervisor."""
        end_with_parent = dying_with(os.getpid())

        def prepare() -> None:
            # The supervisor blocks these signals, and a child inherits that.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
            end_with_parent()

        self.process = subprocess.Popen(  # noqa: S603 - the command line is ours
            self.program.arguments,
            cwd=self.program.folder,
            env={**os.environ, **self.program.environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - the supervisor has one thread
        )
        self.started_at = now
        self.starts += 1

    def ended(self, now: float) -> int | None:
        """Return the exit code of a process that has just ended, and plan its next start; None otherwise."""
        code = self.process.poll() if self.process else None
        if code is not None:
            self.end_descendants()
            self.process = None
            self.delay_s = FIRST_DELAY_S if now - self.started_at > HEALTHY_AFTER_S else self.delay_s
            self.start_at = now + self.delay_s
            self.delay_s = min(self.delay_s * 2, LONGEST_DELAY_S)
        return code

    def end_descendants(self) -> None:
        """Kill what the process may have started itself, and left behind in its session."""
        if self.process:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


class Supervisor:
    """Keeps programs running until a signal says stop.

    Parameters
    ----------
    programs
        Started in this order, stopped in the reverse one.
    tell
        Takes each line for the user.
    """

    def __init__(self, programs: Iterable[Program], tell: Callable[[str], None]) -> None:
        self._children = [Child(program) for program in programs]
        self._tell = tell

    def run(self, tick: Callable[[float], bool]) -> int:
        """Run until SIGINT, SIGTERM or SIGHUP; return the exit code for the whole.

        Parameters
        ----------
        tick
            Called several times a second, with the seconds since the start, until it returns False.
        """
        # Blocked, a signal waits for sigtimedwait; a handler could miss one just before the wait begins.
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        began = time.monotonic()
        ticking = True
        try:
            while True:
                code = self._start_and_reap(time.monotonic())
                if code is not None:
                    return code
                ticking = ticking and tick(time.monotonic() - began)
                # SIGCHLD is awaited too, so that a program that ends is seen at once.
                info = signal.sigtimedwait(_AWAITED, 0.2)
                if info is not None and info.si_signo in STOP_SIGNALS:
                    self._tell("stopping")
                    return 0
        finally:
            self._stop_all()

    def _start_and_reap(self, now: float) -> int | None:
        """Start what should run; return an exit code when a program says that it can never run as things are."""
        for child in self._children:
            code = child.ended(now)
            if code is not None:
                # What must be changed before it can run will not change by itself.
                if code == CONFIGURATION_EXIT and child.starts == 1:
                    return code
                self._tell(f"{child.program.name} ended ({_in_words(code)}); starting it again")
            if child.process is None and now >= child.start_at:
                child.start(now)
        return None

    def _stop_all(self) -> None:
        running = [(child, child.process) for child in reversed(self._children) if child.process]
        for _, process in running:
            # A stopped process would not see the next one.
            process.send_signal(signal.SIGCONT)
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        # All were asked at once, so the deadline is one for all.
        for child, process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.05))
            child.end_descendants()
            process.wait()


def _in_words(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
