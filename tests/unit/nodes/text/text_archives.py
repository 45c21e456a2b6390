"""Small archives of our own making, in the formats that sites have."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

DAY_S = 86400
HEADER = "Day_of_year  PWV(mm)  Temp(K)\n"


def settle(*files: Path, age_s: float = 3600) -> None:
    """Let files look as if nobody had written to them for a while."""
    for file in files:
        status = file.stat()
        os.utime(file, (status.st_mtime - age_s, status.st_mtime - age_s))


def write_targets(folder: Path, field: str, rows, end: float | None = None) -> Path:
    """Write a file of the APEX archive; its name tells the times of its first and last row."""
    (folder / "targets").mkdir(exist_ok=True)
    last = rows[-1][0] if end is None else end
    path = folder / "targets" / f"targets_{field}_{int(rows[0][0])}_{int(last)}.dat"
    path.write_text("".join(f"{time} {value}\n" for time, value in rows))
    return path


def day_of(time: float) -> tuple[int, float]:
    """The year of an instant, and the day in it, 1.0 at the first midnight."""
    year = datetime.fromtimestamp(time, UTC).year
    return year, (time - datetime(year, 1, 1, tzinfo=UTC).timestamp()) / DAY_S + 1


def pwv_rows(rows) -> str:
    """Return rows of a radiometer's file."""
    return "".join(f"{day_of(time)[1]:.9f}  {value}  270.1\n" for time, value in rows)


def write_pwv(folder: Path, rows) -> Path:
    """Write a day of a radiometer's archive under the name that the day has."""
    (folder / "PWV").mkdir(exist_ok=True)
    year, day = day_of(rows[0][0])
    old = (year, int(day)) <= (2018, 201)
    name = f"PWV_UCSC_{int(day)}-{year}.txt" if old else f"PWV_UCSC_{year}-{int(day):03}.txt"
    path = folder / "PWV" / name
    path.write_text(HEADER + pwv_rows(rows))
    return path


def spoil(content: bytes, random, rows: int) -> bytes:
    """Break a file in one of the ways that files break in."""
    ways = [
        lambda: content[: int(random.integers(1, len(content) - 1))].rstrip(b"\n"),
        lambda: random.integers(0, 256, 400).astype("uint8").tobytes(),
        lambda: b"",
        lambda: content.decode().encode("utf-16"),
        lambda: b"\n".join([b"", *reversed(content.split(b"\n")[1:rows]), b""]),
        lambda: content + b"1e300 1\n" * 3,
    ]
    return ways[int(random.integers(len(ways)))]()
