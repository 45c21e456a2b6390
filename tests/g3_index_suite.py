"""What every database must do as the index of housekeeping archives; run on SQLite, and by 'test-real' on MariaDB.

Who runs it has a fixture ``engine``: a connected database without rows, and one ``database``: its URL.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, OperationalError

from sisock.core.errors import NodeUnavailable
from sisock.core.model import FieldCatalogue
from sisock.nodes.g3.index import G3Index
from sisock.nodes.g3.scan import G3Scanner, ScanResult
from sisock.nodes.g3.store import G3Store
from sisock.nodes.g3.tables import open_database

from g3_fakes import append, data, read_frames, session, status, write

ALL_TIME = (1e-3, 4e9)
HOUR = 3600.0
EPOCH = 1_600_000_000.0


class Archive:
    """A folder of files, a scanner and an index of it."""

    def __init__(self, engine: Engine, folder: Path, name: str = "hk") -> None:
        self.folder = folder
        self.frames = CountingReader()
        self.now = EPOCH + 1e6
        self.scanner = G3Scanner(folder, G3Store(engine, name), self.frames, clock=lambda: self.now)
        self.index = G3Index(engine, name)

    def write(self, name: str, *blocks: dict[str, Any], providers: tuple[str, ...] = ("a.b",), **more: Any) -> Path:
        return write(self.folder / name, session(), status(*providers), *blocks, **more)

    def hour(self, number: int, fields: Mapping[str, list[Any]] | None = None, **more: Any) -> Path:
        """Write a file of an hour, of four samples."""
        start = EPOCH + number * HOUR
        return self.write(f"16000/{start:.0f}.g3", block(start, fields), **more)

    def scan(self) -> ScanResult:
        return self.scanner.scan()

    def names(self, start: float = ALL_TIME[0], end: float = ALL_TIME[1]) -> list[str]:
        return list(self.index.catalogue(start, end).fields)

    def timelines(self) -> dict[str, str]:
        return {name: one.timeline for name, one in self.index.catalogue(*ALL_TIME).fields.items()}


class CountingReader:
    """Reads frames, and keeps which files it was asked for."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def __call__(self, path: Path) -> Any:
        self.paths.append(path)
        return read_frames(path)


def block(start: float, fields: Mapping[str, list[Any]] | None = None, name: str = "temps") -> dict[str, Any]:
    return data(0, [start + 10, start + 20, start + 30, start + 40], fields or {"x": [1.0, 2.0, 3.0, 4.0]}, name)


@pytest.fixture
def archive(engine: Engine, tmp_path: Path) -> Archive:
    return Archive(engine, tmp_path)


def test_what_was_scanned_is_in_the_index(archive):
    """Each field of each file, with its type, its times and its number of samples."""
    archive.hour(0, {"x": [1, 2, 3, 4], "y": [0.5] * 4, "on": [True] * 4, "text": ["ä"] * 4})
    assert archive.scan().read == 1
    catalogue = archive.index.catalogue(*ALL_TIME)
    types = {"a.b.on": "bool", "a.b.text": "string", "a.b.x": "number", "a.b.y": "number"}
    assert {name: one.type for name, one in catalogue.fields.items()} == types
    assert [(one.name, one.interval_s) for one in catalogue.timelines.values()] == [("a.b.temps", 10.0)]
    (span,) = archive.index.spans_of("a.b.x")
    assert (span.file, span.dtype, span.count) == ("16000/1600000000.g3", "int64", 4)
    assert (span.oldest, span.newest) == (EPOCH + 10, EPOCH + 40)
    assert {archive.index.spans_of(name)[0].dtype for name in types} == {"int64", "float64", "bool", "object"}


def test_what_is_known_is_not_read_again(archive):
    """A second scan reads nothing, and a third only what has changed."""
    paths = [archive.hour(number) for number in range(3)]
    assert archive.scan().read == 3
    assert (archive.scan().read, archive.scan().known) == (0, 3)
    append(paths[1], block(EPOCH + 2 * HOUR))
    archive.frames.paths.clear()
    assert archive.scan().read == 1
    assert archive.frames.paths == [paths[1]]


