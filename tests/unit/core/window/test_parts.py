import math

import numpy as np
import pytest

from sisock.core.errors import BadReply
from sisock.core.model import DataBlock, DataRequest, Statement, TimelineBlock
from sisock.core.window.parts import MOST_REFUSALS, UNSTATED, Halving, Read, join_block_parts, join_statements
from sisock.core.window.spans import NO_SAMPLES, SpanReading

ALL = Statement(math.inf)


def block(*times, final=math.inf, generation=None):
    return DataBlock({"t": TimelineBlock(np.array(times), {"x": np.array(times)}, final, generation=generation)})


def request(*spans, fields=("x",)):
    return DataRequest(fields, 0.001, 100.0, 1.0, "minmax", spans=spans)


def read_all(reading, answer):
    """Answer each reading by a function; return what was asked."""
    asked = []
    while (read := reading.read) is not None:
        asked.append(read)
        given = answer(read)
        reading.refuse() if given is False else reading.take(given.within(*read.span))
    return asked


@pytest.mark.parametrize("empty", [0, 1, 2], ids=["first", "in the middle", "last"])
def test_a_span_without_samples_is_an_empty_part(empty):
    """A field that an answer leaves out has nothing there; what it has in other spans stays in its place."""
    spans = [(10.0, 20.0), (40.0, 50.0), (90.0, 100.0)]
    hole = spans.pop(empty)
    reading = SpanReading(request((10.0, 20.0), (40.0, 50.0), (90.0, 100.0)))
    samples = block(*(span[0] + 1.0 for span in spans))
    read_all(reading, lambda read: DataBlock() if read.span == hole else samples)
    (reduction,) = reading.reductions()
    assert [times.tolist() for times, _ in reduction.samples] == [
        [] if place == empty else [low + 1.0] for place, low in enumerate((10.0, 40.0, 90.0))
    ]


def test_nothing_is_promised_of_a_span_of_which_nothing_is_stated():
    """What is final in one span says nothing of another, of which the source was silent."""
    reading = SpanReading(request((10.0, 20.0), (90.0, 100.0)))
    read_all(reading, lambda read: block(95.0) if read.end > 50.0 else DataBlock())
    (reduction,) = reading.reductions()
    assert reduction.statement.finalized_until == math.inf
    assert reduction.final == (-math.inf, math.inf)


def test_a_known_field_of_which_nothing_is_stated_has_nothing_and_promises_nothing():
    """A field that exists is never unknown: without a sample in the window it is empty, and none of that is final."""
    reading = SpanReading(request((10.0, 20.0), fields=("x", "unknown")), {"x": 5.0})
    read_all(reading, lambda _: DataBlock())
    known, unknown = reading.reductions()
    assert (known.newest, known.statement, unknown) == (NO_SAMPLES, UNSTATED, None)


def test_only_fields_whose_newest_sample_is_not_known_are_searched():
    """One field without samples does not make a source read the others again."""
    reading = SpanReading(request((90.0, 100.0), fields=("x", "rare")), {"x": 1.0, "rare": None})
    asked = read_all(reading, lambda _: block(95.0))
    assert {read.fields for read in asked[1:]} == {("rare",)}


def test_what_is_refused_is_asked_for_with_the_stride_and_then_in_halves():
    """A source that gives no more than ten seconds at once is read in parts, after a stride was tried."""
    halving = Halving(("x",), (0.0, 32.0), 2.0)
    samples = block(*np.arange(0.0, 32.0))
    asked = read_all(halving, lambda read: read.end - read.start <= 10.0 and samples)
    assert asked[:3] == [Read(("x",), 0.0, 32.0), Read(("x",), 0.0, 32.0, 2.0), Read(("x",), 0.0, 16.0)]
    assert halving.block().find("x").times.tolist() == samples.find("x").times.tolist()
    assert not halving.thinned


def test_what_came_with_the_stride_is_never_final():
    """Samples that a source has thinned are drawn, told of and not kept; the newest sample is found all the same."""
    samples = block(*np.arange(1.0, 100.0, 0.25))

    def answer(read):
        if read.stride is None and read.end - read.start > 10.0:
            return False
        return block(*np.arange(1.0, 100.0)) if read.stride else samples

    reading = SpanReading(request((0.001, 100.0)))
    read_all(reading, answer)
    (reduction,) = reading.reductions()
    assert (reading.thinned, reduction.final) == ([(0.001, 100.0)], (-math.inf,))
    assert reduction.newest[0].tolist() == [99.75]


def test_a_source_that_refuses_everything_is_given_up():
    """There is an end to asking for less."""
    halving = Halving(("x",), (1e9, 1e9 + 1.0), 0.1)

    def go_on():
        for _ in range(MOST_REFUSALS + 2):
            halving.refuse()

    with pytest.raises(BadReply, match="more than it can give"):
        go_on()


def test_a_search_that_is_refused_everywhere_ends():
    """Where the newest sample cannot be had, it is the last that was read, and nothing is promised."""
    reading = SpanReading(request((10.0, 20.0)), {"x": 1.0})
    read_all(reading, lambda read: read.end <= 20.0 and block(15.0))
    (reduction,) = reading.reductions()
    assert reduction.newest[0].tolist() == [15.0]
    assert reduction.statement.finalized_until < 20.0


@pytest.mark.parametrize(
    ("said", "final"),
    [
        pytest.param([ALL, ALL], math.inf, id="all final"),
        pytest.param([ALL, None], 10.0, id="silent of the last"),
        pytest.param([None, ALL], 0.0, id="silent of the first"),
        pytest.param([Statement(5.0), ALL], 5.0, id="less in the first"),
        pytest.param([Statement(12.0), Statement(15.0)], 15.0, id="all of the first"),
        pytest.param([Statement(math.inf, generation="a"), ALL], -math.inf, id="of other data"),
        pytest.param([None, None], -math.inf, id="silent"),
    ],
)
def test_what_is_stated_together_is_no_more_than_of_each(said, final):
    """Of consecutive spans the statement that holds for all is taken."""
    spans = [(0.0, 10.0), (10.0, 20.0)]
    assert join_statements(list(zip(spans, said, strict=True))).finalized_until == final


def test_parts_are_joined_with_what_is_stated_of_each():
    """A field without samples in any part keeps what is stated of it."""
    parts = [((0.0, 10.0), block(1.0)), ((10.0, 20.0), DataBlock(stated={"y": Statement(15.0)}))]
    whole = join_block_parts(parts, ("x", "y", "z"))
    assert whole.stated_of("x").finalized_until == 10.0
    assert whole.stated_of("y").finalized_until == 0.0
    assert whole.stated_of("z") is None
