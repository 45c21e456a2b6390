"""A field that is in several files is one series: the same as reading all files, one behind another, in order."""

from __future__ import annotations

import logging
import math
import os
import shutil
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from unit.core.column.test_concatenated import check_reduced

from sisock.core.model import Field
from sisock.core.reduce.reducers import REDUCERS, bucket_starts, find_reducer, reduce_samples
from sisock.nodes.archive.file_archive import FileArchive
from sisock.nodes.archive.file_cache import FileCache
from sisock.nodes.archive.format import Contents, FieldSamples, in_order

many = settings(derandomize=True, deadline=None, max_examples=40)
ALL_TIME = (1e-3, 4e9)
TYPES = {"f": "number", "i": "number", "b": "bool", "O": "string"}
OLD = 1e9
NOW = 2e9


class Archive:
    """A folder of files whose contents are kept here, and an archive on it with or without a cache."""

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = folder
        self.cache = cache
        self.contents: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
        self.readings: list[str] = []
        self.now = NOW
        self.tick = 0.0
        self.restart()

    def restart(self) -> None:
        cache = None if self.cache is None else FileCache(self.cache, "test", 1)
        self.archive = FileArchive(
            self.folder, "*.txt", self.read_file, cache, clock=lambda: self.now, now=lambda: self.now
        )

    def put(self, name: str, times, values, field: str = "x", mtime: float | None = None) -> None:
        """Write a file with one more field, or with that field anew; in the order that a reader has to keep."""
        times, values = in_order(np.array(times, dtype=float), np.asarray(values))
        self.contents.setdefault(name, {})[field] = (times, values)
        (self.folder / f"{name}.txt").write_text("x")
        self.tick += 1
        at = OLD + self.tick if mtime is None else mtime
        os.utime(self.folder / f"{name}.txt", (at, at))

    def remove(self, name: str) -> None:
        del self.contents[name]
        (self.folder / f"{name}.txt").unlink()

    def read_file(self, path: Path) -> Contents:
        self.readings.append(path.stem)
        return Contents(
            tuple(
                FieldSamples(Field(field, "t", TYPES[values.dtype.kind]), times.copy(), values.copy())
                for field, (times, values) in self.contents[path.stem].items()
            )
        )

    def twin(self, field: str = "x") -> tuple[np.ndarray, np.ndarray]:
        """All files, those that begin first first, one behind another, and in order; of the newest one's type."""
        found = [(name, *one[field]) for name, one in self.contents.items() if field in one and len(one[field][0])]
        found.sort(key=lambda one: (one[1][0], one[0]))
        kind = TYPES[found[-1][2].dtype.kind]
        kept = [one for one in found if TYPES[one[2].dtype.kind] == kind]
        dtypes = {one[2].dtype for one in kept}
        dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype(float)
        times = np.concatenate([one[1] for one in kept])
        return in_order(times, np.concatenate([one[2].astype(dtype) for one in kept]))

    def column(self, field: str = "x"):
        return self.archive.columns([field])[field]

    def served(self, field: str = "x"):
        return self.archive._served[field]

    def generation(self, field: str = "x") -> str:
        return self.column(field).statement.generation

    def until(self, field: str = "x") -> float:
        return self.column(field).statement.finalized_until


@pytest.fixture(params=[False, True], ids=["in memory", "with a cache"])
def archive(request, tmp_path):
    (tmp_path / "data").mkdir()
    return Archive(tmp_path / "data", tmp_path / "cache" if request.param else None)


def values_of(random, kind: str, count: int) -> np.ndarray:
    if kind == "text":
        texts = np.empty(count, dtype=object)
        texts[:] = random.choice(["on", "off", "größer"], count).tolist()
        return texts
    if kind == "bool":
        return random.random(count) < 0.5
    if kind == "int":
        return random.choice(np.array([-(2**62), 2**62, 2**62 + 1, 0, 5]), count)
    return random.choice([-1.0, 0.0, 2.5, math.nan, math.inf, -math.inf], count)


def times_of(random, begin: float, length: float, count: int) -> np.ndarray:
    """Times on whole numbers, so that files repeat one another's, also at their ends."""
    return begin + np.sort(random.integers(0, max(int(length), 1), count)).astype(float)


