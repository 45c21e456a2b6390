"""How many panels a second the adapter draws, against a plain reference on the same router and data node.

Each request is a ``POST /query`` for one series of about 1000 points out of 20,000 rows, never the same window twice.
Rounds of all sides alternate, so that what else the machine does burdens them alike. The reference serves one request
after another; "concurrent" is the same with its calls of the node side by side.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from bench_node import INTERVAL_S, SAMPLES, START_S

from sisock.core.times import format_iso8601
from sisock.settings import Settings
from sisock.site import Program, parse_site
from sisock.supervisor import die_with_parent

HERE = Path(__file__).resolve().parent
REFERENCES = ("reference", "concurrent")  # one request after another, as plain adapters do; and side by side
SIDES = ("sisock", *REFERENCES)
CLIENTS = (1, 4)
TARGET_RATIO = 5.0
TARGET_CLIENTS = 4
WINDOW_S = 2000.0  # 20,000 rows
MOST_POINTS = 1006  # buckets of 4 s for us, samples 2 s apart for the reference: both draw about 1000
FEWEST_POINTS = 950
GOLDEN = (5**0.5 - 1) / 2
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Round:
    """What one side did in one round: requests answered a second, and how long each took, seconds."""

    rate: float
    latencies_s: list[float]


# ---- one request


def make_window(number: int) -> tuple[float, float]:
    """Return the span of a request: on whole milliseconds, all over the series, and never twice the same."""
    room_s = SAMPLES * INTERVAL_S - WINDOW_S
    start = START_S + round(number * GOLDEN % 1 * room_s, 3)
    return start, start + WINDOW_S


def make_body(start: float, end: float) -> bytes:
    """Return what Grafana's Simple-JSON plugin sends."""
    query = {
        "range": {"from": format_iso8601(start), "to": format_iso8601(end)},
        "maxDataPoints": MOST_POINTS,
        "targets": [{"target": "bench::wave", "refId": "A", "type": "timeserie"}],
    }
    return json.dumps(query).encode()


def find_fault(status: int, body: bytes, start: float, end: float) -> str | None:
    """Return in words what is wrong with an answer; None when it is right.

    Only the first and the last point are decoded, so that little of the measured time is spent on measuring.
    """
    try:
        opening, closing = body.index(b"[[") + 1, body.rindex(b"]]") + 1
        first_ms = json.loads(body[opening : body.index(b"]", opening) + 1])[1]
        last_ms = json.loads(body[body.rindex(b"[", 0, closing) : closing])[1]
    except ValueError:
        return f"status {status}, no points: {body[:200]!r}"
    points = body.count(b"],", opening, closing) + 1
    if status != http.client.OK or not FEWEST_POINTS <= points <= MOST_POINTS:
        return f"status {status}, {points} points: {body[:200]!r}"
    if not start * 1e3 <= first_ms < last_ms < end * 1e3:
        return f"points from {first_ms} to {last_ms} ms, outside [{start}, {end}) s"
    return None


def ask(connection: http.client.HTTPConnection, number: int) -> float:
    """Send a request and check the answer; return the seconds from the first byte sent to the last received."""
    start, end = make_window(number)
    request = make_body(start, end)
    began = time.perf_counter()
    connection.request("POST", "/query", request, {"Content-Type": "application/json"})
    response = connection.getresponse()
    body = response.read()
    took_s = time.perf_counter() - began
    fault = find_fault(response.status, body, start, end)
    if fault:
        raise RuntimeError(f"port {connection.port} gave a wrong answer: {fault}")
    return took_s


# ---- a round of requests


def run_round(port: int, clients: int, seconds: float, numbers: Iterator[int]) -> Round:
    """Let clients ask one after another, each over one connection that stays open, for about ``seconds``."""
    latencies_s: list[float] = []
    errors: list[Exception] = []
    began = time.perf_counter()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            while time.perf_counter() - began < seconds and not errors:
                latencies_s.append(ask(connection, next(numbers)))
        except Exception as error:  # noqa: BLE001 - raised again below, in the main thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return Round(len(latencies_s) / (time.perf_counter() - began), latencies_s)


