"""Text archives of a weather station are read right whatever their files look like."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from sisock.core.model import Field
from sisock.nodes.text.weather import WeatherNode, read_apex

MADE_UP = Path(__file__).parents[3] / "data" / "apex"
HEADER = b"# Air temperature.\n# hourly\n# C\n# 2017-07-14\n"
DEMO = Path(__file__).parents[4] / "sisock" / "data" / "weather"


@pytest.fixture
def read(tmp_path):
    """Write bytes to a file ``temp.dat`` and return what is read from it."""

    def write_and_read(raw: bytes):
        path = tmp_path / "temp.dat"
        path.write_bytes(raw)
        return read_apex(path)

    return write_and_read


def samples(contents) -> list[tuple[float, float]]:
    (column,) = contents.columns
    return list(zip(column.times.tolist(), column.values.tolist(), strict=True))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (b"1500 1.5\n1560 -2\n", [(1500, 1.5), (1560, -2)]),
        (b"1500 1.5\n# 2017-07-15\n\n   \n1560 -2\n#\n", [(1500, 1.5), (1560, -2)]),
        (b"1500\t1.5 # checked\n   1560   -2   \n", [(1500, 1.5), (1560, -2)]),
        (b"1500.0 1.5\n# next day\n1500.0 1.5\n1560.0 2\n", [(1500, 1.5), (1560, 2)]),
        (b"1500 1\n1500 2\n1500 1\n1500 2\n1500 0\n", [(1500, 1), (1500, 2), (1500, 0)]),
        (b"1560 2\n1500 1\n1560 2\n1530 9\n", [(1500, 1), (1530, 9), (1560, 2)]),
        (b"1560 2\n1500 7\n1560 1\n1500 6\n", [(1500, 7), (1500, 6), (1560, 2), (1560, 1)]),
        (b"1500 1\n1560 2\n162", [(1500, 1), (1560, 2)]),
        (b"1500 1\n1560 2\n1620 3", [(1500, 1), (1560, 2)]),
        (b"1500 1\r\n1560 2\r\n", [(1500, 1), (1560, 2)]),
        (b"1500 inf\n1560 -inf\n1620 9.7e8\n", [(1500, math.inf), (1560, -math.inf), (1620, 9.7e8)]),
        (b"1500.000001 1\n1500.000002 2\n", [(1500.000001, 1), (1500.000002, 2)]),
        (b"", []),
        (b"1500 1", []),
    ],
    ids=[
        "plain", "comments and blank lines inside", "tabs, spaces, trailing comment", "repeated at midnight",
        "one time, several values", "backwards", "backwards, stably", "half a time", "no line break yet", "CRLF",
        "infinite and huge", "microseconds", "header only", "first row unfinished",
    ],
)  # fmt: skip
def test_rows_become_samples(read, rows, expected):
    """Complete rows are served in order of time, a repeated sample once, and rival values of a time all of them."""
    contents = read(HEADER + rows)
    assert samples(contents) == expected
    assert contents.problem is None


def test_nan_is_kept_and_counts_as_equal_to_itself(read):
    """A missing value keeps its time, and is a repetition when it comes again at that time."""
    times, values = zip(*samples(read(HEADER + b"1500 NaN\n1500 nan\n1500 3\n1560 NaN\n")), strict=True)
    assert times == (1500, 1500, 1560)
    np.testing.assert_array_equal(values, [math.nan, 3, math.nan])


@pytest.mark.parametrize(
    "broken",
    [
        b"1530", b"1530 1 2", b"1530 cold", b"15:30 2", b"1530,2", b"nan 2", b"inf 2", b"-inf 2", b"0 2", b"-1530 2",
        b"\x00\x00\x00", b"\xff\xfe 1", b"1530 2\x00", b"Description without a mark",
    ],
)  # fmt: skip
def test_a_broken_line_is_left_out_and_named(read, broken):
    """A row that cannot be understood is left out, the others are served, and its number in the file is reported."""
    contents = read(HEADER + b"1500 1\n" + broken + b"\n1560 2\n")
    assert samples(contents) == [(1500, 1), (1560, 2)]
    assert "temp.dat" in contents.problem
    assert "line 6 " in contents.problem


def test_only_the_first_broken_line_is_named(read):
    """Several broken lines make one report, so that a file that goes wrong for good is not reported forever."""
    first = read(HEADER + b"oops\n1500 1\n")
    more = read(HEADER + b"oops\n1500 1\nagain oops\n")
    assert first.problem == more.problem


@pytest.mark.parametrize(
    ("header", "field"),
    [
        (HEADER, Field("temp", "hourly.temp", "number", "C", "Air temperature.")),
        (b"# Air.\n# hourly\n", Field("temp", "hourly.temp", "number", None, "Air.")),
        (b"# Air.\n# hourly\n#\n# 2017-07-14\n", Field("temp", "hourly.temp", "number", None, "Air.")),
        (b"#Air.\n#hourly\n#C\n#2017-07-14\n# and more\n", Field("temp", "hourly.temp", "number", "C", "Air.")),
        (b"", Field("temp", "archive.temp", "number", None, "temp")),
        (b"# 2017-07-14\n", Field("temp", "archive.temp", "number", None, "temp")),
        (b"# Air.\n# every.hour\n", Field("temp", "every_hour.temp", "number", None, "Air.")),
        (b"# Luft\n# hourly\n# \xb0C\n", Field("temp", "hourly.temp", "number", "°C", "Luft")),
        ("# Luft\n# hourly\n# °C\n".encode(), Field("temp", "hourly.temp", "number", "°C", "Luft")),
        ("\ufeff# Air.\n# hourly\n# C\n".encode(), Field("temp", "hourly.temp", "number", "C", "Air.")),
        (b"# A\x00i\x07r.\r\n# hour  ly\r\n# C\r\n", Field("temp", "hour ly.temp", "number", "C", "Air.")),
    ],
    ids=[
        "complete", "short", "empty units", "long", "missing", "date only", "dot", "Latin-1", "UTF-8", "BOM",
        "controls",
    ],
)  # fmt: skip
def test_the_header_describes_the_field(read, header, field):
    """The comment lines at the top say description, timeline and units; what they lack comes from the file's name."""
    contents = read(header + b"1500 1\n")
    assert contents.columns[0].field == field
    assert samples(contents) == [(1500, 1)]


