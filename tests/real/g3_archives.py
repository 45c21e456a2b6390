"""Archives that OCS's own aggregator writes, days of them in seconds: a clock that is set by hand drives it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any
from unittest import mock

import numpy as np
import so3g.hk.session
from ocs.agents.aggregator import drivers

EPOCH = 1_600_000_000.0
MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0
THERMOMETER = "observatory.LSA22YE.feeds.temperatures"
DOOR = "observatory.door.feeds.state"
CHANNELS = 12


@dataclass
class Clock:
    """Stands in for the module ``time`` in the aggregator."""

    now: float = EPOCH

    def time(self) -> float:
        return self.now


@contextlib.contextmanager
def virtual_clock(start: float = EPOCH) -> Iterator[Clock]:
    """Give the aggregator's classes a clock that stands still."""
    clock = Clock(start)
    with mock.patch.object(drivers, "time", clock), mock.patch.object(so3g.hk.session, "time", clock):
        yield clock


@dataclass
class Site:
    """An aggregator and what agents send it."""

    folder: Path
    clock: Clock
    file_s: float = HOUR
    sessions: dict[str, str] = field(default_factory=dict)
    queue: Queue[Any] = field(default_factory=Queue)

    def __post_init__(self) -> None:
        self.aggregator = self._start()

    def publish(self, address: str, block: str, times: np.ndarray, data: dict[str, list[Any]]) -> None:
        """Send one message of a feed."""
        message = {block: {"block_name": block, "timestamps": times.tolist(), "data": data}}
        feed = {"address": address, "session_id": self.sessions.setdefault(address, "1"), "agg_params": {}}
        self.queue.put((message, feed))

    def run(self, now: float) -> None:
        """Let the aggregator work at a time, as it does each second."""
        self.clock.now = now
        self.aggregator.run()

    def restart_agent(self, address: str) -> None:
        """Give an agent a new session, which makes it another provider of the same name."""
        self.sessions[address] = f"{self.sessions[address]}+"

    def restart_aggregator(self) -> None:
        self.aggregator.close()
        self.clock.now += 1.0
        self.aggregator = self._start()

    def close(self) -> None:
        self.aggregator.close()

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*.g3"))

    def _start(self) -> drivers.Aggregator:
        return drivers.Aggregator(self.queue, self.file_s, str(self.folder))


def write_days(folder: Path, days: float = 3.0, start: float = EPOCH) -> list[Path]:
    """Write an archive of two agents: numbers, texts and truths, NaN, a gap of 3 h, restarts; return its files.

    After the aggregator's restart a field that was of whole numbers has fractions, and texts are longer.
    """
    with virtual_clock(start) as clock:
        site = Site(folder, clock)
        half = start + days * DAY / 2
        gap = (start + days * DAY / 4, start + days * DAY / 4 + 3 * HOUR)
        for minute in range(int(days * DAY / MINUTE)):
            now = start + (minute + 1) * MINUTE
            if not gap[0] <= now < gap[1]:
                publish_minute(site, now - MINUTE, later=now > half)
            if now == half:
                site.run(now)
                site.restart_aggregator()
            elif minute % 1000 == 500:
                site.restart_agent(THERMOMETER)
            site.run(now)
        site.close()
        return site.files()


def publish_minute(site: Site, start: float, *, later: bool = False) -> None:
    """Publish what the agents measure in a minute."""
    times = start + np.arange(60.0) + 0.25
    waves = {f"Channel_{n:02d}_T": (n + np.sin(times / 700 + n)) for n in range(1, CHANNELS + 1)}
    waves["Channel_03_T"][::17] = math.nan
    site.publish(THERMOMETER, "temps", times, {name: wave.tolist() for name, wave in waves.items()})
    slow = start + np.arange(0.0, 60.0, 20.0)
    scale = 1.7 if later else 1
    count = [int(t) % 1000 * scale for t in slow]
    site.publish(THERMOMETER, "heater", slow, {"power": count, "range": [n for n, _ in enumerate(slow)]})
    # A field that stands in two blocks of a provider, at times that lie between one another.
    site.publish(THERMOMETER, "heater_fast", slow + 10.0, {"power": count})
    words = ["open" if int(t / 600) % 2 else "closed" + ", but not locked" * later for t in slow]
    site.publish(DOOR, "state", slow, {"state": words, "open": [word == "open" for word in words]})
