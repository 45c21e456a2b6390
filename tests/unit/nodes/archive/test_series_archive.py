"""An archive with an index reads the wanted fields of the files that lie in the span, and no others."""

from __future__ import annotations

import dataclasses
import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from sisock.core.model import Field, FieldCatalogue
from sisock.nodes.archive.format import Contents, FieldSamples, FileSpan
from sisock.nodes.archive.segment_loader import SegmentLoader, reading_with
from sisock.nodes.archive.segments import SegmentCache
from sisock.nodes.archive.series_archive import SeriesArchive

HOUR_S = 3600.0
BEGIN = 1.5e9
NAMES = ("a", "b", "c")
ROWS = 100


class Site:
    """Hourly files with fields on one timeline, an index of them, and what was read of which."""

    def __init__(self, folder: Path, *, cached: bool = True) -> None:
        self.folder = folder
        self.cached = cached
        self.counts: dict[str, int] = {}
        self.changes: dict[str, int] = {}
        self.number = 0
        self.errors: dict[str, Exception] = {}
        self.problems: dict[str, str] = {}
        self.read: list[tuple[str, frozenset[str]]] = []
        self.restart()

    def restart(self) -> None:
        cache = SegmentCache(self.folder / "cache", "site", 1) if self.cached else None
        loader = SegmentLoader(self.folder, reading_with(self.folder, self.read_fields), cache)
        self.archive = SeriesArchive(self, loader, lambda: 4e9)

    def put(self, hour: int, rows: int = ROWS) -> None:
        """Write a file, or let it grow."""
        name = f"{hour:05}/{hour}.hk"
        self.counts[name] = rows
        self.number += 1
        self.changes[name] = self.number

    def revision(self) -> int:
        return self.number

    def changed(self, since: int) -> list[str]:
        return [name for name, number in self.changes.items() if number > since]

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        return FieldCatalogue.of([Field(name, "t") for name in NAMES], {"t": 36.0})

    def spans_of(self, field: str, files=None) -> list[FileSpan]:
        names = [one for one in self.counts if files is None or one in files] if field in NAMES else []
        return [
            FileSpan(
                name, (1, self.counts[name], 0), name, Field(field, "t"), "float64", self.counts[name],
                *self.samples(name, field)[0][[0, -1]].tolist(),
            )
            for name in names
        ]  # fmt: skip

    def samples(self, name: str, field: str) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.arange(self.counts[name], dtype=float)
        return BEGIN + HOUR_S * int(Path(name).stem) + 36 * numbers, numbers + 1000 * NAMES.index(field)

    def read_fields(self, path: Path, fields) -> Contents:
        name = str(path.relative_to(self.folder))
        self.read.append((name, frozenset(fields)))
        if name in self.errors:
            raise self.errors[name]
        found = [FieldSamples(Field(one, "t"), *self.samples(name, one)) for one in sorted(fields)]
        return Contents(tuple(found), self.problems.get(name))

    def values(self, field: str, first: int, last: int) -> list[float]:
        """What is served of some hours."""
        series = self.archive.columns([field])[field]
        return series.within(BEGIN + HOUR_S * first, BEGIN + HOUR_S * last)[1].tolist()


@pytest.fixture(params=[True, False], ids=["with a cache", "in memory"])
def site(request, tmp_path):
    made = Site(tmp_path, cached=request.param)
    for hour in range(20):
        made.put(hour)
    return made


def test_only_what_is_wanted_is_read(site):
    """A window over one hour reads one file, of it one field, and once only."""
    for _ in range(2):
        assert len(site.values("b", 7, 8)) == ROWS
    assert site.read == [("00007/7.hk", frozenset("b"))]
    assert site.archive.columns(["d"]) == {}


def test_fields_of_one_question_are_read_together(site):
    """Each file is read once for all fields that are asked for in one question, whatever is compacted meanwhile."""
    span = (BEGIN, BEGIN + 20 * HOUR_S)
    for series in site.archive.columns(["a", "c"]).values():
        assert len(series.reduced(*span, "mean", 100.0)[0]) > 100
    assert sorted(site.read) == sorted((name, frozenset("ac")) for name in site.counts)
    block = site.archive.read(["a", "b", "c"], *span)
    assert list(block.timelines) == ["t"]
    assert len(site.read) == 40
    assert site.read[-1][1] == frozenset("b")


