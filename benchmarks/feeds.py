"""The cost of taking the feeds of an agent: the processor time of its process, all of WAMP included.

``python feeds.py PORT ROWS SECONDS`` is the agent: it publishes so many rows of each field in a message.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import sisock.wamp  # noqa: F401 - before Autobahn

# isort: split
from autobahn.twisted.wamp import ApplicationRunner, ApplicationSession
from figures import Figure, at_least, at_most
from harness import HERE, Bench, RunningSite, running, running_site, wait_until
from twisted.internet import reactor, task

from sisock.client import Consumer
from sisock.commands.site import Program
from sisock.core.errors import NodeUnavailable

GROUP = "feeds"
FIELDS, RATE_HZ = 500, 10
MOST_CPU = 20.0
ADDRESS = "observatory.bench.feeds.temperatures"
ROWS = {10: "a message every second", 1: "a message for each row"}


def measure(bench: Bench) -> Iterator[Figure]:
    """Publish for some seconds, with few and with many messages."""
    with running_site(bench.folder / "feeds", {"feeds": {"kind": "ocs_feed"}}, grafana=False) as site:
        wait_until(lambda: is_listed(site), "the node is listed")
        for rows, what in ROWS.items():
            used, published, kept = take(bench.folder, site, rows, 2.0 if bench.short else 20.0)
            name = f"processor time for {FIELDS} fields at {RATE_HZ} Hz, {what}"
            yield Figure(GROUP, name, 100 * used, "% of a core", at_most(MOST_CPU))
            yield Figure(GROUP, f"of {published} rows, kept", kept, "rows", at_least(published))


def is_listed(site: RunningSite) -> bool:
    """Tell whether the hub has the node."""
    try:
        with Consumer(site.settings) as consumer:
            return bool(consumer.nodes())
    except NodeUnavailable:
        return False


def take(folder: Path, site: RunningSite, rows: int, seconds: float) -> tuple[float, int, int]:
    """Return the seconds of processor time for a second of the feed, the rows published, and how many are kept."""
    process = psutil.Process(site.processes["feeds"].pid)
    published = int(seconds * RATE_HZ / rows) * rows
    before = process.cpu_times()
    began = time.time()
    with Consumer(site.settings) as consumer, publishing(folder, site.settings.ocs_port, rows, published):
        wait_until(lambda: count(consumer, began) >= published, f"{published} rows have come")
        after = process.cpu_times()
        used_s = after.user + after.system - before.user - before.system
        return used_s * RATE_HZ / published, published, count(consumer, began)


def count(consumer: Consumer, start: float) -> int:
    """Return the rows that the node has; not asked for often, so that taking is what is measured."""
    time.sleep(0.5)
    if not consumer.fields("feeds").fields:
        return 0
    return len(consumer.get(f"feeds::{ADDRESS}.channel_000", start, start + 1e6).times)


@contextmanager
def publishing(folder: Path, port: int, rows: int, published: int) -> Iterator[None]:
    """Run the agent."""
    command = (sys.executable, str(HERE / "feeds.py"), str(port), str(rows), str(published))
    with running(Program("agent", command, folder)):
        yield


class Agent(ApplicationSession):  # type: ignore[misc]  # Autobahn has no types
    """Publishes rows of numbers, at their times, until there were enough."""

    def onJoin(self, details: Any) -> None:  # noqa: N802 - Autobahn's name
        """Publish at the pace of the feed."""
        self.published = 0
        self.loop = task.LoopingCall(self.send)
        self.loop.start(self.config.extra["rows"] / RATE_HZ)

    def send(self) -> None:
        """Publish one message."""
        rows, most = self.config.extra["rows"], self.config.extra["published"]
        if self.published >= most:
            self.loop.stop()
            return
        now = time.time()
        times = [now + number / RATE_HZ for number in range(rows)]
        data = {f"channel_{n:03}": [n + 0.1 * row for row in range(rows)] for n in range(FIELDS)}
        block = {"block_name": "temps", "timestamps": times, "data": data, "influxdb_tags": None}
        feed = {"record": True, "agent_class": "Bench", "session_id": "1", "address": ADDRESS}
        self.publish(ADDRESS, [{"temps": block}, feed])
        self.published += rows


if __name__ == "__main__":
    port, rows, published = map(int, sys.argv[1:])
    extra = {"rows": rows, "published": published}
    ApplicationRunner(f"ws://127.0.0.1:{port}/ws", "test_realm", extra).run(Agent, start_reactor=False)
    reactor.run()
