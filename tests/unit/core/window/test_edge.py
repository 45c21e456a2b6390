import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from unit.core.column.test_concatenated import STATED, cut_at_random

from sisock.core.column.column import Column
from sisock.core.column.concatenated import Concatenated
from sisock.core.errors import BadReply, BadRequest
from sisock.core.model import DataBlock, DataRequest, Statement, TimelineBlock
from sisock.core.window.edge import MOST_FOLLOWING, Edge, edge_of
from sisock.core.window.edge_reading import EdgeReading
from sisock.core.window.parts import Read
from sisock.core.window.spans import NO_SAMPLES, Reduction, reduce_spans
from sisock.core.wire.requests import parse_request
from sisock.core.wire.spans import decode_reductions, encode_reductions, is_edge_of, spans_arguments
from sisock.gateway.tiles import KeptEdge, add_first, add_held

many = settings(derandomize=True, deadline=None, max_examples=200)
START = 1e6


@st.composite
def samples(draw, most=60):
    """Times about START, dense and rare, some of them equal; and values of some type."""
    spacings = draw(st.lists(st.sampled_from([0.0, 0.01, 0.5, 3.0, 40.0, 700.0]), max_size=most))
    times = draw(st.sampled_from([START, START - 100.0, START - 2000.0, START + 10.0])) + np.cumsum([0.0, *spacings])
    kind = draw(st.sampled_from(["number", "bool", "text"]))
    numbers = np.arange(times.size)
    values = {"number": numbers * 1.5, "bool": numbers % 2 == 0, "text": np.array(list(map(str, numbers)), object)}
    return times, values[kind]


def request(edge=1.0, *, start=START, end=START + 300.0, before=True, spans=()):
    return DataRequest(("x",), start, end, 1.0, "minmax", packed=True, spans=spans, edge=edge, before=before)


def obvious(times, values, asked):
    """What lies at a window's start, found by looking at every sample."""
    before = [place for place, time in enumerate(times) if time < asked.start][-1:]
    inside = [place for place, time in enumerate(times) if asked.start <= time < asked.end]
    near = [place for place in inside if times[place] < asked.start + asked.edge]
    following = inside[: min(len(near) + 1, MOST_FOLLOWING)]
    return [(times[place], values[place]) for place in before], [(times[place], values[place]) for place in following]


def pairs(found):
    return list(zip(found[0].tolist(), found[1].tolist(), strict=True))


@many
@given(samples(most=120), st.sampled_from([0.2, 1.0, 50.0]), st.sampled_from([1.0, 300.0, 1e5]))
def test_the_edge_of_a_window(given_samples, edge_s, length_s):
    """The last sample before a window, and its first ones; of one column, of several, and of what can only be read."""
    times, values = given_samples
    asked = request(edge_s, end=START + length_s)
    expected = obvious(times, values, asked)
    block = TimelineBlock(times, {"x": values})
    for column in (
        Column.plain(times, values),
        Column.of(times, values),
        Concatenated.of(cut_at_random(times, values, 3), STATED),
    ):
        found = edge_of(column, asked)
        assert (pairs(found.before), pairs(found.following)) == expected
    reading = EdgeReading(asked)
    while (read := reading.read(["x"])) is not None:
        reading.take(read, DataBlock({"x": block.within(*read.span)}))
    (reduction,) = reading.beside([Reduction((), NO_SAMPLES, Statement())])
    assert pairs(reduction.edge.before) == expected[0]
    assert pairs(reduction.edge.following)[:1] == expected[1][:1]
    assert is_edge_of(reduction.edge, (asked.start, asked.end))


def test_a_search_that_was_ended_early_knows_nothing_of_before():
    """Where nobody looked back far enough, what is before the window is not known; it is not that there is nothing."""
    reading = EdgeReading(request())
    for _ in range(4):
        reading.take(reading.read(["x"]), DataBlock())
    (reduction,) = reading.beside([Reduction((), NO_SAMPLES, Statement())])
    assert reduction.edge.before is None
    assert reading.beside([None]) == [None]


def test_what_is_not_wanted_is_not_read():
    """Without an edge nothing more is read, and without 'before' nothing before the window."""
    assert EdgeReading(request(0.0)).read(["x"]) is None
    reading = EdgeReading(request(before=False, end=START + 1.0))
    assert reading.read(["x"]) == Read(("x",), START, START + 1.0)
    reading.take(reading.read(["x"]), DataBlock())
    assert reading.read(["x"]) is None


@many
@given(samples(), st.booleans())
def test_edges_travel(given_samples, before):
    """What a node tells of the edge arrives as it was, of every type; other fields are as without."""
    asked = request(before=before, spans=((START, START + 300.0),))
    (reduction,) = reduce_spans({"x": Column.plain(*given_samples)}, asked)
    positional, keywords = spans_arguments(asked)
    assert parse_request(*positional, **keywords) == asked
    arrived = decode_reductions(encode_reductions([reduction], asked), asked)["x"]
    assert (arrived.edge.before is None) is not before
    assert pairs(arrived.edge.following) == pairs(reduction.edge.following)
    if before:
        assert pairs(arrived.edge.before) == pairs(reduction.edge.before)
    assert [pairs(one) for one in arrived.samples] == [pairs(one) for one in reduction.samples]


