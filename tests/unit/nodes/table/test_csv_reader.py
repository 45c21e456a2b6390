"""Text tables are read right whatever they look like."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.nodes.table import csv_reader, fields
from sisock.nodes.table import rows as rows_module
from sisock.nodes.table.fields import TableOptions
from sisock.nodes.table.node import TableReader
from sisock.nodes.table.rows import START, TextBlock, blocks_of, head_of, rows_of

from twins import read_csv_row_by_row

NOW = 1_500_000_000
SEPARATORS = [",", ";", "\t"]


@pytest.fixture
def read(tmp_path):
    """Write bytes to a file ``roof.csv`` and return what is read from it."""

    def write_and_read(raw: bytes, **options):
        path = tmp_path / "roof.csv"
        path.write_bytes(raw)
        return TableReader(TableOptions(**options))(path)

    return write_and_read


def series(contents) -> dict[str, list[tuple[float, object]]]:
    """Return the samples of each field, NaN as None, which equals itself."""
    return {
        one.field.name: [
            (time, None if value != value else value)  # noqa: PLR0124 - NaN
            for time, value in zip(one.times.tolist(), one.values.tolist(), strict=True)
        ]
        for one in contents.columns
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"time,a\n1500000000,1.5\n1500000060,-2\n",
        b"time;a\n1500000000;1,5\n1500000060;-2\n",
        b"time\ta\n1500000000\t1.5\n1500000060\t-2\n",
        b"time,a\r\n1500000000,1.5\r\n1500000060,-2\r\n",
        b"time,a\r1500000000,1.5\r1500000060,-2\r",
        b"\xef\xbb\xbftime,a\n1500000000,1.5\n1500000060,-2\n",
        b'"time","a"\n"1500000000","1.5"\n"1500000060","-2"\n',
        b"time, a\n1500000000, 1.5\n1500000060, -2\n",
        b"# made up\n\ntime,a\n1500000000,1.5\n# a remark\n\n1500000060,-2\n",
        b'time,"a\n"\n1500000000,1.5\n1500000060,-2\n',
        b"# made up\n# time,a\n1500000000,1.5\n1500000060,-2\n",
        b"time,a,\n1500000000,1.5,\n1500000060,-2,\n",
        b"time,a\n1500000000,1.5,\n1500000060,-2,,\n",
        b"time,a\n1500000060,-2\n1500000000,1.5\n",
        b"time,a\n1500000000,1.5\n1500000000,1.5\n1500000060,-2\n",
        b"time,a\n1500000000,1.5\n1500000060,-2\n1500000120,3",
        b'time,a\n1500000000,1.5\n1500000060,-2\n1500000120,"3\n',
    ],
    ids=[
        "commas", "semicolons and decimal commas", "tabs", "CRLF", "CR", "byte order mark", "quotes", "spaces",
        "comments and blank lines", "header of two lines", "header in a comment",
        "a separator at the end", "separators behind rows", "backwards", "a repeated row",
        "half a line", "half a quoted cell",
    ],
)  # fmt: skip
def test_a_table_is_read_however_it_is_written(read, raw):
    """Separators, line ends, quotes, marks and comments make no difference, and half a row waits for the rest."""
    contents = read(raw)
    assert series(contents) == {"a": [(NOW, 1.5), (NOW + 60, -2.0)]}
    assert contents.problem is None


def test_cells_say_of_which_type_a_column_is(read):
    """Numbers, true and false, and anything else as text."""
    raw = b"time,level,open,state\n1500000000,1,true,idle\n1500000001,nan,FALSE,moving\n1500000002,-inf,True,1\n"
    contents = read(raw)
    assert [(one.field.name, one.field.type, one.values.dtype.char) for one in contents.columns] == [
        ("level", "number", "d"),
        ("open", "bool", "?"),
        ("state", "string", "O"),
    ]
    assert series(contents) == {
        "level": [(NOW, 1), (NOW + 1, None), (NOW + 2, -math.inf)],
        "open": [(NOW, True), (NOW + 1, False), (NOW + 2, True)],
        "state": [(NOW, "idle"), (NOW + 1, "moving"), (NOW + 2, "1")],
    }


def test_what_is_missing_is_not_made_up(read):
    """A missing number is NaN; a missing state is no sample, and its field then has a timeline of its own."""
    raw = b"time,level,open,state,mode\n1500000000,NA,true,,a\n1500000001,,,idle,\n1500000002,3,false,moving,b\n"
    contents = read(raw)
    assert series(contents) == {
        "level": [(NOW, None), (NOW + 1, None), (NOW + 2, 3)],
        "open": [(NOW, True), (NOW + 2, False)],
        "state": [(NOW + 1, "idle"), (NOW + 2, "moving")],
        "mode": [(NOW, "a"), (NOW + 2, "b")],
    }
    timelines = {one.field.name: one.field.timeline for one in contents.columns}
    assert timelines == {
        "level": "roof.csv",
        "open": "roof.csv/open",
        "state": "roof.csv/state",
        "mode": "roof.csv/open",
    }


def test_fields_on_a_timeline_share_its_times(read):
    """Columns without gaps are on one timeline, whose times are kept once."""
    first, second = read(b"time,a,b\n1500000000,1,x\n1500000001,2,y\n").columns
    assert first.field.timeline == second.field.timeline == "roof.csv"
    assert first.times is second.times


def test_a_column_without_a_value_is_no_field(read):
    """Nothing can be said of a column that is empty, not even its type."""
    assert list(series(read(b"time,a,b,c\n1500000000,1,,NA\n1500000001,2,,NA\n"))) == ["a"]


def test_the_type_is_that_of_the_first_values(read):
    """A column that begins with nothing is what comes then, and has no values before."""
    rows = b"".join(b"%d,1,,,\n" % (NOW + n) for n in range(20_000))
    contents = read(b"time,a,level,open,state\n" + rows + b"1600000000,1,2.5,true,idle\n")
    found = series(contents)
    assert found["open"] == [(1.6e9, True)]
    assert found["state"] == [(1.6e9, "idle")]
    assert found["level"][-1] == (1.6e9, 2.5)
    assert all(value is None for _, value in found["level"][:-1])


def test_many_columns_are_told_by_many_rows(read):
    """Of a wide table as well, types are told by some rows, not by the first alone."""
    rows = [f"{NOW + n}," + ",".join(["7" if n == 0 else "idle"] * 3000) for n in range(30)]
    contents = read("\n".join(["time," + ",".join(f"state number {n}" for n in range(3000)), *rows, ""]).encode())
    assert {one.field.type for one in contents.columns} == {"string"}
    assert contents.problem is None


def test_types_can_be_given(read):
    """What the cells look like is overruled by the option."""
    contents = read(b"time,code\n1500000000,1\n1500000001,2\n", types={"code": "string"})
    assert series(contents) == {"code": [(NOW, "1"), (NOW + 1, "2")]}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("temperature [degC]", ("temperature", "degC")),
        ("temperature[degC]", ("temperature", "degC")),
        ("temperature (degC)", ("temperature", "degC")),
        ("wind speed [m/s]", ("wind speed", "m/s")),
        ("temperature_degC", ("temperature_degC", None)),
        ("log(flux)", ("log(flux)", None)),
        ("level []", ("level", None)),
        ("[degC]", ("[degC]", None)),
        ("", ("column_2", None)),
    ],
)
def test_units_stand_in_brackets(read, header, expected):
    """Units are what stands in brackets, or in parentheses behind a space; no other ending is taken for units."""
    (column,) = read(f"time,{header}\n1500000000,1\n1500000001,2\n".encode()).columns
    assert (column.field.name, column.field.units) == expected


def test_names_are_told_apart(read):
    """A name that comes again gets a number; names that differ in their units only keep these."""
    raw = b"time,a,a,a_2,t [C],t [K]\n1500000000,1,2,3,4,5\n"
    assert list(series(read(raw))) == ["a", "a_3", "a_2", "t [C]", "t [K]"]


def test_many_columns_of_one_name_take_no_longer_each():
    """A number is tried once for a name, however often that comes again."""
    tried = []

    class Names(set):
        def __contains__(self, name):
            tried.append(name)
            return super().__contains__(name)

    names, counter = Names(["a", "a_3"]), Counter()
    for _ in range(100):
        names.add(fields._next_free("a", names, counter))
    assert sorted(names, key=lambda name: (len(name), name)) == ["a", *(f"a_{number}" for number in range(2, 103))]
    assert len(tried) < 400


def test_a_prefix_tells_files_apart(read):
    """With the option, fields begin with the name of their file."""
    assert list(series(read(b"time,a\n1500000000,1\n", prefix=True))) == ["roof.a"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1500000060,7,8,9", "line 3 has 4 cells, not 3"),
        (b"1500000060,7", "line 3 has 2 cells, not 3"),
        (b"yesterday,7,x", "line 3 has 'yesterday' in column 'time', which is no time"),
        (b",7,x", "line 3 has '' in column 'time', which is no time"),
        (b"-5,7,x", "line 3 has '-5' in column 'time', which is no time"),
        (b"1e300,7,x", "line 3 has '1e300' in column 'time', which is no time"),
        (b'1500000060,"7,x', "line 3 has a quote that is not closed"),
        (b"1500000060,7\0,x", "line 3 has a NUL byte"),
        (b"1500000060,7\r8,x", "line 3 has a carriage return inside"),
    ],
)
def test_a_broken_row_is_left_out_and_named(read, row, reason):
    """A row that is none is left out with the reason and its line; those around it are served."""
    good = b"".join(b"%d,%d,x\n" % (NOW + 120 + n, n) for n in range(150))
    contents = read(b"time,a,b\n1500000000,1,x\n" + row + b"\n" + good)
    assert series(contents)["a"] == [(NOW, 1), *((NOW + 120 + n, n) for n in range(150))]
    assert f"roof.csv': {reason}" in contents.problem


@pytest.mark.parametrize("cell", [b"1_000", b"ERR", b"0x1F", b"1,5", b"12:30"])
def test_a_cell_that_is_no_number_is_missing_and_named(read, cell):
    """Among numbers, what is none is NaN, and its line is named; the rest of its row is served."""
    rows = b"".join(b"%d,%d,x\n" % (NOW + n, n) for n in range(20))
    contents = read(b"time,a,b\n" + rows + b'1600000000,"' + cell + b'",y\n')
    assert series(contents)["a"][-1] == (1.6e9, None)
    assert series(contents)["b"][-1] == (1.6e9, "y")
    assert f"line 22 has '{cell.decode()}' in column 'a', which is no number" in contents.problem


def test_a_stray_quote_costs_its_own_row_only(read):
    """Rows behind a quote that is never closed are read, however many there are."""
    rows = [f"{NOW + n},{n},x" for n in range(30_000)]
    rows[7] = f'{NOW + 7},7,"x'
    contents = read(("time,a,b\n" + "\n".join(rows) + "\n").encode())
    assert len(series(contents)["a"]) == 29_999
    assert "line 9 has a quote that is not closed" in contents.problem


def test_text_may_have_line_breaks(read):
    """A quoted cell goes on over lines, and the lines behind it are counted right."""
    raw = b'time,note,a\n1500000000,"one\n\ntwo, ""three""",1\n1500000001,x,y,2\n1500000002,z,3\n'
    contents = read(raw)
    assert series(contents)["note"] == [(NOW, 'one\n\ntwo, "three"'), (NOW + 2, "z")]
    assert "line 5 has 4 cells" in contents.problem


