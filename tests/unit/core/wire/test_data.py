"""Between the model and the dictionaries on the wire."""

from __future__ import annotations

import json
import math

import cbor2
import hypothesis.strategies as st
import msgpack
import numpy as np
import pytest
from hypothesis import given, settings

from sisock.core.errors import BadReply, BadRequest
from sisock.core.model import DataBlock, DataRequest, Field, FieldCatalogue, TimelineBlock
from sisock.core.wire.catalogue import decode_catalogue, encode_catalogue, page_catalogue
from sisock.core.wire.data import copy_reply, decode_data, encode_data
from sisock.core.wire.info import NodeInfo, decode_info, encode_info
from sisock.core.wire.replies import encoded_size, page_block
from sisock.core.wire.requests import decode_fields_argument

CATALOGUE = FieldCatalogue.of(
    [
        Field("temp", "fast", "number", "K", "a thermometer"),
        Field("state", "fast", "string"),
        Field("open", "slow", "bool", None, ""),
    ],
    {"fast": 0.5, "slow": None},
)


def block(**changes):
    values = {"temp": np.array([1.5, np.nan]), "state": np.array(["a", None], dtype=object)}
    fast = TimelineBlock(np.array([10.0, 11.0]), values, **{"finalized_until": 11.0, **changes})
    return DataBlock({"fast": fast, "slow": TimelineBlock(np.empty(0), {"open": np.empty(0, bool)})})


def request(*fields, **changes):
    return DataRequest(fields or ("temp", "state", "open"), 0.0, 20.0, **changes)


def test_catalogue_survives_the_wire():
    """What is decoded is what was encoded, for every field and timeline."""
    decoded, problems = decode_catalogue(json.loads(json.dumps(encode_catalogue(CATALOGUE))))
    assert decoded == CATALOGUE
    assert not problems


def test_catalogue_has_the_keys_of_the_original_api():
    """Fields tell description, timeline, type and units; timelines their interval and their fields."""
    fields, timelines = encode_catalogue(CATALOGUE)
    assert fields["temp"] == {"description": "a thermometer", "timeline": "fast", "type": "number", "units": "K"}
    assert timelines == {
        "fast": {"interval": 0.5, "field": ["temp", "state"]},
        "slow": {"interval": None, "field": ["open"]},
    }


@pytest.mark.parametrize(
    ("fields", "timelines", "expected"),
    [
        ({"a": {}}, {}, Field("a", "a")),
        ({"a": {"timeline": "t", "type": "float"}}, {}, Field("a", "t")),
        ({"a": {"timeline": None, "units": 5}}, {}, Field("a", "a", "number", "5")),
        ({"a": {"timeline": "t"}}, {"t": {"interval": 1.5e9, "field": "a"}}, Field("a", "t")),
        ({"a": {"timeline": "t"}}, {"t": {"interval": "often"}}, Field("a", "t")),
        ({"a": {"timeline": "t"}}, {"t": None}, Field("a", "t")),
        ({"a": {"timeline": "t"}, 5: {}, "b": None, "": {}}, {"t": {"interval": -3}}, Field("a", "t")),
        ({"a": {"timeline": "t"}}, {"t": {"interval": float("nan")}}, Field("a", "t")),
    ],
)
def test_catalogue_of_an_original_server_is_understood_as_far_as_possible(fields, timelines, expected):
    """Wrong types, intervals and lists of fields don't cost the fields that can be understood."""
    catalogue, _ = decode_catalogue((fields, timelines))
    assert list(catalogue.fields.values()) == [expected]
    assert [(one.interval_s, one.fields) for one in catalogue.timelines.values()] == [(None, ("a",))]


@pytest.mark.parametrize("reply", [None, False, {}, [], [{}], [{}, []], "ab", ({}, {}, {})])
def test_catalogue_that_is_no_catalogue_is_refused(reply):
    """Anything but two dictionaries is a BadReply."""
    with pytest.raises(BadReply):
        decode_catalogue(reply)


def test_catalogue_pages_follow_one_another():
    """Pages in the order of names hold every field once, with its timeline."""
    names, after = [], None
    while page := page_catalogue(CATALOGUE, 2, after).fields:
        names += page
        after = names[-1]
    assert names == ["open", "state", "temp"]
    assert page_catalogue(CATALOGUE, 1, None).timelines["slow"].fields == ("open",)


