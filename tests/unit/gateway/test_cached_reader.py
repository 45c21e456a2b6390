"""A refresh reads only what is new, and what several want at once is read once."""

import gc
import tracemalloc
from dataclasses import replace

import msgpack
import numpy as np
import pytest

from sisock.core.model import TimelineBlock
from sisock.core.window.spans import MOST_SPANS
from sisock.gateway.directory import MOST_GONE_KEPT
from sisock.gateway.drawing.planner import Drawing, SeriesWanted, choose_resolution
from sisock.gateway.gateway import Gateway
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

NOW = 1_700_000_000.0
DAY = 86400.0
NAMES = [f"observatory.LSA{number:02}.feeds.temperatures.Channel_{number:02}_T" for number in range(20)]


class Feed:
    """A node whose fields get ten samples a second, and a gateway; counts what is asked of the node."""

    def __init__(self, names=("x",), span_s=3600.0, cache_bytes=2**26) -> None:
        self.clock = ManualClock(NOW)
        self.generation = "g"
        self.available_from = -np.inf
        self.span_s = span_s
        self.node = FakeNode("feed", {name: ([NOW], [0.0]) for name in names}, interval_s=0.1)
        self.fill()
        self.hub = FakeHub([self.node])
        self.gateway = Gateway(None, self.clock, 2.0, cache_bytes)
        self.hub.on_added.append(self.gateway.directory.node_added)
        self.hub.on_subtracted.append(self.gateway.directory.node_subtracted)
        self.router = FakeRouter(self.hub, self.clock)
        result_of(self.gateway.connected(self.router))

    def fill(self, final=None) -> None:
        """Let the samples reach up to now."""
        stop = int(self.clock() * 10)
        ticks = np.arange(stop - int(self.span_s * 10), stop)
        times, values = ticks / 10, np.sin(ticks * 0.37) + np.sin(ticks * 1e-4)
        final_until = times[-1] if final is None else final
        self.node._blocks = {
            name: TimelineBlock(times, {name: values + number}, final_until, self.available_from, self.generation)
            for number, name in enumerate(self.node._blocks)
        }

    def ask(self, length=600.0, names=None, end=None, points=1000, reducer="minmax"):
        wanted = [SeriesWanted("feed", name) for name in names or self.node._blocks]
        end = self.clock() if end is None else end
        return self.gateway.query(wanted, end - length, end, points, Drawing(reducer, breaks=False))

    def draw(self, **how):
        return result_of(self.ask(**how)).series

    def pass_time(self, seconds: float, final=None) -> None:
        self.clock.advance(seconds)
        self.fill(final)

    def calls(self):
        return [keywords["spans"] for name, _, keywords in self.node.calls if name == "get_data"]


@pytest.fixture
def feed():
    return Feed()


def width_of(spans):
    return sum(high - low for low, high in spans)


def test_a_refresh_asks_for_the_new_and_no_more_than_what_the_window_cuts(feed):
    """Of a window of ten minutes a refresh five seconds later asks for less than three buckets beside them."""
    feed.draw()
    assert feed.calls() == [[[NOW - 600, NOW]]]
    feed.pass_time(5)
    feed.draw()
    bucket_s = 2 * 1.25
    assert width_of(feed.calls()[1]) < 5 + 3 * bucket_s


def test_a_window_of_the_past_is_read_once(feed):
    """A window that is final is not read again: only whether it is still true is asked."""
    first = feed.draw(end=NOW - 1234.5)[0]
    feed.pass_time(2)
    second = feed.draw(end=NOW - 1234.5)[0]
    assert feed.calls()[1] == []
    np.testing.assert_array_equal(first.times, second.times)
    np.testing.assert_array_equal(first.values, second.values)


def test_the_same_question_at_the_same_time_is_asked_once(feed):
    """Ten viewers of one panel make one call, and all get the same."""
    feed.node.behaviour.delay_s = 0.1
    asking = [feed.ask() for _ in range(10)]
    feed.clock.advance(0.1)
    answers = [result_of(one).series[0] for one in asking]
    assert len(feed.calls()) == 1
    assert all(np.array_equal(one.values, answers[0].values) for one in answers)
    assert answers[0].times.size > 100