def test_a_quote_inside_of_a_cell_is_a_character(read):
    """Only a cell that begins with a quote is quoted."""
    raw = b'time,size,a\n1500000000,5" pipe,1\n1500000001,x,2\n1500000002,"7"" pipe",3\n'
    contents = read(raw)
    assert series(contents)["size"] == [(NOW, '5" pipe'), (NOW + 1, "x"), (NOW + 2, '7" pipe')]
    assert contents.problem is None


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_old_encodings_are_read(read, encoding):
    """Lines that are not UTF-8 are Latin-1."""
    contents = read("time,wert [°C],wort\n1500000000,1,größer\n".encode(encoding))
    assert [one.field.units for one in contents.columns] == ["°C", None]
    assert series(contents)["wort"] == [(NOW, "größer")]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("time,a\n1500000000,1\n".encode("utf-16"), "is written in UTF-16"),
        (b"1500000000,1\n1500000001,2\n", "has no header"),
        (b"1500000000,1,idle\n1500000001,2,idle\n", "has no header"),
        (b"a,2017-07-14\nb,2017-07-15\n", "has no header"),
        (b"# nothing but a remark\n", "has no header"),
        (b"time\n1500000000\n", "has no header of several columns"),
        (b"x,y\n3,4\n", "has no column that is known to hold times: name it by the option time; its columns are 'x'"),
        (b"time,y\n3,4\n4,5\n", "has no column that is known to hold times"),
        (b'time,"y\n3,4\n', "has no header that can be read: line 1 has a quote that is not closed"),
        (b"time," + b"y" * 201 + b"\n1500000000,1\n", "has a name of 201 characters"),
        (b"time," + b"y" * 200_000 + b"\n1500000000,1\n", "has no header of several columns"),
        (b"time,a\n1500000000\n", "has no rows below its header: line 2 has 1 cells, not 2"),
        (bytes(range(256)) * 100, "has "),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_file_that_is_no_table_is_named(read, raw, reason):
    """What cannot be served says why, after the name of the file."""
    contents = read(raw)
    assert not contents.columns
    assert f"roof.csv' {reason}" in contents.problem
    assert contents.problem.isprintable()


