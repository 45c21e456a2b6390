"""The common parts of the benchmark: programs that run, waiting for them, and asking over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from sisock.commands.site import Program, parse_site
from sisock.core.times import format_iso8601
from sisock.settings import Settings
from sisock.system import dying_with

HERE = Path(__file__).resolve().parent
START_DEADLINE_S = 120.0
STOP_DEADLINE_S = 10.0
HTTP_TIMEOUT_S = 60.0
LIVE = {"Feeds", "ManyFields"}


@dataclass(frozen=True)
class Bench:
    """A run of the benchmark: the folder of its files, and whether it is a short one, to show only that it runs."""

    folder: Path
    short: bool = False

    @property
    def samples(self) -> int:
        """The number of samples of the long series."""
        return 400_000 if self.short else 100_000_000

    @property
    def wave_folder(self) -> Path:
        """The folder of the long series."""
        return self.folder / "wave"


@dataclass(frozen=True)
class RunningSite:
    """A site that runs: where its adapter listens, what a consumer of it needs, and its processes by their names."""

    port: int
    settings: Settings
    processes: Mapping[str, subprocess.Popen[bytes]]


def site_settings(folder: Path, **others: Any) -> Settings:
    """Return settings with free ports and a state directory of their own."""
    tls_port, ocs_port, port = free_ports(3)
    return Settings(
        tls_port=tls_port, ocs_port=ocs_port, port=port, state=folder / "state", loglevel="error", **others
    )


def wave_node(folder: Path, fields: int) -> dict[str, Any]:
    """Return the entry of a site file for :class:`bench_node.WaveNode`."""
    return bench_node("WaveNode", folder=str(folder), fields=fields)


def bench_node(class_name: str, **options: Any) -> dict[str, Any]:
    """Return the entry of a site file for one of the nodes of :mod:`bench_node` or :mod:`live_nodes`."""
    file = "live_nodes.py" if class_name in LIVE else "bench_node.py"
    return {"file": f"{HERE / file}:{class_name}", **options}


@contextmanager
def running_site(
    folder: Path, nodes: Mapping[str, Any], *, grafana: bool = True, beside: Sequence[Program] = (), **others: Any
) -> Iterator[RunningSite]:
    """Start router, hub, data nodes and adapter; go on when the adapter has the fields of every node.

    Parameters
    ----------
    nodes
        As in a site file.
    beside
        Further programs, which get the environment of the site.
    others
        Settings that differ from their defaults.
    """
    settings = site_settings(folder, **others)
    programs = parse_site({"nodes": dict(nodes), "grafana": grafana}, folder, settings).programs
    beside = [replace(one, environment={**programs[0].environment, **one.environment}) for one in beside]
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with ExitStack() as stack:
        for program in (*programs, *beside):
            processes[program.name] = stack.enter_context(running(program))
            if program.name == "router":
                wait_until(partial(is_listening, settings.tls_port), "the router listens")
        if grafana:
            condition = partial(knows, settings.port, set(nodes))
            wait_until(lambda: all_run(processes) and condition(), f"the adapter knows {', '.join(nodes)}")
        yield RunningSite(settings.port, settings, processes)


def all_run(processes: Mapping[str, subprocess.Popen[bytes]]) -> bool:
    """Return True; raise RuntimeError when a program has ended."""
    ended = [name for name, process in processes.items() if process.poll() is not None]
    if ended:
        raise RuntimeError(f"{', '.join(ended)} ended at once: see what is printed above")
    return True


@contextmanager
def running(program: Program) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own; leave nothing of it behind."""
    process = subprocess.Popen(
        program.arguments,
        cwd=program.folder,
        env={**os.environ, **program.environment},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=dying_with(os.getpid()),  # noqa: PLW1509 - no thread was started yet
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def prepare_process() -> None:
    """Let a signal end what this process has started, and no setting of the shell reach the programs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for entry in fields(Settings):
        os.environ.pop(entry.metadata["variable"], None)


def free_ports(number: int) -> list[int]:
    """Return ports of the loopback that no program has."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_until(condition: Callable[[], Any], what: str, within_s: float = START_DEADLINE_S) -> None:
    """Poll a condition until it holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {within_s:.0f} s in vain until {what}: see what is printed above")
        time.sleep(0.1)


def is_listening(port: int) -> bool:
    """Tell whether a port takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def knows(port: int, nodes: set[str]) -> bool:
    """Tell whether an adapter has the fields of these nodes."""
    try:
        with connected(port, timeout_s=5) as connection:
            targets = json.loads(post(connection, "/search", {"target": ""})[1])
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return nodes <= {target.partition("::")[0] for target in targets if isinstance(target, str)}


# ---- asking


@contextmanager
def connected(port: int, timeout_s: float = HTTP_TIMEOUT_S) -> Iterator[http.client.HTTPConnection]:
    """Give a connection that stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        yield connection
    finally:
        connection.close()


def post(connection: http.client.HTTPConnection, path: str, document: Any) -> tuple[float, bytes]:
    """Send JSON; return the seconds from the first byte sent to the last received, and the body."""
    return request(connection, "POST", path, json.dumps(document).encode())


def request(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> tuple[float, bytes]:
    """Ask; return the seconds from the first byte sent to the last received, and the body.

    Raises
    ------
    RuntimeError
        With the answer, unless its status says that all is well.
    """
    began = time.perf_counter()
    connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    response = connection.getresponse()
    answer = response.read()
    took_s = time.perf_counter() - began
    if response.status not in (http.client.OK, http.client.NO_CONTENT):
        raise RuntimeError(f"{method} {path} was answered with {response.status}: {answer[:300]!r}")
    return took_s, answer


def make_query(targets: Sequence[str], start: float, end: float, points: int) -> dict[str, Any]:
    """Return what Grafana's Simple-JSON plugin sends for a panel; the span is on whole milliseconds."""
    return {
        "range": {"from": format_iso8601(start), "to": format_iso8601(end)},
        "maxDataPoints": points,
        "targets": [
            {"target": target, "refId": f"R{number}", "type": "timeserie"} for number, target in enumerate(targets)
        ],
    }


def make_body(targets: Sequence[str], points: int) -> str:
    """Return the same with ``{from}`` and ``{to}`` for the span, for :mod:`clients`."""
    query = make_query(targets, 0.0, 0.0, points) | {"range": {"from": "{from}", "to": "{to}"}}
    return json.dumps(query)


def percentile(values: Sequence[float], hundredths: int) -> float:
    """Return a percentile of the values."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[hundredths - 1]
