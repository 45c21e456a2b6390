"""The data node of housekeeping archives, on files that need no so3g."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sisock.core.errors import ConfigurationError, NodeUnavailable
from sisock.nodes import make_node, options_from_settings
from sisock.nodes.g3.fields import read_fields
from sisock.nodes.g3.node import G3Node
from sisock.nodes.g3.store import G3Store
from sisock.settings import Settings

from g3_fakes import EPOCH, append, data, read_frames, session, status, write

ALL_TIME = (1e-3, 4e9)
DAY = 86400.0
SHIPPED = {"frames": read_frames}


class Archive:
    """A folder of files and a node on it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder / "hk"
        self.folder.mkdir()
        self.opened: list[str] = []
        self.moment = 0.0  # of the clock for rests: as it stands still, none is needed
        self.node = G3Node(
            self.folder, cache=folder / "cache", frames=self.frames, clock=lambda: self.moment, **options
        )

    def frames(self, path: Path) -> Iterator[Any]:
        self.opened.append(path.name)
        return read_frames(path)

    def write(self, name: str, *frames: dict[str, Any], providers: tuple[str, ...] = ("a.b",)) -> Path:
        return write(self.folder / name, session(), status(*providers), *frames)

    def poll(self) -> None:
        self.node.poll(EPOCH)
        self.opened.clear()

    def values(self, field: str, start: float = ALL_TIME[0], end: float = ALL_TIME[1]) -> list[Any]:
        block = self.node.read([field], start, end).find(field)
        return list(zip(block.times.tolist(), block.values[field].tolist(), strict=True))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_files_are_found_when_the_node_is_polled(archive):
    """New files, and what is new in known ones, are served without a restart."""
    path = archive.write("1.g3", data(0, [1000.0], {"x": [1]}))
    archive.poll()
    assert archive.values("a.b.x") == [(1000.0, 1)]
    append(path, data(0, [1001.0], {"x": [2]}))
    archive.write("2.g3", data(0, [1002.0], {"x": [3]}))
    archive.poll()
    assert archive.values("a.b.x") == [(1000.0, 1), (1001.0, 2), (1002.0, 3)]


def test_only_files_of_the_span_are_opened(archive):
    """A question costs the files that have samples in its span; what was read is not read again."""
    for day in range(5):
        archive.write(f"{day}.g3", data(0, [day * DAY + 10, day * DAY + 20], {"x": [day, day], "y": [0, 0]}))
    archive.poll()
    assert archive.values("a.b.x", 2 * DAY, 3 * DAY) == [(2 * DAY + 10, 2), (2 * DAY + 20, 2)]
    assert archive.opened == ["2.g3"]
    archive.values("a.b.x", 2 * DAY, 3 * DAY)
    assert archive.opened == ["2.g3"]


def test_whole_numbers_before_others_are_cut_nowhere(archive):
    """A field that is of whole numbers in one file, and of fractions in the next, keeps all of both."""
    archive.write("1.g3", data(0, [1000.0], {"x": [1]}))
    archive.write("2.g3", data(0, [1001.0], {"x": [1.7]}))
    archive.poll()
    assert archive.values("a.b.x") == [(1000.0, 1.0), (1001.0, 1.7)]


def test_texts_of_any_length_are_cut_nowhere(archive):
    """A longer text in a later file is whole."""
    archive.write("1.g3", data(0, [1000.0], {"x": ["on"]}))
    archive.write("2.g3", data(0, [1001.0], {"x": ["not on any more"]}))
    archive.poll()
    assert archive.values("a.b.x") == [(1000.0, "on"), (1001.0, "not on any more")]


def test_overlapping_files_are_in_order_and_nothing_is_there_twice(archive):
    """Files that overlap in time are joined; a sample that is in both is served once."""
    archive.write("1.g3", data(0, [1000.0, 1002.0, 1004.0], {"x": [1, 2, 3]}))
    archive.write("2.g3", data(0, [1001.0, 1002.0, 1003.0], {"x": [7, 2, 8]}))
    archive.poll()
    assert archive.values("a.b.x") == [(1000.0, 1), (1001.0, 7), (1002.0, 2), (1003.0, 8), (1004.0, 3)]


def test_a_field_that_becomes_another_type_within_a_file_is_listed_as_it_is_read(archive):
    """Texts hold whatever else there is in the newest file."""
    archive.write("1.g3", data(0, [1000.0], {"x": [1.5]}))
    archive.write("2.g3", data(0, [2000.0], {"x": ["off"]}), data(0, [2001.0], {"x": [2.5]}))
    archive.poll()
    assert archive.values("a.b.x") == [(2000.0, "off"), (2001.0, "2.5")]
    assert archive.node.catalogue(*ALL_TIME).fields["a.b.x"].type == "string"
    archive.write("3.g3", data(0, [3000.0], {"x": [3.5]}))
    archive.poll()
    assert archive.values("a.b.x") == [(1000.0, 1.5), (3000.0, 3.5)]
    assert archive.node.catalogue(*ALL_TIME).fields["a.b.x"].type == "number"


