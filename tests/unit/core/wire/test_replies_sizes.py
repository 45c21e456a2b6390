"""The size that the allowance is held against: never below what a serializer makes of a reply, nor much above."""

from __future__ import annotations

import math
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from autobahn.wamp.serializer import CBORObjectSerializer, JsonObjectSerializer, MsgPackObjectSerializer
from hypothesis import given, settings

from sisock.core.model import DataBlock, DataRequest, Field, FieldCatalogue, Statement, TimelineBlock
from sisock.core.window.spans import Reduction
from sisock.core.wire.catalogue import encode_catalogue
from sisock.core.wire.data import encode_data
from sisock.core.wire.replies import answer, encoded_size
from sisock.core.wire.spans import encode_reductions

SERIALIZERS = {
    "json": JsonObjectSerializer(),
    "msgpack": MsgPackObjectSerializer(),
    "cbor": CBORObjectSerializer(),
}
NOW = 1_700_000_000.0
UNIX_TIMES = (NOW + np.arange(50) / 7).tolist()


def sizes(reply):
    """Return what a reply takes in each serializer, as the router uses it."""
    return {name: len(one.serialize(reply)) for name, one in SERIALIZERS.items()}


def reply_of(values, times=None):
    return {"data": {"a": values}, "timeline": {"t": {"t": UNIX_TIMES if times is None else times}}}


def packed(values, dtype):
    array = np.asarray(values, dtype)
    return {"dtype": array.dtype.str, "data": array.tobytes()}


@pytest.mark.parametrize(
    ("reply", "widest"),
    [
        # UNIX times make JSON the widest, so that each of its digits counts
        (reply_of([-math.inf] * 50), "json"),
        (reply_of([0.1 + 0.2] * 50), "json"),
        (reply_of([1.5e-7] * 50), "json"),
        (reply_of([-1.5e-9] * 50), "json"),
        (reply_of([1e17] * 50), "json"),
        (reply_of([2**62] * 50), "json"),
        (reply_of(["ö\n\x01\x7f\u2028"] * 50), "json"),
        (reply_of([True, False] * 25), "json"),
        ([packed([1.5], "<f8")] * 50, "json"),
        ([packed([1], "|b1")] * 50, "json"),
        ([packed([1, 2], "|b1")] * 50, "json"),
        ([packed([1, 2, 3], "|b1")] * 50, "json"),
        ([packed([], "|b1")] * 50, "json"),
    ],
)
def test_the_bound_is_what_json_takes(reply, widest):
    """Where JSON is the widest, and has no null but infinities, the bound is its length, to the byte."""
    found = sizes(reply)
    assert max(found, key=found.__getitem__) == widest
    assert encoded_size(reply) == found[widest]


@pytest.mark.parametrize(
    "reply",
    [
        [0.0] * 500,
        {f"{number:04}": 0.0 for number in range(300)},
        {f"{number:026}": 0.0 for number in range(300)},  # texts of 24 to 31 bytes are a byte longer in CBOR
        {f"{0:026}": 0.0},
        [0.0, 30] * 100,  # as are whole numbers from 24 to 127
        [0.0, 100] * 100,
        [0.0, -30] * 100,
        [[0.0, 127, 0.0, 24, 0.0, -25, 0.0, -32]] * 100,
        reply_of([0.0] * 50, [0.0] * 50),
        reply_of([math.nan] * 50, [0.0] * 50),
    ],
)
def test_the_bound_covers_what_is_short_in_json(reply):
    """Where a binary serializer is the widest, the bound is at its length or less than a seventh above."""
    found = sizes(reply)
    assert max(found, key=found.__getitem__) != "json"
    assert max(found.values()) <= encoded_size(reply) <= 1.15 * max(found.values())


def test_texts_and_whole_numbers_are_where_cbor_is_longer():
    """The bound of MsgPack's length alone would be too low: CBOR takes a byte more for each of these."""
    for reply in ({f"{number:026}": 0.0 for number in range(300)}, [0.0, 30] * 300):
        found = sizes(reply)
        assert found["cbor"] > found["msgpack"] + 200
        assert encoded_size(reply) >= found["cbor"]