@pytest.mark.parametrize("raw", [b"", b"\n", b"time,a", b"time,a\n", b"time,a\n15000"])
def test_a_file_that_begins_is_no_trouble(read, raw):
    """A file without a whole row has nothing to serve, and nothing is wrong with it."""
    contents = read(raw)
    assert (contents.columns, contents.problem) == ((), None)


def test_line_without_end_is_no_table(read, monkeypatch):
    """A file without line breaks is given up before it fills the memory."""
    monkeypatch.setattr(rows_module, "LONGEST_ROW_BYTES", 300_000)
    assert "has more than 300000 bytes in line 1" in read(b"x" * 1_000_000).problem


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9, minutes=-30))])
INSTANTS = st.floats(1e5, 9e9).map(lambda t: datetime.fromtimestamp(t, UTC)).flatmap(lambda t: ZONES.map(t.astimezone))
CELLS = {
    "number": st.one_of(st.floats().map(repr), st.integers(-(10**15), 10**15).map(str), st.just("")),
    "bool": st.sampled_from(["true", "false", "True", "FALSE", ""]),
    "string": st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12).map(str.lstrip),
}
TYPES = {"level": "number", "open": "bool", "state": "string", "depth": "number"}


@st.composite
def tables(draw):
    """A separator and rows of ISO times, numbers, truth values and texts, some of them missing."""
    separator = draw(st.sampled_from(SEPARATORS))
    row = st.tuples(INSTANTS.map(datetime.isoformat), *(CELLS[kind] for kind in TYPES.values()))
    rows = draw(st.lists(row, max_size=30, unique_by=lambda cells: datetime.fromisoformat(cells[0])))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    writer.writerow(["time", *TYPES])
    writer.writerows(row for row in rows if row[3] != "#")
    return separator, text.getvalue()