def test_another_process_knows_what_one_has_read(engine, archive):
    """The index is in the database, not in the scanner."""
    archive.hour(0)
    archive.scan()
    other = Archive(engine, archive.folder)
    assert other.scan().read == 0
    assert other.names() == ["a.b.x"]


def test_a_file_that_is_being_written_is_come_back_for(archive):
    """Its whole frames are indexed, and the others as soon as they are there; what it holds keeps its generation."""
    path = archive.hour(0)
    whole = path.read_text()
    with path.open("a") as file:
        file.write('{"provider": 0')
    archive.scan()
    before = archive.index.spans_of("a.b.x")[0]
    path.write_text(whole)
    append(path, block(EPOCH + 100))
    archive.scan()
    after = archive.index.spans_of("a.b.x")[0]
    assert (before.count, after.count) == (4, 8)
    assert after.generation == before.generation
    assert after.signature != before.signature


def test_a_file_with_other_content_has_another_generation(archive):
    """What was there before and is there no longer, or is another, is told."""
    path = archive.hour(0)
    archive.scan()
    generations = [archive.index.spans_of("a.b.x")[0].generation]
    for fields in ({"x": [1.0, 2.0, 3.0, 5.0]}, {"x": [9.0] * 4}):
        assert archive.hour(0, fields) == path
        archive.scan()
        generations.append(archive.index.spans_of("a.b.x")[0].generation)
    assert len(set(generations)) == 3


def test_a_file_that_was_cut_is_another_one_even_where_it_was_first_read(archive):
    """What is written behind the cut is not what was there."""
    path = archive.hour(0)
    archive.scan()
    append(path, block(EPOCH + 100))
    archive.scan()
    before = archive.index.spans_of("a.b.x")[0].generation
    archive.hour(0)
    archive.scan()
    assert archive.index.spans_of("a.b.x")[0].generation != before


def test_changes_are_told_by_revision(archive):
    """A number grows with every change, and files that changed after one are listed, also those that are gone."""
    first = archive.hour(0)
    archive.hour(1)
    assert archive.index.revision() == 0
    archive.scan()
    before = archive.index.revision()
    assert archive.index.changed(0) == {"16000/1600000000.g3", "16000/1600003600.g3"}
    assert archive.index.changed(before) == set()
    append(first, block(EPOCH + 100))
    archive.scan()
    assert archive.index.revision() > before
    assert archive.index.changed(before) == {"16000/1600000000.g3"}
    between = archive.index.revision()
    first.unlink()
    assert archive.scan().gone == 1
    assert archive.index.revision() > between
    assert archive.index.changed(between) == {"16000/1600000000.g3"}


def test_who_is_slow_does_not_set_back_what_others_know(archive, monkeypatch):
    """All changes up to the revision that was told are told, though somebody asked before and is answered later."""
    index, ask, asked, told = archive.index, archive.index._ask, threading.Event(), threading.Event()

    def slowly(question: Any) -> Any:
        found = ask(question)
        if threading.current_thread() is slow:
            asked.set()
            told.wait(0.2)
        return found

    monkeypatch.setattr(index, "_ask", slowly)
    slow = threading.Thread(target=index.revision)
    archive.hour(0)
    archive.scan()
    index.revision()
    assert len(index.changed(0)) == 1
    slow.start()
    asked.wait(10)
    archive.hour(1)
    archive.scan()
    index.revision()
    told.set()
    slow.join(10)
    assert len(index.changed(0)) == 2


def test_scanners_learn_from_one_another(engine, archive):
    """What another scanner has read, or found gone, is known at the next scan."""
    other = Archive(engine, archive.folder)
    path = archive.hour(0)
    archive.hour(1)
    assert (archive.scan().read, other.scan().known) == (2, 2)
    content = path.read_text()
    path.unlink()
    assert (other.scan().gone, archive.scan().gone) == (1, 0)
    path.write_text(content)
    assert (other.scan().read, archive.scan().known) == (1, 2)


def test_what_is_gone_is_served_no_longer(archive):
    """A file that is gone takes its fields along, and one that comes back brings them back."""
    path = archive.hour(0, {"y": [1, 2, 3, 4]})
    archive.hour(1)
    archive.scan()
    content = path.read_text()
    path.unlink()
    archive.scan()
    assert archive.names() == ["a.b.x"]
    assert list(archive.index.spans_of("a.b.y")) == []
    path.write_text(content)
    archive.scan()
    assert archive.names() == ["a.b.x", "a.b.y"]