def test_a_file_in_which_samples_repeat_is_read_once(archive):
    """A sample that is there twice is served once, and does not keep the file from being kept."""
    archive.write("1.g3", data(0, [1000.0, 1001.0], {"x": [1, 2]}), data(0, [1001.0, 1002.0], {"x": [2, 3]}))
    archive.poll()
    for _ in range(2):
        assert archive.values("a.b.x") == [(1000.0, 1), (1001.0, 2), (1002.0, 3)]
    assert archive.opened == ["1.g3"]


def test_an_agent_that_restarts_goes_on(archive):
    """The same description under another number, or in another session, is the same field."""
    archive.write("1.g3", data(0, [1000.0], {"x": [1]}), status("z", "a.b"), data(1, [1001.0], {"x": [2]}))
    archive.write("2.g3", session(2), status("a.b", first=7), data(7, [1002.0], {"x": [3]}))
    archive.poll()
    assert archive.values("a.b.x") == [(1000.0, 1), (1001.0, 2), (1002.0, 3)]


def test_a_field_of_two_blocks_has_the_samples_of_both(archive):
    """They are joined in order of time, in whatever blocks and frames they stand."""
    archive.write(
        "1.g3", data(0, [1000.0, 1002.0], {"x": [1, 2]}, "slow"), data(0, [1001.0, 1003.0], {"x": [5.5, 6.5]}, "fast")
    )
    archive.poll()
    assert archive.values("a.b.x") == [(1000.0, 1.0), (1001.0, 5.5), (1002.0, 2.0), (1003.0, 6.5)]


def test_times_that_go_back_are_sorted(archive):
    """Values stay with their times."""
    archive.write("1.g3", data(0, [1002.0, 1000.0, 1001.0], {"x": [3, 1, 2], "t": ["c", "a", "b"]}))
    archive.poll()
    assert archive.values("a.b.x") == [(1000.0, 1), (1001.0, 2), (1002.0, 3)]
    assert archive.values("a.b.t") == [(1000.0, "a"), (1001.0, "b"), (1002.0, "c")]


def test_between_samples_nothing_is_listed(archive):
    """A span inside a gap of a file has no fields; one with a single sample has those of its block."""
    archive.write(
        "1.g3", data(0, [1000.0, 1010.0], {"x": [1, 2], "y": [1, 2]}), data(0, [1003.0], {"z": [1]}, "other")
    )
    archive.poll()
    assert list(archive.node.catalogue(1001.0, 1003.0).fields) == []
    assert list(archive.node.catalogue(1001.0, 1004.0).fields) == ["a.b.z"]
    assert list(archive.node.catalogue(1010.0, 1011.0).fields) == ["a.b.x", "a.b.y"]


def test_a_field_that_left_its_block_is_listed_as_it_is_read(archive):
    """When a block loses a field, the catalogue and what is read agree on the field's timeline, before and after."""
    archive.write("1.g3", data(0, [1000.0], {"x": [1], "old": [1]}))
    archive.poll()
    for name in ("2.g3", "3.g3"):
        listed = {one.name: one.timeline for one in archive.node.catalogue(*ALL_TIME).fields.values()}
        block = archive.node.read(list(listed), *ALL_TIME)
        assert {field: name for name, one in block.timelines.items() for field in one.values} == listed
        archive.write(name, data(0, [float(name[0]) * 1000], {"x": [2]}))
        archive.poll()


def test_fields_answer_to_the_names_of_the_original(archive):
    """A dashboard that asks in lower case, with underscores, gets what it asks for, under that name."""
    archive.write("1.g3", data(0, [1000.0], {"Channel 01": [1]}))
    archive.poll()
    assert archive.values("a.b.channel_01") == [(1000.0, 1)]
    assert list(archive.node.columns(["a.b.channel_01", "a.b.none"])) == ["a.b.channel_01"]
    assert archive.node.catalogue(*ALL_TIME).fields["a.b.Channel 01"].aliases == ("a.b.channel_01",)


def test_units_are_given_by_patterns(tmp_path):
    """Archives say no units; the node's options do."""
    archive = Archive(tmp_path, units={"*_T": "K"})
    archive.write("1.g3", data(0, [1000.0], {"Channel_01_T": [1], "Channel_01_V": [1]}))
    archive.poll()
    units = {name: one.units for name, one in archive.node.catalogue(*ALL_TIME).fields.items()}
    assert units == {"a.b.Channel_01_T": "K", "a.b.Channel_01_V": None}


def test_most_points_are_a_bound_that_keeps_spikes(tmp_path):
    """Who asks for all gets at most so many, with the highest, the lowest and the newest; a panel is not bound."""
    archive = Archive(tmp_path, max_points=50)
    values = [float(n % 7) for n in range(1000)]
    values[333], values[444] = 99.0, -99.0
    archive.write("1.g3", data(0, [1000.0 + n for n in range(1000)], {"x": values}))
    archive.poll()
    found = archive.values("a.b.x")
    assert 10 < len(found) <= 50
    assert {(1333.0, 99.0), (1444.0, -99.0), (1999.0, values[-1])} <= set(found)
    assert len(archive.values("a.b.x", 1000.0, 1050.0)) == 50
    assert len(archive.node.columns(["a.b.x"])["a.b.x"].within(*ALL_TIME)[0]) == 1000


