"""Saying a thing once."""

from __future__ import annotations

from sisock.core.window.remarks import Once, join_remarks, kind_of


def test_a_thing_is_said_once_and_again_after_long():
    """What was said is not due again within the hour, and is due after it."""
    once = Once(again_s=3600.0)
    assert [once.is_due("a", now) for now in (0.0, 1.0, 3599.0, 3600.0, 3601.0)] == [True, False, False, True, False]
    assert once.is_due("b", 3601.0)


def test_memory_is_bounded():
    """Of more things than are remembered, what was said longest ago is forgotten."""
    once = Once(most=3)
    assert all(once.is_due(thing, 0.0) for thing in range(4))
    assert [once.is_due(thing, 0.0) for thing in (3, 2, 1, 0)] == [False, False, False, True]


def test_figures_and_examples_do_not_make_another_kind():
    """A remark is the same when only its numbers and quoted examples differ; another field or word makes another."""
    first = kind_of("field 'a' is left out: it has 3 values, but its timeline 't' has 2 times of 2.5e9")
    assert first == kind_of("field 'a' is left out: it has 41 values, but its timeline 'u' has 40 times of 1e-7")
    assert first != kind_of("field 'b' is left out: it has 3 values, but its timeline 't' has 2 times of 2.5e9")
    assert kind_of("field 'a' is left out: x") != kind_of("field 'a' is left out: y")
    assert kind_of("of 2026-01-02T03:04:05.678Z") == kind_of("of 2027-11-12T13:14:15.000Z")


def test_the_same_of_several_fields_is_one_line():
    """Remarks that differ in the field only are joined; others stand alone."""
    remarks = ["field 'a' is bad", "the reply is odd", "field 'it's b' is bad", "field 'c' is worse"]
    assert join_remarks(remarks) == ["the reply is odd", "field 'a' (and 1 more) is bad", "field 'c' is worse"]
