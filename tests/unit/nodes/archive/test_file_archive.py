"""Files are watched, read again when they change, and served under a generation."""

from __future__ import annotations

import logging
import math
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from sisock.core.column.column import Column
from sisock.core.errors import ConfigurationError
from sisock.core.model import Field
from sisock.nodes.archive.file_archive import FileArchive, FileFormat
from sisock.nodes.archive.file_cache import ServedColumn
from sisock.nodes.archive.format import Contents, FieldSamples, in_order
from sisock.nodes.text.weather import WeatherNode, read_apex

ALL_TIME = (1e-3, 4e9)


class Folder:
    """A folder of archives and a node on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.node = WeatherNode(path)

    def write(self, text: str, name: str = "temp.dat") -> None:
        """Write a whole file anew, always with another modification time."""
        file = self.path / name
        before = file.stat().st_mtime_ns if file.exists() else 0
        file.write_text(text)
        os.utime(file, ns=(before + 10**9, before + 10**9))

    def add(self, text: str, name: str = "temp.dat") -> None:
        with (self.path / name).open("a") as file:
            file.write(text)

    def names(self) -> list[str]:
        return sorted(self.node.catalogue(*ALL_TIME).fields)

    def block(self, field: str = "temp"):
        return self.node.read([field], *ALL_TIME).find(field)

    def values(self, field: str = "temp") -> list[float]:
        return self.block(field).values[field].tolist()


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path):
    """A wrong path is told at the start, with the path, instead of serving nothing."""
    with pytest.raises(ConfigurationError, match=r"nowhere.*\*\.dat"):
        WeatherNode(tmp_path / "nowhere")


def test_a_file_that_appears_is_served(folder):
    """No restart is needed for a new file."""
    assert folder.names() == []
    folder.write("1500 1\n")
    assert folder.names() == ["temp"]


def test_a_file_that_grows_is_served(folder):
    """Appended rows are served under the same generation, and the newest sample is the end of what is final."""
    folder.write("1500 1\n1560 2\n")
    before = folder.block()
    folder.add("1620 3\n")
    after = folder.block()
    assert (before.times.tolist(), before.finalized_until) == ([1500, 1560], 1560)
    assert (after.times.tolist(), after.finalized_until) == ([1500, 1560, 1620], 1620)
    assert after.generation == before.generation


def test_a_half_written_row_is_served_once_it_is_whole(folder):
    """A row that is written in two steps is never shown after the first."""
    folder.write("1500 1\n1560 2")
    assert folder.values() == [1]
    generation = folder.block().generation
    folder.add("7\n")
    assert folder.values() == [1, 27]
    assert folder.block().generation == generation


@pytest.mark.parametrize(
    "text",
    [
        "1500 1\n1560 9\n1620 3\n",
        "1500 1\n1560 2\n",
        "1500 1\n1530 7\n1560 2\n1620 3\n",
        "1501 1\n1560 2\n1620 3\n",
        "",
    ],
    ids=["value changed", "cut", "late row", "time changed", "emptied"],
)
def test_a_change_of_what_was_served_changes_the_generation(folder, text):
    """When served samples changed, are gone, or others came between, the data are other data."""
    folder.write("1500 1\n1560 2\n1620 3\n")
    before = folder.block().generation
    folder.write(text)
    assert folder.block().generation != before


def test_a_generation_never_comes_back(folder):
    """Data that were changed and changed back are still not those that a cache may hold under the first generation."""
    generations = []
    for value in (1, 2, 1, 2):
        folder.write(f"1500 {value}\n1560 5\n")
        generations.append(folder.block().generation)
    (folder.path / "temp.dat").unlink()
    assert folder.block() is None
    folder.write("1500 1\n1560 5\n")
    assert len({*generations, folder.block().generation}) == 5


def test_what_grew_from_nothing_is_known_by_its_first_samples(folder):
    """Two archives that both began as an empty file are not taken for the same."""
    generations = set()
    for value in (1, 2):
        folder.write("")
        nothing = folder.block().generation
        folder.write(f"1500 {value}\n")
        generations |= {nothing, folder.block().generation}
    assert len(generations) == 4


def test_a_touched_file_keeps_its_generation(folder):
    """A new modification time, or the same samples written anew, is no change of the data."""
    folder.write("1500 1\n1560 NaN\n")
    before = folder.block()
    folder.write("# A comment.\n1500 1\n1560 NaN\n")
    assert folder.block().generation == before.generation


def test_the_generation_survives_a_restart(folder):
    """Another process that finds the same samples gives them the same generation, and other samples another."""
    folder.write("1500 1\n")
    folder.write("1500 2\n", "wind.dat")
    other = Folder(folder.path)
    assert other.block().generation == folder.block().generation
    assert other.block("wind").generation != folder.block().generation


def test_a_rewritten_file_is_seen_by_its_inode(folder, tmp_path):
    """A file put in place of another is read, though size and modification time are the same."""
    folder.write("1500 1\n")
    assert folder.values() == [1]
    status = (folder.path / "temp.dat").stat()
    (tmp_path / "new").write_text("1500 2\n")
    os.utime(tmp_path / "new", ns=(status.st_mtime_ns, status.st_mtime_ns))
    (tmp_path / "new").replace(folder.path / "temp.dat")
    assert folder.values() == [2]


def test_a_file_that_goes_away_is_no_longer_served(folder):
    """A deleted file's field is unknown, and the others stay."""
    folder.write("1500 1\n")
    folder.write("1500 2\n", "wind.dat")
    assert folder.names() == ["temp", "wind"]
    (folder.path / "temp.dat").unlink()
    assert folder.names() == ["wind"]
    assert folder.block() is None


