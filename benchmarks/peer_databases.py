"""The databases that are compared with: how each is started, loaded, and asked for a panel."""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import numpy as np
import psutil
from harness import connected, free_ports, is_listening, request, running, wait_until
from samples import Wave

from sisock.commands.site import Program

BATCH = 200_000
QUIET_PERCENT = 5.0
SETTLE_DEADLINE_S = 120.0
LOAD_TIMEOUT_S = 120.0
ByBucket = dict[int, float]


@dataclass(frozen=True)
class Panel:
    """A panel: a span, and the width of the buckets that it is drawn on."""

    start: float
    end: float
    width_ms: int


class Database(ABC):
    """A database that runs; it keeps each series under a name."""

    program: ClassVar[str]
    remembers: ClassVar[bool]  # whether it keeps answers

    def __init__(self, connection: HTTPConnection, process: subprocess.Popen[bytes]) -> None:
        self._connection = connection
        self._process = psutil.Process(process.pid)

    @classmethod
    @contextmanager
    def running(cls, program: str, folder: Path) -> Iterator[Database]:
        """Start it on free ports of the loopback, with its data in a folder."""
        ports = free_ports(2)
        home = folder / cls.__name__
        home.mkdir()
        log = (home / "log").open("wb")
        # Through a shell, so that what it prints goes to a file: it is long, and of no interest unless it fails.
        command = ("/bin/sh", "-c", f'exec "$@" > {log.name} 2>&1', "sh", program, *cls.arguments(home, ports))
        with log, running(Program(cls.program, command, home)) as process:
            wait_until(partial(is_listening, ports[0]), f"{cls.program} listens")
            with connected(ports[0], LOAD_TIMEOUT_S) as connection:
                yield cls(connection, process)

    @classmethod
    @abstractmethod
    def arguments(cls, home: Path, ports: list[int]) -> list[str]:
        """Return the command line behind the program; the first port is for HTTP."""

    @abstractmethod
    def load(self, name: str, wave: Wave) -> None:
        """Store the samples."""

    @abstractmethod
    def draw(self, name: str, panel: Panel) -> float:
        """Draw the panel; return the seconds that it took."""

    @abstractmethod
    def extremes(self, name: str, panel: Panel) -> tuple[ByBucket, ByBucket]:
        """Return the lowest and the highest value of each bucket."""

    def settle(self) -> None:
        """Wait until it no longer works on what it was given."""
        self._process.cpu_percent()
        wait_until(
            lambda: self._process.cpu_percent(1.0) < QUIET_PERCENT, f"{self.program} is quiet", SETTLE_DEADLINE_S
        )

    def _ask(self, path: str, **parameters: Any) -> tuple[float, Any]:
        took_s, body = request(self._connection, "GET", f"{path}?{urlencode(parameters)}")
        return took_s, body


class InfluxDB(Database):
    """InfluxDB 1.x, asked with InfluxQL; one query has both aggregates."""

    program = "influxd"
    remembers = False

    @classmethod
    def arguments(cls, home: Path, ports: list[int]) -> list[str]:
        """Write a configuration that says where; all else is the default."""
        http, rpc = ports
        lines = [
            "reporting-disabled = true",
            f'bind-address = "127.0.0.1:{rpc}"',
            *("[meta]", f'dir = "{home}/meta"'),
            *("[data]", f'dir = "{home}/data"', f'wal-dir = "{home}/wal"'),
            *("[http]", f'bind-address = "127.0.0.1:{http}"'),
        ]
        (home / "influxdb.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return ["run", "-config", str(home / "influxdb.conf")]

    def load(self, name: str, wave: Wave) -> None:
        """Write lines, many at a time."""
        request(self._connection, "POST", f"/query?q={quote('CREATE DATABASE bench')}", b"-")
        for low in range(0, wave.times.size, BATCH):
            times_ms = np.round(wave.times[low : low + BATCH] * 1e3).astype(np.int64).tolist()
            values = wave.values[low : low + BATCH].tolist()
            lines = [f"{name} v={value!r} {time}" for value, time in zip(values, times_ms, strict=True)]
            request(self._connection, "POST", "/write?db=bench&precision=ms", "\n".join(lines).encode())

    def draw(self, name: str, panel: Panel) -> float:
        """Ask for both aggregates at once."""
        return self._query(name, panel)[0]

    def extremes(self, name: str, panel: Panel) -> tuple[ByBucket, ByBucket]:
        """Read the rows, of which each bucket of the span has one."""
        (series,) = json.loads(self._query(name, panel)[1])["results"][0]["series"]
        rows = [(time // panel.width_ms, low, high) for time, low, high in series["values"] if low is not None]
        return {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows}

    def _query(self, name: str, panel: Panel) -> tuple[float, Any]:
        start, end = (round(edge * 1e3) for edge in (panel.start, panel.end))
        where = f"time >= {start}ms AND time < {end}ms"
        text = f'SELECT min("v"), max("v") FROM "{name}" WHERE {where} GROUP BY time({panel.width_ms}ms)'
        return self._ask("/query", db="bench", epoch="ms", q=text)


class VictoriaMetrics(Database):
    """VictoriaMetrics, asked with MetricsQL; each aggregate is a query of its own, and one alone is timed."""

    program = "victoria-metrics"
    remembers = True

    @classmethod
    def arguments(cls, home: Path, ports: list[int]) -> list[str]:
        """Say where, and to keep what is older than a month."""
        return [f"-httpListenAddr=127.0.0.1:{ports[0]}", f"-storageDataPath={home}/data", "-retentionPeriod=100y"]

    def load(self, name: str, wave: Wave) -> None:
        """Import lines of JSON, and make them visible."""
        for low in range(0, wave.times.size, BATCH):
            line = {
                "metric": {"__name__": name},
                "values": wave.values[low : low + BATCH].tolist(),
                "timestamps": np.round(wave.times[low : low + BATCH] * 1e3).astype(np.int64).tolist(),
            }
            request(self._connection, "POST", "/api/v1/import", json.dumps(line).encode())
        self._ask("/internal/force_flush")

    def draw(self, name: str, panel: Panel) -> float:
        """Ask for the maxima."""
        step_ms = panel.width_ms
        return self._query(name, "max", panel.start, panel.end, step_ms)[0]

    def extremes(self, name: str, panel: Panel) -> tuple[ByBucket, ByBucket]:
        """Ask at the end of each bucket, for its windows are open at their start and closed at their end."""
        width_s = panel.width_ms / 1e3
        first, last = (int(edge * 1e3 // panel.width_ms) for edge in (panel.start, panel.end))
        by_bucket = []
        for fold in ("min", "max"):
            start, end = (((bucket + 1) * panel.width_ms - 1) / 1e3 for bucket in (first, last))
            body = self._query(name, fold, start, end, panel.width_ms, nocache=1)[1]
            (series,) = json.loads(body)["data"]["result"]
            by_bucket.append({int(time // width_s): float(value) for time, value in series["values"]})
        return by_bucket[0], by_bucket[1]

    def _query(self, name: str, fold: str, start: float, end: float, step_ms: int, **others: Any) -> tuple[float, Any]:
        text = f"{fold}_over_time({name}[{step_ms}ms])"
        return self._ask("/api/v1/query_range", query=text, start=start, end=end, step=f"{step_ms}ms", **others)


DATABASES: Mapping[str, type[Database]] = {"influxdb": InfluxDB, "victoria-metrics": VictoriaMetrics}
