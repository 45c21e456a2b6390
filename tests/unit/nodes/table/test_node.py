"""Tables on disk are served as they are now, with what is said of them beside."""

from __future__ import annotations

import itertools
import math
import random
import re
import threading
from pathlib import Path

import pytest

from sisock.core.errors import ConfigurationError
from sisock.nodes.table import rows
from sisock.nodes.table.node import TableNode

NOW = 1_500_000_000
MADE_UP = Path(__file__).parents[3] / "data" / "table"
DEMO = Path(__file__).parents[4] / "sisock" / "data" / "table"
SEEDS = range(100)


@pytest.fixture
def folder(tmp_path):
    """A folder with one good table, ``roof.csv``."""
    (tmp_path / "roof.csv").write_text(f"time,a\n{NOW},1\n{NOW + 60},2\n")
    return tmp_path


def samples(node, name):
    block = node.read([name], 1.0, 1e10).find(name)
    return None if block is None else list(zip(block.times.tolist(), block.values[name].tolist(), strict=True))


def names(node):
    return sorted(node.catalogue(1.0, 1e10).fields)


def test_a_folder_or_a_file_can_be_served(folder):
    """A folder serves all its tables; a file is served alone, whatever its name looks like."""
    odd = folder / "a [1]*.dat"
    odd.write_text(f"time,b\n{NOW},1\n")
    (folder / "cellar.tsv").write_text(f"time\tc\n{NOW}\t1\n")
    assert names(TableNode(folder)) == ["a", "c"]
    assert names(TableNode(folder / "roof.csv")) == ["a"]
    assert names(TableNode(odd)) == ["b"]


def test_other_files_are_passed_over(folder, caplog):
    """Files of other kinds in the folder are no trouble."""
    (folder / "README.md").write_text("no table")
    (folder / "table.yml").write_text("fields: {}")
    (folder / "deeper.csv").mkdir()
    assert names(TableNode(folder)) == ["a"]
    assert not caplog.records


def test_a_pattern_chooses_files(folder):
    """The pattern chooses, also files with unusual endings, which are read as text."""
    (folder / "log.1").write_text(f"time,b\n{NOW},1\n")
    assert names(TableNode(folder, pattern="log.*")) == ["b"]


def test_a_prefix_keeps_equal_names_apart(folder):
    """With prefix, each file's fields are named by the file."""
    (folder / "cellar.csv").write_text(f"time,a\n{NOW},7\n")
    node = TableNode(folder, prefix="file")
    assert names(node) == ["cellar.a", "roof.a"]
    assert samples(node, "cellar.a") == [(NOW, 7)]


def test_tables_that_appear_and_grow_are_served(folder):
    """A new file and a new row are in the next answer; half a row is not; what is final ends at the newest sample."""
    node = TableNode(folder)
    assert samples(node, "a") == [(NOW, 1), (NOW + 60, 2)]
    before = node.read(["a"], 1.0, 1e10).find("a")
    with (folder / "roof.csv").open("a") as file:
        file.write(f"{NOW + 120},3\n{NOW + 180},4")
    after = node.read(["a"], 1.0, 1e10).find("a")
    assert after.values["a"].tolist() == [1, 2, 3]
    assert after.finalized_until == NOW + 120
    assert after.generation == before.generation
    (folder / "cellar.csv").write_text(f"time,b\n{NOW},1\n")
    assert names(node) == ["a", "b"]