@pytest.mark.parametrize("shift", [0.4, -0.25])
def test_viewers_a_moment_apart_share_the_end(feed, shift):
    """A window that ends less than a second later or earlier is drawn from the same answer, if that lies inside."""
    feed.draw(end=NOW + 0.3)
    feed.clock.advance(0.5)
    feed.draw(end=NOW + 0.3 + shift, length=600.0 + shift)
    assert len(feed.calls()) == 1


def test_a_shared_end_without_samples_hides_no_newest_sample(feed):
    """Of a field that has stopped, a long window shows its newest sample, though a short one has none."""
    feed.fill(final=NOW + 190)
    feed.clock.advance(200)
    anew = feed.draw(length=3000.0, points=754)[0]
    feed.draw(length=100.0, points=31)
    feed.clock.advance(0.9)
    shared = feed.draw(length=3000.0, points=754, end=NOW + 200)[0]
    assert anew.times[-1] == shared.times[-1] == feed.node._blocks["x"].times[-1]


def test_a_shared_end_is_not_put_behind_what_came_later(feed):
    """When a window of the past has just told more than the end that viewers share, the line does not run back."""
    feed.pass_time(-0.05)
    feed.draw(length=100.0, end=NOW + 1, points=408)
    feed.pass_time(0.4)
    feed.draw(length=100.0, end=NOW, points=408)
    feed.clock.advance(0.05)
    times = feed.draw(length=100.0, end=NOW + 1, points=408)[0].times
    assert (np.diff(times) >= 0).all()
    assert times[-1] >= NOW - 0.1


def test_a_start_that_moves_on_is_not_asked_for_within_the_same_second(feed):
    """Viewers who come one after another ask once a second, whichever extremes the starts of their windows pass."""
    plain = Feed(cache_bytes=0)
    for _ in range(200):
        kept, anew = feed.draw()[0], plain.draw()[0]
        final = kept.times < feed.clock() - 5  # the end may be a second old
        np.testing.assert_array_equal(kept.times[final], anew.times[anew.times < feed.clock() - 5])
        np.testing.assert_array_equal(kept.values[final], anew.values[anew.times < feed.clock() - 5])
        feed.pass_time(0.1)
        plain.pass_time(0.1)
    assert len(feed.calls()) <= 1 + 200 * 0.1 / (1.0 + 0.1) + 1


def test_a_node_that_cannot_look_ahead_is_not_asked_to(feed):
    """A node that does not say that it can is sent no argument that it does not know."""
    client = feed.gateway.directory.client("feed")
    feed.draw()
    client.info = replace(client.info, capabilities=client.info.capabilities - {"ahead"})
    feed.pass_time(5)
    feed.draw()
    assert ["ahead" in keywords for name, _, keywords in feed.node.calls if name == "get_data"] == [False, False]


def test_a_call_that_is_due_renews_the_end_for_all_fields():
    """What must be asked for any field brings the end of the window for all of them, in one call."""
    feed = Feed(NAMES[:2])
    feed.draw(end=NOW)
    feed.clock.advance(0.5)
    feed.draw(end=NOW + 0.4, names=NAMES[:2])
    feed.clock.advance(0.8)
    calls = feed.calls()
    feed.draw(end=NOW + 0.4, names=NAMES[1:2])
    assert len(calls) == 2
    assert calls[1][-1][1] == NOW + 0.4
    assert len(feed.calls()) == 2


def test_after_a_second_the_end_is_asked_for_again(feed):
    """What is not final serves others for a second and no longer."""
    feed.draw(end=NOW)
    feed.clock.advance(1.01)
    feed.draw(end=NOW)
    assert len(feed.calls()) == 2


def test_fields_that_miss_the_same_are_asked_for_together():
    """A panel of twenty fields of one node makes one call a refresh."""
    feed = Feed(NAMES)
    feed.draw(length=600.0)
    feed.pass_time(5)
    feed.draw(length=600.0)
    assert len(feed.calls()) == 2
    assert all(len(arguments[0]) == 20 for name, arguments, _ in feed.node.calls if name == "get_data")


