"""What is put aside when a clock jumps, and what a node takes up after a restart."""

from __future__ import annotations

import pytest

from sisock.nodes.live.buffer_folder import ASIDE_S, Aside, BufferFolder
from sisock.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock(0.0)


@pytest.fixture
def folder(tmp_path):
    return BufferFolder(tmp_path)


def begin(folder, value, about=None):
    buffer = folder.new_buffer({"n": "number"}, 1000.0, about)
    buffer.append(float(value), {"n": value})
    return buffer


def on_disk(path):
    return len(list(path.glob("*.samples")))


def test_what_is_aside_is_gone_after_an_hour(folder, clock, tmp_path):
    """Until then it is there, with its files."""
    aside = Aside(folder, clock)
    aside.discard_when_over()
    aside.put("the past", [begin(folder, 1), begin(folder, 2)])
    clock.advance(ASIDE_S)
    aside.discard_when_over()
    assert (aside.kept, len(aside.buffers), on_disk(tmp_path)) == ("the past", 2, 2)
    clock.advance(0.1)
    aside.discard_when_over()
    assert (aside.kept, aside.buffers, on_disk(tmp_path)) == (None, (), 0)


def test_what_is_taken_up_again_stays_on_the_disk(folder, clock, tmp_path):
    """Nothing is aside then, and the hour is never over."""
    aside = Aside(folder, clock)
    aside.put("the past", [begin(folder, 1)])
    aside.clear()
    clock.advance(2 * ASIDE_S)
    aside.discard_when_over()
    assert (aside.kept, aside.buffers, on_disk(tmp_path)) == (None, (), 1)


def test_the_best_buffers_of_an_earlier_process_are_taken_up(folder, tmp_path):
    """They are offered from the highest rank down; those that are not taken, or empty, are removed from the disk."""
    for value in (1, 3, 2):
        begin(folder, value, {"value": value})
    begin(folder, 4).forget_after(0.0)
    folder._ending()
    offered = []

    def take(buffer, about):
        offered.append((about["value"], buffer.newest))
        return len(offered) < 3

    BufferFolder(tmp_path).restore(take, lambda buffer: buffer.newest or 9.0, 1000.0)
    assert offered == [(3, 3.0), (2, 2.0), (1, 1.0)]
    assert on_disk(tmp_path) == 2