def fill(archive: Archive, seed: int, kinds: list[str]) -> None:
    """Files one after the other, with gaps, touching, overlapping, one inside another; some of no or one sample."""
    random = np.random.default_rng(seed)
    begin = 1.5e9
    length = float(random.choice([4, 40, 400]))
    for number in range(int(random.choice([1, 2, 3, 9, 30]))):
        count = int(random.choice([0, 1, 2, 20, 300], p=[0.1, 0.2, 0.2, 0.3, 0.2]))
        times = times_of(random, begin, length, count)
        archive.put(f"f{number:02}", times, values_of(random, kinds[number % len(kinds)], count))
        begin += length * random.choice([0.0, 0.3, 0.9, 1.0, 3.0], p=[0.05, 0.15, 0.2, 0.4, 0.2])


def check_all(archive: Archive, seed: int) -> None:
    """Whatever is asked of the series, it answers as its twin."""
    random = np.random.default_rng(seed)
    times, values = archive.twin()
    series = archive.column()
    assert series.dtype == values.dtype
    spans = [(1.0, 3e9), *(tuple(np.sort(random.uniform(times[0] - 2, times[-1] + 2, 2)).tolist()) for _ in range(3))]
    for start, end in spans:
        low, high = np.searchsorted(times, [start, end])
        inside = times[low:high], values[low:high]
        assert_same(series.within(start, end), inside)
        assert_same(series.newest(start, end), (inside[0][-1:], inside[1][-1:]))
        stride = float(random.choice([0.7, 3.0, 50.0, 1e4]))
        for reducer in REDUCERS:
            selection = find_reducer(reducer).for_dtype(values.dtype)
            expected = reduce_samples(*inside, selection, bucket_starts(inside[0], selection.width(stride)))
            check_reduced(series.reduced(start, end, reducer, stride), expected, reducer, values)
        block = archive.archive.read(["x"], start, end).find("x")
        assert_same((block.times, block.values["x"]), inside)
        assert ("x" in archive.archive.catalogue(start, end).fields) == (len(inside[0]) > 0)
    (timeline,) = archive.archive.catalogue(*ALL_TIME).timelines.values()
    if times[-1] > times[0]:
        assert timeline.interval_s == pytest.approx((times[-1] - times[0]) / (len(times) - 1))


def assert_same(got, expected) -> None:
    assert got[0].tobytes() == expected[0].tobytes()
    assert got[1].dtype == expected[1].dtype
    assert str(got[1].tolist()) == str(expected[1].tolist())


@many
@given(
    st.integers(0, 10**6),
    st.sampled_from([["float"], ["int"], ["bool"], ["text"], ["int", "float"], ["float", "text"], ["bool", "int"]]),
    st.booleans(),
)
def test_a_field_in_many_files_is_as_if_it_were_in_one(tmp_path_factory, seed, kinds, kept):
    """Times ascend, nothing is there twice, nothing is lost, in whatever way files follow or overlap one another."""
    folder = tmp_path_factory.mktemp("joined")
    (folder / "data").mkdir()
    archive = Archive(folder / "data", folder / "cache" if kept else None)
    fill(archive, seed, kinds)
    if not any(len(one["x"][0]) for one in archive.contents.values()):
        return
    for number in range(2):
        check_all(archive, seed + number)
        archive.restart()


def test_years_of_files_take_few_segments(archive):
    """A field in hundreds of files is in tens of segments, so that a window over all opens no more than these."""
    for number in range(500):
        archive.put(f"f{number:03}", [1.5e9 + 10 * number, 1.5e9 + 10 * number + 5], [number, number + 0.5])
    check_all(archive, 1)
    assert len(archive.served().segments) < 30
    assert len(archive.served().slices) < 30


def test_files_that_come_one_by_one_are_compacted_as_a_logarithm(archive):
    """Each sample is written again as often as the number of files doubles thrice, not at each new file."""
    written = []
    compact = archive.archive._loader.compact
    archive.archive._loader.compact = lambda segments, waiting: (
        written.append(sum(len(one.members) for one in segments)) or compact(segments, waiting)
    )
    for number in range(200):
        archive.put(f"f{number:03}", [1.5e9 + 10 * number, 1.5e9 + 10 * number + 5], [number, number + 0.5])
        archive.now += 1.0
        archive.column().reduced(1.0, 3e9, "minmax", 100.0)
    check_all(archive, 1)
    assert sum(written) <= 200 * 3
    assert len(archive.served().segments) <= 8 * 3 + 1


