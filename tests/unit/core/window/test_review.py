"""Judging what a server answers to one request."""

from __future__ import annotations

import math

import numpy as np

from sisock.core.model import DataBlock, TimelineBlock
from sisock.core.window.review import Review

END = 1.7e9
WINDOW = END - 300.0, END
INSIDE = np.arange(*WINDOW)


def block(times, *names):
    return DataBlock({"t": TimelineBlock(times, dict.fromkeys(names, times), finalized_until=2e9)})


def final(answer):
    return answer.timelines["t"].finalized_until


def test_nothing_is_said_where_some_samples_lie_inside():
    """A server that gives more than was asked for is cut, without a word, and keeps what it promises."""
    review = Review(WINDOW)
    times = np.arange(WINDOW[0] - 1000, END + 1000)
    assert final(review.take(block(times, "a"))) == 2e9
    assert review.problems() == []
    assert review.placed == {"a"}


def test_all_samples_outside_are_told_of_each_field_and_promise_nothing():
    """Where all lie outside, each field has its remark, and the answer is not to be kept."""
    review = Review(WINDOW)
    assert final(review.take(block(INSIDE * 1e3, "a", "b"))) == -math.inf
    told = review.by_field()
    assert list(told) == ["a", "b"]
    assert told["b"][0].startswith(
        "field 'b' is empty: all 300 samples lie outside of the span; the first is in the year"
    )
    assert review.placed == set()


def test_parts_of_a_window_are_judged_by_the_window():
    """Parts in which a field has nothing, or too much, are fine as long as something lies in the window."""
    early = INSIDE[:10]
    for parts in ([INSIDE - 1000.0, early], [early, INSIDE - 1000.0]):
        review = Review(WINDOW)
        for times in parts:
            review.take(block(times, "a"))
        assert review.problems() == []


def test_who_was_right_before_is_not_suspected():
    """A field that had samples inside of a window is silent where a server gives those of another time again."""
    review = Review(WINDOW, proven={"a"})
    assert final(review.take(block(INSIDE - 1e6, "a", "b"))) == -math.inf
    assert list(review.by_field()) == ["b"]
    review = Review(WINDOW, proven={"a"})
    assert final(review.take(block(INSIDE - 1e6, "a"))) == 2e9
    assert review.problems() == []


def test_times_that_cannot_be_seconds_are_told_of_whoever():
    """Milliseconds are told also of a field that was right before."""
    review = Review(WINDOW, proven={"a"})
    review.take(block(INSIDE * 1e3, "a"))
    assert "divide by 1000" in review.problems()[0]


def test_all_of_time_proves_nothing():
    """Seconds since a start lie inside of all of time: that makes them no UNIX seconds."""
    review = Review((1e-3, END))
    review.take(block(INSIDE - WINDOW[0] + 1.0, "a"))
    assert review.problems() == []
    assert review.placed == set()


def test_problems_of_answers_are_kept_once():
    """What was wrong with several parts is told once, in order, and of no field where it is about none."""
    review = Review(WINDOW)
    for _ in range(3):
        review.take(DataBlock(), ["field 'a' is left out: x", "the reply is odd"])
    assert review.problems() == ["field 'a' is left out: x", "the reply is odd"]
    assert review.by_field() == {"a": ["field 'a' is left out: x"]}
