"""What is read from the messages of OCS feeds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sisock.nodes.ocs.messages import Typed, read_message

MESSAGES = json.loads((Path(__file__).parents[3] / "data" / "ocs" / "messages.json").read_text())
FEED = {"record": True, "agent_class": "FakeDataAgent"}


def read(message, feed=FEED):
    return read_message([[message, feed]])


def block(times, **data):
    return {"timestamps": times, "data": data}


def samples(read):
    """Return the samples of all blocks by block, field and type."""
    return {
        (one.name, *key): list(zip(rows.times.tolist(), values.tolist(), strict=True))
        for one in read.blocks
        for rows in one.rows
        for key, values in rows.values.items()
    }


@pytest.mark.parametrize("kind", ["heartbeat", "heartbeat of an agent without operations", "status of an operation"])
@pytest.mark.parametrize("more", ["text that is not for recording", "registry", "no blocks"])
def test_what_is_not_for_recording_is_passed_over(kind, more):
    """Heartbeats, states, logs and empty messages have no blocks, and nothing is wrong with them."""
    for name in (kind, more):
        found = read_message(MESSAGES[name]["args"])
        assert (found.blocks, found.problems) == ((), ())


def test_each_block_has_its_own_times():
    """Blocks of one message come with their own timestamps, and fields with the types of their values."""
    found = read_message(MESSAGES["three blocks"]["args"])
    assert found.problems == ()
    assert found.agent_class == "Lakeshore372Agent"
    t = 1_700_000_000.0
    assert samples(found) == {
        ("Channel_01", "Channel_01_T", "number"): [(t + 0.5, 0.1), (t + 1.0, 0.11), (t + 1.5, 0.12)],
        ("Channel_01", "Channel_01_R", "number"): [(t + 0.5, 1113), (t + 1.0, 1114.5), (t + 1.5, 1115)],
        ("Channel_02", "Channel_02_T", "number"): [(t + 0.25, 0.2), (t + 0.75, 0.21)],
        ("Channel_02", "Channel_02_R", "number"): [(t + 0.25, 1201), (t + 0.75, 1202)],
        ("state", "mode", "string"): [(t + 0.9, "idle")],
        ("state", "autoscan", "bool"): [(t + 0.9, True)],
        ("state", "excitation", "number"): [(t + 0.9, 2)],
    }


def test_nan_and_infinities_survive():
    """Values that are no finite numbers are values."""
    (one,) = read_message(MESSAGES["values that are no numbers"]["args"]).blocks
    np.testing.assert_array_equal(one.rows[0].values["glitch", "number"], [math.nan, math.inf, -math.inf, 1.0])


def test_units_among_the_tags():
    """An agent may say the units of a field among its tags."""
    (one,) = read_message(MESSAGES["one block with tags"]["args"]).blocks
    assert one.units == {"channel_01": "K"}


def test_values_of_several_types_are_told_apart():
    """Where a field changes its type, each value keeps its own, at its time; whole numbers are numbers."""
    found = read({"b": block([1, 2, 3, 4, 5], x=[1, "off", 2.5, True, "on"], y=[1, 2, 3.5, 4, 5])})
    assert samples(found) == {
        ("b", "y", "number"): [(1, 1), (2, 2), (3, 3.5), (4, 4), (5, 5)],
        ("b", "x", "number"): [(1, 1), (3, 2.5)],
        ("b", "x", "string"): [(2, "off"), (5, "on")],
        ("b", "x", "bool"): [(4, True)],
    }
    assert found.problems == ()


def test_nothing_in_place_of_a_value():
    """None among numbers is a missing number; among texts and states it is no sample."""
    found = read({"b": block([1, 2], n=[None, 1], a=[None, None], s=["x", None], o=[None, True])})
    assert found.problems == ()
    by_field = samples(found)
    assert math.isnan(by_field["b", "n", "number"][0][1])
    assert math.isnan(by_field["b", "a", "number"][1][1])
    assert by_field["b", "s", "string"] == [(1, "x")]
    assert by_field["b", "o", "bool"] == [(2, True)]


@pytest.mark.parametrize(
    ("field", "values", "why"),
    [
        ("short", [1], "1 values for 2 timestamps"),
        ("long", [1, 2, 3], "3 values for 2 timestamps"),
        ("text", "ab", "a list"),
        ("none", None, "a list"),
        (5, [1, 2], "a name"),
        ("nested", [[1], {}], "neither|no numbers"),
        ("bytes", [b"1", b"2"], "no numbers"),
        ("huge", [10**400, 1], "no numbers"),
    ],
)
def test_a_field_that_cannot_be_drawn_is_left_out(field, values, why):
    """What is wrong with a field is said, and the others of its block are taken."""
    found = read({"b": {"timestamps": [1, 2], "data": {field: values, "good": [1, 2], "word": ["x", "y"]}}})
    assert set(samples(found)) == {("b", "good", "number"), ("b", "word", "string")}
    (problem,) = found.problems
    assert any(part in problem.why for part in why.split("|"))
    assert repr(field) in problem.what
    assert "'b'" in problem.what


def test_values_that_cannot_be_drawn_are_left_out():
    """The other values of their field keep their times."""
    found = read({"b": block([1, 2, 3], x=[1.0, {}, 3.0])})
    assert samples(found) == {("b", "x", "number"): [(1, 1), (3, 3)]}
    assert len(found.problems) == 1


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {"timestamps": [1]},
        {"data": {"x": [1]}},
        block("12", x=[1, 2]),
        block([math.nan], x=[1]),
        block([1, math.inf], x=[1, 2]),
        block(["1"], x=[1]),
        block([True], x=[1]),
        block([10**400], x=[1]),
        block([], x=[1]),
    ],
)
def test_a_block_that_cannot_be_read_is_left_out(entry):
    """What is wrong with a block is said, and the others are taken."""
    found = read({"bad": entry, "good": block([1], x=[1])})
    assert set(samples(found)) == {("good", "x", "number")}
    (problem,) = found.problems
    assert "'bad'" in problem.what


def test_empty_blocks_are_passed_over():
    """A block without samples or fields is no problem."""
    found = read({"a": block([], x=[]), "b": block([1]), "c": block([], x=[], y=[])})
    assert (found.blocks, found.problems) == ((), ())


@pytest.mark.parametrize("arguments", [[], [None], [{}], [[1]], [[{}, None]], [[{}, {}, {}]], ["ab"], [[[1], FEED]]])
def test_what_is_no_message_is_said(arguments):
    """An event of another shape is left out, and why."""
    found = read_message(arguments)
    assert found.blocks == ()
    assert found.problems


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
times = st.lists(st.floats(1, 1e9), max_size=3)
values = st.lists(st.floats() | st.text(max_size=2) | st.booleans() | st.none() | st.integers(), max_size=3)
blocks = st.fixed_dictionaries(
    {"timestamps": times | anything, "data": st.dictionaries(st.sampled_from("xy"), values | anything) | anything}
)
messages = st.dictionaries(st.sampled_from("ab"), blocks | anything) | anything
feeds = st.just(FEED) | st.fixed_dictionaries({"record": anything, "agent_class": anything}) | anything
events = st.lists(st.tuples(messages, feeds) | anything, max_size=2)


@settings(deadline=None, max_examples=300)
@given(events)
def test_no_message_is_an_error(arguments):
    """Whatever is published, what is read of it has one finite time for each value, and values of one type."""
    for one in read_message(arguments).blocks:
        for rows in one.rows:
            assert len(rows.times)
            assert np.isfinite(rows.times).all()
            for key, array in rows.values.items():
                assert isinstance(key, Typed)
                assert array.shape == rows.times.shape
                assert array.dtype.kind == {"number": "f", "bool": "b", "string": "O"}[key.kind]
                assert key.kind != "string" or all(type(text) is str for text in array)
