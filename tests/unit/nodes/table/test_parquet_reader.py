"""Parquet files are read right, whatever their types, zones and row groups."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.nodes.table import parquet_reader
from sisock.nodes.table.fields import TableOptions
from sisock.nodes.table.node import TableNode, TableReader

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NOW = 1_500_000_000
NO_OPTIONS = TableOptions()
INSTANT = datetime.fromtimestamp(NOW, UTC)


@pytest.fixture
def read(tmp_path):
    """Write arrays to a Parquet file and return what is read from it."""

    def write_and_read(columns, options=NO_OPTIONS, **how):
        path = tmp_path / "roof.parquet"
        pq.write_table(pa.table(columns), path, **how)
        return TableReader(options)(path)

    return write_and_read


def series(contents):
    return {
        one.field.name: list(zip(one.times.tolist(), one.values.tolist(), strict=True)) for one in contents.columns
    }


@pytest.mark.parametrize(
    "times",
    [
        *(pa.array([INSTANT, None], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")),
        pa.array([INSTANT, None], pa.timestamp("ms", "UTC")),
        pa.array([INSTANT.astimezone(ZoneInfo("America/Santiago")), None], pa.timestamp("us", "America/Santiago")),
        pa.array([NOW, None], pa.int64()),
        pa.array([NOW, None], pa.uint32()),
        pa.array([NOW * 1000, None], pa.int64()),
        pa.array([NOW * 10**9, None], pa.int64()),
        pa.array([float(NOW), None], pa.float64()),
        pa.array(["2017-07-14T02:40:00Z", None], pa.string()),
        pa.array(["2017-07-14 02:40", None], pa.large_string()),
        pa.array(["2017-07-14T04:40:00+02:00", None]).dictionary_encode(),
    ],
    ids=lambda one: str(one.type)[:40],
)
def test_times_have_any_unit_and_zone(read, times):
    """Times are those of their unit and zone; a row without one is left out and named."""
    contents = read({"time": times, "a": [1.5, 2.5]})
    assert series(contents) == {"a": [(NOW, 1.5)]}
    assert "roof.parquet': row 2 has no time" in contents.problem


def test_dates_are_midnights(read):
    """A date is its midnight in UTC."""
    assert series(read({"day": [date(2017, 7, 14)], "a": [1]})) == {"a": [(1499990400, 1)]}


def test_times_are_found_by_their_type(read):
    """A column of timestamps is found whatever its name; further ones are left out and named."""
    contents = read({"a": [1.5], "when": [INSTANT], "seen": [INSTANT]})
    assert series(contents) == {"a": [(NOW, 1.5)]}
    assert "columns are left out because of their types: 'seen'" in contents.problem


def test_date_and_time_of_day_may_stand_apart(read):
    """Two columns of text are joined, as in text tables."""
    columns = {"date": ["2017-07-14", None], "time": ["02:40:00", "02:41:00"], "a": [1.5, 2.5]}
    assert series(read(columns)) == {"a": [(NOW, 1.5)]}


@pytest.mark.parametrize("kind", [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.string()])
@pytest.mark.parametrize("date_kind", [pa.date32(), pa.date64(), pa.string()])
def test_dates_and_times_of_day_of_their_own_types_are_joined(read, date_kind, kind):
    """As databases write them; a row that lacks one of the two has no time."""
    days = pa.array([date(2017, 7, 14), date(2017, 7, 14), None]).cast(date_kind)
    hours = (
        pa.array([time(2, 40), None, time(2, 41)]).cast(pa.time64("us") if kind == pa.string() else kind).cast(kind)
    )
    contents = read({"day": days, "time": hours, "a": [1.5, 2.5, 3.5]})
    assert series(contents) == {"a": [(NOW, 1.5)]}
    assert contents.problem.endswith("row 2 has no time; it and others like it are left out")


def test_nanoseconds_keep_what_a_float_can_hold(read):
    """Nanoseconds are rounded once, to the float64 next to them."""
    times = pa.array([NOW * 10**9 + 123456789], pa.timestamp("ns"))
    assert series(read({"time": times, "a": [1]})) == {"a": [(1500000000.123456789, 1)]}


@pytest.mark.parametrize(
    ("array", "kind", "dtype", "values"),
    [
        (pa.array([1, -2], pa.int16()), "number", "<i8", [1, -2]),
        (pa.array([2**62 + 1, 1], pa.int64()), "number", "<i8", [2**62 + 1, 1]),
        (pa.array([1, 2], pa.uint64()), "number", "<i8", [1, 2]),
        (pa.array([2**64 - 1, 1], pa.uint64()), "number", "<f8", [2.0**64, 1.0]),
        (pa.array([1, None], pa.int32()), "number", "<f8", [1.0, math.nan]),
        (pa.array([0.5, math.nan], pa.float32()), "number", "<f8", [0.5, math.nan]),
        (pa.array(np.array([0.5, 1], np.float16)), "number", "<f8", [0.5, 1.0]),
        (pa.array([math.inf, None], pa.float64()), "number", "<f8", [math.inf, math.nan]),
        (pa.array([Decimal("1.25"), None]), "number", "<f8", [1.25, math.nan]),
        (pa.array([True, False]), "bool", "|b1", [True, False]),
        (pa.array([True, None]), "bool", "|b1", [True]),
        (pa.array(["größer", ""]), "string", "|O", ["größer", ""]),
        (pa.array([None, "a"], pa.large_string()), "string", "|O", ["a"]),
        (pa.array(["a", None]).dictionary_encode(), "string", "|O", ["a"]),
        (pa.array([7, None]).dictionary_encode(), "number", "<f8", [7.0, math.nan]),
    ],
)
def test_values_are_those_of_their_types(read, array, kind, dtype, values):
    """Whole numbers stay whole, null is NaN among numbers and no sample among states, texts are texts."""
    contents = read({"time": pa.array([NOW, NOW + 1], pa.int64()), "a": array})
    (column,) = contents.columns
    assert (column.field.type, column.values.dtype.str, contents.problem) == (kind, dtype, None)
    np.testing.assert_array_equal(column.values, np.array(values, dtype=column.values.dtype))


def test_what_is_no_series_is_left_out(read):
    """Lists, structures, bytes and durations are named and left out; the others are served."""
    odd = {"list": [[1]], "struct": [{"x": 1}], "bytes": [b"x"], "null": pa.nulls(1)}
    contents = read({"time": [NOW], **odd, "a": [1.5]})
    assert series(contents) == {"a": [(NOW, 1.5)]}
    assert all(f"'{name}' (" in contents.problem for name in odd)


@pytest.mark.parametrize(
    "columns", [{"time": pa.array([], pa.int64()), "a": pa.array([], pa.int64())}, {"list": [[1]]}]
)
def test_a_file_without_rows_is_no_trouble(read, columns):
    """Without rows or columns there is nothing to serve."""
    assert read(columns).columns == ()


def test_units_names_and_options_are_as_in_text_tables(read):
    """Brackets hold units, and the options choose times and prefix."""
    options = TableOptions(time=("b",), time_unit="ms", prefix=True)
    (column,) = read({"time": [5], "b": [NOW * 1000]}, options).columns
    assert (column.field.name, column.times.tolist()) == ("roof.time", [NOW])
    (column,) = read({"time": [NOW], "t [K]": [4.2]}).columns
    assert (column.field.name, column.field.units) == ("t", "K")


def test_names_are_told_apart(tmp_path):
    """A name that comes again gets a number; one that also is a part of another column cannot be told from it."""
    path = tmp_path / "twice.parquet"
    arrays = [pa.array([value]) for value in (NOW, 1, 2, {"x": 3}, 4)]
    pq.write_table(pa.Table.from_arrays(arrays[:3], names=["time", "a", "a"]), path)
    assert series(TableReader(TableOptions())(path)) == {"a": [(NOW, 1)], "a_2": [(NOW, 2)]}
    pq.write_table(pa.Table.from_arrays(arrays, names=["time", "a", "c", "b", "b.x"]), path)
    assert "twice.parquet' has columns that have the same name" in TableReader(TableOptions())(path).problem


def test_a_file_that_is_being_written_waits(tmp_path):
    """Without its end, which says what is in it, a file is left out and named."""
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"time": [NOW], "a": [1]}), whole)
    part = tmp_path / "part.parquet"
    part.write_bytes(whole.read_bytes()[:-20])
    contents = TableReader(TableOptions())(part)
    assert not contents.columns
    assert "part.parquet' is no complete Parquet file, or is damaged" in contents.problem
    assert contents.problem.isprintable()


def footer(raw):
    """Return where the description of a file begins; its length is near the end."""
    return len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")


MISHAPS = {
    "empty": lambda pick, raw: b"",
    "garbage": lambda pick, raw: pick.randbytes(3000),
    "garbage inside of a frame": lambda pick, raw: b"PAR1" + pick.randbytes(3000) + b"PAR1",
    "cut": lambda pick, raw: raw[: pick.randrange(4, len(raw))],
    "beginning lost": lambda pick, raw: raw[pick.randrange(4, len(raw) - 1) :],
    "spoiled footer": lambda pick, raw: raw[: footer(raw)] + pick.randbytes(64) + raw[footer(raw) + 64 :],
    "no table": lambda pick, raw: b"time,a\n1500000000,1\n",
    "hole": lambda pick, raw: raw[:40] + bytes(len(raw) // 2) + raw[40 + len(raw) // 2 :],
}


def test_broken_files_are_named_and_the_others_served(tmp_path, caplog):
    """Of a hundred broken files each is reported once, by its name, and the good one is served."""
    pq.write_table(pa.table({"time": [NOW, NOW + 1], "a": [1, 2]}), tmp_path / "roof.parquet")
    columns = {"time": range(NOW, NOW + 500), "a": [n / 7 for n in range(500)], "b": ["idle", "on"] * 250}
    pq.write_table(pa.table({name: list(one) for name, one in columns.items()}), tmp_path / "whole")
    raw = (tmp_path / "whole").read_bytes()
    files = [f"broken{seed:03}.parquet" for seed in range(100)]
    for seed, name in enumerate(files):
        spoil = list(MISHAPS.values())[seed % len(MISHAPS)]
        (tmp_path / name).write_bytes(spoil(random.Random(seed), raw))
    node = TableNode(tmp_path, prefix="file")
    for _ in range(2):
        assert node.read(["roof.a"], 1.0, 1e10).find("roof.a").values["roof.a"].tolist() == [1, 2]
    messages = [record.getMessage() for record in caplog.records]
    assert [sum(f"/{name}'" in text for text in messages) for name in files] == [1] * len(files)
    assert all(text.isprintable() for text in messages)
    assert list(node.catalogue(1.0, 1e10).fields) == ["roof.a"]


def test_without_the_package_it_is_said_what_to_install(tmp_path, monkeypatch):
    """Where pyarrow is missing, the message about a Parquet file has the command."""
    monkeypatch.setitem(__import__("sys").modules, "sisock.nodes.table.parquet_reader", None)
    contents = TableReader(TableOptions())(tmp_path / "roof.parquet")
    assert "roof.parquet' is a Parquet file" in contents.problem
    assert "pip install 'sisock[parquet]'" in contents.problem


VALUES = {
    "level": st.one_of(st.none(), st.floats(allow_nan=False)),
    "count": st.integers(-(2**62), 2**62),
    "open": st.one_of(st.none(), st.booleans()),
    "state": st.one_of(st.none(), st.sampled_from(["idle", "größer", ""])),
}
TYPES = {"level": pa.float64(), "count": pa.int64(), "open": pa.bool_(), "state": pa.string()}
ROWS = st.lists(
    st.tuples(st.integers(0, 10**6), *VALUES.values()), min_size=1, max_size=40, unique_by=lambda row: row[0]
)


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(1, 50), st.booleans(), st.integers(1, 20))
def test_tables_come_back(tmp_path_factory, rows, group, dictionary, at_once):
    """Whatever a table holds, and however it is cut into row groups, each value comes back at its time."""
    columns = dict(zip(("time", *VALUES), zip(*rows, strict=True), strict=True))
    table = {name: pa.array(columns[name], kind) for name, kind in TYPES.items()}
    times = pa.array([(NOW * 1000 + ms) for ms in columns["time"]], pa.timestamp("ms", "UTC"))
    path = tmp_path_factory.mktemp("table") / "roof.parquet"
    pq.write_table(pa.table({"time": times, **table}), path, row_group_size=group, use_dictionary=dictionary)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_reader, "PARQUET_ROWS_AT_ONCE", at_once)
        found = series(TableReader(TableOptions())(path))
    for name in VALUES:
        expected = [
            ((NOW * 1000 + ms) / 1000, value)
            for ms, value in sorted(zip(columns["time"], columns[name], strict=True), key=lambda one: one[0])
        ]
        if name == "level":
            assert [(time, None if math.isnan(value) else value) for time, value in found[name]] == expected
        else:
            assert found.get(name, []) == [one for one in expected if one[1] is not None]
