"""Looking up what is kept: spans of windows, their newest sample, and their end for a moment."""

import numpy as np
import pytest

from sisock.core.model import Statement
from sisock.core.window.edge import MOST_FOLLOWING, Edge
from sisock.core.window.spans import NO_SAMPLES, Reduction
from sisock.gateway.tile_cache import MOST_CUTS, TileCache
from sisock.gateway.tiles import NO_EDGE, KeptEdge, SeriesKey, TileGrid, lacking_s

WIDTH = 10.0
KEY = SeriesKey("node", "x", "minmax", WIDTH)
MEAN = SeriesKey("node", "x", "mean", WIDTH, chooses=False)
NOW = 5.0  # of the clock that never steps: only how long ago something was counts
ALL = np.inf


class Kept:
    """A cache, and a node whose answers are what lies at some times: buckets of one or two samples each."""

    def __init__(self, times, key=KEY, final=ALL, oldest=-np.inf) -> None:
        self.times = np.array(times, float)
        self.key = key
        self.final, self.oldest, self.generation = final, oldest, "g"
        self.cache = TileCache(2**20)

    def within(self, start, end):
        """Return the samples of a span; the value of each is its time."""
        times = self.times[(self.times >= start) & (self.times < end)]
        return times, times

    def keep(self, start, end, spans=None, at=NOW) -> None:
        """Ask for a window, or some spans of it, at a moment."""
        spans = [(start, end)] if spans is None else spans
        times = self.within(start, end)[0][-1:]
        statement = Statement(self.final, self.oldest, self.generation)
        reduction = Reduction(tuple(self.within(*span) for span in spans), (times, times), statement, None)
        self.cache.keep(self.key, (start, end), spans, reduction, at)

    def look(self, start, end, at=NOW):
        """Look for a window at a moment."""
        return self.cache.look(self.key, TileGrid.of(start, end, WIDTH), at)

    def found(self, start, end, at=NOW):
        """Return the times that are found of a window, and what is missing of it."""
        found = self.look(start, end, at)
        return [time for one in found.kept for time in one.times.tolist()], list(found.missing)


def test_whole_final_buckets_are_found():
    """Of a window that was asked for, any whole buckets are there, and what a window cuts off them is missing."""
    kept = Kept([11.0, 19.0, 22.0, 28.0, 33.0])
    kept.keep(10.0, 40.0)
    assert kept.found(10.0, 40.0) == ([11.0, 19.0, 22.0, 28.0, 33.0], [])
    assert kept.found(20.0, 30.0) == ([22.0, 28.0], [])
    assert kept.found(0.0, 50.0) == ([11.0, 19.0, 22.0, 28.0, 33.0], [(0.0, 10.0), (40.0, 50.0)])


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (11.0, 40.0, ([11.0, 19.0, 22.0, 28.0, 33.0], [])),  # what the start cuts off holds no choice of its bucket
        (11.5, 40.0, ([22.0, 28.0, 33.0], [(11.5, 20.0)])),  # it holds one: what else is there is not known
        (10.0, 33.5, ([11.0, 19.0, 22.0, 28.0, 33.0], [])),
        (10.0, 33.0, ([11.0, 19.0, 22.0, 28.0], [(30.0, 33.0)])),
        (21.0, 29.0, ([22.0, 28.0], [])),
        (21.0, 28.0, ([], [(21.0, 28.0)])),
        (22.0, 28.5, ([22.0, 28.0], [])),
        (22.5, 28.5, ([], [(22.5, 28.5)])),
    ],
)
def test_what_a_window_cuts_off_follows_from_the_whole_bucket(start, end, expected):
    """Where the choice of a whole bucket lies inside the window, it is the window's; else the bucket is asked for."""
    kept = Kept([11.0, 19.0, 22.0, 28.0, 33.0])
    kept.keep(10.0, 40.0)
    assert kept.found(start, end) == expected


def test_what_is_computed_does_not_follow():
    """A mean of a bucket is not that of a part of it."""
    kept = Kept([11.0, 22.0, 33.0], MEAN)
    kept.keep(10.0, 40.0)
    assert kept.found(11.0, 40.0) == ([22.0, 33.0], [(11.0, 20.0)])
    kept.keep(11.0, 40.0)
    assert kept.found(11.0, 40.0) == ([11.0, 22.0, 33.0], [])
    assert kept.found(11.0, 39.0) == ([11.0, 22.0], [(30.0, 39.0)])
    kept.keep(11.0, 15.0)
    assert kept.found(11.0, 14.0) == ([], [(11.0, 14.0)])