def test_without_finality_nothing_is_kept(feed):
    """A node that promises nothing is asked for all of the window every time."""
    feed.fill(final=-np.inf)
    feed.draw()
    feed.pass_time(5, final=-np.inf)
    feed.draw()
    assert width_of(feed.calls()[1]) == 600


def test_a_new_generation_drops_what_was_kept(feed):
    """When a node says that its data are others, everything is read anew in the same request."""
    feed.draw()
    feed.pass_time(5)
    feed.generation = "h"
    feed.node._blocks["x"] = TimelineBlock(
        feed.node._blocks["x"].times, {"x": feed.node._blocks["x"].times * 0 + 7.0}, NOW, -np.inf, "h"
    )
    assert (feed.draw()[0].values == 7.0).all()


def test_a_new_generation_drops_the_first_sample_of_the_old(feed):
    """What lies at the window's start is of the same data as the rest, also where nothing else of it was kept."""
    # Beyond the samples that tell of the start, before the end of the first bucket: only the edge is kept.
    final = NOW - 600 + 2
    feed.fill(final=final)
    feed.draw(end=NOW, points=200)
    feed.clock.advance(2)
    times = feed.node._blocks["x"].times
    feed.node._blocks["x"] = TimelineBlock(times, {"x": times * 0 + 7.0}, final, -np.inf, "h")
    assert (feed.draw(end=NOW, points=200)[0].values == 7.0).all()


def test_a_reconnect_drops_nothing(feed):
    """A node that comes back with the same data is asked for the new only."""
    feed.draw()
    feed.hub.subtract("feed")
    feed.hub.add(feed.node)
    feed.pass_time(5)
    feed.draw()
    assert width_of(feed.calls()[-1]) < 15


def test_data_without_identity_are_kept_for_one_session(feed):
    """A node that names no generation is read anew after a reconnect, and not before."""
    feed.generation = None
    feed.fill()
    feed.draw()
    feed.pass_time(5)
    feed.draw()
    assert width_of(feed.calls()[-1]) < 15
    feed.hub.subtract("feed")
    feed.hub.add(feed.node)
    feed.pass_time(5)
    calls = len(feed.calls())
    feed.draw()
    assert 600 <= sum(map(width_of, feed.calls()[calls:])) < 603  # the end comes with each call


def test_what_a_node_no_longer_has_is_drawn_from_what_is_kept(feed):
    """The past that expired at the node is still drawn, since it was true."""
    before = feed.draw()[0]
    feed.available_from = NOW - 100
    feed.span_s = 105.0
    feed.pass_time(5)
    after = feed.draw()[0]
    assert after.times[0] < NOW - 590
    final = (before.times >= after.times[0]) & (before.times < NOW - 5)
    assert set(before.times[final]) <= set(after.times)


def test_a_bucket_that_expired_in_part_is_not_kept(feed):
    """A bucket of which the node has lost a part is not taken for whole."""
    feed.available_from, feed.span_s = NOW - 100, 100.0
    feed.fill()
    feed.draw()
    feed.pass_time(2)
    feed.draw()
    width = choose_resolution(NOW - 600, NOW, 1000).buckets("number").width_s
    assert feed.calls()[1][0][1] == np.ceil(feed.available_from / width) * width


def test_a_node_that_left_is_drawn_as_far_as_it_was_kept(feed):
    """When a node is no longer online, its past is drawn, and it is told since when; other fields have none."""
    before = feed.draw()[0]
    feed.hub.subtract("feed")
    feed.pass_time(30)
    series, unknown = feed.draw(names=["x", "nope"])
    assert series.problem == "data node 'feed' is not online since 2023-11-14T22:13:20.000Z"
    assert series.times[-1] > NOW - 10
    assert set(series.times) <= set(before.times)
    assert unknown.problem
    assert not unknown.times.size
    feed.hub.add(feed.node)
    assert feed.draw()[0].problem is None


def test_without_a_router_all_is_drawn_as_far_as_it_was_kept(feed):
    """While no session is connected, the past is drawn with that reason."""
    before = feed.draw()[0]
    feed.gateway.disconnected()
    feed.pass_time(30)
    series = feed.draw()[0]
    assert series.problem.startswith("the router is not connected since")
    assert series.times[-1] > NOW - 10
    assert set(series.times) <= set(before.times)