def test_a_node_that_does_not_scan_reads_the_index_of_one_that_does(tmp_path):
    """The index may be written by another process, under a name where the folder has another path there."""
    archive = Archive(tmp_path, archive="hk", index=str(tmp_path / "index"))
    moved = tmp_path / "elsewhere"
    moved.symlink_to(archive.folder)
    reading = G3Node(moved, archive="hk", index=str(tmp_path / "index"), scan_interval_s=None, frames=read_frames)
    archive.write("1.g3", data(0, [1000.0], {"x": [1]}))
    reading.poll(EPOCH)
    assert list(reading.catalogue(*ALL_TIME).fields) == []
    archive.poll()
    assert reading.read(["a.b.x"], *ALL_TIME).find("a.b.x").times.tolist() == [1000.0]


def test_scans_take_a_part_of_the_time_only(archive, monkeypatch):
    """After a scan of five seconds the next is not before fifty have passed, whatever the wall clock says."""
    scans: list[float] = []

    def scan() -> None:
        scans.append(archive.moment)
        archive.moment += 5.0

    monkeypatch.setattr(archive.node._scanner, "scan", scan)
    for archive.moment, now in ((1000.0, EPOCH), (1049.0, EPOCH + 1e6), (1051.0, EPOCH - 3600.0)):
        archive.node.poll(now)
    assert scans == [1000.0, 1051.0]


def test_an_index_that_cannot_be_written_is_told_once(archive, caplog, monkeypatch):
    """What is known is served meanwhile, and files are found again afterwards."""
    archive.write("1.g3", data(0, [1000.0], {"x": [1]}))
    archive.poll()
    archive.write("2.g3", data(0, [1001.0], {"x": [2]}))

    def full(*_: Any) -> Any:
        raise NodeUnavailable("the index cannot be written (database or disk is full)")

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(G3Store, "put", full)
            for _ in range(3):
                archive.poll()
        assert archive.values("a.b.x") == [(1000.0, 1)]
        assert [one.getMessage() for one in caplog.records] == [
            "the index cannot be written (database or disk is full); it is tried again"
        ]
    archive.poll()
    assert archive.values("a.b.x") == [(1000.0, 1), (1001.0, 2)]


def test_a_broken_file_is_told_and_the_others_are_served(archive, caplog):
    """One line with the file's name; what can be read is there."""
    archive.write("1.g3", data(0, [1000.0], {"x": [1]}))
    (archive.folder / "2.g3").write_text("garbage\n")
    for _ in range(2):
        archive.poll()
        assert archive.values("a.b.x") == [(1000.0, 1)]
    assert [(record.levelno, "2.g3" in record.getMessage()) for record in caplog.records] == [(logging.WARNING, True)]


def test_reading_takes_only_what_is_wanted(tmp_path):
    """Fields that nobody asked for are not decoded, and those of one block share their times."""
    path = write(
        tmp_path / "1.g3",
        *(session(), status("a", "b"), data(0, [1.0, 2.0], {"x": [1, 2], "y": [3, 4], "z": [5, 6]})),
        data(1, [1.0], {"x": [1]}, broken="not to be decoded"),
    )
    columns = read_fields(read_frames, path, {"a.x", "a.y"}).columns
    assert [one.field.name for one in columns] == ["a.x", "a.y"]
    assert columns[0].times is columns[1].times
    np.testing.assert_array_equal(columns[1].values, [3, 4])


def test_the_originals_variables_are_options():
    """DATA_DIRECTORY, SQL_HOST and MAX_POINTS make a node as they did."""
    settings = Settings(data_directory="/data", sql_host="db", sql_user="u", sql_passwd="p", sql_db="hk", max_points=9)
    options = options_from_settings("g3", settings)
    assert options == {"folder": "/data", "index": "mysql+pymysql://u:p@db/hk", "max_points": 9}
    assert options_from_settings("g3", Settings()) == {}


def test_without_so3g_it_is_said_what_to_install(tmp_path, monkeypatch):
    """The node needs so3g, and names the extra that brings it."""
    from sisock.nodes.g3 import reader

    monkeypatch.setitem(sys.modules, "so3g", None)
    reader._load.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match=r"pip install 'sisock\[g3\]'"):
            make_node("g3", {"folder": str(tmp_path)}, tmp_path)
    finally:
        reader._load.cache_clear()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"folder": "nowhere", "index": "index"}, "'nowhere' is not a folder"),
        ({"folder": ".", "cache": None}, "say where the index is"),
    ],
)
def test_what_is_missing_is_told_at_the_start(tmp_path, monkeypatch, options, told):
    """A wrong folder, or no place for the index, ends the start with one line."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=told):
        make_node("g3", {**SHIPPED, **options}, None)