def test_a_cut_serves_shorter_cuts():
    """What a window cut off a bucket serves windows that cut off more, as long as it holds the choice."""
    kept = Kept([13.0, 16.0, 24.0])
    kept.keep(12.0, 25.0)
    assert kept.found(12.5, 25.0) == ([13.0, 16.0, 24.0], [])
    assert kept.found(12.0, 24.5) == ([13.0, 16.0, 24.0], [])
    assert kept.found(11.0, 25.0) == ([24.0], [(11.0, 20.0)])
    assert kept.found(12.0, 26.0) == ([13.0, 16.0], [(20.0, 26.0)])
    assert kept.found(14.0, 25.0) == ([24.0], [(14.0, 20.0)])


def test_of_what_is_kept_elsewhere_nothing_is_found():
    """Buckets that are kept far apart in one place of the cache are found where they are, and nowhere else."""
    for start, other in ((10.0, 50.0), (50.0, 10.0)):
        kept = Kept([11.0, 55.0])
        kept.keep(start, start + 10.0)
        assert kept.found(other, other + 10.0) == ([], [(other, other + 10.0)])
        assert list(kept.look(other, other + 10.0).kept) == []


def test_the_start_is_kept_where_only_the_end_is_not_sure():
    """What a window cut off its first bucket is its own, wherever later on finality ends."""
    kept = Kept([13.0, 22.0, 34.0], MEAN, final=25.0)
    kept.keep(12.0, 40.0)
    assert kept.found(12.0, 40.0, NOW + 60.0) == ([13.0], [(20.0, 40.0)])


def test_few_cuts_of_a_bucket_are_kept():
    """Of the windows that cut one bucket at other places the last few are kept; the same again counts once."""
    starts = [10.0 + number / 10 for number in range(1, MOST_CUTS + 2)]
    kept = Kept([15.0, 25.0], MEAN)
    for start in [*starts, starts[-1]]:
        kept.keep(start, 30.0)
    missing = [bool(kept.look(start, 30.0).missing) for start in starts]
    assert missing == [True] + [False] * MOST_CUTS


@pytest.mark.parametrize(
    ("final", "oldest", "expected"),
    [
        (40.0, -np.inf, []),
        (39.9, -np.inf, [(30.0, 40.0)]),
        (30.0, -np.inf, [(30.0, 40.0)]),
        (10.0, -np.inf, [(10.0, 40.0)]),
        (ALL, 10.0, []),
        (ALL, 10.1, [(10.0, 20.0)]),
        (ALL, 20.0, [(10.0, 20.0)]),
        (ALL, 40.0, [(10.0, 40.0)]),
    ],
)
def test_only_what_is_sure_is_kept_for_good(final, oldest, expected):
    """A bucket is kept that ends at what is final, or before, and begins at what the node still has, or after."""
    kept = Kept([11.0, 22.0, 33.0], final=final, oldest=oldest)
    kept.keep(10.0, 40.0)
    assert kept.found(10.0, 40.0, NOW + 60.0)[1] == expected


def test_a_cut_where_only_the_certain_ends_is_no_windows_own():
    """Where finality or age cut a bucket inside the window, that part is not taken for a window's."""
    kept = Kept([11.0, 15.0, 22.0, 24.0, 26.0], MEAN, final=25.0, oldest=12.0)
    kept.keep(10.0, 40.0)
    assert kept.found(12.0, 25.0)[1] == [(12.0, 25.0)]
    kept = Kept([12.0, 14.0, 16.0], MEAN, final=15.0)
    kept.keep(11.0, 18.0)
    assert kept.found(11.0, 15.0)[1] == [(11.0, 15.0)]
    kept.final = 18.0
    kept.keep(11.0, 18.0)
    assert kept.found(11.0, 18.0) == ([12.0, 14.0, 16.0], [])


