"""Housekeeping archives that OCS wrote, compared value by value with so3g's own reader."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import so3g
from so3g.spt3g import core

from sisock.nodes.g3.frames import summarize
from sisock.nodes.g3.node import G3Node
from sisock.nodes.g3.reader import read_frames

from integration.sites import RunningSite, clean_environment, poll, running_site
from real.g3_archives import (
    DAY,
    EPOCH,
    HOUR,
    THERMOMETER,
    Site,
    publish_minute,
    virtual_clock,
    write_days,
)
from real.so3g_values import Samples, read_with_so3g

ALL_TIME = (1e-3, 4e9)
QUERIED_S = 6 * HOUR
TYPES = {"f": "number", "i": "number", "b": "bool", "O": "string"}


def node_on(folder: Path, cache: Path | None, index: Path | None = None) -> G3Node:
    node = G3Node(folder, cache=cache, index=str(index) if index else None, clock=lambda: 0.0)
    node.poll(time.time())
    return node


def assert_same(found: Samples, expected: Samples) -> None:
    np.testing.assert_array_equal(found.times, expected.times)
    assert found.values.dtype == expected.values.dtype
    np.testing.assert_array_equal(found.values, expected.values)


def read(node: G3Node, field: str) -> Samples:
    block = node.read([field], *ALL_TIME).find(field)
    return Samples(block.times, block.values[field])


@pytest.fixture(scope="module")
def expected(days: Path) -> dict[str, Samples]:
    return read_with_so3g(sorted(days.rglob("*.g3")))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """An archive of five hours in a folder of the test's own."""
    write_days(tmp_path / "hk", 5 / 24)
    return tmp_path / "hk"


def test_the_archive_has_what_archives_have(days, expected):
    """Three days of numbers, texts and truths, with NaN, a gap of three hours, and restarts."""
    assert len(list(days.rglob("*.g3"))) > 60
    kinds = {name.rsplit(".", 1)[1]: samples.values.dtype.kind for name, samples in expected.items()}
    assert (kinds["state"], kinds["open"], kinds["range"], kinds["power"]) == ("O", "b", "i", "f")
    channel = expected[f"{THERMOMETER}.Channel_03_T"]
    assert np.isnan(channel.values).any()
    assert np.diff(channel.times).max() == pytest.approx(3 * HOUR, abs=61)


@pytest.mark.parametrize("cached", [True, False], ids=["with a cache", "without"])
def test_every_value_is_that_of_so3g(days, expected, tmp_path, cached):
    """Every field has the same samples, of the same type, as so3g reads."""
    node = node_on(days, tmp_path if cached else None, tmp_path / "index")
    fields = node.catalogue(*ALL_TIME).fields
    assert sorted(fields) == sorted(expected)
    block = node.read(list(fields), *ALL_TIME)
    for name, samples in expected.items():
        found = block.find(name)
        assert_same(Samples(found.times, found.values[name]), samples)
        assert fields[name].type == TYPES[samples.values.dtype.kind]


def test_fields_are_listed_for_the_span(days, expected, tmp_path):
    """A field is in the catalogue of a span just when so3g has samples of it there."""
    node = node_on(days, tmp_path)
    gap = EPOCH + 3 * DAY / 4
    spans = [(EPOCH, EPOCH + HOUR), (gap + 60, gap + 2 * HOUR), (EPOCH + 5.5, EPOCH + 6), (EPOCH - DAY, EPOCH)]
    for start, end in spans:
        present = {name for name, one in expected.items() if ((one.times >= start) & (one.times < end)).any()}
        assert set(node.catalogue(start, end).fields) == present


def test_only_files_of_the_span_are_opened(days, tmp_path):
    """An hour of three days costs the files that lie in that hour."""
    opened: list[Path] = []

    def frames(path: Path):
        opened.append(path)
        return read_frames(path)

    node = G3Node(days, cache=tmp_path, frames=frames, clock=lambda: 0.0)
    node.poll(time.time())
    opened.clear()
    start = EPOCH + DAY
    node.read([f"{THERMOMETER}.Channel_01_T"], start, start + HOUR)
    assert 1 <= len(opened) <= 3