def test_a_folder_that_goes_away_is_reported_once(tmp_path, caplog):
    """Without the folder nothing is served, and one line says so; when it is back, so are its files."""
    (tmp_path / "archive").mkdir()
    folder = Folder(tmp_path / "archive")
    folder.write("1500 1\n")
    folder.path.rename(tmp_path / "away")
    assert (folder.names(), folder.names()) == ([], [])
    assert len(caplog.records) == 1
    (tmp_path / "away").rename(folder.path)
    assert folder.names() == ["temp"]


def test_a_field_without_samples_is_known_but_not_listed(folder):
    """A file without rows is not in the catalogue; asked for by name it has no samples and promises nothing."""
    folder.write("# Nothing yet.\n")
    assert folder.names() == []
    block = folder.block()
    assert (len(block.times), block.finalized_until) == (0, -math.inf)


def test_a_broken_line_is_reported_once(folder, caplog):
    """However often the file grows and is read, its first broken line is one line in the log."""
    folder.write("1500 1\noops\n")
    folder.write("1500 1\n", "wind.dat")
    assert (folder.values(), folder.values("wind")) == ([1], [1])
    folder.add("1560 2\nagain\n")
    assert folder.values() == [1, 2]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "temp.dat': line 2 " in caplog.text


def test_a_file_that_broke_again_is_reported_again(folder, caplog):
    """Once corrected, a file is as good as new, also for the log."""
    for text in ("oops\n", "1500 1\n", "oops\n"):
        folder.write(text)
        folder.names()
    assert len(caplog.records) == 2


def test_an_unreadable_file_is_reported_once_and_tried_again(tmp_path, caplog):
    """A file that cannot be read leaves the others alone, is one line in the log, and is served when it can be."""
    broken = {"a.dat"}

    def reader(path: Path) -> Contents:
        if path.name in broken:
            raise PermissionError(13, "Permission denied")
        field = Field(path.stem, path.stem)
        return Contents((FieldSamples(field, np.array([1500.0]), np.array([1.0])),))

    for name in ("a.dat", "b.dat"):
        (tmp_path / name).touch()
    archive = FileArchive(tmp_path, "*.dat", reader)
    for _ in range(3):
        assert set(archive.catalogue(*ALL_TIME).fields) == {"b"}
    assert [record.message.count("a.dat") for record in caplog.records] == [1]
    broken.clear()
    assert set(archive.catalogue(*ALL_TIME).fields) == {"a", "b"}


def test_what_is_no_archive_is_passed_over(folder):
    """Folders, pipes, dangling links, hidden files and other names are neither read nor waited for."""
    (folder.path / "folder.dat").mkdir()
    os.mkfifo(folder.path / "pipe.dat")
    (folder.path / "dangling.dat").symlink_to(folder.path / "nowhere")
    for name in (".hidden.dat", "notes.txt", "temp.dat.bak", "bell\a.dat", ".dat"):
        folder.write("1500 1\n", name)
    assert folder.names() == []