def test_plain_reply_is_to_the_letter_of_the_original_api():
    """Lists of plain values; a timeline only when a field of it has data; an empty list for the rest."""
    reply = encode_data(block(), request("temp", "state", "open", "nosuch"))
    assert reply["timeline"] == {"fast": {"t": [10.0, 11.0], "finalized_until": 11.0}}
    assert reply["data"]["state"] == ["a", None]
    assert reply["data"]["temp"][0] == 1.5
    assert math.isnan(reply["data"]["temp"][1])
    assert reply["data"]["open"] == reply["data"]["nosuch"] == []


@pytest.mark.parametrize(
    ("finalized_until", "stated"), [(math.inf, None), (20.0, None), (19.5, 19.5), (-math.inf, 0.0), (5.0, 5.0)]
)
def test_finality_is_stated_for_what_was_asked(finalized_until, stated):
    """None says that everything asked for is final; no promise is a time before all samples."""
    reply = encode_data(block(finalized_until=finalized_until), request())
    assert reply["timeline"]["fast"]["finalized_until"] == stated


def test_extended_reply_states_each_timeline_even_when_it_is_empty():
    """Callers with extensions learn what is kept, its identity and the fields, also of a timeline without samples."""
    reply = encode_data(block(available_from=3.0, generation="g"), request(packed=True))
    assert reply["timeline"]["slow"]["field"] == ["open"]
    assert reply["timeline"]["slow"]["available_from"] is None
    fast = reply["timeline"]["fast"]
    assert (fast["available_from"], fast["generation"], fast["field"]) == (3.0, "g", ["temp", "state"])
    assert fast["t"] == {"dtype": "<f8", "data": np.array([10.0, 11.0]).tobytes()}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "travel", [lambda reply: msgpack.unpackb(msgpack.packb(reply)), lambda reply: cbor2.loads(cbor2.dumps(reply))]
)
def test_block_survives_the_wire(packed, travel):
    """What is decoded is what was encoded, over each binary serializer, packed or not."""
    original = block(available_from=3.0, generation="g")
    reply = travel(encode_data(original, request(packed=packed, reduce="minmax", min_stride=1.0)))
    decoded, problems = decode_data(reply, ("temp", "state", "open"), CATALOGUE)
    assert not problems
    for name, one in original.timelines.items():
        other = decoded.timelines[name]
        np.testing.assert_array_equal(other.times, one.times)
        for field, values in one.values.items():
            np.testing.assert_array_equal(other.values[field], values)
            assert other.values[field].dtype == values.dtype
    assert decoded.timelines["fast"].finalized_until == 11.0
    assert decoded.timelines["fast"].available_from == 3.0
    assert decoded.timelines["fast"].generation == "g"


def test_field_of_another_length_than_its_timeline_is_left_out():
    """A list that is not as long as its timeline is refused with words; its neighbours are served."""
    reply = {"data": {"a": [1, 2], "b": [1, 2, 3]}, "timeline": {"t": {"t": [1.0, 2.0]}}}
    decoded, problems = decode_data(reply, ("a", "b"))
    assert decoded.find("a").values["a"].tolist() == [1, 2]
    assert decoded.find("b") is None
    assert "'b'" in problems[0]
    assert "3 values" in problems[0]
    assert "2 times" in problems[0]


@pytest.mark.parametrize(
    ("timeline", "catalogue"),
    [
        ({"x": {"t": [1.0], "field": ["a"]}, "y": {"t": [2.0]}}, None),
        ({"x": {"t": [1.0], "fields": ["a"]}, "y": {"t": [2.0]}}, None),
        ({"x": {"t": [1.0], "field": "a"}, "y": {"t": [2.0]}}, None),
        ({"x": {"t": [1.0]}, "y": {"t": [2.0]}}, FieldCatalogue.of([Field("a", "x")], {})),
        ({"x": {"t": [1.0]}}, None),
        ({"x": {"t": [1.0]}}, FieldCatalogue.of([Field("a", "elsewhere")], {})),
        ({"x": {"t": [1.0]}, "y": None}, None),
    ],
)
def test_timeline_of_a_field_is_found_where_the_reply_or_the_catalogue_says(timeline, catalogue):
    """The reply's own list comes first (under either name), then the catalogue, then that there is only one."""
    decoded, problems = decode_data({"data": {"a": [7]}, "timeline": timeline}, ["a"], catalogue)
    assert not problems
    assert decoded.timelines["x"].values["a"].tolist() == [7]


