"""What ``sisock get`` prints."""

from __future__ import annotations

import io

import numpy as np
import pytest

from sisock.client import FetchedSeries
from sisock.commands.printing import QUIET_S, Progress, print_samples, read_span
from sisock.core.errors import BadRequest
from sisock.core.model import Field
from sisock.testing import ManualClock

FIELD = Field("x", "t")


def page(times, values, *remarks):
    return FetchedSeries(FIELD, np.array(times, dtype=float), values, remarks)


def printed(pages, **options):
    """Print pages; return the text, what was said, and how many rows there were."""
    output, said = io.StringIO(), []
    progress = options.get("progress") or Progress(io.StringIO(), shown=False)
    rows = print_samples(pages, "n::x", output, said.append, progress)
    return output.getvalue(), said, rows


def test_pages_follow_one_another_under_one_head():
    """All pages are one table; a missing text is an empty cell, and a comma is quoted."""
    texts = np.array(["a,b", None], dtype=object)
    text, said, rows = printed([page([1.5], np.array([2])), page([], np.array([])), page([2.0, 3.0], texts)])
    assert text.splitlines() == [
        "time,n::x",
        "1970-01-01T00:00:01.500Z,2",
        '1970-01-01T00:00:02.000Z,"a,b"',
        "1970-01-01T00:00:03.000Z,",
    ]
    assert (said, rows) == ([], 3)


def test_nothing_has_a_head_as_well():
    """A span without samples is a table without rows."""
    assert printed([page([], np.array([]))]) == ("time,n::x\n", [], 0)


def test_what_is_wrong_is_said_once():
    """The same remark on several pages is said once, whatever its figures."""
    remarks = ["all 3 samples lie outside", "all 4 samples lie outside", "its values are odd"]
    _, said, _ = printed([page([], np.array([]), remark) for remark in remarks])
    assert said == [remarks[0], remarks[2]]


def test_progress_is_told_when_it_takes_long_and_wiped():
    """For a moment nothing is told; then how far it is, on one line, which is empty in the end."""
    clock, errors = ManualClock(), io.StringIO()

    def pages():
        for number in range(4):
            yield page([number + 1.0], np.array([0.0]))
            assert bool(errors.getvalue()) == (number > 2)
            clock.advance(QUIET_S * 0.4)

    printed(pages(), progress=Progress(errors, shown=True, clock=clock))
    shown = "4 rows, up to 1970-01-01T00:00:04.000Z"
    assert errors.getvalue() == f"\r{shown}\r{' ' * len(shown)}\r"


def test_times_without_a_zone_are_said_to_be_utc():
    """It is said once where a zone was missing; and a span that ends before it begins is refused with both ends."""
    said = []
    assert read_span("2013-01-01", "2013-01-02", said.append, 1.7e9) == (1_356_998_400.0, 1_357_084_800.0)
    assert said == ["times without a zone are taken as UTC"]
    with pytest.raises(
        BadRequest, match=r"2023-11-14T21:13:20.000Z to 2023-11-14T20:13:20.000Z: --start must lie before"
    ):
        read_span("-1h", "-2h", said.append, 1.7e9)
    assert len(said) == 1