def test_a_format_makes_the_class_of_its_nodes(tmp_path):
    """A node is called what its format says, or what its options say, and a wrong option is an error of that class."""
    logs = FileFormat("logs", "Logs of a machine", ("*.log",), read_apex, version=1)
    node_class = logs.node_class("LogNode")
    (tmp_path / "temp.log").write_text("1500 1\n")
    node = node_class(tmp_path)
    assert (node.name, node.description) == ("logs", "Logs of a machine")
    assert set(node.catalogue(*ALL_TIME).fields) == {"temp"}
    assert (node_class.__name__, node_class.__module__) == ("LogNode", read_apex.__module__)
    other = node_class(tmp_path, name="mine", description="Mine", cache=tmp_path / "cache")
    assert (other.name, other.description) == ("mine", "Mine")
    assert set(other.catalogue(*ALL_TIME).fields) == {"temp"}
    assert "logs 1" in next((tmp_path / "cache").rglob("meta.json")).read_text()
    with pytest.raises(TypeError, match=r"^LogNode\.__init__\(\) got an unexpected keyword argument 'foldr'"):
        node_class(foldr=tmp_path)


def test_an_unchanged_file_is_read_once(tmp_path):
    """Questions about files that did not change read no file."""
    readings = []

    def reader(path: Path) -> Contents:
        readings.append(path.name)
        return Contents()

    (tmp_path / "a.dat").touch()
    archive = FileArchive(tmp_path, "*.dat", reader)
    for _ in range(3):
        archive.catalogue(*ALL_TIME)
        archive.read(["a"], *ALL_TIME)
    assert readings == ["a.dat"]


def test_a_file_may_have_several_columns_on_one_timeline(tmp_path):
    """Columns of one file that name the same timeline are one block, whichever of them are asked for."""
    times = np.array([1500.0, 1560.0])
    columns = tuple(FieldSamples(Field(name, "table"), times, np.array(values)) for name, values in
                    (("a", [1.0, 2.0]), ("b", [True, False])))  # fmt: skip
    (tmp_path / "table.csv").touch()
    archive = FileArchive(tmp_path, "*.csv", lambda path: Contents(columns))
    assert archive.catalogue(*ALL_TIME).timelines["table"].fields == ("a", "b")
    block = archive.read(["b", "a"], 1500, 1560)
    assert {name: array.tolist() for name, array in block.timelines["table"].values.items()} == {"a": [1], "b": [True]}
    assert list(archive.read(["b"], *ALL_TIME).timelines["table"].values) == ["b"]


def test_arrays_cannot_be_written_to(folder):
    """What is handed out is a view of what is kept, so nobody may write to it."""
    folder.write("1500 1\n")
    for array in (folder.block().times, folder.block().values["temp"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5


def test_reads_beside_rewriting_are_never_torn(folder):
    """A reader beside another process's atomic rewriting sees one state or the other, never a mixture."""
    for number in (1, 2):
        rows = "".join(f"{1500 + row} {number}\n" for row in range(100 * number))
        folder.write(rows, f"state{number}")
    folder.write("1500 1\n")
    torn, stop = [], threading.Event()

    def read_on() -> None:
        while not stop.is_set():
            values = folder.values()
            if len(set(values)) != 1 or len(values) not in {1, 100, 200}:
                torn.append(values)

    reader = threading.Thread(target=read_on)
    reader.start()
    for turn in range(100):
        os.link(folder.path / f"state{turn % 2 + 1}", folder.path / "next")
        (folder.path / "next").replace(folder.path / "temp.dat")
    stop.set()
    reader.join(timeout=10)
    assert not torn


@pytest.mark.parametrize(
    ("times", "expected"),
    [([], None), ([5.0], None), ([5.0, 5.0], None), ([5.0, 6.0, 9.0], 2.0)],
)
def test_the_interval_is_the_mean_spacing(times, expected):
    """Duration by number of steps; without a duration there is none."""
    column = Column.of(np.array(times), np.zeros(len(times)))
    assert ServedColumn.of(Field("a", "b"), column).interval_s == expected


def test_order_agrees_with_its_readable_twin():
    """Sorting and dropping repetitions gives what a plain loop gives, over many random inputs."""
    random = np.random.default_rng(11)
    for _ in range(300):
        count = int(random.choice([0, 1, 2, 5, 12, 60]))
        times = random.integers(1, 5, count).astype(float)
        values = random.choice([0.0, 1.0, math.nan, math.inf], count)
        seen, expected = set(), []
        for time, value in sorted(zip(times.tolist(), values.tolist(), strict=True), key=lambda row: row[0]):
            if (time, repr(value)) not in seen:
                seen.add((time, repr(value)))
                expected.append((time, value))
        got_times, got_values = in_order(times, values)
        np.testing.assert_array_equal(got_times, [time for time, _ in expected])
        np.testing.assert_array_equal(got_values, [value for _, value in expected])