def test_after_a_restart_nothing_is_read(tmp_path):
    """What was read is in the cache, single files and segments; when that is removed, files are read again."""
    site = Site(tmp_path)
    for hour in range(20):
        site.put(hour)
    expected = site.values("a", 5, 6), site.values("b", 0, 20)
    site.restart()
    site.read.clear()
    assert (site.values("a", 5, 6), site.values("b", 0, 20)) == expected
    assert site.read == []
    generation = site.archive.columns(["b"])["b"].statement.generation
    for path in (tmp_path / "cache").rglob("*.npy"):
        path.unlink()
    site.restart()
    assert (site.values("a", 5, 6), site.values("b", 0, 20)) == expected
    assert len(site.read) == 21
    assert site.archive.columns(["b"])["b"].statement.generation == generation


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), ValueError("garbage at byte 7")])
def test_a_file_that_cannot_be_read_is_left_out(site, error, caplog):
    """What fails is one line in the log; the others are served, and so is it when it can be read."""
    site.errors["00007/7.hk"] = error
    for _ in range(2):
        assert len(site.values("a", 0, 20)) == 19 * ROWS
        assert site.values("a", 7, 8) == []
    assert [("7.hk" in one.message, "\n" in one.message) for one in caplog.records] == [(True, False)]
    site.errors.clear()
    assert len(site.values("a", 0, 20)) == 20 * ROWS


def test_what_could_not_be_read_is_not_stated_to_be_final(site):
    """Who asked for it must ask again; what lies before it, and what others ask for, is as final as ever."""
    site.errors["00007/7.hk"] = OSError(5, "I/O error")
    begin, end = BEGIN + 7 * HOUR_S, BEGIN + 20 * HOUR_S
    whole = site.archive.read(["a"], end - HOUR_S, end).find("a")
    lacking = site.archive.read(["a"], BEGIN, end).find("a")
    assert (whole.finalized_until, lacking.finalized_until) == (end - 36.0, begin)
    assert site.archive.read(["a"], end - HOUR_S, end).find("a").finalized_until == end - 36.0
    site.errors.clear()
    again = site.archive.read(["a"], BEGIN, end).find("a")
    assert (len(again.times), again.finalized_until) == (20 * ROWS, end - 36.0)
    assert again.generation == lacking.generation == whole.generation


def test_what_could_not_be_read_is_remembered_until_the_statement_is_asked_for(site):
    """A series that is read in several spans is final up to the first file that it lacked in any of them."""
    site.errors["00007/7.hk"] = OSError(5, "I/O error")
    series = site.archive.columns(["a"])["a"]
    for hour in (7, 19):
        series.within(BEGIN + HOUR_S * hour, BEGIN + HOUR_S * (hour + 1))
    assert series.statement.finalized_until == BEGIN + 7 * HOUR_S


def test_what_could_not_be_read_is_read_later_where_files_overlap(site):
    """What was made of the others does not stay."""
    for hour in range(20):
        site.put(hour, 150)
    site.errors["00007/7.hk"] = OSError(5, "I/O error")
    assert len(site.values("a", 7, 8)) == 50
    site.errors.clear()
    assert len(site.values("a", 7, 8)) == 150


def test_a_file_that_cannot_be_read_does_not_keep_others_from_being_kept(site):
    """A window over one hour reads no file more, wherever the missing one is."""
    site.errors["00007/7.hk"] = OSError(5, "I/O error")
    site.values("a", 0, 20)
    site.read.clear()
    for hour in range(20):
        site.values("a", hour, hour + 1)
    assert [name for name, _ in site.read] == ["00007/7.hk"]


def test_what_a_reader_left_out_is_told_once(site, caplog):
    """A problem inside of a file is in the log once, whatever is read of it."""
    site.problems["00007/7.hk"] = "'7.hk': a frame is broken"
    for field in NAMES:
        assert len(site.values(field, 7, 8)) == ROWS
    assert [one.message for one in caplog.records] == ["'7.hk': a frame is broken"]


