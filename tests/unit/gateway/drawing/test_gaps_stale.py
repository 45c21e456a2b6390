from dataclasses import replace

import numpy as np
import pytest

from sisock.gateway.drawing.gaps import is_live, staleness
from sisock.gateway.drawing.planner import SeriesWanted
from sisock.gateway.drawing.series import Series

NOW = 1_700_000_000.0
HOUR = NOW - 3600.0, NOW
LIVE = Series(
    SeriesWanted("host", "cpu"),
    np.array([NOW - 310.0, NOW - 300.0]),
    np.array([1.0, 2.0]),
    interval_s=10.0,
    finalized_until=NOW - 300.0,
)


def test_a_live_field_that_stopped():
    """A live field without a sample for five intervals says since when, in a window that ends now."""
    said = staleness(LIVE, -np.inf, HOUR, NOW)
    assert said == "'host::cpu' has stopped: its newest sample is 5 min old, of 2023-11-14T22:08:20.000Z"


@pytest.mark.parametrize(
    "series",
    [
        replace(LIVE, interval_s=60.0),
        replace(LIVE, interval_s=None),
        replace(LIVE, finalized_until=np.inf),
        replace(LIVE, finalized_until=-np.inf),
        replace(LIVE, times=np.empty(0), values=np.empty(0), before=NOW - 1e8),
        replace(LIVE, values=np.array([True, False]), type="bool"),
        replace(LIVE, times=NOW - np.array([700.0, 500.0, 300.0])),
        replace(LIVE, problem="node 'host' did not answer"),
        replace(LIVE, times=np.empty(0), values=np.empty(0)),
    ],
    ids=[
        *("within five intervals", "aperiodic", "all final", "nothing promised", "an archive", "a state"),
        *("as rare as before", "something worse", "nothing ever seen"),
    ],
)
def test_what_cannot_be_stale(series):
    """Nothing is said of what is on time, rare as before, aperiodic, all final, a state, or unknown."""
    assert staleness(series, -np.inf, HOUR, NOW) is None


def test_a_minute_is_never_stale():
    """A field of a fast rhythm may pause for a minute."""
    assert staleness(replace(LIVE, interval_s=0.1), NOW - 59, HOUR, NOW) is None
    assert staleness(replace(LIVE, interval_s=0.1), NOW - 61, HOUR, NOW) is not None


def test_a_window_of_the_past_says_nothing():
    """That a field had no sample before the end of an old window is no news."""
    assert staleness(LIVE, -np.inf, (NOW - 3720, NOW - 120), NOW) is None


def test_what_was_seen_in_other_windows_counts():
    """An empty window of a field that was seen before says how old its newest sample is."""
    empty = replace(LIVE, times=np.empty(0), values=np.empty(0))
    assert "2 h old" in staleness(empty, NOW - 7200, HOUR, NOW)


def test_what_was_not_asked_for_is_no_silence():
    """A window shorter than a field's spacing says nothing of the time before it, when somebody last looked."""
    empty = replace(LIVE, times=np.empty(0), values=np.empty(0))
    assert staleness(empty, NOW - 7200, (NOW - 40.0, NOW), NOW) is None
    assert staleness(replace(empty, before=NOW - 45.0), NOW - 7200, (NOW - 40.0, NOW), NOW) is None
    said = staleness(replace(empty, before=NOW - 300.0), NOW - 7200, (NOW - 40.0, NOW), NOW)
    assert "5 min old" in said


@pytest.mark.parametrize("before_now_s", [0.05, 1.0, 30.0, 59.0])
def test_a_sample_at_the_end_of_the_window_is_no_silence(before_now_s):
    """Windows end in the past: what came after the end was not asked for, and no age says anything of it."""
    end = NOW - before_now_s
    series = replace(LIVE, times=np.array([end - 20.0, end - 10.0]), finalized_until=end - 10.0)
    assert staleness(series, NOW - 4000.0, (end - 3600, end), NOW) is None


@pytest.mark.parametrize(
    ("newest", "finalized_until", "live"),
    [
        (NOW - 1e6, NOW - 1e6, True),
        (NOW - 1e6, np.inf, False),
        (NOW - 1e6, -np.inf, False),
        (NOW - 5.0, np.inf, True),
        (NOW - 5.0, -np.inf, True),
    ],
    ids=["says that more may come", "closed", "says nothing", "of now", "of now, says nothing"],
)
def test_what_is_live(newest, finalized_until, live):
    """A field is live where its node says that more may come, or where its newest sample is of now."""
    series = replace(LIVE, times=np.array([newest]), values=np.zeros(1), finalized_until=finalized_until)
    assert is_live(series, NOW) is live


def test_a_node_that_promises_nothing_stopped_when_it_was_seen_live():
    """Where nothing is promised, silence is news only of a field that was live before."""
    series = replace(LIVE, finalized_until=-np.inf)
    assert staleness(series, -np.inf, HOUR, NOW) is None
    assert "5 min old" in staleness(series, NOW - 400.0, HOUR, NOW)
