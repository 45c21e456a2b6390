"""The panels a second that the adapter draws, against a plain reference on the same router and data node.

Each request is a ``POST /query`` for one series of about 1000 points out of 20,000 rows, never the same window twice,
and the adapter keeps nothing of its answers.
Rounds of all sides alternate, so that what else the machine does burdens them alike. The reference serves one request
after another; "concurrent" is the same with its calls of the node side by side.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from bench_node import INTERVAL_S, SAMPLES, START_S
from figures import Figure, at_least
from harness import (
    HERE,
    Bench,
    bench_node,
    connected,
    free_ports,
    make_query,
    percentile,
    post,
    running_site,
    wait_until,
)

from sisock.commands.site import Program

REFERENCES = ("reference", "concurrent")  # one request after another, as plain adapters do; and side by side
SIDES = ("sisock", *REFERENCES)
CLIENTS = (1, 4)
TARGET_RATIO = 5.0
TARGET_CLIENTS = 4
WINDOW_S = 2000.0  # 20,000 rows
MOST_POINTS = 1008  # buckets of 4 s for us, samples 2 s apart for the reference: both draw about 1000
FEWEST_POINTS = 950
GOLDEN = (5**0.5 - 1) / 2
GROUP = "panels, against a plain reference"


@dataclass(frozen=True)
class Round:
    """One round of one side: requests answered a second, and how long each took, seconds."""

    rate: float
    latencies_s: list[float]


def measure(bench: Bench) -> Iterator[Figure]:
    """Let all sides draw panels, in rounds that alternate."""
    numbers = count(1)
    seconds, rounds = (0.2, 1) if bench.short else (3.0, 3)
    with both_sides(bench.folder / "panels") as ports:
        for side in SIDES:  # warm up
            run_round(ports[side], max(CLIENTS), seconds / 3, numbers)
        for clients in CLIENTS:
            done: dict[str, list[Round]] = {side: [] for side in SIDES}
            for _ in range(rounds):
                for side in SIDES:
                    done[side].append(run_round(ports[side], clients, seconds, numbers))
            yield from make_figures(clients, done)


def make_figures(clients: int, done: dict[str, list[Round]]) -> Iterator[Figure]:
    """Return what the rounds of each side with so many clients come to."""
    rates = {side: statistics.median(one.rate for one in rounds) for side, rounds in done.items()}
    who = f"{clients} client{'s' * (clients > 1)}"
    for side, rounds in done.items():
        latencies_s = [one for each in rounds for one in each.latencies_s]
        yield Figure(GROUP, f"{side}, {who}", rates[side], "/s")
        yield Figure(GROUP, f"{side}, {who}, p99", 1e3 * percentile(latencies_s, 99), "ms")
    for side in REFERENCES:
        aimed = side == "reference" and clients == TARGET_CLIENTS
        aim = at_least(TARGET_RATIO) if aimed else None
        yield Figure(GROUP, f"sisock / {side}, {who}", rates["sisock"] / rates[side], "x", aim)


# ---- one request


def make_window(number: int) -> tuple[float, float]:
    """Return the span of a request: on whole milliseconds, all over the series, and never twice the same."""
    room_s = SAMPLES * INTERVAL_S - WINDOW_S
    start = START_S + round(number * GOLDEN % 1 * room_s, 3)
    return start, start + WINDOW_S


def find_fault(body: bytes, start: float, end: float) -> str | None:
    """Return in words what is wrong with an answer; None when it is right.

    Only the first and the last point are decoded, so that little of the measured time is spent on measuring.
    """
    try:
        opening, closing = body.index(b"[[") + 1, body.rindex(b"]]") + 1
        first_ms = json.loads(body[opening : body.index(b"]", opening) + 1])[1]
        last_ms = json.loads(body[body.rindex(b"[", 0, closing) : closing])[1]
    except ValueError:
        return f"no points: {body[:200]!r}"
    points = body.count(b"],", opening, closing) + 1
    if not FEWEST_POINTS <= points <= MOST_POINTS:
        return f"{points} points: {body[:200]!r}"
    if not start * 1e3 <= first_ms < last_ms < end * 1e3:
        return f"points from {first_ms} to {last_ms} ms, outside [{start}, {end}) s"
    return None


def ask(connection: http.client.HTTPConnection, number: int) -> float:
    """Send a request and check the answer; return the seconds that it took."""
    start, end = make_window(number)
    took_s, body = post(connection, "/query", make_query(["bench::wave"], start, end, MOST_POINTS))
    fault = find_fault(body, start, end)
    if fault:
        raise RuntimeError(f"port {connection.port} gave a wrong answer: {fault}")
    return took_s


def run_round(port: int, clients: int, seconds: float, numbers: Iterator[int]) -> Round:
    """Let clients ask one after another, each over one connection that stays open, for about ``seconds``."""
    latencies_s: list[float] = []
    errors: list[Exception] = []
    began = time.perf_counter()

    def client() -> None:
        try:
            with connected(port) as connection:
                while time.perf_counter() - began < seconds and not errors:
                    latencies_s.append(ask(connection, next(numbers)))
        except Exception as error:  # noqa: BLE001 - raised again below, in the main thread
            errors.append(error)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return Round(len(latencies_s) / (time.perf_counter() - began), latencies_s)


@contextmanager
def both_sides(folder: Path) -> Iterator[dict[str, int]]:
    """Start router, hub, data node, adapter and references; give the port of each side when all answer."""
    ports = dict(zip(REFERENCES, free_ports(len(REFERENCES)), strict=True))
    script = str(HERE / "reference.py")
    references = [Program(side, (sys.executable, script, str(port), side), HERE, {}) for side, port in ports.items()]
    with running_site(folder, {"bench": bench_node("BenchNode")}, beside=references, cache_mib=0) as site:
        ports["sisock"] = site.port
        for side in SIDES:
            wait_until(partial(answers, ports[side]), f"{side} draws the series")
        yield ports


def answers(port: int) -> bool:
    """Tell whether an adapter draws the series."""
    try:
        with connected(port, timeout_s=5) as connection:
            ask(connection, 0)
    except (OSError, RuntimeError):
        return False
    return True