def test_field_without_a_timeline_is_left_out_in_words():
    """When nothing says which of several timelines a field is on, no guess is made."""
    reply = {"data": {"a": [7]}, "timeline": {"x": {"t": [1.0]}, "y": {"t": [2.0]}}}
    decoded, problems = decode_data(reply, ["a"])
    assert decoded.find("a") is None
    assert "which timeline" in problems[0]


def test_unsorted_samples_are_sorted_with_their_values():
    """All fields of a timeline move with its times; samples of equal time keep their order."""
    reply = {"data": {"a": [3, 1, 2, 0], "b": list("cabz")}, "timeline": {"t": {"t": [3.0, 1.0, 2.0, 1.0]}}}
    decoded, _ = decode_data(reply, ["a", "b"])
    found = decoded.find("a")
    assert found.times.tolist() == [1.0, 1.0, 2.0, 3.0]
    assert found.values["a"].tolist() == [1, 0, 2, 3]
    assert found.values["b"].tolist() == ["a", "z", "b", "c"]


@pytest.mark.parametrize("reply", [None, True, [], {}, {"data": {}}, {"data": [], "timeline": {}}, "x", 3])
def test_reply_that_is_no_reply_is_refused(reply):
    """Anything but a dictionary with data and timeline is a BadReply."""
    with pytest.raises(BadReply):
        decode_data(reply, ["a"])


@pytest.mark.parametrize(
    "values",
    [{"dtype": "<f8", "data": b"123"}, {"dtype": "O", "data": b""}, {"dtype": "<f8", "data": "x"}, 5, "ab", None, {}],
)
def test_values_that_are_no_list_never_raise(values):
    """A damaged packed array, a scalar or a text in place of values costs this field only."""
    reply = {"data": {"a": values, "b": [1]}, "timeline": {"t": {"t": [1.0]}}}
    decoded, _ = decode_data(reply, ["a", "b"])
    assert decoded.find("a") is None
    assert decoded.find("b") is not None


@pytest.mark.parametrize(
    ("stated", "understood"),
    [(None, math.inf), (5, 5.0), ("x", -math.inf), (float("nan"), -math.inf), ([], -math.inf)],
)
def test_finality_that_cannot_be_read_promises_nothing(stated, understood):
    """Only None says that all is final; a number is a time; anything else is no promise."""
    reply = {"data": {"a": [1]}, "timeline": {"t": {"t": [1.0], "finalized_until": stated}}}
    assert decode_data(reply, ["a"])[0].timelines["t"].finalized_until == understood


@given(st.lists(st.lists(st.integers(0, 12), max_size=15).map(sorted), min_size=1, max_size=3), st.integers(1, 6))
@settings(derandomize=True, deadline=None)
def test_pages_hold_every_sample_once(timelines, limit):
    """Pages follow one another without a gap or a repetition, also where many samples have the same time."""
    whole = DataBlock(
        {
            str(number): TimelineBlock(np.array(times, float), {f"f{number}": np.arange(len(times))})
            for number, times in enumerate(timelines)
        }
    )
    seen = {name: [] for name in whole.timelines}
    after = None
    while True:
        page, next_after = page_block(whole, limit, after)
        for name, one in page.timelines.items():
            seen[name] += one.values[f"f{name}"].tolist()
        assert next_after is None or after is None or next_after > after
        after = next_after
        if after is None:
            break
    assert seen == {name: one.values[f"f{name}"].tolist() for name, one in whole.timelines.items()}


@pytest.mark.parametrize(
    "values",
    [[0.0] * 50, [-math.inf] * 50, [math.nan] * 50, [math.pi * 1e-300] * 50, [2**62] * 50, ["ö\n"] * 50, [True] * 50],
)
def test_size_is_never_less_than_any_serializer_needs(values):
    """The size that the allowance is held against is an upper bound over JSON, MsgPack and CBOR."""
    array = np.array(values, dtype=object if isinstance(values[0], str) else None)
    timelines = DataBlock({"t": TimelineBlock(np.arange(50.0), {"a": array})})
    for packed in (False, True):
        reply = encode_data(timelines, request("a", packed=packed))
        sizes = [len(msgpack.packb(reply)), len(cbor2.dumps(reply))]
        if not packed:
            sizes.append(len(json.dumps(reply, separators=(",", ":"), ensure_ascii=False).encode()))
        assert encoded_size(reply) >= max(sizes)