def test_the_newest_sample_is_asked_for_where_it_is_not_known():
    """All buckets of a window may be there from a longer one, and yet not its newest sample."""
    kept = Kept([11.0, 15.0, 22.0])
    kept.keep(10.0, 40.0)
    assert kept.look(10.0, 40.0).is_complete
    assert not kept.look(10.0, 40.0, NOW + 60.0).is_complete
    assert not kept.look(5.0, 40.0).is_complete
    shorter = kept.look(10.0, 20.0)
    assert (list(shorter.missing), shorter.newest, shorter.is_complete) == ([], None, False)
    kept.keep(10.0, 20.0, [])
    found = kept.look(10.0, 20.0)
    assert found.is_complete
    assert found.newest[0].tolist() == [15.0]


@pytest.mark.parametrize(("start", "expected"), [(0.0, [15.0]), (15.0, [15.0]), (15.5, []), (18.0, [])])
def test_the_newest_sample_of_a_shorter_window(start, expected):
    """It is the same if it lies inside; else there is none, as the window is the end of the other."""
    kept = Kept([11.0, 15.0])
    kept.keep(10.0, 20.0)
    assert kept.look(start, 20.0).newest[0].tolist() == expected


def test_of_a_longer_window_the_newest_is_not_known_where_there_was_none():
    """A window without samples says nothing of one that begins earlier."""
    kept = Kept([5.0])
    kept.keep(10.0, 20.0)
    assert kept.look(10.0, 20.0).newest is NO_SAMPLES
    assert kept.look(12.0, 20.0).newest is NO_SAMPLES
    assert kept.look(9.0, 20.0).newest is None


def test_another_generation_is_other_data():
    """What was kept of data that have been replaced is not found any more."""
    kept = Kept([11.0, 22.0])
    kept.keep(10.0, 30.0)
    kept.generation = "h"
    kept.keep(20.0, 30.0)
    assert kept.found(10.0, 30.0) == ([22.0], [(10.0, 20.0)])


# ---- the end of a window, which is not final


@pytest.fixture
def tail():
    kept = Kept([11.0, 22.0, 31.0, 34.0, 36.0], final=29.0)
    kept.keep(10.0, 37.0)
    return kept


@pytest.mark.parametrize("ago_s", [-0.001, -1.0, 1.001, 3600.0])
def test_the_end_is_not_shared_but_for_a_second(tail, ago_s):
    """What is not final serves who asks within a second after; never one who asked before, by whatever clock."""
    assert tail.look(10.0, 37.0, NOW + ago_s).tail is None
    assert not tail.look(10.0, 37.0, NOW + ago_s).is_fresh


@pytest.mark.parametrize("ago_s", [0.0, 0.5, 1.0])
def test_the_end_is_shared_for_a_second(tail, ago_s):
    """Within the second it is as asked for: the bucket that is final in part, and what follows."""
    found = tail.look(10.0, 37.0, NOW + ago_s)
    assert found.is_fresh
    whole = found.with_tail()
    assert (list(whole.missing), whole.is_complete, whole.newest[0].tolist()) == ([], True, [36.0])
    assert [time for one in whole.kept for time in one.times.tolist()] == [11.0, 22.0, 31.0, 34.0, 36.0]


def test_narrow_buckets_are_shared_for_as_long_as_they_are():
    """Of buckets of a tenth of a second the end is shared for a tenth of a second."""
    assert SeriesKey("node", "x", "minmax", 0.1).patience_s == 0.1


@pytest.mark.parametrize(
    ("end", "is_shared"), [(38.0, True), (38.1, False), (36.5, True), (36.1, True), (36.0, False), (35.9, False)]
)
def test_ends_of_windows_a_moment_apart_are_shared(tail, end, is_shared):
    """An end a second later or earlier is the same, unless the newest sample is not inside."""
    assert (tail.look(10.0, end).tail is not None) == is_shared


@pytest.mark.parametrize(
    ("start", "is_shared"),
    [(30.0, True), (31.0, True), (30.5, True), (32.0, False), (33.0, False), (20.0, True), (36.0, False)],
)
def test_a_window_that_begins_in_the_end_shares_it_where_that_follows(start, is_shared):
    """Of the bucket that its start cuts the choice must lie inside."""
    kept = Kept([22.0, 31.0, 34.0, 36.0, 41.0], final=29.0)
    kept.keep(20.0, 45.0)
    found = kept.look(start, 45.0)
    assert (found.tail is not None) == is_shared
    if is_shared:
        times = [time for one in found.with_tail().kept for time in one.times.tolist()]
        assert times == kept.within(start, 45.0)[0].tolist()