def test_a_field_that_comes_back_later_begins_there(archive):
    """What was gone for a while counts from what is there now, not from what once was."""
    path = archive.hour(0, {"y": [1, 2, 3, 4]})
    archive.hour(1)
    archive.scan()
    path.unlink()
    archive.scan()
    archive.hour(5, {"y": [1, 2, 3, 4]})
    archive.scan()
    (timeline,) = archive.index.catalogue(EPOCH + 5 * HOUR, EPOCH + 6 * HOUR).timelines.values()
    assert (timeline.fields, timeline.interval_s) == (("a.b.y",), 10.0)


def test_a_disk_that_is_away_takes_nothing_along(archive):
    """Where no file is left at all, a disk is more likely to be away than every file to be gone."""
    path = archive.hour(0)
    archive.scan()
    path.rename(archive.folder / "elsewhere")
    assert archive.scan().gone == 0
    assert archive.names() == ["a.b.x"]


def test_the_times_of_a_field_shrink_with_its_file(archive):
    """When a file is rewritten with fewer samples, the catalogue's mean spacing is that of what is left."""
    archive.hour(0)
    archive.scan()
    archive.write("16000/1600000000.g3", data(0, [EPOCH + 20, EPOCH + 30], {"x": [2.0, 3.0]}, "temps"))
    archive.scan()
    assert archive.names(EPOCH, EPOCH + 20) == []
    assert archive.names(EPOCH, EPOCH + 21) == ["a.b.x"]
    assert archive.index.catalogue(*ALL_TIME).timelines["a.b.temps"].interval_s == 10.0


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((EPOCH, EPOCH + 10), []),
        ((EPOCH, EPOCH + 10.5), ["a.b.x"]),
        ((EPOCH + 40, EPOCH + 41), ["a.b.x"]),
        ((EPOCH + 40.5, EPOCH + HOUR), []),
        ((EPOCH + HOUR, EPOCH + 2 * HOUR), ["a.b.y"]),
        ((EPOCH, EPOCH + 2 * HOUR), ["a.b.x", "a.b.y"]),
        ((EPOCH + 2 * HOUR, EPOCH), []),
        ((EPOCH + 20, EPOCH + 20), []),
    ],
)
def test_fields_are_those_of_the_span(archive, span, expected):
    """A field is listed if it has a sample in [start, end); between samples of a file it is doubtful."""
    archive.hour(0)
    archive.hour(1, {"y": [1, 2, 3, 4]})
    archive.scan()
    assert archive.names(*span) == expected
    assert archive.index.doubtful(*span) == {}


@pytest.mark.parametrize("span", [(EPOCH + 40, EPOCH + 50), (EPOCH + HOUR, EPOCH + HOUR + 11)], ids=["last", "first"])
def test_the_ends_of_each_file_are_known(archive, span):
    """That the first or the last sample of any file is in a span can be told without a look."""
    for number in range(3):
        archive.hour(number)
    archive.scan()
    assert archive.names(*span) == ["a.b.x"]
    assert archive.index.doubtful(*span) == {}


def test_between_the_samples_of_a_file_one_must_look(archive):
    """Where the index cannot tell, it says which field has to be looked at for which others."""
    archive.hour(0, {"x": [1, 2, 3, 4], "y": [1, 2, 3, 4]})
    archive.scan()
    doubtful = archive.index.doubtful(EPOCH + 11, EPOCH + 12)
    assert [sorted(names) for names in doubtful.values()] == [["a.b.x", "a.b.y"]]
    assert set(doubtful) <= {"a.b.x", "a.b.y"}


def test_names_that_databases_take_for_the_same_are_told_apart(archive):
    """Case, accents and spaces at the end count, whatever the database's own rules are."""
    names = ["x", "X", "é", "e", "ß", "ss", "😀"]
    archive.hour(0, {name: [1, 2, 3, 4] for name in names})
    archive.write("2.g3", block(EPOCH), providers=("A.b",))
    archive.write("B.g3", block(EPOCH + 1), providers=("c",))
    archive.write("b.g3", block(EPOCH + 2), providers=("c",))
    assert archive.scan().read == 4
    assert archive.scan().known == 4
    assert archive.names() == sorted([*(f"a.b.{name}" for name in names), "A.b.x", "c.x"])
    assert {one.file for one in archive.index.spans_of("c.x")} == {"B.g3", "b.g3"}