def test_options_are_checked():
    """A path that is not there, and options that are none, are errors that say what is allowed."""
    for options, message in [
        ({"path": "nowhere"}, "'nowhere' is not a folder"),
        ({"path": ".", "time_unit": "min"}, "time_unit is s, ms, us or ns"),
        ({"path": ".", "prefix": "folder"}, "set it to file"),
        ({"path": ".", "time": ["a", "b", "c"]}, "a list of two"),
        ({"path": ".", "time": [1]}, "the name of a column"),
        ({"path": ".", "pattern": 5}, "write it in quotes"),
        ({"path": ".", "types": ["a"]}, "write them as NAME: TYPE"),
        ({"path": ".", "types": {"a": "float"}}, "choose one of number, string, bool"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            TableNode(**options)


def test_options_reach_the_files(folder):
    """Times, unit and types are read as the options say."""
    (folder / "odd.csv").write_text("t,n,code\n1500000000000,1,7\n")
    node = TableNode(folder / "odd.csv", time="t", time_unit="ms", types={"code": "string"})
    assert (samples(node, "n"), samples(node, "code")) == ([(NOW, 1)], [(NOW, "7")])
    assert samples(TableNode(MADE_UP / "logger.csv", time=["Date", "Time"]), "Level")


@pytest.mark.parametrize("place", ["table.yml", "../{name}.yml"])
def test_a_file_beside_describes_fields(folder, place):
    """Units and descriptions come from the file in the folder or beside it, and change when it does."""
    node = TableNode(folder)
    notes = folder / place.format(name=folder.name)
    assert node.catalogue(1.0, 1e10).fields["a"].units is None
    notes.write_text("fields:\n  a: {units: degC, description: Air}\n  unknown: {units: K}\n")
    described = node.catalogue(1.0, 1e10)
    assert (described.fields["a"].units, described.fields["a"].description) == ("degC", "Air")
    assert list(described.fields) == ["a"]
    notes.unlink()
    assert node.catalogue(1.0, 1e10).fields["a"].units is None


def test_what_a_description_leaves_empty_stays(folder):
    """A key without a text says nothing."""
    (folder / "roof.csv").write_text("time,a [K]\n1500000000,1\n")
    (folder / "table.yml").write_text("fields:\n  a: {units: , description: Air}\n")
    described = TableNode(folder).catalogue(1.0, 1e10).fields["a"]
    assert (described.units, described.description) == ("K", "Air")


def test_a_file_is_described_beside_it(folder):
    """What describes one file has its name."""
    (folder / "roof.yml").write_text("fields: {a: {units: '%'}}")
    assert TableNode(folder / "roof.csv").catalogue(1.0, 1e10).fields["a"].units == "%"


@pytest.mark.parametrize(
    "text",
    [
        "fields: [",
        "[]",
        "",
        "a: {units: K}",
        "fields: {a: {unit: K}}",
        "fields: {a: K}",
        "fields: {a: {units: [K]}}",
        "\0",
        "[" * 3000,
        f"fields: {{a: {{units: 0x{'f' * 5000}}}}}",
    ],
    ids=lambda text: text[:40],
)
def test_a_broken_description_is_reported_once(folder, caplog, text):
    """A file that describes nothing is named once; what was said before holds, and the data are served."""
    notes = folder / "table.yml"
    notes.write_text("fields: {a: {units: K}}")
    node = TableNode(folder)
    assert node.catalogue(1.0, 1e10).fields["a"].units == "K"
    notes.write_text(f"# changed\n{text}")
    for _ in range(3):
        assert node.catalogue(1.0, 1e10).fields["a"].units == "K"
    (record,) = caplog.records
    assert str(notes) in record.getMessage()
    assert "\n" not in record.getMessage()


def test_the_cache_knows_what_was_asked(folder, tmp_path):
    """What was read is found again after a restart, but not by a node with other options."""
    (folder / "odd.csv").write_text(f"t,ts\n{NOW},{NOW + 60}\n")
    cache = tmp_path / "cache"
    path = folder / "odd.csv"
    for _ in range(2):
        assert samples(TableNode(path, time="t", cache=cache), "ts") == [(NOW, NOW + 60)]
        assert samples(TableNode(path, time="ts", cache=cache), "t") == [(NOW + 60, NOW)]


ROWS = [f"{NOW + 10 * n},{n / 4},{'idle' if n % 3 else 'on'}\n".encode() for n in range(200)]
HEADER = b"time,level,state\n"
TABLE = HEADER + b"".join(ROWS)
# What happens to a table, given a random generator, a place in it, and the rows before and after it.
MISHAPS = {
    "garbage": lambda pick, place, before, after: pick.randbytes(3000),
    "no line breaks": lambda pick, place, before, after: b"x" * 300_000,
    "beginning lost": lambda pick, place, before, after: TABLE[place:],
    "hole of zeros": lambda pick, place, before, after: before + bytes(50) + after,
    "garbage inside": lambda pick, place, before, after: before + b"\xfe" + pick.randbytes(40) + after,
    "UTF-16": lambda pick, place, before, after: TABLE.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda pick, place, before, after: TABLE.decode().encode("utf-16-be"),
    "stray quote": lambda pick, place, before, after: before + b'"' + after,
    "impossible time": lambda pick, place, before, after: before + b"%s,1,idle\n" % pick.choice(BAD_TIMES) + after,
    "no number": lambda pick, place, before, after: before + b"%d,E%d,idle\n" % (NOW, place) + after,
    "header too long": lambda pick, place, before, after: TABLE.replace(b"\n", b",x\n", 1),
    "gigantic header": lambda pick, place, before, after: b"time," + b"c," * 5000 + b"c\n1500000000,2\n",
    "other separators": lambda pick, place, before, after: TABLE.replace(b",", b"|"),
    "wrong mark": lambda pick, place, before, after: b"\xff\xfe\xfa" + TABLE,
    "ragged rows": lambda pick, place, before, after: before + after.replace(b",", b",,,", 20),
    "no header": lambda pick, place, before, after: b"".join(ROWS),
}
BAD_TIMES = (b"1e300", b"-1", b"nan", b"", b"0", b"2017-07-14")


def spoiled(seed: int) -> bytes:
    """Return a table that something happened to, different for each seed."""
    pick = random.Random(seed)
    number = pick.randrange(1, len(ROWS) - 1)
    before, after = HEADER + b"".join(ROWS[:number]), b"".join(ROWS[number:])
    return list(MISHAPS.values())[seed % len(MISHAPS)](pick, len(before) - 3, before, after)


def test_broken_tables_are_named_and_the_others_served(folder, caplog, monkeypatch):
    """Of a hundred broken files each is reported once, by its name; what is served of them was in them."""
    monkeypatch.setattr(rows, "LONGEST_ROW_BYTES", 100_000)
    files = [f"broken{seed:03}.csv" for seed in SEEDS]
    for seed, name in zip(SEEDS, files, strict=True):
        (folder / name).write_bytes(spoiled(seed))
    node = TableNode(folder, prefix="file")
    for _ in range(2):
        assert samples(node, "roof.a") == [(NOW, 1), (NOW + 60, 2)]
    messages = [record.getMessage() for record in caplog.records]
    assert [sum(f"/{name}'" in text for text in messages) for name in files] == [1] * len(files)
    assert len(messages) == len(files)
    assert all(text.isprintable() for text in messages)
    expected = {(NOW + 10 * n, n / 4) for n in range(200)}
    for name in names(node):
        if name.endswith(".level"):
            served = samples(node, name)
            assert {one for one in served if one[1] == one[1]} <= expected
            assert served == sorted(served, key=lambda one: one[0])


@pytest.mark.parametrize("cut", [0, 1, 15, 16, 17, 18, 40, 41])
def test_a_table_that_is_cut_anywhere_waits_for_the_rest(folder, cut, caplog):
    """The whole rows of what is there are served, and nothing is reported."""
    (folder / "cut.csv").write_bytes(TABLE[:cut])
    node = TableNode(folder, prefix="file")
    whole = max(TABLE[:cut].count(b"\n") - 1, 0)
    assert (samples(node, "cut.level") or []) == [(NOW + 10 * n, n / 4) for n in range(whole)]
    assert not caplog.records


def test_times_that_go_back_are_put_in_order(folder, caplog):
    """Rows may stand in any order."""
    rows = ROWS.copy()
    random.Random(1).shuffle(rows)
    (folder / "back.csv").write_bytes(HEADER + b"".join(rows))
    assert samples(TableNode(folder, prefix="file"), "back.level") == [(NOW + 10 * n, n / 4) for n in range(200)]
    assert not caplog.records


def live_rows(count):
    return [f'{NOW + n},{n * 1000003},"state {n}"\n'.encode() for n in range(count)]


def test_reads_beside_writing_are_right(tmp_path):
    """Sixty reads of a file while it is written, piece by piece, have no error and no value that is not in it."""
    path = tmp_path / "live.csv"
    path.write_text("time,level,state\n")
    node = TableNode(tmp_path)
    reads = threading.Semaphore(0)
    rows = iter(live_rows(60 * 40))

    def write():
        with path.open("ab", buffering=0) as file:
            for _ in range(60):
                reads.acquire(timeout=10)
                for row in itertools.islice(rows, 40):
                    for low in range(0, len(row), 7):
                        file.write(row[low : low + 7])

    def count():
        block = node.read(["level", "state"], 1.0, 1e10).timelines.get("live.csv")
        if block is None:
            return 0
        size = block.times.size
        assert block.times.tolist() == [NOW + n for n in range(size)]
        assert block.values["level"].tolist() == [n * 1000003 for n in range(size)]
        assert block.values["state"].tolist() == [f"state {n}" for n in range(size)]
        assert block.finalized_until == NOW + size - 1
        return size

    writer = threading.Thread(target=write)
    writer.start()
    counts = []
    for _ in range(60):
        reads.release()
        counts.append(count())
    writer.join()
    assert counts == sorted(counts)
    assert count() == 60 * 40


def test_the_demonstration_tables_are_read_without_trouble(caplog):
    """The tables that come with sisock have the rows that their README counts, and each field is described."""
    node = TableNode(DEMO)
    fields = node.catalogue(1.0, 1e10).fields
    readme = (DEMO / "README.md").read_text()
    rows = {name: int(count) for name, count in re.findall(r"^\| `(.*?)` \| (\d+) \|", readme, re.MULTILINE)}
    assert set(rows) == {path.name for path in DEMO.glob("*.csv")}
    for name, field in fields.items():
        assert field.description
        assert (field.units is None) == (field.type != "number")
        assert len(samples(node, name)) == rows[field.timeline]
    assert len(fields) == 8
    assert not caplog.records


def test_files_in_the_shape_of_loggers_are_read(caplog):
    """The made-up files of this project, in shapes that loggers and spreadsheets write, are read whole."""
    node = TableNode(MADE_UP, prefix="file")
    found = {name: len(samples(node, name)) for name in names(node)}
    assert found == {
        "logger.Level": 4,
        "logger.Valve": 4,
        "spreadsheet.Druck": 3,
        "spreadsheet.Temperatur": 3,
        "spreadsheet.Zustand": 2,
    }
    assert samples(node, "spreadsheet.Temperatur")[:2] == [(1704067200.0, -1.5), (1704067260.0, 0.25)]
    assert math.isnan(samples(node, "spreadsheet.Druck")[1][1])
    fields = node.catalogue(1.0, 1e10).fields
    assert fields["spreadsheet.Temperatur"].units == "°C"
    assert fields["logger.Level"].description == "Level of the tank"
    assert not caplog.records