def test_few_of_the_nodes_that_left_are_known(feed):
    """However many nodes come and go, a bounded number of those that left is kept."""
    for number in range(2 * MOST_GONE_KEPT):
        feed.hub.add(FakeNode(f"n{number}", {"x": ([NOW], [0.0])}))
        feed.hub.subtract(f"n{number}")
    assert len(feed.gateway.snapshot().gone) == MOST_GONE_KEPT
    assert feed.gateway.directory.gone("n0") is None


def test_a_node_that_hangs_is_drawn_as_far_as_it_was_kept(feed):
    """When the node does not answer, its past is drawn and the reason told."""
    whole = feed.draw()[0]
    feed.node.behaviour.hang = True
    feed.pass_time(5)
    asking = feed.ask()
    feed.clock.advance(2)
    series = result_of(asking).series[0]
    assert "did not answer" in series.problem
    assert series.times.size > 0.9 * whole.times.size


def test_who_waits_for_another_gives_up_at_its_own_deadline(feed):
    """A panel that waits for a call of another one is answered when its own time is up."""
    feed.node.behaviour.hang = True
    first = feed.ask()
    feed.clock.advance(1.5)
    second = feed.ask()
    feed.clock.advance(0.5)
    assert "did not answer" in result_of(first).series[0].problem
    feed.clock.advance(1.5)
    assert result_of(second).series[0].problem


def test_a_deadline_that_passes_while_a_second_call_is_waited_for_is_told_as_such():
    """Whoever waits, for whichever call, is told that the node did not answer, and not what became of the waiting."""
    feed = Feed(["x", "y"])
    feed.node.behaviour.delay_s = 0.6
    first, waiting = (feed.ask(600.0 + shift, ["x"], reducer="mean") for shift in (0.0, -0.3))
    feed.clock.advance(0.5)
    feed.node.behaviour.hang = True
    other = feed.ask(600.0 - 0.2, ["x", "y"], end=NOW, reducer="mean")
    feed.clock.pump([0.1] * 25)
    assert result_of(first).series[0].problem is None
    for one in (waiting, other):
        assert {series.problem for series in result_of(one).series} == {"node 'feed' did not answer within 2 s"}


def test_who_waits_is_answered_though_its_time_was_over_before_it_could_be_told():
    """When this process was busy for longer than a deadline, nobody who waited gets an error of ours."""
    feed = Feed()
    feed.node.behaviour.delay_s = 1.5
    asking = [feed.ask(), feed.ask(end=NOW + 0.1), feed.ask(end=NOW + 0.1)]
    feed.clock.advance(5.0)
    feed.clock.advance(0.0)
    problems = [result_of(one).series[0].problem for one in asking]
    assert all(problem in (None, "node 'feed' did not answer within 2 s") for problem in problems)


def test_a_reply_over_the_allowance_is_asked_for_in_halves(monkeypatch):
    """Where a node refuses a long reply, the fields are asked for in smaller groups until they fit."""
    feed = Feed(NAMES[:4])
    monkeypatch.setattr("sisock.core.wire.replies.EXTENDED_ALLOWANCE_BYTES", 30_000)
    series = feed.draw(length=600.0)
    assert all(one.problem is None and one.times.size > 100 for one in series)
    assert len(feed.calls()) > 2


def test_what_is_kept_in_many_places_is_drawn_with_all_between():
    """A window that lacks more spans than a call may have is drawn as one of which nothing is kept."""
    feed, bare = Feed(span_s=DAY, cache_bytes=2**27), Feed(span_s=DAY, cache_bytes=0)
    how = {"length": 49_900.0, "points": 50_000, "reducer": "last"}
    for number in range(70):
        feed.draw(length=100.0, points=104, reducer="last", end=NOW - 100.0 - 700.0 * number)
    drawn, anew = feed.draw(**how)[0], bare.draw(**how)[0]
    assert drawn.problem is None
    assert drawn.bucket_s == 1.0
    assert len(feed.calls()[-1]) == MOST_SPANS
    np.testing.assert_array_equal(drawn.times, anew.times)
    np.testing.assert_array_equal(drawn.values, anew.values)


