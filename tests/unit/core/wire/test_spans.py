import math
from dataclasses import replace

import msgpack
import numpy as np
import pytest

from sisock.core.column.column import Column
from sisock.core.errors import BadReply, BadRequest, OverAllowance
from sisock.core.model import DataRequest, Statement
from sisock.core.window.spans import reduce_spans
from sisock.core.wire import replies
from sisock.core.wire.replies import answer_spans
from sisock.core.wire.requests import parse_request
from sisock.core.wire.spans import decode_reductions, encode_reductions, spans_arguments

TIMES = np.arange(1000.0, 2000.0)
COLUMNS = {
    "number": Column.plain(TIMES, np.where(TIMES % 7 == 0, np.nan, TIMES), Statement(1999.0, generation="g")),
    "whole": Column.plain(TIMES, TIMES.astype(np.int64), Statement(1999.0, generation="g")),
    "on": Column.plain(TIMES, TIMES % 5 < 2, Statement(math.inf)),
    "word": Column.plain(TIMES, np.array(["a", "b"] * 500, dtype=object), Statement(-math.inf)),
    "empty": Column.plain(TIMES[:0], TIMES[:0], Statement(np.float64(3.0), np.float64(2.0))),
}
REQUEST = DataRequest(
    (*COLUMNS, "unknown"), 1000.5, 1900.5, 30.0, "minmax", packed=True, spans=((1000.5, 1100.0), (1800.0, 1900.5))
)


def reply():
    return msgpack.unpackb(msgpack.packb(encode_reductions(reduce_spans(COLUMNS, REQUEST), REQUEST)))


def test_what_is_sent_is_what_is_read():
    """Reductions of every type come back as they were, each with its statement; an unknown field is left out."""
    read = decode_reductions(reply(), REQUEST)
    assert list(read) == list(COLUMNS)
    for sent, name in zip(reduce_spans(COLUMNS, REQUEST), COLUMNS, strict=False):
        for one, other in zip((*sent.samples, sent.newest), (*read[name].samples, read[name].newest), strict=True):
            np.testing.assert_array_equal(one[0], other[0])
            assert repr(one[1].tolist()) == repr(other[1].tolist())
            assert one[1].dtype.kind == other[1].dtype.kind or not one[1].size


def test_what_is_told_ahead_is_what_is_read():
    """What a node tells ahead arrives, with a window's newest sample behind it; or that it tells nothing."""
    request = replace(REQUEST, ahead=12.5)
    sent = reduce_spans(COLUMNS, request)
    packed = msgpack.packb(encode_reductions(sent, request))
    read = decode_reductions(msgpack.unpackb(packed), request)
    for one, name in zip(sent, COLUMNS, strict=False):
        other = read[name]
        assert (one.ahead is None) == (other.ahead is None) == (name in {"on", "word"})
        for left, right in zip((*one.samples, one.ahead or ([], []), one.newest), _parts(other), strict=True):
            assert repr(np.asarray(left).tolist()) == repr(np.asarray(right).tolist())


def _parts(reduction):
    return (*reduction.samples, reduction.ahead or ([], []), reduction.newest)


@pytest.mark.parametrize("given", ["x", -1, math.nan, math.inf, [1]])
def test_what_is_not_ahead_is_refused(given):
    """What a caller sends as 'ahead' is checked, and it stands with spans only."""
    with pytest.raises(BadRequest):
        parse_request(["x"], 1, 10, 1.0, 100.0, reduce="minmax", spans=[[1, 2]], ahead=given)
    with pytest.raises(BadRequest, match="spans"):
        parse_request(["x"], 1, 10, 1.0, 100.0, reduce="minmax", ahead=1.0)


@pytest.mark.parametrize(
    ("name", "final", "oldest", "generation"),
    [
        ("number", math.inf, -math.inf, "g"),  # all that was asked for is before it
        ("on", math.inf, -math.inf, None),
        ("word", 0.0, -math.inf, None),
        ("empty", 3.0, 2.0, None),
    ],
)
def test_statements_travel(name, final, oldest, generation):
    """What a node states of a field arrives: no promise is 0, and all final is infinite."""
    statement = decode_reductions(reply(), REQUEST)[name].statement
    assert (statement.finalized_until, statement.available_from, statement.generation) == (final, oldest, generation)


def recount(reply, counts):
    """Spoil the counts of the first field of a reply."""
    reply["series"][0][2] = counts(*reply["series"][0][2])


@pytest.mark.parametrize(
    ("final", "expected"), [(1900.4, 1900.4), (1900.5, None), (2000.0, None), (-math.inf, 0.0), (-5.0, 0.0)]
)
def test_finality_up_to_the_end_is_all(final, expected):
    """What is final up to the end of the window, or beyond, travels as None; no time before 1970 does."""
    columns = {"x": Column.plain(TIMES, TIMES, Statement(final))}
    request = replace(REQUEST, fields=("x",))
    sent = encode_reductions(reduce_spans(columns, request), request)
    assert sent["statements"] == [[expected, None, None]]


@pytest.mark.parametrize("ahead_s", [0.1, 1.0, 12.5])
def test_however_little_is_wanted_ahead_it_is_counted(ahead_s):
    """A call with a tenth of a second ahead is answered with one count more."""
    request = replace(REQUEST, ahead=ahead_s)
    sent = encode_reductions(reduce_spans(COLUMNS, request), request)
    assert len(sent["series"][0][2]) == len(REQUEST.spans) + 1
    assert decode_reductions(sent, request)["number"].ahead is not None


