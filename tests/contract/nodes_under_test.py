"""The data nodes that the contract suite is run on; a new node joins by a function and a line in ``NODES``."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow.parquet import write_table
from unit.nodes.text.text_archives import day_of, pwv_rows, settle, write_pwv, write_targets

from sisock.core.model import Field, FieldType
from sisock.nodes.archive.file_archive import FileArchive
from sisock.nodes.archive.file_cache import FileCache
from sisock.nodes.archive.format import Contents, FieldSamples
from sisock.nodes.contract import DataNode
from sisock.nodes.g3.node import G3Node
from sisock.nodes.host.node import HostNode
from sisock.nodes.host.readings import Reading
from sisock.nodes.ocs.node import OcsFeedNode
from sisock.nodes.table.node import TableNode
from sisock.nodes.text.apex_weather import ApexWeatherNode
from sisock.nodes.text.radiometer import RadiometerNode
from sisock.nodes.text.weather import WeatherNode

from g3_fakes import append, data, read_frames, session, status, write

EPOCH = 1_500_000_000.0


@dataclass(frozen=True)
class NodeUnderTest:
    """A node that has some samples, and a function that makes it have more, later ones."""

    node: DataNode
    advance: Callable[[], None]


def make_host(folder: Path) -> NodeUnderTest:
    """A host with a number that is NaN at times, one that comes late, a string and a bool, polled by hand."""
    ticks = iter(range(1_000_000))

    def sample(now: float) -> dict[str, Reading]:
        tick = int(now - EPOCH)
        readings = {
            "cpu.percent": Reading(math.nan if tick % 3 == 1 else tick / 2, "%", "Busy"),
            "cpu.load_level": Reading("idle" if tick % 2 else "busy"),
            "memory.low": Reading(tick % 2 == 0),
        }
        if tick:
            readings["network.lo.sent"] = Reading(tick, "B/s")
        return readings

    node = HostNode(sample=sample)

    def advance() -> None:
        node.poll(EPOCH + next(ticks))

    for _ in range(5):
        advance()
    return NodeUnderTest(node, advance)


def make_weather(folder: Path, cache: Path | None = None) -> NodeUnderTest:
    """An archive of two growing files with NaN, a gap, a repeated time, and a third file without samples."""
    steps = iter(range(1_000_000))
    (folder / "empty.dat").write_text("# Nothing yet.\n# hourly\n# C\n# 2017-07-14\n")
    for name in ("temperature", "wind"):
        header = f"# The {name}.\n# hourly\n# C\n# 2017-07-14\n"
        rows = f"{EPOCH} 1.5\n{EPOCH + 60} NaN\n{EPOCH + 60} 2\n# 2017-07-15\n{EPOCH + 60} 2\n{EPOCH + 600} -3\n"
        (folder / f"{name}.dat").write_text(header + rows)

    def advance() -> None:
        step = next(steps)
        for name in ("temperature", "wind"):
            with (folder / f"{name}.dat").open("a") as file:
                file.write(f"{EPOCH + 1200 + 60 * step} {step}\n")

    return NodeUnderTest(WeatherNode(folder, cache=cache), advance)


class ColumnsNode:
    """Files with a number, a bool and a string on one timeline, as a node on any other format would serve them."""

    name = "columns"
    description = "Columns"

    def __init__(self, folder: Path, cache: Path) -> None:
        archive = FileArchive(folder, "*.table", read_table, FileCache(cache, "table", 1))
        self.catalogue, self.read, self.columns = archive.catalogue, archive.read, archive.columns


def read_table(path: Path) -> Contents:
    """Read lines of time, number and word."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    times = np.array([float(row[0]) for row in rows])
    numbers = np.array([float(row[1]) for row in rows])
    words = np.array([row[2] for row in rows], dtype=object)
    columns = {"level": numbers, "low": numbers < 2, "word": words}
    kinds: dict[str, FieldType] = {"level": "number", "low": "bool", "word": "string"}
    return Contents(
        tuple(
            FieldSamples(Field(f"{path.stem}.{name}", path.stem, kinds[name]), times, values)
            for name, values in columns.items()
        )
    )


def make_g3(folder: Path, cache: Path | None = None) -> NodeUnderTest:
    """An archive of two files, the second of which grows, with NaN, a field of two blocks, a text and a truth."""
    steps = itertools.count()
    node = G3Node(folder, index=str(folder / "index"), cache=cache, frames=read_frames, clock=lambda: 0.0)

    def advance() -> None:
        step = next(steps)
        path = folder / "16000" / ("1.g3" if step < 3 else "2.g3")
        if not path.exists():
            write(path, session(step + 1), status("a.feeds.b", "c.feeds.d"))
        time = EPOCH + 60 * step
        fields = {"level": [step * 0.5 or math.nan], "Word": [f"w{step % 3}"], "low": [step % 2 == 0], "n": [step]}
        append(path, data(0, [time], fields, "fast"), data(1, [time + 5], {"n": [step]}, f"block {step % 2}"))
        os.utime(path, (time, time))  # long ago: a file that is followed by another one is final
        node.poll(EPOCH + 1e6 * step)

    for _ in range(8):
        advance()
    return NodeUnderTest(node, advance)


def make_columns(folder: Path) -> NodeUnderTest:
    """Two tables of more rows than a summary's block has, with NaN, infinities, and words that stay a while."""
    steps = itertools.count()

    def advance() -> None:
        step = next(steps)
        for number, name in enumerate(("inside", "outside")):
            value = {3: "nan", 4: "inf", 5: "-inf"}.get(step % 50, str((step * 37 + number) % 101 / 8))
            with (folder / f"{name}.table").open("a", encoding="utf-8") as file:
                file.write(f"{EPOCH + 10 * step} {value} {'größer' if step % 90 else 'b'}\n")

    for _ in range(200):
        advance()
    return NodeUnderTest(ColumnsNode(folder, folder / "cache"), advance)


