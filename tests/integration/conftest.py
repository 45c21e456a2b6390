"""A real router for the tests: started as its users start it, on free ports, with a state directory of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sisock.settings import Settings, variables

from integration import ports
from integration.previous import unpacked

PROGRAM = """
import sys
from sisock.core.errors import SisockError
from sisock.settings import Settings
from sisock.wamp import router
try:
    sys.exit(router.run_router(Settings.from_environment()))
except SisockError as error:
    sys.exit(f"router: {error}")
"""
DEADLINE_S = 60.0


def wait(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until the condition holds; fail with what was waited for."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.02)


class RunningRouter:
    """A router process with its settings; what it prints is in `output`."""

    def __init__(self, settings: Settings, output_path: Path) -> None:
        self.settings = settings
        self.output_path = output_path
        self.process: subprocess.Popen[bytes] | None = None
        self.started: list[psutil.Process] = []

    @property
    def output(self) -> str:
        return self.output_path.read_text(encoding="utf-8")

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it to be ready."""
        names = {entry.metadata["variable"] for entry in dataclasses.fields(Settings)}
        inherited = {name: value for name, value in os.environ.items() if name not in names}
        with self.output_path.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM],
                env=inherited | {"PYTHONPATH": os.pathsep.join(sys.path)} | variables(self.settings),
                stdout=output,
                stderr=output,
                cwd=self.output_path.parent,
            )
        return self.process

    def start(self) -> RunningRouter:
        """Start the process and wait until it says that it is ready."""
        process = self.launch()
        wait(lambda: "listening on" in self.output or process.poll() is not None, "the router is ready")
        assert process.poll() is None, self.output
        self.started = self.crossbar()
        return self

    def crossbar(self) -> list[psutil.Process]:
        """Return Crossbar's processes: the controller, then its workers."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def is_listening(self) -> bool:
        """Tell whether somebody takes connections on the secure port."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.settings.tls_port)) == 0

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop the router as Ctrl-C does; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        """Kill the router's own process only, and wait until its ports are closed."""
        self.process.kill()
        self.process.wait()
        wait(lambda: not self.is_listening(), "Crossbar has ended after its parent")

    def end(self) -> None:
        """Stop what still runs, whatever a failed test has left."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        for process in self.started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def restart(self) -> RunningRouter:
        """Stop the router if it runs, and start it again on the same ports with the same state."""
        if self.process.poll() is None:
            self.stop()
        return self.start()


@contextlib.contextmanager
def running_routers(folder: Path) -> Iterator[Callable[..., RunningRouter]]:
    """Give a function that starts routers with settings of one's choice; stop all of them at the end."""
    routers: list[RunningRouter] = []

    def start(**changes: object) -> RunningRouter:
        state = folder / f"router{len(routers)}" / "state"
        state.parent.mkdir()
        settings = Settings(state=state, tls_port=ports.free_port(), ocs_port=ports.free_port()).replace(**changes)
        routers.append(RunningRouter(settings, state.with_name("router.out")))
        return routers[-1].start()

    try:
        yield start
    finally:
        for running in routers:
            running.end()


@pytest.fixture(scope="session")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRouter]:
    """One router for all tests that neither stop it nor need other settings."""
    with running_routers(tmp_path_factory.mktemp("routers")) as start:
        yield start()


@pytest.fixture
def start_router(tmp_path: Path) -> Iterator[Callable[..., RunningRouter]]:
    """Return a function that starts a router with the given settings; all are stopped after the test."""
    with running_routers(tmp_path) as start:
        yield start


@pytest.fixture(scope="session")
def routers_in() -> Callable[[Path], contextlib.AbstractContextManager[Callable[..., RunningRouter]]]:
    """Return the context manager that `start_router` uses, for fixtures of a wider scope."""
    return running_routers


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Return a function that polls until a condition holds: `wait_until(condition, "what is waited for")`."""
    return wait


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return a function that finds a port of the loopback that no program has."""
    return ports.free_port


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what PYTHONPATH must be for the package of the commit before, ``old``, and for today's, ``new``."""
    return unpacked(tmp_path_factory.mktemp("previous"))
