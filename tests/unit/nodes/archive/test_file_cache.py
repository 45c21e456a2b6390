"""Archives are read from the cache after a restart, and what they serve is the same whatever becomes of the cache."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sisock.core.column.mapped import Texts, arrays_of
from sisock.core.model import DataBlock, Field
from sisock.core.reduce.reducers import REDUCERS
from sisock.nodes.archive import file_reader, folder_index
from sisock.nodes.archive.array_cache import CHECKED_BYTES, FORGET_AFTER_S, ArrayCache
from sisock.nodes.archive.file_archive import FileArchive
from sisock.nodes.archive.file_cache import FileCache
from sisock.nodes.archive.format import Contents, FieldSamples
from sisock.nodes.archive.listing import Listing
from sisock.nodes.text.apex_weather import ApexWeatherNode
from sisock.nodes.text.weather import WeatherNode

ALL_TIME = (1e-3, 4e9)
PAGE = Path(__file__).parents[4] / "docs" / "archive-cache.md"
Row = tuple[float, float]


def read_table(path: Path) -> Contents:
    """Read `time value` rows into a number, a state and a text on one timeline; 'oops' is a broken line."""
    lines = path.read_text().splitlines()
    rows = [tuple(map(float, line.split())) for line in lines if line != "oops"]
    times, values = np.array(rows, dtype=float).reshape(-1, 2).T.copy()
    texts = np.empty(len(values), dtype=object)
    texts[:] = [f"{value:g}" for value in values]
    columns = {"number": values, "state": values > 2, "text": texts}
    problem = f"'{path}': broken" if "oops" in lines else None
    fields = [
        Field(f"{path.stem}.{name}", path.stem, kind, units=None, description=name)
        for name, kind in (("number", "number"), ("state", "bool"), ("text", "string"))
    ]
    return Contents(tuple(FieldSamples(field, times, columns[field.description]) for field in fields), problem)


class Setting:
    """A folder of archives, a cache, and an archive on both that can be started anew."""

    def __init__(self, path: Path) -> None:
        self.folder = path / "data"
        self.cache = path / "cache"
        self.folder.mkdir()
        self.readings: list[str] = []
        self.now = 0.0
        self.tick = 0
        self.restart()

    def restart(self, version: int = 1, reader: Callable[[Path], Contents] = read_table) -> FileArchive:
        def counted(path: Path) -> Contents:
            self.readings.append(path.name)
            return reader(path)

        cache = FileCache(self.cache, "table", version)
        self.archive = FileArchive(self.folder, "*.txt", counted, cache, clock=lambda: self.now)
        return self.archive

    def write(self, *rows: Row | str, name: str = "a") -> None:
        """Write a file anew, with a modification time that it never had."""
        text = "".join(f"{row if isinstance(row, str) else ' '.join(map(repr, row))}\n" for row in rows)
        (self.folder / f"{name}.txt").write_text(text)
        self.tick += 1
        os.utime(self.folder / f"{name}.txt", (self.tick, self.tick))

    def read(self) -> DataBlock:
        return self.archive.read(self.names(), *ALL_TIME)

    def names(self) -> list[str]:
        return sorted(self.archive.catalogue(*ALL_TIME).fields)

    def generation(self, name: str = "a") -> str:
        return self.read().timelines[name].generation

    def read_again(self) -> list[str]:
        """Return the files that were read since this was asked last."""
        found, self.readings = self.readings, []
        return found

    def entries(self) -> list[Path]:
        return sorted(path.parent for path in self.cache.glob("archives/[0-9a-f]*/*/meta.json"))


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path)


LATER = ("summary_deviation", "summary_rest")
LONG = [(1500.0 + number, float(number % 7)) for number in range(5000)]


def assert_served(setting: Setting, rows: list[Row]) -> None:
    """What is served of file 'a' is what the rows say, in all its columns, read or as columns."""
    times, values = [list(one) for one in zip(*rows, strict=True)]
    block = setting.read().timelines["a"]
    assert block.times.tolist() == times
    assert block.finalized_until == times[-1]
    assert block.values["a.number"].tobytes() == np.array(values, dtype=float).tobytes()
    assert block.values["a.state"].tolist() == [value > 2 for value in values]
    assert block.values["a.text"].tolist() == [f"{value:g}" for value in values]
    for name, column in setting.archive.columns(list(block.values)).items():
        assert np.array_equal(column.within(*ALL_TIME)[1], block.values[name], equal_nan=name == "a.number")
        assert column.generation == block.generation


def is_mapped(array: np.ndarray | None) -> bool:
    """Whether an array is a view of a file."""
    return array is not None and (isinstance(array, np.memmap) or is_mapped(getattr(array, "base", None)))


def test_after_a_restart_files_are_not_read_again(setting):
    """All that is served comes from the cache: samples, fields, finality, generation."""
    setting.write(*LONG)
    before, catalogue = setting.read(), setting.archive.catalogue(*ALL_TIME)
    assert setting.read_again() == ["a.txt"]
    setting.restart()
    assert_served(setting, LONG)
    assert setting.archive.catalogue(*ALL_TIME) == catalogue
    assert setting.generation() == before.timelines["a"].generation
    assert setting.read_again() == []


def test_what_an_earlier_version_kept_is_used_as_it_is(setting, monkeypatch):
    """An entry without deviations is not made anew: it gives the same under the same name, deviations as well."""

    def reduced() -> dict[str, list[bytes]]:
        column = setting.archive.columns(["a.number"])["a.number"]
        return {
            reducer: [np.round(part, 9).tobytes() for part in column.reduced(1501.0, 6000.0, reducer, 700.0)]
            for reducer in REDUCERS
        }

    setting.write(*LONG)
    expected = reduced()
    shutil.rmtree(setting.cache)
    with monkeypatch.context() as patched:
        patched.setattr(
            "sisock.nodes.archive.file_cache.arrays_of",
            lambda column: {name: one for name, one in arrays_of(column).items() if not name.endswith(LATER)},
        )
        setting.restart()
        generation = setting.generation()
    (entry,) = setting.entries()
    files = sorted(path.name for path in entry.iterdir())
    assert not any(name.endswith((".summary_deviation.npy", ".summary_rest.npy")) for name in files)
    setting.read_again()
    setting.restart()
    assert reduced() == expected
    assert setting.generation() == generation
    assert setting.read_again() == []
    assert (setting.entries(), sorted(path.name for path in entry.iterdir())) == ([entry], files)


def test_samples_stay_on_the_disk(setting):
    """Long columns are mapped from the first reading on, those of one timeline share their times, none is loaded."""
    setting.write(*LONG)
    for _ in range(2):
        columns = setting.archive.columns(["a.number", "a.state", "a.text"])
        times, values = columns["a.number"].times.values, columns["a.number"].values.values
        assert is_mapped(times)
        assert is_mapped(values)
        assert isinstance(columns["a.text"].values, Texts)
        assert not values.flags.writeable
        setting.restart()
    (entry,) = setting.entries()
    assert len([path for path in entry.iterdir() if path.stat().st_size >= times.nbytes]) == 2


def test_the_catalogue_opens_nothing(setting):
    """A start with many files costs little: which fields there are is known without their samples."""
    setting.write(*LONG)
    setting.names()
    (entry,) = setting.entries()
    for path in entry.glob("*.npy"):
        path.unlink()
    setting.read_again()
    setting.restart()
    for span in (ALL_TIME, (1.0, 2000.0), (2000.0, 4e9)):
        assert len(setting.archive.catalogue(*span).fields) == 3
    assert setting.archive.catalogue(1.0, 1500.0).fields == {}
    assert setting.read_again() == []


def test_a_broken_line_is_told_again_after_a_restart(setting, caplog):
    """What was left out of a file is a line in the log at each start, also when the file is not read."""
    setting.write((1500, 1), "oops")
    for _ in range(2):
        setting.names()
        setting.names()
        setting.restart()
    assert [record.message.endswith("broken") for record in caplog.records] == [True, True]
    assert setting.read_again() == ["a.txt"]


def test_a_file_without_samples_is_kept_too(setting):
    """An empty file is read once like any other, and its fields are known."""
    setting.write()
    for _ in range(2):
        assert setting.names() == []
        block = setting.archive.read(["a.number", "a.text"], *ALL_TIME).timelines["a"]
        assert {name: array.tolist() for name, array in block.values.items()} == {"a.number": [], "a.text": []}
        assert block.finalized_until == -math.inf
        setting.restart()
    assert setting.read_again() == ["a.txt"]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([(1500, 1), (1560, math.nan), (1620, 3)], True),
        ([(1500, 1), (1560, math.nan), (1620, 3), (1680, 4)], True),
        ([(1500, 1), (1560, math.nan)], False),
        ([(1500, 1), (1560, math.nan), (1620, 4)], False),
        ([(1500, 1), (1530, 1), (1560, math.nan), (1620, 3)], False),
        ([], False),
    ],
    ids=["touched", "grown", "cut", "value changed", "late row", "emptied"],
)
@pytest.mark.parametrize("restarted", [True, False])
def test_a_generation_tells_whether_what_was_served_still_holds(setting, rows, kept, restarted):
    """Whether the node ran meanwhile or not, a file that only grew keeps its generation; any other gets another."""
    setting.write((1500, 1), (1560, math.nan), (1620, 3))
    before = setting.generation()
    setting.write(*rows)
    if restarted:
        setting.restart()
    after = setting.archive.read(["a.number"], *ALL_TIME).timelines["a"].generation
    assert (after == before) is kept


def test_a_generation_never_comes_back_over_restarts(setting):
    """Data that were changed and changed back, with restarts between or not, are never taken for the first ones."""
    generations = []
    for number in range(8):
        setting.write((1500, number % 2), (1560, 5))
        generations.append(setting.generation())
        if number % 3:
            setting.restart()
        if number % 2:
            assert setting.generation() == generations[-1]
    assert len(set(generations)) == 8


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "noise"])
def test_a_damaged_cache_is_made_again(setting, how, caplog):
    """Whichever file is damaged, the same is served under the same generation, and the next start finds it whole."""
    setting.write(*LONG)
    generation = setting.generation()
    names = [path.name for path in setting.entries()[0].iterdir()]
    assert len(names) > 8
    for name in names:
        setting.read_again()
        (entry,) = setting.entries()
        content = (entry / name).read_bytes()
        (entry / name).unlink()
        if how != "gone":
            spoiled = {"empty": b"", "cut": content[:-1], "noise": os.urandom(len(content))}[how]
            (entry / name).write_bytes(spoiled)
        for readings in (["a.txt"], []):
            setting.restart()
            assert_served(setting, LONG)
            assert setting.generation() == generation
            assert setting.read_again() == readings
    assert not caplog.records


def test_a_cache_removed_while_in_use(setting, caplog):
    """What was opened goes on, what was not is read from its file again, under the same generation."""
    for name in "abc":
        setting.write(*LONG, name=name)
    generation = setting.generation("c")
    setting.read_again()
    setting.restart()
    held = setting.archive.read(["a.number"], *ALL_TIME).timelines["a"]
    for name in "number", "state", "text":
        setting.archive.columns([f"a.{name}"])
    shutil.rmtree(setting.cache)
    assert_served(setting, LONG)
    assert held.values["a.number"].tolist() == [value for _, value in LONG]
    assert setting.read_again() == ["b.txt", "c.txt"]
    assert setting.generation("c") == generation
    setting.restart()
    assert_served(setting, LONG)
    assert setting.read_again() == ["a.txt"]
    assert not caplog.records


def test_a_removed_cache_is_noticed_once(setting, monkeypatch):
    """However many files were kept in it, their folder is looked through once more, and not once for each."""
    for name in "abcdef":
        setting.write((1500, 1), name=name)
    setting.names()
    setting.restart()
    setting.names()
    shutil.rmtree(setting.cache)
    looked, look = [], Listing.look
    monkeypatch.setattr(Listing, "look", lambda listing: looked.append(listing) or look(listing))
    assert len(setting.archive.read([f"{name}.number" for name in "abcdef"], *ALL_TIME).timelines) == 6
    assert len(looked) == 2


def test_growth_where_the_cache_was_removed_is_a_new_generation(setting):
    """When nothing is left to compare with, nobody is told that the old samples still hold."""
    setting.write((1500, 1))
    before = setting.generation()
    setting.restart()
    setting.names()
    shutil.rmtree(setting.cache)
    setting.write((1500, 1), (1560, 2))
    assert setting.generation() != before


def test_without_a_cache_that_can_be_written_all_is_served(setting, caplog):
    """Where the folder cannot be made, archives are served from memory, and one line says what to do."""
    setting.cache.write_text("in the way")
    for name in "ab":
        setting.write(*LONG, name=name)
        assert_served(setting, LONG)
    setting.write(*LONG, (9000, 1))
    assert_served(setting, [*LONG, (9000, 1)])
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "SISOCK_CACHE" in caplog.text


def test_entries_of_files_that_are_gone_or_changed_are_removed(setting):
    """The cache holds one entry a file, whatever happened to the files."""
    for name in "abc":
        setting.write((1500, 1), name=name)
    setting.names()
    assert len(setting.entries()) == 3
    setting.write((1500, 2))
    (setting.folder / "b.txt").unlink()
    setting.names()
    assert len(setting.entries()) == 2
    setting.restart()
    assert len(setting.entries()) == 2


def test_a_disk_that_was_away_costs_nothing(setting, tmp_path):
    """When all files are gone at once their entries stay, for the day when they are back."""
    setting.write(*LONG)
    setting.names()
    (setting.folder / "a.txt").rename(tmp_path / "a.txt")
    assert setting.names() == []
    (tmp_path / "a.txt").rename(setting.folder / "a.txt")
    assert_served(setting, LONG)
    assert setting.read_again() == ["a.txt"]


def test_another_reader_has_entries_of_its_own(setting):
    """What another version of the reader has made is not served, and goes; that of another reader is left alone."""
    setting.write((1500, 1))
    other = FileArchive(setting.folder, "*.txt", read_table, FileCache(setting.cache, "other", 1))
    assert other.catalogue(*ALL_TIME).fields
    setting.names()
    setting.restart(version=2)
    setting.names()
    assert setting.read_again() == ["a.txt", "a.txt"]
    readers = sorted(json.loads((entry / "meta.json").read_text())["reader"] for entry in setting.entries())
    assert readers == ["other 1", "table 2"]


def test_what_was_written_to_while_it_was_read_is_not_kept(setting):
    """Nobody knows which of two states was read; it is read again, and only that is for the next start to find."""

    def read_beside_a_writer(path: Path) -> Contents:
        contents = read_table(path)
        if len(setting.readings) == 1:
            setting.write((1500, 1), (1560, 2))
        return contents

    setting.write((1500, 1))
    setting.restart(reader=read_beside_a_writer)
    setting.names()
    assert setting.entries() == []
    assert_served(setting, [(1500, 1), (1560, 2)])
    assert len(setting.entries()) == 1


def test_an_entry_of_a_process_that_saw_more_is_not_taken_for_ours(setting):
    """Another process may have seen a change that we have not, and name anew what only grew for us."""
    setting.write((1500, 1), (1560, 2))
    first, late = setting.generation(), setting.archive
    setting.restart()
    for value in (3, 4):
        setting.write((1500, 1), (1560, 2), (1620, value))
        last = setting.generation()
    assert last != first
    assert late.read(["a.number"], *ALL_TIME).timelines["a"].generation == first


def test_an_entry_of_a_process_that_saw_less_is_not_taken_for_ours(setting):
    """Another process may have missed a state that we have served, and take for growth what is none for us."""
    setting.write((1500, 1), (1560, 2))
    first, other = setting.generation(), setting.archive
    setting.restart()
    setting.write((1500, 1), (1560, 2), (1620, 3))
    assert setting.generation() == first
    setting.write((1500, 1), (1560, 2), (1620, 4))
    assert other.read(["a.number"], *ALL_TIME).timelines["a"].generation == first
    assert setting.generation() != first
    assert_served(setting, [(1500, 1), (1560, 2), (1620, 4)])


def test_a_large_file_that_grows_is_kept_every_ten_minutes(setting, monkeypatch):
    """Growing costs no writing of the whole at every line; what changed otherwise is written at once."""
    monkeypatch.setattr(file_reader, "CHEAP_BYTES", 0)
    written = []
    store = FileCache.store
    monkeypatch.setattr(FileCache, "store", lambda *arguments: written.append(setting.now) or store(*arguments))
    rows = [(1500.0, 1.0)]
    for minute in range(25):
        setting.now = 60.0 * minute
        rows.append((1560.0 + 60 * minute, float(minute)))
        setting.write(*rows)
        assert_served(setting, rows)
    assert written == [0, 600, 1200]
    setting.write((1500, 7))
    assert_served(setting, [(1500, 7)])
    assert len(written) == 4


def test_only_so_many_columns_stay_open(setting, monkeypatch):
    """Files of many columns are opened when they are asked for: a process may map so many files only."""
    monkeypatch.setattr(folder_index, "MANY_COLUMNS", 9)
    for number in range(20):
        setting.write((1500 + number, 1), name=f"f{number}")
    assert len(setting.names()) == 60
    assert sum(file.is_open for file in setting.archive._folder_index._served.files.values()) == 3
    assert setting.read().find("f7.number").times.tolist() == [1507.0]


def test_many_files_are_looked_for_once_a_second(setting):
    """Of few files a change is served at the next question; of more than a hundred a second later at most."""
    for number in range(100):
        setting.write((1500, 1), name=f"f{number}")
    assert len(setting.names()) == 300
    setting.write((1500, 1), name="one more")
    assert len(setting.names()) == 303
    setting.write((1500, 1), name="the last")
    setting.now += 0.9
    assert len(setting.names()) == 303
    setting.now += 0.2
    assert len(setting.names()) == 306


def test_a_random_life_serves_what_is_in_the_files(setting):
    """Whatever happens to files, cache and process, in any order, what is read is true, and so are generations."""
    random = np.random.default_rng(5)
    rows: list[Row] = [(1500.0, 1.0)]
    known: dict[str, list[Row]] = {}

    def grow() -> None:
        rows.extend((rows[-1][0] + 1 + step, float(random.integers(5))) for step in range(random.integers(1, 600)))

    def rewrite() -> None:
        del rows[int(random.integers(1, len(rows) + 1)) :]
        rows[-1] = (rows[-1][0], float(random.integers(5)))

    def spoil() -> None:
        paths = [path for entry in setting.entries() for path in sorted(entry.iterdir())]
        if paths:
            path = paths[random.integers(len(paths))]
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content[: random.integers(len(content))])
        setting.restart()

    def remove() -> None:
        shutil.rmtree(setting.cache, ignore_errors=True)

    steps = [grow, rewrite, spoil, remove, setting.restart, lambda: None]
    for _ in range(200):
        setting.write(*rows)
        if random.integers(2):
            assert_served(setting, rows)
            generation = setting.generation()
            before = known.get(generation, [])
            assert rows[: len(before)] == before
            known[generation] = list(rows)
        steps[random.integers(len(steps))]()
    assert len(known) > 10


def test_the_weather_node_keeps_its_archive(tmp_path, monkeypatch):
    """The node with a folder for its cache reads each file once; without, it writes nothing."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "temp.dat").write_text("1500 1\n1560 2\n")
    WeatherNode(tmp_path / "data").catalogue(*ALL_TIME)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    WeatherNode(tmp_path / "data", cache=tmp_path / "cache").catalogue(*ALL_TIME)
    monkeypatch.setattr("sisock.nodes.text.rows._parse_quickly", None)
    node = WeatherNode(tmp_path / "data", cache=tmp_path / "cache")
    assert node.read(["temp"], *ALL_TIME).find("temp").values["temp"].tolist() == [1, 2]
    assert node.columns(["temp", "wind"])["temp"].stop == 2
    assert len(node.columns(["wind"])) == 0