def test_a_short_window_opens_only_its_files(archive):
    """Beside a window nothing is opened nor compacted."""
    for number in range(100):
        archive.put(f"f{number:03}", [1.5e9 + 10 * number, 1.5e9 + 10 * number + 5], [number, number + 0.5])
    opened = []
    column = archive.archive._loader.column
    archive.archive._loader.column = lambda one, waiting: opened.extend(one.members) or column(one, waiting)
    series = archive.column()
    assert series.reduced(1.5e9 + 500, 1.5e9 + 520, "max", 1.0)[1].tolist() == [50, 50.5, 51, 51.5]
    assert series.newest(1.0, 1.5e9 + 502)[1].tolist() == [50]
    assert {one.file for one in opened} == {"f050.txt", "f051.txt"}
    assert len(archive.served().segments) == 100


def test_segments_come_from_the_cache(tmp_path):
    """After a restart the segments that were made are found, and nothing is compacted or read again."""
    (tmp_path / "data").mkdir()
    archive = Archive(tmp_path / "data", tmp_path / "cache")
    for number in range(100):
        archive.put(f"f{number:03}", [1.5e9 + 10 * number, 1.5e9 + 10 * number + 5], [number, number + 0.5])
    check_all(archive, 1)
    sizes = [len(one.members) for one in archive.served().segments]
    assert sizes[:2] == [64, 8]
    archive.restart()
    archive.readings.clear()
    archive.archive._loader.compact = None
    check_all(archive, 2)
    assert [len(one.members) for one in archive.served().segments] == sizes
    assert archive.readings == []


@pytest.mark.parametrize("spoil", ["gone", "cut", "noise"])
def test_damaged_segments_are_made_again(tmp_path, spoil):
    """Whatever becomes of the cache, what is served is what is in the files."""
    (tmp_path / "data").mkdir()
    archive = Archive(tmp_path / "data", tmp_path / "cache")
    for number in range(20):
        archive.put(f"f{number:03}", [1.5e9 + 10 * number, 1.5e9 + 10 * number + 5], [number, number + 0.5])
    check_all(archive, 1)
    generation = archive.generation()
    for path in sorted((tmp_path / "cache" / "joined").rglob("*.npy")):
        content = path.read_bytes()
        path.unlink()
        if spoil != "gone":
            path.write_bytes(content[:-1] if spoil == "cut" else os.urandom(len(content)))
    archive.restart()
    check_all(archive, 2)
    assert archive.generation() == generation


def test_a_changed_member_is_served_anew(archive):
    """When one of many compacted files changes, what was compacted with it is made again, under another generation."""
    for number in range(20):
        archive.put(f"f{number:03}", [1.5e9 + 10 * number, 1.5e9 + 10 * number + 5], [number, number + 0.5])
    check_all(archive, 1)
    generation = archive.generation()
    archive.put("f003", [1.5e9 + 30, 1.5e9 + 35], [3, 99.0])
    archive.now += 10
    check_all(archive, 1)
    assert archive.generation() != generation


def test_growth_keeps_the_generation(archive):
    """Samples and files at the end change nothing of what was served, over restarts with a cache too."""
    archive.put("a", [1, 2, 3], [1.0, 2.0, 3.0])
    generation = archive.generation()
    assert archive.until() == 3
    archive.put("b", [3, 4], [3.5, 4.0])
    assert (archive.generation(), archive.until()) == (generation, 4)
    if archive.cache is not None:
        archive.restart()
    archive.put("b", [3, 4, 5], [3.5, 4.0, 5.0])
    assert (archive.generation(), archive.until()) == (generation, 5)
    archive.put("c", [6], [6.0])
    if archive.cache is not None:
        archive.restart()
    assert (archive.generation(), archive.until()) == (generation, 6)
    check_all(archive, 1)


