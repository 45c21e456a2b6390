"""Samples in chunks: read by absolute index, and late ones put in their places."""

from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sisock.core.buffer import chunks
from sisock.core.buffer.chunks import Chunk, Chunks

FLOAT = np.dtype(np.float64)


def in_chunks(times, cuts, start=0):
    """Chunks of some times, and the times as values, that are cut at some places."""
    times = np.asarray(times, dtype=np.float64)
    bounds = sorted({0, len(times), *(cut for cut in cuts if cut < len(times))})
    parts = [Chunk(start + low, times[low:high].copy(), (times[low:high].copy(),)) for low, high in pairwise(bounds)]
    return Chunks(tuple(parts) or (Chunk.with_room(start, 4, [FLOAT]),))


ascending = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=40).map(sorted)
cuts = st.lists(st.integers(0, 40), max_size=6)


@settings(derandomize=True, deadline=None)
@given(ascending, cuts, st.data())
def test_samples_are_read_by_absolute_index(times, cuts, data):
    """Slices and picks of chunks are those of one array, whatever the cuts and the index of the first sample."""
    start = data.draw(st.integers(0, 100))
    samples = in_chunks(times, cuts, start).values(0)
    low, high = sorted(data.draw(st.tuples(*[st.integers(0, len(times))] * 2)))
    picked = sorted(data.draw(st.lists(st.integers(0, len(times) - 1), max_size=10)))
    assert samples.slice(start + low, start + high).tolist() == times[low:high]
    assert samples.take(start + np.array(picked, dtype=np.intp)).tolist() == [times[one] for one in picked]
    assert len(samples) == start + len(times)
    assert samples.dtype == np.float64


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 700), max_size=8), st.integers(0, 200), st.sets(st.integers(0, 10)))
def test_blocks_are_read_as_rows(cuts, start, wanted):
    """Blocks of 64 by absolute index are whole, also where they lie across chunks of whatever length."""
    samples = in_chunks(np.arange(start, start + 700), cuts, start).values(0)
    blocks = np.array(
        sorted(one for one in wanted if start <= one * 64 and one * 64 + 64 <= start + 700), dtype=np.intp
    )
    assert samples.rows(blocks).tolist() == [list(range(one * 64, one * 64 + 64)) for one in blocks]


def test_a_slice_is_a_view_where_one_chunk_has_it_all():
    """Nothing is copied inside a chunk, and nobody may write to what was handed out, copied or not."""
    whole = in_chunks([0, 1, 2, 3], [2])
    one, two = whole.times.slice(0, 2), whole.times.slice(1, 3)
    assert np.shares_memory(one, whole.chunks[0].times)
    assert not one.flags.writeable
    assert not two.flags.writeable


@settings(derandomize=True, deadline=None)
@given(ascending, cuts, st.integers(-1, 10), st.booleans())
def test_an_instant_is_found_as_in_one_array(times, cuts, instant, after_equal):
    """The first sample not before an instant, or the first later than it, within what is kept."""
    whole, first = in_chunks(times, cuts), len(times) // 3
    expected = max(first, int(np.searchsorted(times, instant, side="right" if after_equal else "left")))
    assert whole.index_of(instant, first, len(times), after_equal=after_equal) == expected


@pytest.mark.parametrize("most", [2, 65536])
@settings(derandomize=True, deadline=None)
@given(times=ascending, late=ascending, cuts=cuts)
def test_late_samples_are_put_behind_their_equals(most, times, late, cuts):
    """Late samples stand where a stable sort puts them; absolute indices go on without a gap, whatever is split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_SAMPLES", most)
        patch.setattr(chunks, "_LEAST_COPIED", most)
        late = np.minimum(late, times[-1])
        joined = in_chunks(times, cuts).with_late(len(times), late, [late + 0.5])
    stop = len(times) + len(late)
    order = np.argsort(np.concatenate([times, late]), kind="stable")
    assert joined.times.slice(0, stop).tolist() == np.concatenate([times, late])[order].tolist()
    assert joined.values(0).slice(0, stop).tolist() == np.concatenate([times, late + 0.5])[order].tolist()
    assert all(one.start + one.room == following.start for one, following in pairwise(joined.chunks))


def test_a_late_sample_renews_its_own_chunk_only():
    """The arrays of all other chunks go on as they are, though those behind have moved by one."""
    before = in_chunks(range(9), [3, 6])
    after = before.with_late(9, np.array([4.5]), [np.array([4.5])])
    assert [chunk.start for chunk in after.chunks] == [0, 3, 7]
    shared = [new.times is old.times for new, old in zip(after.chunks, before.chunks, strict=True)]
    assert shared == [True, False, True]


def test_the_last_chunk_keeps_its_room():
    """A late sample in the chunk that is being filled leaves room for what comes."""
    growing = Chunk.with_room(0, 8, [FLOAT])
    growing.put(0, np.array([1.0, 3.0]), [np.array([1.0, 3.0])])
    joined = Chunks((growing,)).with_late(2, np.array([2.0]), [np.array([2.0])])
    assert joined.tail.room == 8
    assert joined.times.slice(0, 3).tolist() == [1.0, 2.0, 3.0]
    assert growing.times[:2].tolist() == [1.0, 3.0]


def test_what_lies_long_before_a_late_sample_is_not_copied(monkeypatch):
    """Of the chunk that is being filled only the end is made anew, with the room that there was."""
    monkeypatch.setattr(chunks, "_LEAST_COPIED", 4)
    growing = Chunk.with_room(10, 32, [FLOAT])
    growing.put(10, np.arange(14.0), [np.arange(14.0)])
    joined = Chunks((growing,)).with_late(24, np.array([9.5]), [np.array([9.5])])
    assert [(chunk.start, chunk.room) for chunk in joined.chunks] == [(10, 8), (18, 24)]
    assert np.shares_memory(joined.chunks[0].times, growing.times)
    assert not np.shares_memory(joined.tail.times, growing.times)
    assert joined.times.slice(10, 25).tolist() == sorted([*range(14), 9.5])