def same(columns, expected):
    assert {one.field.name for one in columns} == {name for name, samples in expected.items() if samples}
    for one in columns:
        times, values = zip(*expected[one.field.name], strict=True)
        assert one.times.tolist() == list(times)
        np.testing.assert_array_equal(one.values, np.array(values, dtype=one.values.dtype))


@settings(max_examples=200, deadline=None)
@given(tables())
def test_tables_agree_with_their_readable_twin(tmp_path_factory, table):
    """Whatever a table holds, it is what reading it row by row gives."""
    separator, text = table
    path = tmp_path_factory.mktemp("table") / "twin.csv"
    path.write_bytes(text.encode())
    contents = TableReader(TableOptions(types=TYPES))(path)
    assert contents.problem is None
    same(contents.columns, read_csv_row_by_row(text, separator, TYPES))


@settings(max_examples=200, deadline=None)
@given(st.text('ab1,;\n"#\0é ', max_size=120), st.integers(1, 40))
def test_blocks_hold_each_line_once(text, size):
    """However a file is cut into blocks, these hold its complete lines, once each, and know their numbers."""
    raw = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "BLOCK_BYTES", size)
        patch.setattr(rows_module, "ROWS_OF_A_BLOCK", 1)
        blocks = list(blocks_of(io.BytesIO(raw)))
    lines = [line for block in blocks for line in block.text.split("\n")]
    assert lines == raw.decode().split("\n")[:-1]
    assert [block.first for block in blocks] == [
        1 + sum(before.text.count("\n") + 1 for before in blocks[:place]) for place in range(len(blocks))
    ]


ROWS = ["1500000000,1,x", "1500000001,,", "1400000000,2.5,y", '1500000002,3,"a\nb"', "", "soon,E,z", "1,2", "# no"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(ROWS), max_size=40), st.lists(st.integers(1, 150), max_size=8))
def test_reading_on_is_reading_again(tmp_path_factory, rows, lengths):
    """A file that grows, by additions that end anywhere, is read as one that was so from the beginning."""
    path = tmp_path_factory.mktemp("table") / "grows.csv"
    raw = "\n".join(["time,level,state", *rows, ""]).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "BLOCK_BYTES", 64)
        patch.setattr(rows_module, "ROWS_OF_A_BLOCK", 1)
        patch.setattr(csv_reader, "LONG_BYTES", 1)
        options = TableOptions(types={"level": "number", "state": "string"})
        reader = TableReader(options)
        for stop in (*itertools.accumulate(lengths), len(raw)):
            path.write_bytes(raw[:stop])
            again, contents = TableReader(options)(path), reader(path)
            assert (series(contents), contents.problem) == (series(again), again.problem)


