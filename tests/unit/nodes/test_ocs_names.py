"""What fields of OCS feeds are called, and in what units they are."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sisock.nodes.ocs_names import Key, aliases_of, clean, names_of, original_name, units_of

FEED = "observatory.LSA.feeds.temperatures"


def key(field, block="b", address=FEED, kind="number"):
    return Key(address, block, field, kind)


def test_a_field_is_called_as_in_the_archive():
    """The name is the feed's address and the field's own name, as OCS's archives have it."""
    assert names_of([key("Channel_01_T")]) == {key("Channel_01_T"): f"{FEED}.Channel_01_T"}


def test_fields_of_one_name_in_two_blocks():
    """Both get their block into the name, and none has the name that the archive gives to either."""
    keys = [key("T", "Channel_01"), key("T", "Channel_02"), key("R", "Channel_02")]
    assert set(names_of(keys).values()) == {f"{FEED}.Channel_01.T", f"{FEED}.Channel_02.T", f"{FEED}.R"}


def test_a_field_of_several_types():
    """Numbers have the name; texts and states of the same field are named after their type."""
    keys = [key("x", kind="string"), key("x", kind="bool"), key("x"), key("y", kind="string")]
    names = names_of(keys)
    assert [names[one] for one in keys] == [f"{FEED}.x.string", f"{FEED}.x.bool", f"{FEED}.x", f"{FEED}.y"]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("channel_01", "channel_01"),
        ("Channel 01 T", "Channel_01_T"),
        ("__x", "__x"),
        ("1st", "st"),
        ("_1st", "_st"),
        ("a.b::c\n", "abc"),
        ("größe", "gre"),
        ("!?", "invalid_field"),
        ("", "invalid_field"),
        ("a" * 300, "a" * 255),
    ],
)
def test_names_that_ocs_does_not_allow(field, name):
    """Signs that OCS's aggregator does not write are left out as it leaves them out."""
    assert clean(field) == name


parts = st.text(alphabet="aB_ 1.", max_size=3)
addresses, kinds = st.sampled_from([FEED, "observatory.b.feeds.c"]), st.sampled_from(["number", "string", "bool"])
keys = st.sets(st.builds(Key, addresses, parts, parts, kinds), max_size=8)


@given(keys)
def test_names_never_collide(keys):
    """Whatever blocks and fields are called, names differ, are printable, and do not depend on the order."""
    names = names_of(keys)
    assert len(set(names.values())) == len(keys)
    assert all(re.fullmatch(r"[\w.-]+", name) for name in names.values())
    for order in itertools.islice(itertools.permutations(keys), 5):
        assert names_of(order) == names


def test_the_original_called_them_in_lower_case():
    """The alias is the field's own name in lower case, with underscores for spaces."""
    aliases, unclear = aliases_of(names_of([key("Channel 01 T"), key("x", kind="string"), key("x")]))
    assert aliases == {"channel_01_t": f"{FEED}.Channel_01_T", "x": f"{FEED}.x"}
    assert unclear == []
    assert original_name("Channel 01\tT") == "channel_01_t"


def test_an_alias_that_two_fields_would_have_is_none():
    """What two agents, two blocks, or two spellings would share is given to none of them."""
    keys = [key("T"), key("T", address="observatory.b.feeds.c"), key("R", "b"), key("R", "c"), key("v"), key("V")]
    assert aliases_of(names_of(keys)) == ({}, ["r", "t", "v"])


def test_units_of_classes_of_agents():
    """Units are known of some instruments; what is given by a pattern wins; of others none are made up."""
    assert units_of("Channel_01_T", "Lakeshore372Agent", {}) == "K"
    assert units_of("Channel_01_R", "Lakeshore372Agent", {}) == "ohm"
    assert units_of("Channel_01_T", "Lakeshore372Agent", {"Channel_*_T": "mK"}) == "mK"
    assert units_of("Channel_01_T", "FakeDataAgent", {}) is None