def test_keeping_nothing_works(feed):
    """With no memory to keep answers in, everything is asked for every time."""
    bare = Feed(cache_bytes=0)
    bare.draw()
    bare.pass_time(5)
    assert bare.draw()[0].times.size
    assert width_of(bare.calls()[1]) == 600


def test_memory_is_bounded():
    """However much is asked for, no more than the bound is kept."""
    feed = Feed(NAMES[:5], cache_bytes=100_000)
    for number in range(20):
        feed.draw(length=60.0, end=NOW - 60.0 * number)
    assert 50_000 < feed.gateway._cache.size_bytes <= 100_000


@pytest.mark.parametrize(
    ("length", "points", "reducer"), [(600.0, 400, "minmax"), (3.0, 20, "minmax"), (60.0, 99, "mean")]
)
def test_what_is_kept_takes_no_more_memory_than_is_counted(length, points, reducer):
    """Neither many small entries nor what they were cut from make the memory larger than its bound."""
    feed = Feed(cache_bytes=150_000)
    tracemalloc.start()
    try:
        for number in range(300):
            feed.draw(length=length, end=NOW - 1.0 - 5.3 * number, points=points, reducer=reducer)
        gc.collect()
        with_all = tracemalloc.get_traced_memory()[0]
        feed.gateway._cache._entries._entries.clear()
        gc.collect()
        kept = with_all - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 50_000 < kept <= 150_000


def test_a_thousand_refreshes_change_no_final_bucket(feed):
    """While the window slides, what was drawn of whole final buckets stays as it was, to the bit."""
    feed.fill()
    drawn = {}
    changed = 0
    width = choose_resolution(0.0, 3000.0, 200).buckets("number").width_s
    for _ in range(1000):
        feed.pass_time(5)
        series = feed.draw(length=3000.0, points=200)[0]
        final = np.floor(feed.node._blocks["x"].times[-1] / width) * width
        # The first sample is drawn besides, and so may be one more of the bucket that it is in.
        first = np.floor(series.times[0] / width) * width + width
        inside = (series.times >= first) & (series.times < final)
        for time, value in zip(series.times[inside].tolist(), series.values[inside].tolist(), strict=True):
            bucket = drawn.setdefault(np.floor(time / width), {})
            changed += time not in bucket and len(bucket) >= 2
            bucket[time] = value
    assert changed == 0
    assert len(drawn) > 70
    assert all(len(bucket) <= 2 for bucket in drawn.values())


def test_a_refresh_sends_little():
    """A refresh of twenty fields over a day at 10 Hz sends under 1 % of the first samples, and 3 % of the bytes."""
    feed = Feed(NAMES, span_s=DAY)
    sizes, samples = [], []
    answer = feed.node.answer

    def counting(name, now, *arguments, **keywords):
        reply = answer(name, now, *arguments, **keywords)
        if name == "get_data":
            sizes[-1] += len(msgpack.packb([arguments, keywords])) + len(msgpack.packb(reply))
            samples[-1] += sum(len(entry[3]) // 8 for entry in reply["series"])
        return reply

    feed.node.answer = counting
    for _ in range(6):
        sizes.append(0)
        samples.append(0)
        feed.draw(length=DAY)
        feed.pass_time(5)
    assert max(samples[1:]) <= 0.01 * samples[0]
    assert max(sizes[1:]) <= 0.03 * sizes[0]


def test_what_a_node_tells_is_a_notice_until_it_is_asked_again(feed):
    """A remark on a field is told with its series, also while that is drawn from what is kept, and no longer."""
    answer, remarks = feed.node._get_data, {"remarks": {"x": ["its times are in the year 55840"], "y": ["nothing"]}}
    feed.node._get_data = lambda *arguments, **keywords: {**answer(*arguments, **keywords), **remarks}
    said = "node 'feed': its times are in the year 55840"
    assert [said in feed.draw()[0].notices for _ in range(2)] == [True, True]
    assert len(feed.calls()) == 1
    remarks.clear()
    feed.pass_time(2)
    assert said not in feed.draw()[0].notices