def test_the_end_of_a_mean_is_shared_from_its_buckets_on():
    """What is computed of a bucket serves no window that begins inside of it."""
    kept = Kept([22.0, 34.0, 41.0], MEAN, final=29.0)
    kept.keep(20.0, 45.0)
    assert kept.look(30.0, 45.0).tail is not None
    assert kept.look(33.0, 45.0).tail is None


def test_an_end_is_not_put_before_what_is_known():
    """Where somebody else has meanwhile got later samples, the end from before is not drawn behind them."""
    kept = Kept([22.0, 34.0], final=29.0)
    kept.keep(20.0, 37.0)
    kept.times, kept.final = np.array([22.0, 34.0, 38.0, 39.0]), 40.0
    kept.keep(30.0, 40.0, [(30.0, 40.0)], NOW + 0.1)
    assert kept.look(20.0, 38.0).tail is None


def test_an_end_without_samples_serves_no_window_that_has_some():
    """A window that had no sample may have been shorter than this one."""
    kept = Kept([15.0], final=9.0)
    kept.keep(30.0, 37.0)
    assert kept.look(30.0, 37.0).tail is not None
    kept.final = 20.0
    kept.keep(10.0, 20.0)
    kept.final = 9.0
    kept.keep(20.0, 37.0)
    assert kept.look(10.0, 37.0).tail is None


def test_a_window_that_begins_before_the_end_does_not_share_it():
    """What lies between the spans that are kept and the end is missing."""
    kept = Kept([22.0, 34.0], final=9.0)
    kept.keep(20.0, 37.0)
    assert kept.look(15.0, 37.0).tail is None


def test_a_window_that_needed_nothing_has_no_end_to_share():
    """An answer without spans, to whom only the newest sample lacked, keeps no end."""
    kept = Kept([22.0, 34.0], final=29.0)
    kept.keep(20.0, 37.0, [])
    assert kept.look(20.0, 37.0).tail is None


def test_an_end_holds_no_more_than_was_asked_for():
    """Where what is final ends in the bucket that the window cut, the end begins with the window."""
    kept = Kept([10.5, 22.0, 34.0], final=15.0)
    kept.keep(12.0, 37.0)
    assert kept.look(12.0, 37.0).tail is not None
    assert kept.look(10.0, 37.0).tail is None


def test_an_end_is_not_put_behind_what_lies_after_it():
    """Where the end of the window has become final meanwhile, what is missing before it is asked for."""
    kept = Kept([22.0, 34.0], final=29.0)
    kept.keep(20.0, 40.0)
    kept.final = 40.0
    kept.keep(30.0, 40.0, at=NOW + 0.1)
    found = kept.look(20.0, 40.0, NOW + 0.1)
    assert (list(found.missing), found.is_fresh, found.tail) == ([(20.0, 30.0)], True, None)


def test_remarks_are_told_until_the_node_has_none():
    """What a node tells of a field in words is forgotten once it answers without."""
    cache = TileCache(2**20)
    assert cache.remarks([KEY]) == [()]
    cache.keep_remarks({KEY: ["slow"], MEAN: []})
    assert cache.remarks([KEY, MEAN]) == [("slow",), ()]
    cache.keep_remarks({KEY: []})
    assert cache.remarks([KEY]) == [()]


def test_an_end_is_not_fresh_because_something_else_is():
    """Whoever else asks the node, later or after a clock was set back, an end is as old as it is."""
    for other in (NOW + 5.0, NOW - 20.0):
        kept = Kept([5.0, 22.0, 34.0], final=19.0)
        kept.keep(20.0, 37.0)
        kept.keep(0.0, 10.0, at=other)
        found = kept.look(20.0, 37.0, other)
        assert (found.is_fresh, found.tail) == (True, None)


@pytest.mark.parametrize(("newest", "is_shared"), [(38.0, False), (34.0, True)])
def test_an_end_does_not_follow_later_samples(newest, is_shared):
    """What others got meanwhile may be newer than all of an end: then that is not drawn behind it."""
    kept = Kept([22.0, 34.0], final=19.0)
    kept.keep(20.0, 45.0)
    kept.times, kept.final = np.unique([22.0, 34.0, newest]), 40.0
    kept.keep(20.0, 40.0)
    assert (kept.look(20.0, 45.0).tail is not None) == is_shared


