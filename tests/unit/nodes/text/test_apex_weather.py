"""The archives of the APEX site and of the radiometer are read right, whatever becomes of their files."""

from __future__ import annotations

import itertools
import logging
import math
import subprocess
import sys
import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from unit.nodes.text.text_archives import HEADER, pwv_rows, settle, spoil, write_pwv, write_targets

from sisock.nodes.text.apex_weather import UNITS, ApexWeatherNode
from sisock.nodes.text.radiometer import RadiometerNode, read_pwv

ALL_TIME = (1e-3, 4e9)
EPOCH = 1_530_000_000
INTERVAL_S = 60.48


def rows_from(start: float, count: int, spacing: float = 60.0) -> list[tuple[float, float]]:
    return [(start + spacing * number, float(number % 7)) for number in range(count)]


def samples(node, field: str) -> list[tuple[float, float]]:
    block = node.read([field], *ALL_TIME).find(field)
    return list(zip(block.times.tolist(), block.values[field].tolist(), strict=True))


def test_each_quantity_is_a_field_on_its_own_timeline(tmp_path):
    """All seven are there, with units and a description, also where their times differ."""
    for number, name in enumerate(UNITS):
        write_targets(tmp_path, name, rows_from(EPOCH + number, 5))
    catalogue = ApexWeatherNode(tmp_path).catalogue(*ALL_TIME)
    assert {name: field.units for name, field in catalogue.fields.items()} == dict(UNITS)
    assert {name: one.fields for name, one in catalogue.timelines.items()} == {name: (name,) for name in UNITS}
    assert all(field.description for field in catalogue.fields.values())


def test_files_of_a_quantity_are_one_series(tmp_path):
    """Files that follow, touch and overlap one another give each sample once, and nothing in the gap between them."""
    rows = rows_from(EPOCH, 100)
    for low, high in ((0, 20), (20, 41), (40, 50), (45, 60), (80, 100)):
        settle(write_targets(tmp_path, "humidity", rows[low:high]))
    write_targets(tmp_path, "pressure", rows[60:80])
    node = ApexWeatherNode(tmp_path)
    assert samples(node, "humidity") == rows[:60] + rows[80:]
    gap = (EPOCH + 60 * 59.5, EPOCH + 60 * 80)
    assert set(node.catalogue(*gap).fields) == {"pressure"}
    (series,) = node.columns(["humidity"]).values()
    assert len(series.reduced(*gap, "minmax", 60.0)[0]) == len(series.newest(*gap)[0]) == 0
    assert series.newest(ALL_TIME[0], gap[1])[0].tolist() == [rows[59][0]]
    assert series.statement.finalized_until == rows[-1][0]


def test_the_folder_of_the_files_may_be_given(tmp_path):
    """Who names the folder with the files in it, and not the one above, is served too."""
    write_targets(tmp_path, "humidity", rows_from(EPOCH, 3))
    write_pwv(tmp_path, rows_from(EPOCH, 3))
    assert set(ApexWeatherNode(tmp_path / "targets").catalogue(*ALL_TIME).fields) == {"humidity"}
    assert set(RadiometerNode(tmp_path / "PWV").catalogue(*ALL_TIME).fields) == {"pwv"}


@pytest.mark.parametrize(
    ("name", "day", "instant"),
    [
        ("PWV_UCSC_2019-001", "1.0", "2019-01-01T00:00:00"),
        ("PWV_UCSC_2019-032", "32.5", "2019-02-01T12:00:00"),
        ("PWV_UCSC_201-2018", "201.25", "2018-07-20T06:00:00"),
        ("PWV_UCSC_7-2017", "7.0", "2017-01-07T00:00:00"),
        ("PWV_UCSC_2020-060", "60.0", "2020-02-29T00:00:00"),
        ("PWV_UCSC_2020-366", "366.75", "2020-12-31T18:00:00"),
        ("PWV_UCSC_2020-366", "367.0", "2021-01-01T00:00:00"),
        ("PWV_UCSC_2019-365", "366.0", "2020-01-01T00:00:00"),
        ("PWV_UCSC_2019-365", "1.0", "2020-01-01T00:00:00"),
        ("PWV_UCSC_2020-001", "366.0", "2020-01-01T00:00:00"),
        ("PWV_UCSC_2021-001", "366.5", "2020-12-31T12:00:00"),
    ],
)
def test_a_day_of_the_year_is_counted_in_utc(tmp_path, name, day, instant):
    """Day 1.0 is the first midnight of the year, in any time zone; at its end the count may go on or begin anew."""
    path = tmp_path / f"{name}.txt"
    path.write_text(f"{HEADER}{day} 1.5 270\n")
    (column,) = read_pwv(path).columns
    assert column.times.tolist() == [datetime.fromisoformat(instant).replace(tzinfo=UTC).timestamp()]


