"""Folders that nodes keep something in: written, read and gone on with by whichever version of the package runs this.

``python -m integration.kept write FOLDER`` lets all nodes look at all that there is, and prints what they serve;
``… read FOLDER`` makes them anew. It runs under the package of a commit before, too: of that it imports only
``make_node``, which keeps its name, and of a node it knows what every node promises.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow.parquet import write_table

import sisock
from sisock.nodes import make_node

from integration import so3g_of_json as so3g

ALL_TIME = (1e-3, 4e9)
DAY_S = 86_400
EPOCH = 1_500_000_000 - 1_500_000_000 % DAY_S  # day 195 of 2017
STRIDE_S = 700.0
SETTLED = 1_600_000_000
FEED = "observatory.LSA.feeds.temperatures"
FILES = 10  # of which eight are merged
STATED = ["finalized_until", "available_from", "generation"]
REDUCERS = {"number": ("minmax", "m4", "mean", "stddev", "sum", "count"), "string": ("minmax",), "bool": ("minmax",)}


class Reading(NamedTuple):
    """What the host node reads."""

    value: Any
    units: str | None = None
    description: str | None = None


def level(n: int) -> float:
    return math.nan if n % 50 == 3 else n * 37 % 101 / 8


def mode(n: int) -> str:
    return "größer" if n // 90 % 2 else "idle"


def write_sources(folder: Path) -> None:
    """Write files for all archives; they were last written to long ago."""
    found = folder / "sources"
    for number in range(FILES):
        for path, content in one_of_each(number).items():
            (found / path).parent.mkdir(parents=True, exist_ok=True)
            (found / path).write_bytes(content)
    (found / "parquet").mkdir()
    for number in range(2):
        steps = range(100 * number, 100 * number + 100)
        columns = {
            "time": pa.array([1000 * (EPOCH + 60 * n) for n in steps], pa.timestamp("ms", "UTC")),
            "level": [None if n == 5 else level(n) for n in steps],
            "open": [n // 30 % 2 == 0 for n in steps],
            "mode": [mode(n) for n in steps],
        }
        write_table(pa.table(columns), found / "parquet" / f"{number}.parquet")
    for path in found.rglob("*.*"):
        os.utime(path, (SETTLED, SETTLED))


def one_of_each(number: int) -> dict[str, bytes]:
    """Return a file of each archive of text and of frames, the name and what is in it; of the weather's only two."""
    start = EPOCH + DAY_S * number
    times = [start + 600 * n for n in range(100)]
    rows = [(t, level(100 * number + n), mode(100 * number + n), n // 30 % 2 == 0) for n, t in enumerate(times)]
    fields = {"x": [row[1] for row in rows], "Mode": [row[2] for row in rows], "on": [row[3] for row in rows]}
    texts = {
        f"apex/targets/targets_humidity_{start}_{times[-1]}.dat": [f"{t} {value}" for t, value, *_ in rows],
        f"radiometer/PWV/PWV_UCSC_{195 + number}-2017.txt": [
            "Day_of_year  PWV(mm)",
            *(f"{195 + number + n / 144:.9f} {row[1]}" for n, row in enumerate(rows)),
        ],
        f"table/day-{number}.csv": [
            "time,level [hPa],mode,open,code",
            *(f"{t},{value},{word},{is_open},{n:03}" for n, (t, value, word, is_open) in enumerate(rows)),
        ],
    }
    if number < 2:
        header = ["# Of the roof.", "# hourly", "# C", "# 2017-07-14"]
        broken = ["what is this?"] if number else []
        texts[f"weather/field_{number}.dat"] = header + broken + [f"{t} {value}" for t, value, *_ in rows]
    frames = [so3g.session(number), so3g.status("a.feeds.b"), so3g.data(0, times, fields, "temps")]
    encoded = {path: ("\n".join(lines) + "\n").encode() for path, lines in texts.items()}
    return encoded | {f"g3/{start // 100_000}/{start}.g3": so3g.encoded(frames)}


LAST = EPOCH + DAY_S * (FILES - 1)
NEXT = LAST + DAY_S - 6000
GROWTH = {
    f"apex/targets/targets_humidity_{LAST}_{LAST + 59_400}.dat": f"{NEXT} 7\n".encode(),
    "radiometer/PWV/PWV_UCSC_204-2017.txt": b"204.9 7\n",
    "table/day-9.csv": f"{NEXT},7,idle,True,7\n".encode(),
    "weather/field_0.dat": f"{NEXT} 7\n".encode(),
    f"g3/{LAST // 100_000}/{LAST}.g3": so3g.encoded(
        [so3g.data(0, [NEXT], {"x": [7.0], "Mode": ["idle"], "on": [True]}, "temps")]
    ),
}
"""What is put behind some of the files, by their names; after :data:`NEXT` there is nothing."""


@contextlib.contextmanager
def spoiled(folder: Path) -> Iterator[None]:
    """Put rubbish into each file, which looks as if nobody had touched it: whoever reads it again serves rubbish."""
    contents = {path: path.read_bytes() for path in folder.glob("sources/*/**/*") if path.is_file()}
    _overwrite({path: b"\xff" * len(content) for path, content in contents.items()})
    yield
    _overwrite(contents)


def _overwrite(contents: Mapping[Path, bytes]) -> None:
    for path, content in contents.items():
        before = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def kept_files(folder: Path) -> dict[str, Any]:
    """Return what tells each file that is kept from any other: place, inode, modification time and content."""
    paths = [path for path in (folder / "kept").rglob("*") if path.is_file() and path.stat().st_size]
    return {
        str(path.relative_to(folder)): [
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        ]
        for path in paths
        if not path.name.endswith("-shm")  # SQLite's, as long as somebody is connected
    }


class Nodes:
    """A node of each kind on a folder, and of some kinds with options that are part of what is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.readings: dict[str, Reading] = {}
        sources, kept = folder / "sources", folder / "kept"
        clock = {"clock": lambda: float(NEXT)}
        table = {"path": sources / "table", "types": {"code": "string"}}
        options: dict[str, tuple[str, dict[str, Any]]] = {
            "apex_weather": ("apex_weather", {"folder": sources / "apex"}),
            "radiometer": ("radiometer", {"folder": sources / "radiometer"}),
            "weather": ("weather", {"folder": sources / "weather"}),
            "table": ("table", table),
            "table of some files": ("table", table | {"prefix": "file", "pattern": "*[18].csv", "time": "time"}),
            "table in Parquet": ("table", {"path": sources / "parquet"}),
            "g3": ("g3", {"folder": sources / "g3", "units": {"x": "K"}}),
            "ocs_feed": ("ocs_feed", {"folder": str(kept / "feed"), "buffer_time": 1e6, **clock}),
            "host": ("host", {"folder": str(kept / "host"), "keep_s": 1e6, "sample": lambda _: self.readings}),
        }
        self.kinds = {kind for kind, _ in options.values()}
        self.all = {name: make_node(kind, one, kept / "cache") for name, (kind, one) in options.items()}
        self.look()

    def look(self) -> None:
        """Find new files of frames."""
        self.all["g3"].poll(NEXT)

    def take(self, steps: range) -> None:
        """Take live samples, those of the host one by one."""
        for n in steps:
            self.readings = {
                "cpu.percent": Reading(level(n), "%", "Busy"),
                "cpu.level": Reading(mode(n)),
                "memory.low": Reading(n % 2 == 0),
            }
            if n > 20:
                self.readings["network.lo.sent"] = Reading(n, "B/s")
            self.all["host"].poll(NEXT + n)
        times = [NEXT + n for n in steps]
        numbers = {"T": [level(n) for n in steps], "R": list(steps)}
        states = {"mode": [mode(n) for n in steps], "on": [n % 2 == 0 for n in steps]}
        message = {
            "temps": {"timestamps": times, "data": numbers, "influxdb_tags": {"T": {"units": "K"}}},
            "state": {"timestamps": times, "data": states},
        }
        self.all["ocs_feed"].receive(FEED, [message, {"record": True, "agent_class": "FakeDataAgent"}])

    def served(self) -> dict[str, Any]:
        """Return all that each node lists, serves and draws."""
        return {name: _served(node) for name, node in self.all.items()}

    def grow(self) -> None:
        """Let each archive and each feed have later samples, behind what there is."""
        for path, content in GROWTH.items():
            with (self._folder / "sources" / path).open("ab") as file:
                file.write(content)
            os.utime(file.name, (SETTLED + 1, SETTLED + 1))
        self.take(range(300, 301))


def _served(node: Any) -> dict[str, Any]:
    catalogue = node.catalogue(*ALL_TIME)
    columns = node.columns(list(catalogue.fields))
    drawn = {
        f"{name} {reducer}": _plain(columns[name].reduced(*ALL_TIME, reducer, STRIDE_S))
        for name, field in catalogue.fields.items()
        for reducer in REDUCERS[field.type]
    }
    block = node.read(list(catalogue.fields), *ALL_TIME)
    return {"catalogue": _plain(catalogue), "read": _plain(block), "drawn": drawn}


def _plain(found: Any) -> Any:
    """Return it as what JSON has."""
    if dataclasses.is_dataclass(found):
        names = [one.name for one in dataclasses.fields(found)]
        # A block may carry its statement as one member, or part by part: either version reads the parts of it.
        parts = STATED if "values" in names else []
        return {name: _plain(getattr(found, name)) for name in [*names, *parts] if name != "statement"}
    if isinstance(found, Mapping):
        return {name: _plain(one) for name, one in found.items()}
    if isinstance(found, np.ndarray):
        return [found.dtype.name, found.tolist()]
    return [_plain(one) for one in found] if isinstance(found, list | tuple) else found


class Openings:
    """The source files that this process has opened since it was asked last."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder / "sources") + "/"
        self._found: set[str] = set()
        sys.addaudithook(self._take)

    def _take(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(self._folder):
            self._found.add(str(arguments[0]).removeprefix(self._folder))

    def taken(self) -> list[str]:
        found, self._found = sorted(self._found), set()
        return found


def write(folder: Path) -> dict[str, Any]:
    """Let nodes keep what they find and take."""
    nodes = Nodes(folder)
    nodes.take(range(300))
    return {"kinds": sorted(nodes.kinds), "served": nodes.served()}


def read(folder: Path) -> dict[str, Any]:
    """Let nodes begin with what is kept while the files cannot be read, and then go on."""
    openings = Openings(folder)
    with spoiled(folder):
        openings.taken()
        nodes = Nodes(folder)
        found = {"served": nodes.served(), "opened": openings.taken(), "kept": kept_files(folder)}
    nodes.grow()
    openings.taken()
    nodes.look()
    return found | {"grown": nodes.served(), "opened as they grew": openings.taken()}


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    so3g.install()
    result = {"write": write, "read": read}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({"package": sisock.__file__, **result}))