def test_an_end_whose_newest_sample_lies_before_the_window_is_not_its_end():
    """A window that begins behind the newest sample has none, and is asked for."""
    kept = Kept([22.0, 34.0], final=19.0)
    kept.keep(20.0, 45.0)
    assert kept.look(40.0, 45.0).tail is None


def test_the_end_of_a_mean_is_shared_by_who_begins_with_it():
    """Who asks for the same window gets what was computed of the bucket that it cuts."""
    kept = Kept([22.0, 34.0], MEAN, final=9.0)
    kept.keep(12.0, 37.0)
    assert kept.look(12.0, 37.0).tail is not None


def test_with_its_end_a_window_lacks_what_lacked_before_it():
    """The end is one span more, and what is missing elsewhere stays missing."""
    kept = Kept([22.0, 45.0, 61.0], final=59.0)
    kept.keep(40.0, 65.0)
    found = kept.look(10.0, 65.0)
    assert list(found.missing) == [(10.0, 40.0), (50.0, 65.0)]
    assert list(found.with_tail().missing) == [(10.0, 40.0)]
    assert kept.look(10.0, 65.0, NOW + 60.0).with_tail().missing == kept.look(10.0, 65.0, NOW + 60.0).missing


# ---- what lies at the start


def edge_of(following, final=ALL, at=NOW):
    """Keep what lies at the start of the window [12, 30): a sample before it, and the first ones in it."""
    kept = Kept([11.0, *following], final=final)
    times = np.array(following, float)
    edge = Edge((np.array([11.0]),) * 2, (times, times))
    reduction = Reduction((kept.within(12.0, 30.0),), kept.within(29.0, 30.0), Statement(final, -ALL, "g"), None, edge)
    kept.cache.keep(kept.key, (12.0, 30.0), [(12.0, 30.0)], reduction, at)
    return kept


@pytest.mark.parametrize(
    ("start", "before", "first"), [(12.0, [11.0], [13.0]), (11.5, [11.0], [13.0]), (13.5, [13.0], [14.0])]
)
def test_what_lies_at_the_start_serves_windows_near_it(start, before, first):
    """Of consecutive samples about a start it follows what lies about another one between them."""
    found = edge_of([13.0, 14.0]).look(start, 30.0, NOW + 60.0).edge
    assert (found.before[0].tolist(), found.following[0][:1].tolist()) == (before, first)


def test_what_may_still_change_at_the_start_serves_for_a_second():
    """Where samples may come between those, others are served for a second only."""
    kept = edge_of([13.0, 14.0], final=12.0)
    assert kept.look(12.0, 30.0, NOW + 1.0).edge is not None
    assert kept.look(12.0, 30.0, NOW + 1.1).edge is None


def test_a_window_behind_many_samples_goes_without_its_first_for_a_second():
    """Where too many samples lie at the start to reach further, the windows of the next second ask nothing."""
    following = 12.0 + np.arange(MOST_FOLLOWING) / 1000
    kept = edge_of(following)
    assert kept.look(12.9, 30.0, NOW + 0.5).edge is NO_EDGE
    assert kept.look(12.9, 30.0, NOW + 1.5).edge is None
    assert kept.look(13.1, 30.0, NOW + 0.5).edge is None
    assert kept.look(12.0, 30.0, NOW + 0.5).edge.following[0].size == MOST_FOLLOWING
    assert edge_of(following[:3]).look(12.9, 30.0, NOW + 0.5).edge is NO_EDGE
    assert edge_of(following[:1]).look(12.9, 30.0, NOW + 0.5).edge is None
    assert edge_of([12.0, 12.02]).look(12.9, 30.0, NOW + 0.5).edge is None


def test_what_was_before_is_known_though_somebody_asked_without_it():
    """An edge that was asked for without what is before its window has it from those that are kept beside it."""
    kept = edge_of([13.0, 14.0])
    alone = Edge(None, (np.array([14.0]),) * 2)
    reduction = Reduction((kept.within(13.5, 30.0),), kept.within(29.0, 30.0), Statement(ALL, -ALL, "g"), None, alone)
    kept.cache.keep(kept.key, (13.5, 30.0), [(13.5, 30.0)], reduction, NOW)
    assert kept.look(13.5, 30.0, NOW).edge.before[0].tolist() == [13.0]