@pytest.mark.parametrize("argument", [5, {"a": 1}, [1], [["a"]], b"ab"])
def test_fields_to_ask_for_must_be_names(argument):
    """Anything but a list of texts is a BadRequest."""
    with pytest.raises(BadRequest):
        decode_fields_argument(argument)


def test_fields_to_ask_for_may_be_repeated_or_alone():
    """A name given twice is asked for once; a single name is a list of one."""
    assert decode_fields_argument(["a", "b", "a"]) == ("a", "b")
    assert decode_fields_argument("a") == ("a",)
    assert decode_fields_argument(None) == ()


def test_info_survives_the_wire():
    """A node's description of itself is decoded as it was encoded; what is missing is not there."""
    info = NodeInfo("1.2", frozenset({"packed"}), 100, "7")
    assert decode_info(encode_info(info)) == info
    assert decode_info({}) == NodeInfo()
    with pytest.raises(BadReply):
        decode_info([])


@pytest.mark.parametrize(
    "timelines",
    [
        {"t": {"t": [1.0], "field": None}},
        {np.str_("t"): {"t": [1.0]}},
        {7: {"t": [1.0]}},
        {"t": {"t": [1.0], "finalized_until": 10**400}},
        {"t": {"t": [1.0], "field": 5}},
    ],
)
def test_odd_timelines_cost_no_field(timelines):
    """What a timeline states wrongly beside its times does not keep its fields from being served."""
    decoded, _ = decode_data({"data": {"a": [7]}, "timeline": timelines}, ["a"])
    assert decoded.find("a").values["a"].tolist() == [7]
    assert encode_data(decoded, request("a"))["data"]["a"] == [7]


@pytest.mark.parametrize("values", [np.array(5), [10**400], np.ma.masked_array([1.0], mask=[True]), [float("nan")]])
def test_odd_values_cost_no_other_field(values):
    """Scalars as arrays, numbers beyond float64 and masked values harm nobody else."""
    reply = {"data": {"a": values, "b": [1]}, "timeline": {"t": {"t": [1.0]}}}
    decoded, _ = decode_data(reply, ["a", "b"])
    assert decoded.find("b") is not None
    assert decoded.find("a") is None or np.isnan(decoded.find("a").values["a"][0])


def test_field_without_data_is_no_problem():
    """A field without samples has an empty list, and its timeline need not be in the reply: nothing is wrong."""
    catalogue = FieldCatalogue.of([Field("a", "ta"), Field("b", "tb")], {})
    reply = {"data": {"a": [1], "b": []}, "timeline": {"ta": {"t": [1.0]}}}
    decoded, problems = decode_data(reply, ["a", "b", "nosuch"], catalogue)
    assert not problems
    assert decoded.find("b") is None


def test_field_is_not_put_on_the_timeline_of_another():
    """A field that the catalogue has on another timeline is left out, even where the lengths agree."""
    catalogue = FieldCatalogue.of([Field("a", "ta"), Field("b", "tb")], {})
    reply = {"data": {"a": [1], "b": [2]}, "timeline": {"ta": {"t": [1.0]}}}
    decoded, problems = decode_data(reply, ["a", "b"], catalogue)
    assert decoded.find("b") is None
    assert "'b'" in problems[0]


def test_text_that_is_no_unicode_is_replaced():
    """Names from a file system may hold surrogates, which no serializer takes."""
    odd = "a\udcff"
    reply = {"data": {"a": [odd]}, "timeline": {"t": {"t": [1.0]}}}
    decoded, _ = decode_data(reply, ["a"], FieldCatalogue.of([Field("a", "t", "string")], {}))
    assert decoded.find("a").values["a"].tolist() == ["a?"]
    catalogue, problems = decode_catalogue(({odd: {}, "a": {"description": odd, "units": odd}}, {}))
    assert list(catalogue.fields) == ["a"]
    assert problems
    msgpack.packb(encode_catalogue(catalogue))


