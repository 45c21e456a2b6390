"""Arrays that grow and lose their head, read by absolute index."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from sisock.core.reduce.indexed_array import GrowingArray, PlainArray

many = settings(derandomize=True, deadline=None, max_examples=200)

steps = st.lists(st.tuples(st.sampled_from(["append", "drop"]), st.integers(0, 60)), max_size=30)


@many
@given(steps)
def test_a_growing_array_is_a_list_with_its_head_cut_off(actions):
    """Entries keep their index, whatever was dropped before them; what a view shows never changes."""
    growing, everything, first = GrowingArray(np.int64), [], 0
    held = []
    for action, amount in actions:
        if action == "append":
            growing.append(np.arange(len(everything), len(everything) + amount))
            everything += range(len(everything), len(everything) + amount)
        else:
            first = min(first + amount, len(everything))
            growing.drop_before(first)
        held.append((growing.view(), first, everything[first:]))
    for view, begin, kept in held:
        assert (view.first, len(view), view.slice(begin, len(view)).tolist()) == (begin, begin + len(kept), kept)


def test_what_is_dropped_unseen_leaves_a_gap():
    """Dropping beyond the end gives the next entry that index."""
    growing = GrowingArray(np.int64)
    growing.append(np.array([1, 2]))
    growing.drop_before(10)
    growing.append(np.array([3]))
    assert (growing.view().first, growing.view().values.tolist()) == (10, [3])


def test_dropping_backwards_drops_nothing():
    """An index before the first kept one is of no effect."""
    growing = GrowingArray(np.int64)
    growing.append(np.arange(5))
    growing.drop_before(3)
    growing.drop_before(1)
    assert growing.view().values.tolist() == [3, 4]


def test_appending_moves_seldom():
    """An array that grows in small steps is moved a number of times that grows as the logarithm of its length."""
    growing = GrowingArray(np.int64)
    arrays = []
    for _ in range(10_000):
        growing.append(np.zeros(3, dtype=np.int64))
        if not arrays or growing._array is not arrays[-1]:
            arrays.append(growing._array)
    assert len(arrays) < 30


def test_memory_mapped_files_are_read_as_plain_arrays(tmp_path):
    """A mapped file is read where it is, without the cost of its class."""
    np.save(tmp_path / "a.npy", np.arange(100.0))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    samples = PlainArray(mapped, 50)
    assert type(samples.values) is np.ndarray
    assert np.shares_memory(samples.slice(60, 70), mapped)
    assert samples.take(np.array([50, 149])).tolist() == [0.0, 99.0]
