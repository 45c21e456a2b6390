"""The router: Crossbar as a child process, with everything that it needs made at the first start."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import http.client
import importlib.metadata
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import sisock
from sisock.core.errors import ConfigurationError
from sisock.settings import Settings, variables
from sisock.system import STOP_SIGNALS, check_router_ports, dying_with
from sisock.wamp import certificate, crossbar_config
from sisock.wamp.credentials import CONSUMER, FILE_NAME, HUB, LEGACY, Credentials, make_private_directory

CONFIGURATION_NAME = "config.json"
CHECKED_NAME = "config.checked"
LOCK_NAME = "router.lock"
CROSSBAR = "import sys, crossbar; sys.exit(crossbar.run())"
START_DEADLINE_S = 60.0
# Less than the 6 s that the supervisor gives the router, so that no worker of Crossbar's is left behind.
STOP_DEADLINE_S = 5.0
POLL_INTERVAL_S = 0.02
ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - none is listened on here
# Crossbar greets with pages at "info"; one line of ours says as much.
CROSSBAR_LOGLEVELS = {"debug": "debug", "info": "error", "warn": "error", "error": "error"}


class _StopRequestedError(Exception):
    """A signal asked the router to stop."""


def run_router(settings: Settings) -> int:
    """Run the router until a signal stops it; return the exit status.

    Call it in the main thread: it handles signals, and Crossbar lives no longer than the thread that started it.

    Raises
    ------
    ConfigurationError
        When a setting, a file or a port must be changed before the router can start.
    """
    settings = settings.replace(state=settings.state.resolve())
    with _stop_signals(), contextlib.suppress(_StopRequestedError), _sole_router(settings.state):
        check_router_ports(settings)
        prepare(settings)
        with _crossbar(settings) as process:
            if not _is_ready(process, settings):
                return _failure(f"Crossbar did not start ({_ending(process)}); LOGLEVEL=debug shows why")
            _say(f"listening on {_addresses(settings)}")
            process.wait()
            return _failure(f"Crossbar ended by itself ({_ending(process)})")
    return 0


def prepare(settings: Settings) -> None:
    """Make what the router needs in its state directory: credentials, certificate, checked configuration.

    Raises
    ------
    ConfigurationError
        When a file cannot be made, read or used, or Crossbar refuses the configuration.
    """
    try:
        make_private_directory(settings.state)
        credentials = Credentials(settings.state / FILE_NAME)
        for name in (HUB, CONSUMER, *((LEGACY,) if settings.legacy else ())):
            credentials.secret(name, create=True)
        files = certificate.provide(settings)
        if files.notice:
            _say(files.notice)
        _configure(settings, crossbar_config.crossbar_configuration(settings, files))
    except OSError as error:
        raise _unwritable(settings.state, error) from None


def _configure(settings: Settings, configuration: dict[str, Any]) -> None:
    """Write the configuration; have Crossbar check it unless the same Crossbar has found it good before."""
    text = json.dumps(configuration, indent=2)
    (settings.state / CONFIGURATION_NAME).write_text(text, encoding="utf-8")
    identity = hashlib.sha256(f"{importlib.metadata.version('crossbar')} {text}".encode()).hexdigest()
    checked = settings.state / CHECKED_NAME
    if checked.exists() and checked.read_text(encoding="ascii") == identity:
        return
    result = subprocess.run(  # noqa: S603 - our own interpreter and literals
        _crossbar_command("check", settings.state),
        env=_environment(settings),
        cwd=settings.state,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        problem = (result.stdout + result.stderr).strip().splitlines()[-1:]
        raise ConfigurationError(f"Crossbar refuses the configuration of the router: {''.join(problem)}")
    checked.write_text(identity, encoding="ascii")


@contextlib.contextmanager
def _sole_router(state: Path) -> Iterator[None]:
    """Hold the state directory, so that no second router uses it."""
    try:
        make_private_directory(state)
        lock = os.open(state / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(state, error) from None
    try:
        # The kernel lets go of it when the process dies in whatever way.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # left by a router that was killed; the process that the first names may be another one by now
        for left in ("node.pid", "router.sock"):
            (state / left).unlink(missing_ok=True)
        yield
    except BlockingIOError:
        raise ConfigurationError(
            f"a router is already running with the state directory {state}: stop it, or set SISOCK_STATE to another"
        ) from None
    finally:
        os.close(lock)


@contextlib.contextmanager
def _crossbar(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Run Crossbar in a process group of its own, and leave nothing of the group behind."""
    command = _crossbar_command("start", settings.state)
    command += ["--loglevel", CROSSBAR_LOGLEVELS.get(settings.loglevel, "error")]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and literals
        command,
        env=_environment(settings),
        cwd=settings.state,
        stdin=subprocess.DEVNULL,
        # All that comes there is a stray line; errors go to standard error.
        stdout=None if settings.loglevel == "debug" else subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=dying_with(os.getpid()),  # noqa: PLW1509 - it takes no lock
    )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask Crossbar to stop its workers and itself, then kill what is left."""
    # The signal at which Crossbar stops its workers in order.
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_DEADLINE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _crossbar_command(command: str, state: Path) -> list[str]:
    # -P: neither the working directory nor a script's may hide a module
    return [sys.executable, "-P", "-c", CROSSBAR, command, "--cbdir", str(state), "--config", CONFIGURATION_NAME]


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment of Crossbar's processes: these settings, and where to find sisock."""
    # Settings at their default are not passed, and would be replaced by what this environment says of them.
    names = {entry.metadata["variable"] for entry in dataclasses.fields(Settings)}
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    package = Path(sisock.__file__).parent
    paths = [str(package / "wamp" / "without_bjdata"), str(package.parent), os.environ.get("PYTHONPATH", "")]
    return inherited | variables(settings) | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _is_ready(process: subprocess.Popen[bytes], settings: Settings) -> bool:
    """Wait until the secure port, which Crossbar opens last, takes websockets."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if _takes_websockets(settings):
            return process.poll() is None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_INTERVAL_S)
            return False
    return False


def _takes_websockets(settings: Settings) -> bool:
    address = ANY_ADDRESS.get(settings.listen, settings.listen)
    # It only asks whether the path is there yet: Crossbar adds it a moment after it has opened the port.
    context = ssl._create_unverified_context()  # noqa: S323, SLF001 - nothing is sent or believed
    connection = http.client.HTTPSConnection(address, settings.tls_port, timeout=1, context=context)
    try:
        connection.request("GET", "/ws")
        return connection.getresponse().status != http.HTTPStatus.NOT_FOUND
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def _stop_signals() -> Iterator[None]:
    """Turn the first signal to stop into _StopRequestedError, and ignore those that follow."""

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise _StopRequestedError

    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    # Under nohup it stays ignored.
    if previous[signal.SIGHUP] is signal.SIG_IGN:
        del previous[signal.SIGHUP]
    for number in previous:
        signal.signal(number, request_stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _addresses(settings: Settings) -> str:
    address = f"[{settings.listen}]" if ":" in settings.listen else settings.listen
    secure = f"wss://{address}:{settings.tls_port}/ws (TLS)"
    return secure + (f" and ws://{address}:{settings.ocs_port}/ws (OCS)" if settings.ocs_port else "")


def _ending(process: subprocess.Popen[bytes]) -> str:
    status = process.poll()
    if status is None:
        return f"not listening after {START_DEADLINE_S:.0f} s"
    return f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"


def _unwritable(state: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the state directory {state} cannot be written ({error.strerror}): make it writable for this user, or set "
        "SISOCK_STATE to another"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"router: {text}\n")
    sys.stdout.flush()


def _failure(text: str) -> int:
    sys.stderr.write(f"router: {text}\n")
    return 1
