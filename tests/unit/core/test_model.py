"""Blocks of samples, and what is stated of them."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sisock.core.model import Statement, TimelineBlock

TIMES = np.arange(5.0)
VALUES = {"x": TIMES}
STATED = Statement(4.0, 1.0, "g")


@pytest.mark.parametrize(
    "block",
    [
        TimelineBlock(TIMES, VALUES, 4.0, 1.0, "g"),
        TimelineBlock(TIMES, VALUES, generation="g", finalized_until=4.0, available_from=1.0),
        TimelineBlock(TIMES, VALUES, statement=STATED),
        TimelineBlock(TIMES, VALUES, 4.0, statement=Statement(3.0, 1.0, "g")),
        TimelineBlock(TIMES, VALUES).restated(finalized_until=4.0, available_from=1.0, generation="g"),
        replace(TimelineBlock(TIMES, VALUES, 3.0, 1.0, "g"), finalized_until=4.0),
        replace(TimelineBlock(TIMES, VALUES, generation="other"), statement=STATED),
    ],
)
def test_a_statement_is_given_as_one_or_part_by_part(block):
    """However a node gives it, anew or in place of another, it is one statement, and its parts are the block's."""
    assert block.statement == STATED
    assert (block.finalized_until, block.available_from, block.generation) == (4.0, 1.0, "g")
    assert block.within(1.0, 3.0).statement is block.statement


def test_none_is_a_generation():
    """A part that is None is not one that is left out."""
    assert replace(TimelineBlock(TIMES, VALUES, 4.0, generation="g"), generation=None).statement == Statement(4.0)
    assert TimelineBlock(TIMES, VALUES).statement == Statement(math.inf, -math.inf, None)