def test_a_long_file_is_read_on(tmp_path, monkeypatch):
    """The third reading parses the end of a long file that grew, and all of it if what is before has changed."""
    monkeypatch.setattr(csv_reader, "LONG_BYTES", 200_000)
    path = tmp_path / "long.csv"
    path.write_text("time,a,b\n" + "".join(f"{NOW + n},{n},x\n" for n in range(30_000)))
    parsed = []
    monkeypatch.setattr(csv_reader, "rows_of", lambda block, head: parsed.append(block.first) or rows_of(block, head))
    reader = TableReader(TableOptions())
    for count in range(30_000, 30_003):
        parsed.clear()
        assert len(series(reader(path))["a"]) == count
        with path.open("a") as file:
            file.write(f"{NOW + count},{count},x\n")
    assert len(parsed) == 1
    changed = path.read_text().replace(",77,x", ",78,x")
    path.write_text(changed)
    assert series(reader(path))["a"][77] == (NOW + 77, 78)


def test_a_long_file_with_an_empty_column_is_read_on(tmp_path, monkeypatch):
    """Its end alone is parsed, too; what the column turns out to be does not depend on how the file came to be."""
    monkeypatch.setattr(csv_reader, "LONG_BYTES", 200_000)
    path = tmp_path / "long.csv"
    path.write_text("time,a,late\n" + "".join(f"{NOW + n},{n},\n" for n in range(30_000)))
    parsed = []
    monkeypatch.setattr(csv_reader, "rows_of", lambda block, head: parsed.append(block.first) or rows_of(block, head))
    reader = TableReader(TableOptions())
    for number, cell in enumerate(["", "", "", "E", "E", *"123456789" * 5, "E"], start=30_000):
        parsed.clear()
        contents = reader(path)
        assert len(parsed) == 1 or number < 30_002 or "late" in series(contents)
        again = TableReader(TableOptions())(path)
        assert (series(contents), contents.problem) == (series(again), again.problem)
        with path.open("a") as file:
            file.write(f"{NOW + number},{number},{cell}\n")


NUMBERS = st.one_of(
    st.floats().map(repr),
    st.integers().map(str),
    st.sampled_from(["", " 1", "1 ", "1_0", "-inf", "NaN", "0x1", "1e999", "x", ".5"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(NUMBERS, min_size=2, max_size=2), max_size=8), st.sampled_from(["", ".25", "000", "000.5"]))
def test_plain_numbers_are_what_python_makes_of_them(tmp_path_factory, cells, ending):
    """Blocks of numbers that are read at once are, bit for bit, what they are cell by cell."""
    path = tmp_path_factory.mktemp("table") / "numbers.csv"
    rows = [f"{NOW + n}{ending},{','.join(row)}\n" for n, row in enumerate([["1", "2"], *cells])]
    path.write_text("time,a,b\n" + "".join(rows))
    options = TableOptions(types={"a": "number", "b": "number"})
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "BLOCK_BYTES", 64)
        patch.setattr(rows_module, "ROWS_OF_A_BLOCK", 1)
        for tries in (8, 0):
            patch.setattr(csv_reader, "MOST_MISSES", tries)
            contents = TableReader(options)(path)
            found.append(([(one.times.tobytes(), one.values.tobytes()) for one in contents.columns], contents.problem))
    assert found[0] == found[1]


@settings(max_examples=300, deadline=None)
@given(tables())
def test_quick_and_careful_reading_agree(table):
    """Rows that are looked at one by one are those that are read at once."""
    _, text = table
    block = TextBlock(START, text.replace("\r\n", "\n").removesuffix("\n"), last=True)
    head = head_of(TextBlock(START, f"{block.text}\n", last=True))
    quick = rows_of(block, head)
    careful = rows_module._rows_one_by_one(block.text.split("\n")[head.first - 1 :], head.first, head, last=True)
    assert list(quick.lines) == list(careful.lines)
    assert [list(one) for one in quick.columns] == [list(one) for one in careful.columns] or not quick.lines
    assert quick.broken is careful.broken is None