def test_a_file_that_grows_is_served(site):
    """When the index tells of more, more is served, under the same generation; older files are not read again."""
    before = site.archive.columns(["a"])["a"]
    assert len(site.values("a", 0, 21)) == 20 * ROWS
    site.read.clear()
    site.put(19, 150)
    site.put(20, 5)
    assert len(site.values("a", 0, 21)) == 19 * ROWS + 155
    after = site.archive.columns(["a"])["a"]
    assert after.statement.generation == before.statement.generation
    assert {name for name, _ in site.read} == {"00019/19.hk", "00020/20.hk"}
    assert len(before.within(BEGIN, BEGIN + 21 * HOUR_S)[0]) == 20 * ROWS


def test_more_than_the_index_knows_is_not_served(site):
    """A file that has grown since it was indexed is served as far as is known, and not kept like that."""
    site.counts["00019/19.hk"] = 70
    site.put(19, 70)
    assert len(site.values("a", 18, 19)) == ROWS
    known = site.spans_of
    shorter = [dataclasses.replace(one, count=50, newest=one.oldest + 36 * 49) for one in known("a", ["00019/19.hk"])]
    site.spans_of = lambda field, files=None: [
        *[one for one in known(field, files) if "19" not in one.file],
        *shorter,
    ]
    site.number += 1
    site.changes["00019/19.hk"] = site.number
    assert len(site.values("a", 19, 20)) == 50
    site.spans_of = known
    site.put(19, 70)
    assert len(site.values("a", 19, 20)) == 70


def test_questions_beside_one_another_get_whole_answers(site):
    """While files come and are compacted, each of several threads gets all samples of its time, in order."""
    wrong, stop = [], threading.Event()

    def ask(field: str) -> None:
        while not stop.is_set():
            series = site.archive.columns([field, "c"])[field]
            times, values = series.within(BEGIN, BEGIN + 1000 * HOUR_S)
            count = series.reduced(BEGIN, BEGIN + 1000 * HOUR_S, "mean", 1e9)[1]
            if len(times) % ROWS or (np.diff(times) <= 0).any() or set(values // 1000) != {NAMES.index(field)}:
                wrong.append((len(times), count))

    threads = [threading.Thread(target=ask, args=(field,)) for field in "aabb"]
    for thread in threads:
        thread.start()
    for hour in range(20, 60):
        site.put(hour)
        site.values("a", 0, 1000)
    stop.set()
    for thread in threads:
        thread.join(10)
    assert wrong == []
    assert len(site.values("b", 0, 1000)) == 60 * ROWS


def test_two_archives_may_share_a_cache(tmp_path):
    """Two processes that compact the same files differently leave each other's answers whole."""
    sites = [Site(tmp_path), Site(tmp_path)]
    for hour in range(40):
        for site in sites:
            site.put(hour)
    assert len(sites[0].values("a", 0, 9)) == len(sites[1].values("a", 5, 14)) == 9 * ROWS
    for first, last in ((0, 40), (3, 33), (0, 40)):
        for site in sites:
            assert len(site.values("a", first, last)) == (last - first) * ROWS
            site.restart()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_late_or_changed_file_costs_no_reading_of_others(site, restarted):
    """When a file among many that were compacted changes, or comes between them, the others are not read again."""
    for hour in range(40, 90):
        site.put(hour)
    assert len(site.values("a", 0, 90)) == 70 * ROWS
    site.put(60, 70)
    site.put(30)
    if restarted and site.cached:
        site.restart()
    site.read.clear()
    assert len(site.values("a", 0, 90)) == 71 * ROWS - 30
    assert {name for name, _ in site.read} == {"00060/60.hk", "00030/30.hk"}
    del site.counts["00045/45.hk"]
    site.number += 1
    site.changes["00045/45.hk"] = site.number
    if restarted and site.cached:
        site.restart()
    site.read.clear()
    assert len(site.values("a", 0, 90)) == 70 * ROWS - 30
    assert site.read == []


def test_what_was_compacted_is_let_go_of(site):
    """Columns that were joined to a larger one are not kept in memory beside it."""
    series = site.archive.columns(["a"])["a"]
    segments = [weakref.ref(segment) for segment in site.archive._served["a"].segments]
    assert len(series.within(BEGIN, BEGIN + 20 * HOUR_S)[0]) == 20 * ROWS
    del series
    gc.collect()
    kept = set(site.archive._served["a"].segments)
    assert len(kept) < 8
    assert {segment() for segment in segments} - {None} <= kept