def test_a_node_that_tells_no_edges_is_understood():
    """An answer without edges, and one that does not know that of a field, leave it unknown."""
    asked = request(spans=())
    reply = encode_reductions(reduce_spans({"x": Column.plain(np.array([START]), np.ones(1))}, asked), asked)
    assert decode_reductions(reply | {"edges": [None]}, asked)["x"].edge is None
    del reply["edges"]
    assert decode_reductions(reply, asked)["x"].edge is None


FLOATS = np.array([1.0, 2.0]).tobytes()


@pytest.mark.parametrize(
    "edge",
    [
        [1, "<f8", np.array([START, START + 1.0]).tobytes(), FLOATS],
        [0, "<f8", np.array([START + 2.0, START + 1.0]).tobytes(), FLOATS],
        [0, "<f8", np.array([START - 1.0, START + 1.0]).tobytes(), FLOATS],
        [0, "<f8", np.array([START, START + 300.0]).tobytes(), FLOATS],
        [2, "<f8", np.array([START - 2.0, START - 1.0]).tobytes(), FLOATS],
        [-2, "<f8", np.array([START - 2.0, START - 1.0]).tobytes(), FLOATS],
        [0, "<f8", np.array([START]).tobytes(), FLOATS],
        [0, "<f8", np.full(100, START).tobytes(), np.zeros(100).tobytes()],
        [0, "<c16", FLOATS, FLOATS],
        "edge",
        [],
    ],
    ids=[
        *("inside for before", "descending", "before for inside", "behind the end", "two before", "nonsense"),
        *("unlike lengths", "many", "an unknown type", "a text", "nothing"),
    ],
)
def test_edges_that_cannot_be(edge):
    """An edge that is not at the start of the window is no answer."""
    asked = request()
    reply = encode_reductions(reduce_spans({"x": Column.plain(np.array([START]), np.ones(1))}, asked), asked)
    with pytest.raises(BadReply, match="cannot be read"):
        decode_reductions(reply | {"edges": [edge]}, asked)


@pytest.mark.parametrize("edge", [-1.0, "x", float("nan"), 1.0])
def test_an_edge_goes_with_spans(edge):
    """The argument is seconds, and goes with spans."""
    with pytest.raises(BadRequest, match="edge"):
        parse_request(["x"], 1.0, 2.0, 1.0, reduce="minmax", edge=edge, spans=None if edge == 1.0 else [])


@many
@given(samples(most=120), st.lists(st.tuples(st.floats(-50, 400), st.floats(0.1, 400)), max_size=20))
def test_what_follows_for_windows_nearby_is_true(given_samples, windows):
    """Where the edge of one window tells that of another, it is what a node would tell of it."""
    column = Column.plain(*given_samples)
    asked = request()
    kept = KeptEdge.of((asked.start, asked.end), edge_of(column, asked), 0.0, np.inf)
    served = 0
    for shift, length_s in [(0.0, 300.0), *windows]:
        window = START + shift, START + shift + length_s
        found = kept.at(window)
        if found is None:
            continue
        served += 1
        true = edge_of(column, request(start=window[0], end=window[1]))
        assert pairs(found.before) == pairs(true.before)
        assert pairs(found.following)[:1] == pairs(true.following)[:1]
    assert served


def test_an_edge_is_final_as_far_as_it_reaches():
    """Samples may still come between those that are told where the node does not call all of it final."""
    edge = Edge(NO_SAMPLES, (np.array([START, START + 5.0]), np.zeros(2)))
    assert KeptEdge.of((START, START + 10.0), edge, 0.0, START + 5.0).is_final
    assert not KeptEdge.of((START, START + 10.0), edge, 0.0, START + 4.9).is_final
    assert not KeptEdge.of((START, START + 10.0), Edge(NO_SAMPLES, NO_SAMPLES), 0.0, START + 9.9).is_final


def test_what_is_drawn_of_an_edge():
    """The first sample is drawn once; what held before is drawn at the start, unless a sample is there."""
    times, values = np.array([START, START + 5.0]), np.array([1.0, 2.0])
    edge = Edge((np.array([START - 9.0]), np.array([7.0])), (times, values))
    later = times[1:], values[1:]
    assert pairs(add_first(later, edge)) == [(START, 1.0), (START + 5.0, 2.0)]
    assert pairs(add_first((times, values), edge)) == pairs((times, values))
    assert pairs(add_first((times, values + 1.0), edge)) == [(START, 1.0), (START, 2.0), (START + 5.0, 3.0)]
    assert pairs(add_held(later, edge, START)) == [(START, 7.0), (START + 5.0, 2.0)]
    assert pairs(add_held((times, values), edge, START)) == pairs((times, values))
    assert pairs(add_held(NO_SAMPLES, edge, START)) == [(START, 7.0)]
    assert pairs(add_held(later, Edge(None, NO_SAMPLES), START)) == pairs(later)