def test_the_radiometer_serves_all_its_days(tmp_path):
    """Both forms of names are read, over the change of the form and of the year, to the microsecond; NaN is kept."""
    for first in ("2018-07-18", "2018-12-30", "2020-02-28"):
        start = datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp()
        for day in range(4):
            settle(write_pwv(tmp_path, rows_from(start + 86400 * day, 1428, INTERVAL_S)))
    assert {path.name for path in (tmp_path / "PWV").iterdir()} >= {"PWV_UCSC_201-2018.txt", "PWV_UCSC_2018-202.txt"}
    node = RadiometerNode(tmp_path)
    found = samples(node, "pwv")
    assert len(found) == 12 * 1428
    assert found[1][0] - found[0][0] == pytest.approx(INTERVAL_S, abs=1e-4)
    (field,) = node.catalogue(*ALL_TIME).fields.values()
    assert (field.name, field.units) == ("pwv", "mm")
    newest = max(path for path in (tmp_path / "PWV").iterdir() if "2020" in path.name)
    newest.write_text(f"\n{HEADER}\n   \n{pwv_rows([(found[-1][0] + 100, math.nan)])}")
    assert math.isnan(samples(node, "pwv")[-1][1])


def test_days_follow_one_another_evenly(tmp_path):
    """Where one day's file ends and the next begins the interval is that of the instrument."""
    start = datetime(2019, 3, 1, tzinfo=UTC).timestamp()
    rows = rows_from(start, 2 * 1428, INTERVAL_S)
    for day in range(2):
        settle(write_pwv(tmp_path, [row for row in rows if start + 86400 * day <= row[0] < start + 86400 * (day + 1)]))
    node = RadiometerNode(tmp_path)
    (timeline,) = node.catalogue(*ALL_TIME).timelines.values()
    assert timeline.interval_s == pytest.approx(INTERVAL_S, abs=1e-6)


@pytest.mark.parametrize(
    "name",
    ["targets/targets_humidity.dat", "targets/targets_humidity_a_b.dat", "PWV/PWV_UCSC_2019-400.txt",
     "PWV/PWV_UCSC_0001-001.txt", "PWV/PWV_UCSC_new.txt"],
)  # fmt: skip
def test_a_name_that_tells_no_time_is_reported(tmp_path, name, caplog):
    """A file whose name cannot be read is left out, and named once."""
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text("1500 1\n")
    node = (ApexWeatherNode if "targets" in name else RadiometerNode)(tmp_path)
    for _ in range(2):
        assert node.catalogue(*ALL_TIME).fields == {}
    assert [str(path) in record.message for record in caplog.records] == [True]