def test_an_edge_spares_calls_for_the_windows_that_it_tells_of_only():
    """Of a window that begins before it, it tells nothing, however far it reaches."""
    edge = Edge(None, (np.array([13.0, 17.0]),) * 2)
    kept = [KeptEdge.of((12.0, 30.0), edge, NOW, ALL)]
    assert lacking_s(kept, 12.5, NOW, 1.0) == 0.0
    assert lacking_s(kept, 11.5, NOW, 1.0) == 1.0


# ---- what is told ahead


def ahead_of(start, oldest, final=ALL, key=KEY):
    """Keep a window with what windows of the next second keep of their first bucket."""
    kept = Kept([12.1, 12.7, 19.0, 25.0], key._replace(looks_ahead=True), final, oldest)
    (times, values), statement = kept.within(start, 30.0), Statement(final, oldest, "g")
    ahead = (times[times < 20.0],) * 2
    chosen = (times[times != 12.7],) * 2
    reduction = Reduction((chosen,), (times[-1:], values[-1:]), statement, ahead)
    kept.cache.keep(kept.key, (start, 30.0), [(start, 30.0)], reduction, NOW, 1.0)
    return kept


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (12.0, [12.1, 19.0, 25.0]),
        (12.1, [12.1, 19.0, 25.0]),
        (12.5, [12.7, 19.0, 25.0]),
        (13.0, [19.0, 25.0]),
        (13.1, [25.0]),
        (11.9, [25.0]),
    ],
)
def test_what_was_told_ahead_serves_the_windows_of_the_next_second(start, expected):
    """A window that begins within the second takes from it what lies inside; one beyond or before asks."""
    kept = ahead_of(12.0, -np.inf)
    assert kept.found(start, 30.0) == (expected, [] if len(expected) > 1 else [(start, 20.0)])


def test_what_was_told_ahead_is_of_whole_starts():
    """A window that ends in the bucket it begins in needs samples that were not told."""
    assert ahead_of(12.0, -np.inf).found(12.5, 18.5) == ([], [(12.5, 18.5)])


@pytest.mark.parametrize(("oldest", "is_kept"), [(-np.inf, True), (12.0, True), (12.05, False), (20.0, False)])
def test_ahead_counts_only_where_all_of_it_is_still_there(oldest, is_kept):
    """What a node tells ahead of a bucket that it has in part no more is not kept."""
    assert (ahead_of(12.0, oldest).found(12.5, 30.0)[1] == []) == is_kept


@pytest.mark.parametrize(("final", "is_kept"), [(20.0, True), (19.9, False)])
def test_ahead_counts_only_for_what_is_final(final, is_kept):
    """A bucket that may still change is not drawn from what was told ahead of it."""
    missing = ahead_of(12.0, -np.inf, final).found(12.5, 30.0)[1]
    assert (missing[0][0] == 20.0) == is_kept


@pytest.mark.parametrize(
    ("times", "lasts"),
    [
        ([15.0, 19.0], True),
        ([13.1, 19.0], True),
        ([13.0, 19.0], True),
        ([12.9, 19.0], False),
        ([], True),
    ],
)
def test_a_start_lasts_where_its_choice_does(times, lasts):
    """Windows of the next second find their first bucket where its choice lies behind that second."""
    kept = Kept([*times, 25.0])
    kept.keep(12.0, 30.0)
    assert kept.look(12.0, 30.0).is_lasting == lasts


def test_a_start_that_is_nearly_over_does_not_last():
    """Where the window cuts off less than a second, the next second is in another bucket."""
    kept = Kept([25.0])
    kept.keep(19.0, 30.0)
    assert not kept.look(19.0, 30.0).is_lasting
    kept.keep(20.0, 30.0)
    assert not kept.look(20.0, 30.0).is_lasting


def test_keeping_nothing_finds_nothing():
    """With no bytes all is asked for each time."""
    kept = Kept([11.0])
    kept.cache = TileCache(0)
    kept.keep(10.0, 20.0)
    assert (kept.found(10.0, 20.0), kept.cache.size_bytes) == (([], [(10.0, 20.0)]), 0)