def make_text_table(folder: Path, cache: Path | None = None) -> NodeUnderTest:
    """Two growing tables of text: one with missing values and times that go back, one with more rows than a block."""
    steps = itertools.count()
    (folder / "roof.csv").write_text("time,level [m],open,state\n", encoding="utf-8")
    (folder / "cellar.csv").write_text("Zeit;Druck [hPa]\n", encoding="utf-8")

    def advance() -> None:
        step = next(steps)
        back = EPOCH + 20 * step - 30 * (step == 2)
        value = {0: "", 3: "nan", 4: "inf"}.get(step % 50, str((step * 37) % 101 / 8))
        with (folder / "roof.csv").open("a", encoding="utf-8") as file:
            file.write(f"{back},{value},{'' if step % 7 == 1 else step % 2 == 0},{'größer' if step % 9 else ''}\n")
        with (folder / "cellar.csv").open("a", encoding="utf-8") as file:
            file.write(f"{datetime.fromtimestamp(EPOCH + step, UTC).isoformat()};{step},5\n")

    for _ in range(200):
        advance()
    return NodeUnderTest(TableNode(folder, cache=cache), advance)


def make_parquet(folder: Path) -> NodeUnderTest:
    """A Parquet file with nulls, in row groups, which is written anew with more rows each time."""
    steps = itertools.count(150)

    def advance() -> None:
        count = next(steps)
        columns = {
            "time": pa.array([int(EPOCH * 1000) + 500 * n for n in range(count)], pa.timestamp("ms", "UTC")),
            "level": [math.nan if n == 3 else None if n % 50 == 7 else n / 8 for n in range(count)],
            "open": [None if n == 5 else n % 3 == 0 for n in range(count)],
            "state": ["größer" if n % 9 else "b" for n in range(count)],
        }
        write_table(pa.table(columns), folder / "unfinished", row_group_size=64)
        (folder / "unfinished").replace(folder / "roof.parquet")

    advance()
    return NodeUnderTest(TableNode(folder), advance)


def make_apex_weather(folder: Path) -> NodeUnderTest:
    """Two quantities, each in files with a gap and an overlap between them; the last ones grow, and others follow."""
    steps = itertools.count()
    names = ("humidity", "winddirection")
    for name in names:
        for low, high in ((0, 40), (40, 90), (80, 120)):
            rows = [(EPOCH + 60 * step, step % 7 if step % 50 else "NaN") for step in range(low, high)]
            settle(write_targets(folder, name, rows))

    def advance() -> None:
        step = next(steps)
        for name in names:
            if step % 50 == 0:
                settle(write_targets(folder, name, [(EPOCH + 10_000 + 60 * step, "NaN")], EPOCH + 10_000 + 60 * step))
                continue
            newest = max((folder / "targets").glob(f"targets_{name}_*"), key=lambda path: path.name)
            with newest.open("a") as file:
                file.write(f"{EPOCH + 10_000 + 60 * step} {step}\n")
            settle(newest)

    return NodeUnderTest(ApexWeatherNode(folder, cache=folder / "cache"), advance)


def make_radiometer(folder: Path) -> NodeUnderTest:
    """Some days with NaN and a gap, of which the last grows; a new file comes when the day is over."""
    steps = itertools.count()
    begin = EPOCH - EPOCH % 86400
    for day in (0, 1, 3):
        rows = [(begin + 86400 * day + 600 * step, "NaN" if step % 10 == 3 else step / 8) for step in range(100)]
        settle(write_pwv(folder, rows))

    def advance() -> None:
        at = begin + 86400 * 4 + 600 * next(steps)
        year, day = day_of(at)
        path = folder / "PWV" / f"PWV_UCSC_{int(day)}-{year}.txt"
        if not path.exists():
            write_pwv(folder, [(at, 1.5)])
        else:
            with path.open("a") as file:
                file.write(pwv_rows([(at, 2.5)]))
        settle(path)

    return NodeUnderTest(RadiometerNode(folder), advance)


def make_ocs_feed(folder: Path) -> NodeUnderTest:
    """A feed with three blocks: numbers with NaN at times, a string and a bool, and a number that comes later."""
    steps = itertools.count()
    node = OcsFeedNode(clock=lambda: EPOCH)
    feed = {"record": True, "agent_class": "FakeDataAgent"}

    def block(step: int, **values: object) -> dict[str, object]:
        return {"timestamps": [EPOCH + step / 4], "data": {name: [value] for name, value in values.items()}}

    def advance() -> None:
        step = next(steps)
        message = {
            "temps": block(step, T=math.nan if step % 3 == 1 else step / 2, R=step),
            "state": block(step, mode="scan" if step % 2 else "idle", on=step % 2 == 0),
        }
        if step:
            message["late"] = block(step, T=step)
        node.receive("observatory.LSA.feeds.temperatures", [message, feed])

    for _ in range(5):
        advance()
    return NodeUnderTest(node, advance)


NODES: dict[str, Callable[[Path], NodeUnderTest]] = {
    "apex_weather": make_apex_weather,
    "g3": make_g3,
    "g3 with a cache": lambda folder: make_g3(folder, folder / "cache"),
    "host": make_host,
    "radiometer": make_radiometer,
    "weather": make_weather,
    "weather with a cache": lambda folder: make_weather(folder, folder / "cache"),
    "ocs_feed": make_ocs_feed,
    "columns of three types": make_columns,
    "table": make_text_table,
    "table with a cache": lambda folder: make_text_table(folder, folder / "cache"),
    "table in Parquet": make_parquet,
}