MAKERS = {
    "apex_weather": (ApexWeatherNode, lambda folder, rows: write_targets(folder, "humidity", rows), "humidity", 86400),
    "radiometer": (RadiometerNode, write_pwv, "pwv", 86400),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_hundred_broken_files(tmp_path, kind, caplog):
    """However a file is broken, its name is in one line of the log, nothing fails, and the good ones are served."""
    node_class, write, field, apart = MAKERS[kind]
    random = np.random.default_rng(3)
    start = datetime(2019, 1, 5, tzinfo=UTC).timestamp()
    good, broken = [], []
    for number in range(120):
        rows = rows_from(start + apart * number, 30, 600.0)
        path = write(tmp_path, rows)
        if number % 6 == 0:
            good += rows
        else:
            path.write_bytes(spoil(path.read_bytes(), random, len(rows)))
            broken.append(path)
        settle(path)
    node = node_class(tmp_path, cache=tmp_path / "cache")
    for _ in range(2):
        found = samples(node, field)
        assert {(round(time, 3), value) for time, value in good} <= {(round(time, 3), value) for time, value in found}
        assert all(start <= time < start + 121 * apart for time, _ in found)
        assert [time for time, _ in found] == sorted(time for time, _ in found)
    for path in broken:
        assert [str(path) in record.message for record in caplog.records].count(True) == 1
    assert len(caplog.records) == len(broken) == 100
    assert all(record.levelno == logging.WARNING and "\n" not in record.message for record in caplog.records)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_mended_file_is_served(tmp_path, kind):
    """A broken file is read again when it changes."""
    node_class, write, field, _ = MAKERS[kind]
    rows = rows_from(EPOCH, 5)
    path = write(tmp_path, rows)
    whole = path.read_bytes()
    path.write_bytes(b"\x00" * 100)
    node = node_class(tmp_path)
    assert node.catalogue(*ALL_TIME).fields == {}
    path.write_bytes(whole)
    assert [value for _, value in samples(node, field)] == [value for _, value in rows]


@pytest.mark.parametrize("kind", MAKERS)
def test_reads_beside_a_writer_see_whole_rows_only(tmp_path, kind):
    """Of sixty reads while rows are written piece by piece, none fails and none has a value that was not written."""
    node_class, write, field, _ = MAKERS[kind]
    rows = [(EPOCH + 60.0 * number, 1000.0 + number) for number in range(400)]
    path = write(tmp_path, rows)
    content = path.read_bytes()
    head = len(HEADER) if kind == "radiometer" else 0
    path.write_bytes(content[:head])
    node = node_class(tmp_path)
    asked, going_on = threading.Semaphore(0), threading.Semaphore(0)
    cuts = np.sort(np.random.default_rng(1).integers(head, len(content), 599)).tolist()
    parts = list(itertools.pairwise([head, *cuts, len(content)]))

    def write_on() -> None:
        with path.open("ab", buffering=0) as file:
            for number, (low, high) in enumerate(parts):
                if number % 10 == 0:
                    asked.acquire(timeout=10)
                    going_on.release()
                file.write(content[low:high])

    writer = threading.Thread(target=write_on)
    writer.start()
    lengths = set()
    for _ in range(60):
        asked.release()
        going_on.acquire(timeout=10)
        block = node.read([field], *ALL_TIME).find(field)
        found = [] if block is None else block.values[field].tolist()
        assert found == [value for _, value in rows[: len(found)]]
        lengths.add(len(found))
    writer.join(10)
    assert len(lengths) > 30
    assert len(samples(node, field)) == len(rows)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_new_file_comes_without_a_restart(tmp_path, kind):
    """A file that appears is served at the next question, and so is each row, under the same generation."""
    node_class, write, field, apart = MAKERS[kind]
    settle(write(tmp_path, rows_from(EPOCH, 5)))
    node = node_class(tmp_path)
    first = node.columns([field])[field].statement
    write(tmp_path, rows_from(EPOCH + apart, 5))
    later = node.columns([field])[field].statement
    assert len(samples(node, field)) == 10
    assert later.generation == first.generation
    assert later.finalized_until == pytest.approx(EPOCH + apart + 240, abs=1e-4)


def test_the_time_zone_of_the_machine_does_not_matter(tmp_path):
    """Days are counted in UTC wherever the node runs."""
    path = write_pwv(tmp_path, rows_from(EPOCH, 1))
    program = (
        "from pathlib import Path; from sisock.nodes.text.radiometer import read_pwv; "
        f"print(read_pwv(Path({str(path)!r})).columns[0].times[0])"
    )
    shown = {
        subprocess.run(
            [sys.executable, "-c", program], env={"TZ": zone, "PYTHONPATH": ":".join(sys.path)}, capture_output=True,
            check=True,
        ).stdout
        for zone in ("UTC", "America/Santiago", "Asia/Kathmandu")
    }  # fmt: skip
    assert [float(one) for one in shown] == [pytest.approx(EPOCH, abs=1e-3)]