def test_copies_of_a_file_keep_the_generation(archive):
    """Files that hold the same, and may still grow, are told apart by how many there are."""
    for name in ("a", "copy", "another"):
        archive.put(name, [1, 2, 3], [1.0, 2.0, 3.0], mtime=NOW)
    archive.put("b", [3, 4], [3.5, 4.0], mtime=NOW)
    generation = archive.generation()
    archive.put("b", [3, 4, 5], [3.5, 4.0, 5.0], mtime=NOW + 1)
    assert archive.generation() == generation
    archive.put("copy", [1, 2, 3, 4], [1.0, 2.0, 3.0, 4.5], mtime=NOW + 1)
    assert archive.generation() == generation
    archive.remove("another")
    assert archive.generation() != generation


@pytest.mark.parametrize(
    "change",
    [
        lambda archive: archive.put("late", [2.5], [7.0]),
        lambda archive: archive.put("a", [1, 2], [1.0, 9.0]),
        lambda archive: archive.put("a", [1, 2, 2.5], [1.0, 2.0, 2.5]),
        lambda archive: archive.put("a", [1], [1.0]),
        lambda archive: archive.put("c", [5, 6], [5.0, 7.0]),
        lambda archive: archive.remove("a"),
        lambda archive: archive.remove("b"),
    ],
    ids=["late file", "value changed", "sealed grew", "sealed cut", "newest changed", "oldest gone", "one gone"],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_a_change_of_what_was_final_changes_the_generation(archive, change, restarted):
    """What changes before the end of what is final makes other data of it, also while the node is down."""
    archive.put("a", [1, 2], [1.0, 2.0])
    archive.put("b", [3, 4], [3.0, 4.0])
    archive.put("c", [5, 6], [5.0, 6.0])
    before = archive.generation()
    change(archive)
    if restarted:
        archive.restart()
    assert archive.generation() != before
    check_all(archive, 1)


def test_a_late_file_after_a_restart_changes_what_was_told_last(tmp_path):
    """What was told to be final moments before a restart is known to have been, and what follows it is no change."""
    (tmp_path / "data").mkdir()
    archive = Archive(tmp_path / "data", tmp_path / "cache")
    archive.put("a", [1, 2], [1.0, 2.0])
    generation = archive.generation()
    archive.now += 5
    archive.put("a", [1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])
    assert (archive.generation(), archive.until()) == (generation, 4)
    archive.restart()
    archive.put("b", [5, 6], [5.0, 6.0])
    assert archive.generation() == generation
    archive.now += 5
    archive.put("b", [5, 6, 7, 8], [5.0, 6.0, 7.0, 8.0])
    assert (archive.generation(), archive.until()) == (generation, 8)
    archive.restart()
    archive.put("late", [7.5], [9.0])
    assert archive.generation() != generation


def test_the_same_data_have_the_same_generation_without_a_cache(tmp_path):
    """Two nodes that find the same files give the same generation, and other files another."""
    archive = Archive(tmp_path)
    archive.put("a", [1, 2], [1.0, 2.0])
    archive.put("b", [3, 4], [3.0, 4.0])
    first = archive.generation()
    archive.restart()
    assert archive.generation() == first
    archive.put("b", [3, 4], [3.0, 5.0])
    archive.restart()
    assert archive.generation() != first


def test_no_generation_comes_back(archive):
    """Files that go and come again, or change and change back, are never taken for what a consumer may hold."""
    archive.put("a", [1, 2], [1.0, 2.0])
    generations = [archive.generation()]
    archive.put("b", [3, 4], [3.0, 4.0])
    assert archive.generation() == generations[0]
    for number in range(4):
        archive.remove("b")
        generations.append(archive.generation())
        archive.put("a", [1, 2], [1.0, 2.0 + number % 2])
        archive.put("b", [3, 4], [3.0, 4.0])
        archive.put("zero", [0.5], [number])
        generations.append(archive.generation())
        archive.remove("zero")
        if archive.cache is not None:
            archive.restart()
    assert len(set(generations)) == len(generations)


def test_what_was_just_written_may_still_grow(archive):
    """A file that another one follows is final a minute after it was written to, and not before."""
    archive.put("a", [1, 2], [1.0, 2.0], mtime=NOW)
    archive.put("b", [3, 4], [3.0, 4.0], mtime=NOW)
    assert archive.until() == 2
    archive.now = NOW + 30
    archive.put("a", [1, 2, 2.5], [1.0, 2.0, 2.5], mtime=NOW + 30)
    generation = archive.generation()
    assert archive.until() == 2.5
    archive.now = NOW + 89.9
    assert archive.until() == 2.5
    archive.now = NOW + 90.1
    assert (archive.until(), archive.generation()) == (4, generation)


def test_a_file_among_closed_ones_grows_under_the_same_generation(archive):
    """A file that was just written changes nothing by its growth, though files that do not grow any more follow it."""
    archive.put("a", [1, 2], [1.0, 2.0])
    archive.put("b", [3, 4], [3.0, 4.0], mtime=NOW)
    archive.put("c", [5, 6], [5.0, 6.0])
    archive.put("d", [7, 8], [7.0, 8.0])
    generation = archive.generation()
    archive.now = NOW + 30
    archive.put("b", [3, 4, 4.5], [3.0, 4.0, 4.5], mtime=NOW + 30)
    assert (archive.until(), archive.generation()) == (4.5, generation)


def test_a_closed_file_that_grows_before_what_is_final_changes_the_generation(archive):
    """What comes before the end of what was stated to be final is late, though its file has only grown."""
    archive.put("a", [1, 10], [1.0, 10.0], mtime=NOW)
    archive.put("b", [2, 3], [2.0, 3.0])
    archive.put("c", [15, 20], [15.0, 20.0])
    assert archive.until() == 10
    generation = archive.generation()
    archive.now = NOW + 30
    archive.put("b", [2, 3, 4], [2.0, 3.0, 4.0], mtime=NOW + 30)
    assert archive.generation() != generation


def test_a_file_that_becomes_another_is_not_taken_for_what_it_was(archive):
    """What was handed out before a file was rewritten never shows the new samples under the old generation."""
    archive.put("a", [1, 2], [1.0, 2.0])
    archive.put("b", [3, 4], [3.0, 4.0])
    series = archive.column()
    archive.put("b", [3, 4], [3.0, 9.0])
    archive.put("a", [1, 2], [1.0, 7.0])
    assert archive.generation() != series.statement.generation
    assert series.within(0.0, 9.0)[1].tolist() == []
    assert archive.column().within(0.0, 9.0)[1].tolist() == [1, 7, 3, 9]


def test_what_was_handed_out_stays_while_files_grow(archive):
    """A series is what it was when it was asked for, though its samples are read later."""
    archive.put("a", [1, 2], [1.0, 2.0])
    archive.put("b", [3, 4], [3.0, 4.0])
    series = archive.column()
    archive.put("b", [3, 4, 5], [3.0, 4.0, 5.0])
    archive.column()
    assert series.within(0.0, 9.0)[1].tolist() == [1, 2, 3, 4]
    assert archive.column().within(0.0, 9.0)[1].tolist() == [1, 2, 3, 4, 5]


def test_files_of_another_type_are_named_once(archive, caplog):
    """A field that is a number in the newest file is a number; what is text elsewhere is told, once, and left out."""
    caplog.set_level(logging.WARNING)
    archive.put("a", [1, 2], np.array(["on", "off"], dtype=object))
    archive.put("b", [3, 4], [3, 4])
    archive.put("c", [5, 6], [5.5, 6.0])
    for _ in range(3):
        assert archive.column().within(0.0, 9.0)[1].tolist() == [3, 4, 5.5, 6]
    assert [record.message for record in caplog.records] == [
        f"field 'x' is a number in the newest file of '{archive.folder}', but not in 'a.txt': it is left out there"
    ]
    archive.put("d", [7], np.array(["on"], dtype=object))
    assert archive.column().within(0.0, 9.0)[1].tolist() == ["on", "off", "on"]
    assert "'b.txt', 'c.txt'" in caplog.records[-1].message
    assert archive.archive.catalogue(*ALL_TIME).fields["x"].type == "string"


def test_fields_in_the_same_files_share_a_timeline(archive):
    """Columns of files that follow one another stay on one timeline; one that is not in all gets its own."""
    for number, name in enumerate("abc"):
        times = [10 * number + 1, 10 * number + 2]
        for field in ("x", "y"):
            archive.put(name, times, [1.0, 2.0], field)
    archive.put("c", [21, 22], [5.0, 6.0], "z")
    timelines = archive.archive.catalogue(*ALL_TIME).timelines
    assert {name: one.fields for name, one in timelines.items()} == {"t": ("x", "y"), "t.z": ("z",)}
    block = archive.archive.read(["x", "y", "z"], *ALL_TIME)
    assert {name: list(one.values) for name, one in block.timelines.items()} == {"t": ["x", "y"], "t.z": ["z"]}
    assert {len(one.times) for one in block.timelines.values()} == {6, 2}


def test_fields_of_files_that_overlap_have_timelines_of_their_own(archive):
    """Where a row is repeated in one field and differs in another, the fields cannot share their times."""
    for name, other in (("a", 5.0), ("b", 6.0)):
        archive.put(name, [1, 2], [1.0, 2.0], "x")
        archive.put(name, [1, 2], [other, 2.0], "y")
    block = archive.archive.read(["x", "y"], *ALL_TIME)
    found = {name: one.times.tolist() for name, one in block.timelines.items()}
    assert sorted(found.values()) == [[1, 1, 2], [1, 2]]
    assert set(found) == set(archive.archive.catalogue(*ALL_TIME).timelines)


def test_arrays_of_joined_files_cannot_be_written_to(archive):
    """What is handed out of one segment is a view of what is kept."""
    for number in range(20):
        archive.put(f"f{number:02}", [number, number + 1], [1.0, number])
    archive.column().reduced(0.0, 100.0, "max", 10.0)
    for array in archive.column().within(3.0, 3.5):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5


class Life:
    """What may happen to the files of an archive, its cache and its process, at random."""

    def __init__(self, archive: Archive, seed: int) -> None:
        self.archive = archive
        self.random = np.random.default_rng(seed)
        self.known: dict[str, tuple[float, str]] = {}
        self.append()
        often = [self.append] * 6 + [self.grow] * 3
        self.steps = [*often, self.rewrite, self.remove, self.lose_the_cache, self.restart]

    def step(self) -> None:
        few = len(self.archive.contents) < 38
        self.steps[int(self.random.integers(len(self.steps)))]() if few else self.remove()
        self.archive.now += 5.0

    def append(self) -> None:
        number = len(self.archive.contents)
        self.put(f"f{number:02}", 1.5e9 + 20 * number + int(self.random.integers(-3, 3)))

    def put(self, name: str, begin: float) -> None:
        count = int(self.random.integers(1, 25))
        self.archive.put(name, begin + np.arange(count), self.random.choice([1.0, 2.0, math.nan], count))

    def grow(self) -> None:
        name = max(self.archive.contents, key=lambda one: self.archive.contents[one]["x"][0][0])
        times, values = self.archive.contents[name]["x"]
        self.archive.put(name, [*times, times[-1] + self.random.integers(0, 3)], [*values, 3.0])

    def rewrite(self) -> None:
        name = str(self.random.choice(list(self.archive.contents)))
        self.put(name, self.archive.contents[name]["x"][0][0] + int(self.random.integers(-2, 3)))

    def remove(self) -> None:
        if len(self.archive.contents) > 1:
            self.archive.remove(str(self.random.choice(list(self.archive.contents))))

    def lose_the_cache(self) -> None:
        if self.archive.cache is not None:
            shutil.rmtree(self.archive.cache, ignore_errors=True)

    def restart(self) -> None:
        if self.archive.cache is not None:
            if not self.archive.cache.exists():
                self.known = {}  # nobody can tell any more what was there
            self.archive.restart()

    def check_what_was_final(self) -> None:
        """What was final when a generation was told last is what it was."""
        series = self.archive.column()
        times, values = series.within(0.0, 4e9)

        def before(until: float) -> str:
            return str(list(zip(times[times < until].tolist(), values[times < until].tolist(), strict=True)))

        until, final = self.known.get(series.statement.generation, (0.0, "[]"))
        assert before(until) == final
        until = series.statement.finalized_until
        self.known[series.statement.generation] = (until, before(until))


@pytest.mark.parametrize("seed", range(4))
def test_a_random_life_serves_what_is_in_the_files(archive, seed):
    """Whatever happens to files, cache and process, what is read is true, and what was final under a name stays so."""
    life = Life(archive, seed)
    for step in range(60):
        life.step()
        if life.random.random() < 0.7:
            check_all(archive, step)
            life.check_what_was_final()
    assert len(life.known) > 3