def test_long_names_are_kept_whole(archive):
    """Names as long as OCS allows, and longer paths than any key of a database."""
    samples = block(EPOCH, {"f" * 255: [1, 2, 3, 4]}, "b" * 255)
    archive.write(f"{'d' * 200}/{'e' * 200}.g3", samples, providers=("p" * 300,))
    archive.scan()
    assert archive.names() == [f"{'p' * 300}.{'f' * 255}"]


def test_several_archives_share_a_database(engine, archive, tmp_path):
    """Each has its own files and revision, also where paths and fields are the same."""
    archive.hour(0)
    archive.scan()
    (tmp_path / "other").mkdir()
    other = Archive(engine, tmp_path / "other", "other")
    assert other.names() == []
    other.hour(0, {"y": [1, 2, 3, 4]})
    before = archive.index.revision()
    other.scan()
    assert (archive.names(), other.names()) == (["a.b.x"], ["a.b.y"])
    assert archive.index.revision() == before


def test_fields_of_a_block_share_a_timeline(archive):
    """Fields that are in all files of their block are on the block's timeline, whatever their kinds are there."""
    archive.hour(0, {"x": [1, 2, 3, 4], "y": [1, 2, 3, 4]})
    archive.hour(1, {"x": [1.5, 2, 3, 4.5], "y": [1, 2, 3, 4]})
    archive.scan()
    assert archive.timelines() == {"a.b.x": "a.b.temps", "a.b.y": "a.b.temps"}


def test_a_field_that_came_later_has_its_own_timeline(archive):
    """It is not there at all times of its block, so it cannot share them; the others still do."""
    archive.hour(0)
    archive.hour(1, {"x": [1.0, 2.0, 3.0, 4.0], "new": [1, 2, 3, 4]})
    archive.scan()
    assert archive.timelines() == {"a.b.x": "a.b.temps", "a.b.new": "a.b/new"}
    assert archive.index.timeline("a.b.new") == "a.b/new"


def test_a_field_of_two_blocks_is_one(archive):
    """Its samples are those of both, on a timeline of its own; the blocks' other fields stay where they are."""
    start = EPOCH
    archive.write(
        "1.g3",
        block(start, {"x": [1, 2, 3, 4], "y": [1, 2, 3, 4]}),
        data(0, [start + 15, start + 60], {"x": [1.5, 2.5]}, "fast"),
    )
    archive.scan()
    assert archive.timelines() == {"a.b.x": "a.b/x", "a.b.y": "a.b.temps"}
    (span,) = archive.index.spans_of("a.b.x")
    assert (span.count, span.dtype) == (6, "float64")
    assert (span.oldest, span.newest) == (start + 10, start + 60)


def test_the_newest_file_says_what_a_field_is(archive):
    """The type of a field is that of its newest samples; each file has its own."""
    archive.hour(0, {"x": ["a", "b", "c", "d"]})
    archive.hour(1, {"x": [1, 2, 3, 4]})
    archive.scan()
    assert archive.index.catalogue(*ALL_TIME).fields["a.b.x"].type == "number"
    spans = sorted(archive.index.spans_of("a.b.x"), key=lambda one: one.oldest)
    assert [(one.field.type, one.dtype) for one in spans] == [("string", "object"), ("number", "int64")]


def test_spans_of_some_files(archive):
    """Only the files that are asked for are looked at, and unknown fields and files have nothing."""
    for number in range(4):
        archive.hour(number)
    archive.scan()
    wanted = ["16000/1600003600.g3", "16000/1600010800.g3", "no such.g3"]
    assert sorted(one.file for one in archive.index.spans_of("a.b.x", wanted)) == wanted[:2]
    assert list(archive.index.spans_of("a.b.x", [])) == []
    assert list(archive.index.spans_of("a.b.no")) == []


def test_a_field_of_more_files_than_a_condition_may_name(archive):
    """Any number of files can be asked for at once."""
    paths = [f"{number}.g3" for number in range(1200)]
    archive.hour(0)
    archive.scan()
    assert len(archive.index.spans_of("a.b.x", [*paths, "16000/1600000000.g3"])) == 1