def measure(ports: dict[str, int], seconds: float, rounds: int, numbers: Iterator[int]) -> list[dict[str, Any]]:
    """Return a row of figures for each number of clients and each side."""
    rows = []
    for clients in CLIENTS:
        done: dict[str, list[Round]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side in SIDES:
                done[side].append(run_round(ports[side], clients, seconds, numbers))
        rows += [{"clients": clients, "side": side, **summarize(done[side])} for side in SIDES]
    return rows


def summarize(rounds: list[Round]) -> dict[str, float]:
    """Return the median rate of the rounds, and the median and the 99th percentile of all their latencies."""
    cuts_s = statistics.quantiles([one for each in rounds for one in each.latencies_s], n=100, method="inclusive")
    return {
        "requests": sum(len(each.latencies_s) for each in rounds),
        "requests_per_s": statistics.median(each.rate for each in rounds),
        "p50_ms": 1e3 * cuts_s[49],
        "p99_ms": 1e3 * cuts_s[98],
    }


# ---- what is measured


@contextmanager
def running_site(folder: Path) -> Iterator[dict[str, int]]:
    """Start router, hub, data node, adapter and reference; give the port of each side when both answer."""
    names = ("tls", "ocs", *SIDES)
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    settings = Settings(
        tls_port=ports["tls"], ocs_port=ports["ocs"], port=ports["sisock"], state=folder / "state", loglevel="error"
    )
    document = {"nodes": {"bench": {"file": str(HERE / "bench_node.py")}}}
    programs = parse_site(document, folder, settings).programs
    script = str(HERE / "reference.py")
    references = [
        Program(side, (sys.executable, script, str(ports[side]), side), folder, programs[0].environment)
        for side in REFERENCES
    ]
    with ExitStack() as stack:
        for program in (*programs, *references):
            stack.enter_context(running(program))
            if program.name == "router":
                wait_until(partial(is_listening, ports["tls"]), "the router listens")
        for side in SIDES:
            wait_until(partial(answers, ports[side]), f"{side} draws the series")
        yield {side: ports[side] for side in SIDES}


@contextmanager
def running(program: Program) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own; leave nothing of it behind."""
    process = subprocess.Popen(
        program.arguments,
        cwd=program.folder,
        env={**os.environ, **program.environment},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread was started yet
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


def free_ports(number: int) -> list[int]:
    """Return ports of the loopback that no program has."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll a condition until it holds."""
    deadline = time.monotonic() + START_DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {START_DEADLINE_S:.0f} s in vain until {what}: see what is printed above")
        time.sleep(0.1)


def is_listening(port: int) -> bool:
    """Tell whether a port takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(port: int) -> bool:
    """Tell whether an adapter draws the series."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        ask(connection, 0)
    except (OSError, RuntimeError):
        return False
    finally:
        connection.close()
    return True


# ---- what is told


def make_report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures, our rate over the reference's for each number of clients, and whether the target is met."""
    rates = {(row["clients"], row["side"]): row["requests_per_s"] for row in rows}
    ratios = {
        side: {str(clients): rates[clients, "sisock"] / rates[clients, side] for clients in CLIENTS}
        for side in REFERENCES
    }
    met = ratios["reference"][str(TARGET_CLIENTS)] >= TARGET_RATIO
    return {"rows": rows, "ratios": ratios, "target_ratio": TARGET_RATIO, "met": met}


def print_report(report: dict[str, Any]) -> None:
    """Print the figures as a table."""
    print("clients  side         requests/s   p50 ms   p99 ms   sisock is")
    for row in report["rows"]:
        clients = row["clients"]
        ratio = f"{report['ratios'][row['side']][str(clients)]:.2f} x" if row["side"] in REFERENCES else ""
        figures = f"{row['requests_per_s']:11.1f} {row['p50_ms']:8.1f} {row['p99_ms']:8.1f}"
        aimed = row["side"] == "reference" and clients == TARGET_CLIENTS
        aim = f"  (target: at least {TARGET_RATIO:g} x)" if aimed else ""
        print(f"{clients:<8} {row['side']:<11} {figures}   {ratio}{aim}".rstrip())
    print(f"target {'met' if report['met'] else 'MISSED'}")


def main() -> int:
    """Measure, tell, and return 0 when the target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a round (default: 5)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the programs started here are ended
    for entry in fields(Settings):
        os.environ.pop(entry.metadata["variable"], None)
    numbers = count(1)
    with tempfile.TemporaryDirectory() as folder, running_site(Path(folder)) as ports:
        measure(ports, min(options.seconds, 1.0), 1, numbers)  # warm up
        report = make_report(measure(ports, options.seconds, options.rounds, numbers))
    print_report(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if report["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