def test_aliases_travel():
    """Further names of a field come with it; what cannot be one is passed over, and most fields have no such key."""
    catalogue = FieldCatalogue.of([Field("T.1", "t", aliases=("t_1", "one")), Field("T.2", "t")], {"t": 1.0})
    reply = encode_catalogue(catalogue)
    assert reply[0]["T.1"]["aliases"] == ["t_1", "one"]
    assert "aliases" not in reply[0]["T.2"]
    assert decode_catalogue(reply) == (catalogue, [])
    reply[0]["T.1"]["aliases"] = ["t_1", 5, "", None, "\ud800"]
    reply[0]["T.2"]["aliases"] = "t_2"
    decoded, problems = decode_catalogue(reply)
    assert [field.aliases for field in decoded.fields.values()] == [("t_1",), ()]
    assert problems == []


@pytest.mark.parametrize(
    "values", [5, "1.5", {"t": [1]}, {1.5, 2.5}, (one for one in [1.0]), {"dtype": "<f8", "data": b"123"}]
)
def test_values_that_are_no_list_are_told(values):
    """What is neither a list nor an array is left out with its type, never taken for nothing."""
    block, problems = decode_data({"data": {"a": values}, "timeline": {"t": {"t": [1.0]}}}, ["a"])
    assert block.find("a") is None
    assert len(problems) == 1
    assert problems[0].startswith("field 'a' is left out: its values are ")


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (None, r"is None \(is there a return statement\?\)"),
        ({"a": [1.0]}, r"is a dictionary with 'a' \(a list\)"),
        ([[1.0], [2.0]], "is a list of list, list"),
        (7, "is 7"),
    ],
)
def test_a_reply_of_another_shape_is_told_with_what_it_is(reply, told):
    """The error shows the right shape beside what was given."""
    with pytest.raises(BadReply, match=f"must be .*but {told}"):
        decode_data(reply, ["a"])
    with pytest.raises(BadReply, match=f"must be .*but {told}"):
        decode_catalogue(reply if not isinstance(reply, list) else [1.0, *reply][1:])


@pytest.mark.parametrize(
    ("timeline", "told"),
    [
        ([1.0], "the reply's timeline 't' is of the type list, but must be {\"t\": times"),
        ({"times": [1.0]}, "give as many values as times, under the key 't' of the timeline"),
        ({"t": None}, "give as many values as times, under the key 't' of the timeline"),
    ],
)
def test_times_at_another_place_are_told(timeline, told):
    """Where values have no times, it is said where the times belong."""
    _, problems = decode_data(copy_reply({"data": {"a": [1.0]}, "timeline": {"t": timeline}}), ["a"])
    assert len(problems) == 1
    assert told in problems[0]


@pytest.mark.parametrize(
    ("interval", "understood"), [(1e-6, 1e-6), (9.9e7, 9.9e7), (0, None), (-1.0, None), (1e8, None), ("x", None)]
)
def test_an_interval_is_a_spacing(interval, understood):
    """Zero, less, and what is a difference from 1970 are none."""
    catalogue, _ = decode_catalogue(({"a": {"timeline": "t"}}, {"t": {"interval": interval}}))
    assert catalogue.timelines["t"].interval_s == understood


@pytest.mark.parametrize("timeline", ["", None, 5, ["t"]])
def test_a_field_without_a_timelines_name_is_on_one_of_its_own(timeline):
    """What is no text, or empty, names no timeline: the field's name does."""
    catalogue, problems = decode_catalogue(({"a": {"timeline": timeline}}, {}))
    assert (catalogue.fields["a"].timeline, problems) == ("a", [])


def test_aliases_that_are_no_names_are_passed_over():
    """Only texts that are Unicode, and not empty, are aliases."""
    entry = {"aliases": ["b", "", 5, None, "\ud800", "c"]}
    assert decode_catalogue(({"a": entry}, {}))[0].fields["a"].aliases == ("b", "c")


def test_a_name_that_is_no_text_is_left_out():
    """Whatever else keys a field is told and left out."""
    catalogue, problems = decode_catalogue(({5: {}, (): {}, "": {}, "a": 7}, {}))
    assert (len(catalogue.fields), len(problems)) == (0, 4)