def test_the_original_names_are_aliases(archive):
    """Fields can be asked for in lower case, with underscores, unless that is another's name."""
    archive.hour(0, {"Channel 01 T": [1, 2, 3, 4], "Low": [1, 2, 3, 4], "low": [1, 2, 3, 4]})
    archive.scan()
    assert archive.index.name_of("a.b.channel_01_t") == "a.b.Channel 01 T"
    assert archive.index.name_of("a.b.low") is None


def test_a_broken_file_is_told_once_and_the_others_are_served(archive, caplog):
    """A problem is logged by the file's name when it is found, and not again until it changes."""
    archive.hour(0)
    (archive.folder / "bad.g3").write_text("garbage\n")
    os.utime(archive.folder / "bad.g3", (EPOCH, EPOCH))
    for _ in range(3):
        archive.scan()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "bad.g3': the frame that ends at byte 8 is damaged" in caplog.text
    assert archive.names() == ["a.b.x"]


@pytest.mark.parametrize(("content", "told"), [("", "is empty"), ('{"pro', "its last 5 bytes are left out")])
def test_a_file_that_was_left_unfinished_is_told_later(archive, caplog, content, told):
    """While it may still be written nothing is said of it; after an hour it is."""
    path = archive.folder / "cut.g3"
    path.write_text(content)
    os.utime(path, (archive.now - 60, archive.now - 60))
    archive.scan()
    assert caplog.text == ""
    archive.now += HOUR
    archive.scan()
    assert "cut.g3" in caplog.text
    assert told in caplog.text