def test_only_who_asks_gets_edges_and_only_who_has_some_tells_remarks():
    """A reply to a call without extensions has no keys of theirs, and those that come unasked are passed over."""
    assert set(reply()) == {"statements", "series"}
    asked = replace(REQUEST, edge=True)
    sent = encode_reductions(reduce_spans(COLUMNS, asked), asked, {"number": ["slow"]})
    assert set(sent) == {"statements", "series", "edges", "remarks"}
    assert sent["edges"][-1] is None
    untold = [replace(one, edge=None) for one in reduce_spans(COLUMNS, asked)[:1]]
    assert encode_reductions(untold, replace(asked, fields=("number",)))["edges"] == [None]
    assert decode_reductions({**reply(), "edges": "nonsense"}, REQUEST).keys() == COLUMNS.keys()
    with pytest.raises(BadReply):
        decode_reductions({**sent, "edges": sent["edges"][:-1]}, asked)


def test_a_refresh_is_short():
    """Five samples of a field take less than 150 bytes of a reply beside its name in the request."""
    request = DataRequest(("number",) * 1, 1000.0, 2000.0, 30.0, "minmax", spans=((1000.0, 1050.0), (1980.0, 2000.0)))
    assert len(msgpack.packb(encode_reductions(reduce_spans(COLUMNS, request), request))) < 200


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda reply: reply.pop("statements"), id="no statements"),
        pytest.param(lambda reply: reply["series"].pop(), id="a field too few"),
        pytest.param(lambda reply: reply["series"].append(None), id="a field too many"),
        pytest.param(lambda reply: reply["series"][0].pop(), id="no values"),
        pytest.param(lambda reply: reply["series"][0].__setitem__(0, 99), id="an unknown statement"),
        pytest.param(lambda reply: reply["series"][0].__setitem__(1, "<c16"), id="an unknown dtype"),
        pytest.param(lambda reply: reply["series"][0].__setitem__(2, [1]), id="other counts"),
        pytest.param(lambda reply: reply["series"][0].__setitem__(2, [-1, 1]), id="negative counts"),
        pytest.param(lambda reply: recount(reply, lambda low, high: [low + high]), id="a span too few"),
        pytest.param(lambda reply: recount(reply, lambda low, high: [low, high, 0]), id="a span too many"),
        pytest.param(lambda reply: recount(reply, lambda low, high: [-1, low + high + 1]), id="a negative count"),
        pytest.param(lambda reply: recount(reply, lambda low, high: [low + high, -1]), id="ahead for who asked none"),
        pytest.param(lambda reply: reply["series"][0].__setitem__(2, [2**64 - 1, 1]), id="counts beyond all bounds"),
        pytest.param(lambda reply: reply["series"][0].__setitem__(2, [math.inf, 1]), id="counts without end"),
        pytest.param(lambda reply: reply["series"][0].__setitem__(3, b"123"), id="torn bytes"),
        pytest.param(lambda reply: reply["series"][0].__setitem__(4, b""), id="values of another length"),
        pytest.param(
            lambda reply: reply["statements"].__setitem__(0, ["x", None, None]), id="finality that is a text"
        ),
        pytest.param(
            lambda reply: reply["statements"].__setitem__(0, [math.nan, None, "g"]), id="finality of no time"
        ),
        pytest.param(lambda reply: reply["statements"].__setitem__(0, [None, math.nan, "g"]), id="expiry of no time"),
        pytest.param(lambda reply: reply.__setitem__("series", 5), id="series that are none"),
    ],
)
def test_a_reply_that_does_not_fit_is_refused(spoil):
    """Whatever is wrong in a reply is a BadReply, and nothing of it is used."""
    spoiled = reply()
    spoil(spoiled)
    with pytest.raises(BadReply):
        decode_reductions(spoiled, REQUEST)


@pytest.mark.parametrize("given", [5, "12", [1], [[1]], [[1, 2, 3]], [["a", "b"]], [[1, None]], [[math.nan, 2]]])
def test_arguments_that_are_no_spans_are_refused(given):
    """What a caller sends as spans is checked."""
    with pytest.raises(BadRequest):
        parse_request(["x"], 1, 10, 1.0, 100.0, reduce="minmax", spans=given)


def test_spans_need_a_reducer():
    """Spans are for reductions, and cannot be paged."""
    with pytest.raises(BadRequest, match="reducer"):
        parse_request(["x"], 1, 10, 1.0, 100.0, spans=[[1, 2]])
    with pytest.raises(BadRequest, match="paged"):
        parse_request(["x"], 1, 10, 1.0, 100.0, reduce="minmax", spans=[[1, 2]], limit=5)


def test_the_arguments_of_a_call_are_those_that_are_parsed():
    """A request survives the way to a node."""
    arguments, keywords = spans_arguments(REQUEST)
    assert parse_request(*arguments, now=5e9, **keywords) == REQUEST


def test_a_reply_over_the_allowance_names_the_limit(monkeypatch):
    """A reply that would cost its caller the connection is refused before it is sent."""
    monkeypatch.setattr(replies, "EXTENDED_ALLOWANCE_BYTES", 100)
    with pytest.raises(OverAllowance, match="100"):
        answer_spans(reduce_spans(COLUMNS, REQUEST), REQUEST)