def test_comments_inside_do_not_describe(read):
    """Comment lines after the first row are not taken for the header."""
    assert read(b"1500 1\n# Air.\n# hourly\n").columns[0].field.timeline == "archive.temp"


def test_an_empty_file_has_no_samples(read):
    """An empty file is no trouble."""
    contents = read(b"")
    assert (samples(contents), contents.problem) == ([], None)


def test_quick_and_careful_parsing_agree(read):
    """A file without trouble gives the same samples when one broken line makes every line be read with care."""
    random = np.random.default_rng(7)
    times = np.sort(random.uniform(1.5e9, 1.6e9, 500))
    values = random.normal(size=500)
    rows = "".join(f"{time!r} {value!r}\n" for time, value in np.column_stack([times, values]).tolist())
    quick, careful = read(HEADER + rows.encode()), read(HEADER + rows.encode() + b"oops\n")
    assert quick.problem is None
    assert careful.problem is not None
    assert samples(quick) == samples(careful)
    assert [time for time, _ in samples(quick)] == times.tolist()


def test_files_in_the_shape_of_apex_are_read_whole():
    """Midnights count once, gaps stay gaps, a glitch stays, and files that name one timeline are not mixed up."""
    node = WeatherNode(MADE_UP)
    catalogue = node.catalogue(1, 4e9)
    block = node.read(list(catalogue.fields), 1, 4e9)
    counts = {name: len(block.find(name).times) for name in catalogue.fields}
    assert counts == {"made_up_humidity": 73, "made_up_windspeed": 35, "made_up_radiometer": 34}
    assert set(catalogue.timelines) == {
        "hourly.made_up_humidity", "minutely.made_up_windspeed", "minutely.made_up_radiometer",
    }  # fmt: skip
    assert catalogue.timelines["hourly.made_up_humidity"].interval_s == 3600
    wind, radiometer = block.find("made_up_windspeed"), block.find("made_up_radiometer")
    assert sorted(np.diff(wind.times))[-2:] == [60, 420]
    assert sorted(np.diff(radiometer.times))[-3:] == [60, 120, 420]
    assert wind.values["made_up_windspeed"].max() == 9.7e8
    assert catalogue.fields["made_up_radiometer"].units == "mm"


def test_the_demonstration_archive_is_read_without_trouble(caplog):
    """The archive that comes with sisock has the samples that its README counts, and nothing left out."""
    node = WeatherNode(DEMO)
    catalogue = node.catalogue(1, 4e9)
    block = node.read(list(catalogue.fields), 1, 4e9)
    readme = (DEMO / "README.md").read_text()
    assert len(catalogue.fields) == 5
    for name, field in catalogue.fields.items():
        one = block.find(name)
        assert len(one.times) == 8706
        assert (one.times[0], one.times[-1]) == (1357020000, 1388444400)
        assert (np.diff(one.times) > 3600).sum() == 14
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}.dat`"))
        assert [cell.strip() for cell in row.strip("|").split("|")][2:] == [
            field.units, str(np.isnan(one.values[name]).sum()),
        ]  # fmt: skip
    assert not caplog.records


def test_the_demonstration_archive_is_physically_possible():
    """Conversions of units left values that New York can have."""
    node = WeatherNode(DEMO)
    block = node.read(list(node.catalogue(1, 4e9).fields), 1, 4e9)
    bounds = {"temperature": (-15, 40), "humidity": (10, 100), "pressure": (970, 1050), "windspeed": (0, 120),
              "precipitation": (0, 50)}  # fmt: skip
    for quantity, (low, high) in bounds.items():
        values = block.find(f"jfk_{quantity}").values[f"jfk_{quantity}"]
        assert low <= np.nanmin(values) < np.nanmax(values) <= high