def test_a_file_that_cannot_be_read_is_left_for_the_next_scan(archive, caplog):
    """It is told once, and indexed as soon as it can be read."""
    path = archive.hour(0)
    readable = archive.scanner.frames

    def unreadable(path: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    archive.scanner.frames = unreadable
    assert [archive.scan().failed for _ in range(2)] == [1, 1]
    assert len(caplog.records) == 1
    assert f"'{path}': cannot be read (Permission denied)" in caplog.text
    archive.scanner.frames = readable
    assert archive.scan().read == 1


def test_a_folder_that_cannot_be_read_is_told_once_and_nothing_is_gone(archive, caplog, monkeypatch):
    """What is in it stays in the index until it can be read again."""
    archive.hour(0)
    kept = archive.write("16001/1600100000.g3", block(EPOCH + 1e5))
    archive.scan()
    scandir = os.scandir

    def unreadable(folder: Path) -> Any:
        if Path(folder) == kept.parent:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", unreadable)
    assert [archive.scan().gone for _ in range(3)] == [0, 0, 0]
    assert len(caplog.records) == 1
    assert f"'{kept.parent}': cannot be read (Permission denied)" in caplog.text
    assert len(archive.index.spans_of("a.b.x")) == 2
    monkeypatch.undo()
    assert archive.scan().read == 0
    monkeypatch.setattr(os, "scandir", unreadable)
    archive.scan()
    assert len(caplog.records) == 2


def test_hidden_files_and_circles_are_passed_over(archive):
    """Files that somebody is copying are hidden, and a link to a folder above leads nowhere new."""
    archive.hour(0)
    archive.write(".copying.g3", block(EPOCH))
    archive.write(".trash/1.g3", block(EPOCH))
    archive.write("notes.txt", block(EPOCH))
    (archive.folder / "16000" / "back").symlink_to(archive.folder)
    (archive.folder / "itself").symlink_to("itself")
    archive.scan()
    assert archive.frames.paths == [archive.folder / "16000/1600000000.g3"]


def test_another_reader_reads_all_again(archive, monkeypatch):
    """A version that makes something else out of a file does not trust what an earlier one has indexed."""
    archive.hour(0)
    archive.scan()
    monkeypatch.setattr("sisock.nodes.g3.store.SCANNER_VERSION", 2)
    assert [archive.scan().read, archive.scan().read] == [1, 0]


def test_what_collides_with_another_process_is_done_again(engine, archive):
    """A transaction that lost against another is repeated; one that never works ends in an error that says why."""
    store = G3Store(engine, "hk")
    outcomes = iter([IntegrityError("", {}, Exception("twice")), OperationalError("", {}, Exception("locked"))])

    def work(_: object) -> str:
        for error in outcomes:
            raise error
        return "done"

    def never(_: object) -> str:
        raise OperationalError("", {}, Exception("the disk is full"))

    assert store._retry(work) == "done"
    with pytest.raises(NodeUnavailable, match=r"the index cannot be written \(the disk is full\)"):
        store._retry(never)


def test_a_scan_that_is_cut_off_has_lost_nothing(archive):
    """What was read before is indexed, and the next scan reads the rest."""
    for number in range(6):
        archive.hour(number)

    def stop(done: int, total: int) -> None:
        if done >= total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive.scanner.scan(stop)
    assert len(archive.index.spans_of("a.b.x")) == 3
    assert archive.scan().read == 3
    assert len(archive.index.spans_of("a.b.x")) == 6


def test_progress_ends_with_all(archive):
    """Bytes that are done grow up to all that there are to do."""
    sizes = [archive.hour(number).stat().st_size for number in range(3)]
    told: list[tuple[int, int]] = []
    archive.scanner.scan(lambda done, total: told.append((done, total)))
    assert told == [(done, sum(sizes)) for done in itertools.accumulate(sizes)]


def test_scanners_may_run_at_the_same_time(database, engine, archive):
    """However many there are, the index is what one of them alone would have made."""
    for number in range(12):
        archive.hour(number, {"x": [1.0] * 4, f"y{number % 3}": [2] * 4})
    failures: list[BaseException] = []

    def scan(engine: Engine) -> None:
        try:
            Archive(engine, archive.folder).scan()
        except BaseException as failure:  # noqa: BLE001 - it is handed to the test
            failures.append(failure)

    engines = [engine, *(open_database(database) for _ in range(3))]
    threads = [threading.Thread(target=scan, args=[one]) for one in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one in engines[1:]:
        one.dispose()
    assert not failures
    assert archive.scan().known == 12
    assert len(archive.index.spans_of("a.b.x")) == 12
    interval_s = archive.index.catalogue(*ALL_TIME).timelines["a.b.temps"].interval_s
    assert interval_s == pytest.approx((11 * HOUR + 30) / 47)


def test_without_its_database_what_was_known_is_served(archive, caplog, monkeypatch):
    """It is told once that the index is away; what has to be asked there fails, and works again afterwards."""
    archive.hour(0)
    archive.scan()
    archive.names()

    def away(_: object) -> Any:
        raise NodeUnavailable("the index cannot be read (it is away)")

    with monkeypatch.context() as patch:
        patch.setattr(archive.index, "_ask", away)
        assert [archive.names(), archive.names()] == [["a.b.x"]] * 2
        assert len(caplog.records) == 1
        with pytest.raises(NodeUnavailable):
            archive.index.spans_of("a.b.x")
    assert len(archive.index.spans_of("a.b.x")) == 1


hours = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["x", "xy", "y", "gone"])), max_size=8)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hours)
def test_whatever_happened_the_index_is_as_one_made_anew(engine, tmp_path, changes):
    """After any files came, changed and went, it says what an index says that sees only the last state."""
    folder = tmp_path / f"{next(_numbers)}"
    folder.mkdir()
    old = Archive(engine, folder, f"old {folder}")
    old.hour(9)
    for number, what in changes:
        if what == "gone":
            (folder / f"16000/{EPOCH + number * HOUR:.0f}.g3").unlink(missing_ok=True)
        else:
            old.hour(number, {name: [1.0 * len(what)] * 4 for name in what})
        old.scan()
    new = Archive(engine, folder, f"new {folder}")
    for one in (old, new):
        one.scan()
    assert described(old.index.catalogue(*ALL_TIME)) == described(new.index.catalogue(*ALL_TIME))
    for name in ("a.b.x", "a.b.y"):
        assert spans(old, name) == spans(new, name)


_numbers = itertools.count()


def described(catalogue: FieldCatalogue) -> Any:
    return dict(catalogue.fields), dict(catalogue.timelines)


def spans(archive: Archive, name: str) -> Any:
    return sorted((one.file, one.count, one.oldest, one.newest) for one in archive.index.spans_of(name))