def test_what_cannot_travel_has_no_size():
    """A value that no serializer takes is an error, not a reply of some length."""
    with pytest.raises(TypeError, match="object"):
        encoded_size({"a": object()})


floats = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-5, 1.5e-7, 1e16, 5e-324, NOW]),
    st.floats(NOW, NOW + 1e6),
)
values_of = {
    "number": floats,
    "whole": st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-40, 130)),
    "bool": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
}
names = st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]), min_size=1, max_size=33)


@st.composite
def arrays(draw, length):
    kind = draw(st.sampled_from(sorted(values_of)))
    found = draw(st.lists(values_of[kind], min_size=length, max_size=length))
    dtype = {"number": np.float64, "whole": np.int64, "bool": np.bool_, "string": object}[kind]
    return np.array(found, dtype)


@st.composite
def data_replies(draw):
    """Replies of get_data: lists or packed, with any number of timelines and fields."""
    timelines, fields = {}, []
    for name in draw(st.lists(names, max_size=4, unique=True)):
        length = draw(st.integers(0, 20))
        times = np.sort(np.array(draw(st.lists(st.floats(0, 4e9), min_size=length, max_size=length)), float))
        values = {f"{name}.{field}": draw(arrays(length)) for field in draw(st.lists(names, max_size=3, unique=True))}
        timelines[name] = TimelineBlock(times, values, draw(floats), draw(floats), draw(st.none() | names))
        fields += values
    request = DataRequest(tuple(fields), 1.0, 4e9, packed=draw(st.booleans()), limit=draw(st.none() | st.just(5)))
    return encode_data(DataBlock(timelines), request)


@st.composite
def span_replies(draw):
    """Replies of get_data with spans."""
    reductions, fields = [], draw(st.lists(names, max_size=6, unique=True))
    for _ in fields:
        length = draw(st.integers(0, 20))
        sampled = np.arange(float(length)), draw(arrays(length))
        reductions.append(
            Reduction((sampled,), (sampled[0][-1:], sampled[1][-1:]), Statement(NOW, -math.inf, "g"), None)
        )
    request = DataRequest(tuple(fields), 1.0, 4e9, 1.0, "minmax", spans=((1.0, 4e9),))
    return encode_reductions(reductions, request)


@st.composite
def field_replies(draw):
    """Replies of get_fields."""
    found = draw(st.lists(names, max_size=10, unique=True))
    fields = [Field(name, draw(names), "number", draw(st.none() | names), draw(st.none() | names)) for name in found]
    return encode_catalogue(FieldCatalogue.of(fields, {}))


@given(st.one_of(data_replies(), span_replies(), field_replies()))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_the_bound_is_never_below(reply):
    """Whatever is in a reply, no serializer that the router offers makes it longer than the bound."""
    assert encoded_size(reply) >= max(sizes(reply).values())


@given(data_replies(), st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_large_reply_is_not_much_shorter_than_the_bound(reply, is_packed):
    """Around an ordinary reply the bound is less than a seventh above the widest, so that no allowance is wasted."""
    generator = np.random.default_rng(len(reply["data"]))
    times = NOW + np.cumsum(generator.exponential(1.0, 2000))
    block = TimelineBlock(times, {"a": generator.normal(0, 1e-6, 2000), "b": times > NOW + 100, "c": np.arange(2000)})
    request = DataRequest(("a", "b", "c"), NOW, 4e9, packed=is_packed)
    reply = {**encode_data(DataBlock({"t": block}), request), "more": reply}
    assert encoded_size(reply) <= 1.15 * max(sizes(reply).values())


@pytest.mark.parametrize("extension", [{"reduce": "last"}, {"packed": True}, {"limit": 10**6}])
def test_who_speaks_any_extension_is_sent_more(extension):
    """A reply over 1 MiB is refused to callers of the original library, and sent to those with any extension."""
    times = 1e9 + np.arange(100_000.0)
    block = DataBlock({"t": TimelineBlock(times, {"x": times / 3})})
    plain = DataRequest(("x",), 1e9, 2e9, min_stride=1.0)
    assert answer(block, plain) is False
    assert isinstance(answer(block, replace(plain, **extension)), dict)