@pytest.fixture(scope="module")
def site(days: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """A whole site that serves the archive."""
    folder = tmp_path_factory.mktemp("site")
    nodes = {"hk": {"kind": "g3", "folder": str(days)}}
    settings = {"deadline_s": 60}  # all is asked for before anything was read, which panels need not wait for
    with running_site(folder, {"nodes": nodes, "settings": settings}, SISOCK_CACHE=str(folder / "cache")) as site:
        poll(
            lambda: any(one.startswith("hk::") for one in site.post("/search", {"target": "hk::"})), 30.0, "it is read"
        )
        yield site


def test_every_value_comes_through_grafanas_query(site, expected):
    """At full resolution, what Grafana gets of every field is every value, at its time in milliseconds."""
    names = sorted(expected)
    found: dict[str, list[Samples]] = {name: [] for name in names}
    for start in np.arange(EPOCH, EPOCH + 3 * DAY + QUERIED_S, QUERIED_S).tolist():
        targets = [f"hk::{name}" for name in names]
        replies = site.query(*targets, start=start, end=start + QUERIED_S, points=50_000, before=False)
        for name, reply in zip(names, replies, strict=True):
            assert not [said for said in reply.get("meta", {}).get("notices", ()) if said["severity"] == "error"]
            found[name].append(drawn_samples(reply, expected[name]))
    for name in names:
        times, values = (np.concatenate(parts) for parts in zip(*found[name], strict=True))
        np.testing.assert_array_equal(times, expected[name].times * 1e3)
        np.testing.assert_array_equal(values, expected[name].values.astype(values.dtype))


def drawn_samples(reply: dict[str, Any], expected: Samples) -> Samples:
    """Return what a reply draws: pairs of numbers, or for truths and texts, a frame."""
    if "datapoints" not in reply:
        times, values = (np.array(one["values"], dtype=object) for one in reply["fields"])
        return Samples(times.astype(float), values)
    points = np.array(reply["datapoints"], dtype=float).reshape(-1, 2)  # null becomes NaN
    # A null at the time of no sample is where the line breaks.
    kept = ~np.isnan(points[:, 0]) | np.isin(points[:, 1], expected.times * 1e3)
    return Samples(points[kept, 1], points[kept, 0])


def test_the_original_names_still_draw(days, tmp_path):
    """Dashboards that ask in lower case get the same samples, under the name that they asked for."""
    node = node_on(days, tmp_path)
    name = f"{THERMOMETER}.channel_01_t"
    assert_same(read(node, name), read(node, f"{THERMOMETER}.Channel_01_T"))


def test_a_file_is_served_while_it_is_written(tmp_path):
    """At every moment what is served is the beginning of what there will be, with no sample twice and none wrong."""
    with virtual_clock() as clock:
        site = Site(tmp_path / "hk", clock)
        node = node_on(tmp_path / "hk", tmp_path / "cache")
        name, served = f"{THERMOMETER}.Channel_02_T", []
        for minute in range(130):
            publish_minute(site, EPOCH + minute * 60.0)
            site.run(EPOCH + (minute + 1) * 60.0)
            if minute % 4 == 3:
                node.poll(time.time())
                served.append(
                    read(node, name) if node.catalogue(*ALL_TIME).fields else Samples(np.empty(0), np.empty(0))
                )
        site.close()
    node.poll(time.time())
    final = read(node, name)
    assert_same(final, read_with_so3g(site.files())[name])
    assert len(final.times) == 130 * 60
    assert len({len(one.times) for one in served}) > 10
    for one in served:
        assert_same(one, Samples(final.times[: len(one.times)], final.values[: len(one.times)]))


def test_a_cut_file_yields_its_whole_frames(small):
    """Wherever a file is cut, the frames before are served, and nothing is wrong with them."""
    path = sorted(small.rglob("*.g3"))[1]
    content = path.read_bytes()
    ends = [frame.place.end for frame in read_frames(path)]
    assert ends[-1] == len(content)
    for end in (*random.Random(1).choices(range(len(content)), k=40), *ends, *(end - 1 for end in ends)):
        path.write_bytes(content[:end])
        summary = summarize(read_frames(path))
        assert summary.place.end == max((one for one in ends if one <= end), default=0)
        assert summary.problem is None


def test_a_damaged_frame_costs_that_frame_only(small):
    """A frame whose checksum is wrong is left out and told; those behind it are served."""
    path = sorted(small.rglob("*.g3"))[1]
    before = summarize(read_frames(path))
    frames = list(read_frames(path))
    content = bytearray(path.read_bytes())
    content[frames[4].place.end - 100] ^= 0xFF
    path.write_bytes(content)
    after = summarize(read_frames(path))
    assert "is damaged" in after.problem
    assert 0 < sum(one.count for one in before.blocks) - sum(one.count for one in after.blocks) < 2000
    assert after.place.end == before.place.end


def test_the_oldest_form_of_the_format_is_read(tmp_path):
    """Files of the year 2019, in which blocks were other objects without names, are read as so3g reads them."""
    path = tmp_path / "1.g3"
    session = so3g.hk.HKSessionHelper(session_id=7, start_time=EPOCH, hkagg_version=0)
    provider = session.add_provider("observatory.old.feeds.temps")
    frame = session.data_frame(provider, EPOCH)
    block = so3g.IrregBlockDouble()
    block.prefix = ""
    block.t = EPOCH + np.arange(5.0)
    block.data["Channel 01"] = np.arange(5.0) / 3
    frame["blocks"].append(block)
    writer = core.G3Writer(str(path))
    for one in (session.session_frame(), session.status_frame(EPOCH), frame):
        writer(one)
    del writer
    node = node_on(tmp_path, None, tmp_path / "index")
    name = "observatory.old.feeds.temps.Channel 01"
    assert_same(read(node, name), read_with_so3g([path])[name])
    assert_same(read(node, "observatory.old.feeds.temps.channel_01"), read(node, name))


def test_a_hundred_broken_files_harm_nobody(small, tmp_path, caplog):
    """Each broken file is told by its name, once; the good ones are served as if they were alone."""
    expected = read_with_so3g(sorted(small.rglob("*.g3")))
    broken = write_broken(small, 100)
    node = node_on(small, tmp_path / "cache")
    node.poll(time.time())
    for path in broken:
        assert sum(f"'{path}'" in record.getMessage() for record in caplog.records) == 1, path
    assert len(caplog.records) == len(broken)
    for name, samples in expected.items():
        found = read(node, name)
        inside = (found.times >= EPOCH) & (found.times < EPOCH + DAY)
        assert_same(Samples(found.times[inside], found.values[inside]), samples)


def write_broken(folder: Path, count: int) -> list[Path]:
    """Write files that are broken in many ways, all of another day, last written to long ago."""
    chance = random.Random(5)
    with virtual_clock() as clock:
        clock.now = EPOCH + 10 * DAY
        site = Site(folder.parent / "source", clock)
        for minute in range(10):
            publish_minute(site, clock.now)
            site.run(EPOCH + 10 * DAY + (minute + 1) * 60.0)
        site.close()
    whole = site.files()[0].read_bytes()
    ways = {
        "cut": lambda: whole[: -chance.randrange(1, 3000)],
        "garbage": lambda: chance.randbytes(chance.randrange(1, 5000)),
        "empty": lambda: b"",
        "text": lambda: b"time,value\n1,2\n" * chance.randrange(1, 99),
        "zeros": lambda: whole[:-2000] + bytes(2000),
        "flipped": lambda: flipped(whole, chance.randrange(2000, len(whole) - 2000)),
        "huge length": lambda: whole + whole[:13] + b"\xff" * 8 + whole[:500],
        "times going back": lambda: odd_file(folder.parent, [EPOCH + 11 * DAY, EPOCH + 11 * DAY - 5.0], [1.0, 1e300]),
        "before 1970": lambda: odd_file(folder.parent, [-1e9, EPOCH + 12 * DAY], [1.0, -1e300]),
    }
    paths = []
    for number, way in zip(range(count), itertools.cycle(ways)):
        path = folder / "broken" / f"{number:03d} {way}.g3"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(ways[way]())
        os.utime(path, (EPOCH, EPOCH))
        paths.append(path)
    return paths


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 0xFF
    return bytes(changed)


def odd_file(folder: Path, times: list[float], values: list[float]) -> bytes:
    """Return a file with times that the aggregator would not write by itself."""
    session = so3g.hk.HKSessionHelper(session_id=9, start_time=EPOCH, hkagg_version=2)
    provider = session.add_provider("observatory.odd.feeds.odd")
    frame = session.data_frame(provider, EPOCH)
    block = core.G3TimesampleMap()
    block.times = core.G3VectorTime([core.G3Time(t * core.G3Units.s) for t in times])
    block["odd"] = core.G3VectorDouble(values)
    frame["blocks"].append(block)
    frame["block_names"].append("odd")
    path = folder / "odd.g3"
    writer = core.G3Writer(str(path))
    for one in (session.session_frame(), session.status_frame(EPOCH), frame):
        writer(one)
    del writer
    return path.read_bytes()


def scan(folder: Path, cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sisock", "scan-g3", str(folder), *arguments],
        env=clean_environment() | {"SISOCK_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_indexes_an_archive(small, tmp_path):
    """It says what it did, and the second time that nothing was left to do."""
    files = len(list(small.rglob("*.g3")))
    first, second = scan(small, tmp_path / "cache"), scan(small, tmp_path / "cache")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith(f"sisock: {files} files indexed (")
    assert second.stdout.startswith(f"sisock: 0 files indexed (0.0 MB), {files} unchanged in ")
    node = G3Node(small, cache=tmp_path / "cache", scan_interval_s=None)
    node.poll(time.time())
    assert len(node.catalogue(*ALL_TIME).fields) > 10


def test_a_second_scan_of_a_thousand_files_is_quick(small, tmp_path):
    """What is known costs a look at its name."""
    content = min(small.rglob("*.g3")).read_bytes()[:50_000]
    for number in range(1000):
        (small / f"{number}.g3").write_bytes(content)
    scan(small, tmp_path / "cache")
    node = G3Node(small, cache=tmp_path / "cache", clock=lambda: 0.0)
    before = time.perf_counter()
    node.poll(time.time())
    assert time.perf_counter() - before < 1.0