def test_the_page_on_the_format_reads_an_entry(tmp_path, monkeypatch, capsys):
    """The five lines of the docs find an archive's samples in the user's cache folder."""
    (tmp_path / "temp.dat").write_text("1500 1\n1560 2.5\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    WeatherNode(tmp_path, cache=tmp_path / ".cache" / "sisock").catalogue(*ALL_TIME)
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in program.splitlines() if line and "import" not in line]) <= 5
    found: dict[str, dict[str, np.ndarray]] = {}
    exec(program, found)
    assert capsys.readouterr().out.startswith("temp {'times'")
    assert {name: found["arrays"][name].tolist() for name in ("times", "values")} == {
        "times": [1500, 1560], "values": [1, 2.5],
    }  # fmt: skip


def keys_of(page: str) -> set[str]:
    """The names in the first columns of the tables of a page."""
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_the_page_on_the_format_lists_what_is_joined(tmp_path):
    """Each key of what is kept of a field in many files is in its section of the docs, and no other."""
    (tmp_path / "targets").mkdir()
    for number in range(20):
        rows = "".join(f"{1500 + 100 * number + row} {row}\n" for row in range(100))
        (tmp_path / "targets" / f"targets_humidity_{number}_1.dat").write_text(rows)
        os.utime(tmp_path / "targets" / f"targets_humidity_{number}_1.dat", (1, 1))
    node = ApexWeatherNode(tmp_path, cache=tmp_path / "cache")
    node.columns(["humidity"])["humidity"].reduced(*ALL_TIME, "minmax", 100.0)
    metas = [json.loads(path.read_text()) for path in (tmp_path / "cache" / "joined").rglob("meta.json")]
    assert sorted(meta.get("members", 0) for meta in metas) == [0, 8, 8]
    (generation,) = next(meta["fields"].values() for meta in metas if "fields" in meta)
    section = PAGE.read_text(encoding="utf-8").partition("## Fields of many files\n")[2].partition("\n## ")[0]
    files = {name for meta in metas for name in meta["files"].keys() - meta.get("arrays", {}).values()}
    assert keys_of(section) == {key for meta in metas for key in meta} | set(generation) | files


def test_the_page_on_the_format_lists_what_is_there(setting):
    """Each key of meta.json, and each kind of array, is in the tables of the docs, and no other."""
    setting.write(*LONG)
    setting.names()
    (entry,) = setting.entries()
    meta = json.loads((entry / "meta.json").read_text())
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition("## Fields of many files\n")
    _, _, behind = rest.partition("## How it is renewed\n")
    listed = keys_of(before + behind)
    arrays = {name for column in meta["columns"] for name in column["arrays"]}
    described = {key for column in meta["columns"] for key in column}
    files = {key for one in meta["files"].values() for key in one}
    assert listed == {*meta, *arrays, *described, *files}
    assert f"| `format` | {meta['format']}: " in page
    assert f"its first {CHECKED_BYTES} bytes" in page
    assert f"more than {file_reader.CHEAP_BYTES >> 20} MiB" in page
    assert f"for {FORGET_AFTER_S / 86400:g} days" in page


def test_the_cache_is_swept_at_the_start(setting):
    """A node that starts removes what a dead one has left half made."""
    rubbish = ArrayCache(setting.cache).folder / "unfinished" / "half"
    rubbish.mkdir(parents=True)
    setting.restart()
    assert not rubbish.exists()
