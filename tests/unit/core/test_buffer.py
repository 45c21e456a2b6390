"""The rolling buffer of live samples."""

import bisect
import math
import threading

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sisock.core.buffer import RollingBuffer

EVERYTHING = (-math.inf, math.inf)


def make_buffer(duration_s=10.0):
    """A buffer of one number."""
    return RollingBuffer({"a": "number"}, duration_s, "g")


def filled(*times, duration_s=10.0):
    buffer = make_buffer(duration_s)
    for time in times:
        buffer.append(time, {"a": time * 10})
    return buffer


def whole(buffer):
    return buffer.block(["a"], *EVERYTHING)


def test_an_empty_buffer_promises_nothing():
    """Without samples there is no newest, and nothing is final."""
    buffer = make_buffer()
    block = whole(buffer)
    assert (len(buffer), buffer.newest, buffer.oldest, len(block.times)) == (0, None, None, 0)
    assert (block.finalized_until, block.available_from, block.generation) == (-math.inf, -math.inf, "g")
    assert block.values["a"].shape == (0,)


def test_samples_come_back_with_their_types():
    """Numbers, bools and texts come back as float64, bool and text."""
    buffer = RollingBuffer({"n": "number", "b": "bool", "s": "string"}, 10.0, "g")
    buffer.append(1.0, {"n": 5, "b": True, "s": "on"})
    buffer.extend([2, 3], {"n": [None, 7.5], "b": np.array([False, True]), "s": ["off", "on"]})
    block = buffer.block(["s", "b", "n"], *EVERYTHING)
    assert list(block.values) == ["s", "b", "n"]
    np.testing.assert_array_equal(block.values["n"], [5.0, np.nan, 7.5])
    assert block.values["b"].tolist() == [True, False, True]
    assert block.values["s"].tolist() == ["on", "off", "on"]
    assert [block.values[name].dtype.kind for name in "nbs"] == ["f", "b", "O"]


def test_a_span_is_half_open():
    """A block has the samples from start on, and not the one at end."""
    block = filled(1.0, 2.0, 3.0).block(["a", "unknown"], 1.0, 3.0)
    assert block.times.tolist() == [1.0, 2.0]
    assert list(block.values) == ["a"]
    assert filled(1.0, 2.0).block(["a"], 2.0, 1.0).times.tolist() == []


def test_all_before_the_newest_is_final():
    """The newest time is final's end even when the span ends before it."""
    assert filled(1.0, 2.0, 3.0).block(["a"], 0.0, 2.0).finalized_until == 3.0


def test_old_samples_expire_beside_the_newest():
    """Samples older than the duration are dropped; one exactly as old stays."""
    buffer = filled(0.0, 1.0, 2.0)
    assert whole(buffer).available_from == -math.inf
    buffer.append(11.0, {"a": 0})
    assert whole(buffer).times.tolist() == [1.0, 2.0, 11.0]
    assert whole(buffer).available_from == 1.0
    assert (len(buffer), buffer.oldest, buffer.newest) == (3, 1.0, 11.0)
    assert whole(buffer).generation == "g"


def test_a_batch_longer_than_the_duration_is_cut():
    """Of a long batch the newest part is kept, and the rest counts as dropped."""
    buffer = make_buffer()
    buffer.extend(np.arange(100.0), {"a": np.arange(100.0)})
    assert whole(buffer).times.tolist() == list(range(89, 100))
    assert whole(buffer).available_from == 89.0


def test_a_late_sample_is_put_in_its_place():
    """A sample older than the newest goes where it belongs, and the generation changes each time."""
    buffer = filled(1.0, 3.0)
    buffer.append(2.0, {"a": 20})
    assert whole(buffer).times.tolist() == [1.0, 2.0, 3.0]
    assert whole(buffer).values["a"].tolist() == [10, 20, 30]
    assert whole(buffer).finalized_until == 3.0
    first = whole(buffer).generation
    buffer.append(2.5, {"a": 25})
    assert len({"g", first, whole(buffer).generation}) == 3


def test_a_late_sample_that_is_too_old_changes_nothing():
    """What would expire at once is passed over, under the same generation, and counts as dropped."""
    buffer = filled(100.0, 101.0)
    buffer.append(50.0, {"a": 1})
    assert whole(buffer).times.tolist() == [100.0, 101.0]
    assert (whole(buffer).generation, whole(buffer).available_from) == ("g", 100.0)


def test_equal_times_keep_the_order_of_arrival():
    """A sample as old as another follows it, late or not; at the newest time it is not late."""
    buffer = filled(1.0)
    buffer.append(1.0, {"a": 11})
    assert whole(buffer).generation == "g"
    buffer.append(2.0, {"a": 20})
    buffer.append(1.0, {"a": 12})
    assert whole(buffer).values["a"].tolist() == [10, 11, 12, 20]


def test_a_batch_out_of_order_is_sorted():
    """Within a batch the order does not matter, and sorting it is no late arrival."""
    buffer = filled(1.0)
    buffer.extend([4.0, 2.0, 3.0], {"a": [40, 20, 30]})
    assert whole(buffer).values["a"].tolist() == [10, 20, 30, 40]
    assert whole(buffer).generation == "g"


def test_what_a_reader_holds_does_not_change():
    """Views stay as they were through appends, expiry, growth, late samples and forgetting; none can be written."""
    buffer = make_buffer(1000.0)
    held = []
    for time in range(3000):
        buffer.append(float(time), {"a": time})
        if time % 97 == 0:
            buffer.append(time - 0.5, {"a": time - 0.5})
            held.append((whole(buffer), whole(buffer).times.copy(), whole(buffer).values["a"].copy()))
        if time % 501 == 0:
            buffer.forget_after(time - 0.25)
    for block, times, values in held:
        np.testing.assert_array_equal(block.times, times)
        np.testing.assert_array_equal(block.values["a"], values)
        assert not block.times.flags.writeable
        assert not block.values["a"].flags.writeable


def test_a_block_copies_nothing():
    """Two blocks of one state share their memory."""
    buffer = filled(1.0, 2.0)
    assert np.shares_memory(whole(buffer).times, whole(buffer).times)
    assert np.shares_memory(whole(buffer).values["a"], buffer.block(["a"], 2.0, 3.0).values["a"])


def test_room_stays_bounded():
    """However long it goes on, the arrays are not much larger than what is kept."""
    buffer = make_buffer(100.0)
    for time in range(20_000):
        buffer.append(time, {"a": 0})
    assert len(buffer) == 101
    assert buffer._state.chunks.room <= 512


def test_samples_of_a_clock_that_was_ahead_can_be_forgotten():
    """Samples after a moment are dropped under a new generation; with none there nothing changes."""
    buffer = filled(1.0, 2.0, 5.0)
    buffer.forget_after(5.0)
    assert whole(buffer).generation == "g"
    buffer.forget_after(2.0)
    block = whole(buffer)
    assert block.times.tolist() == [1.0, 2.0]
    assert block.finalized_until == 2.0
    assert block.generation != "g"
    buffer.append(2.5, {"a": 25})
    assert whole(buffer).values["a"].tolist() == [10, 20, 25]


@pytest.mark.parametrize(
    ("times", "values", "message"),
    [
        ([1.0], {}, "look at b, n, s"),
        ([1.0], {"n": [1], "b": [True], "s": ["x"], "z": [1]}, "look at z"),
        ([1.0, 2.0], {"n": [1], "b": [True, True], "s": ["x", "y"]}, "field 'n'"),
        ([math.nan], {"n": [1], "b": [True], "s": ["x"]}, "finite"),
        ([math.inf], {"n": [1], "b": [True], "s": ["x"]}, "finite"),
        ([[1.0]], {"n": [1], "b": [True], "s": ["x"]}, "list of finite"),
        ([1.0], {"n": ["12"], "b": [True], "s": ["x"]}, "field 'n' holds numbers"),
        ([1.0], {"n": [{}], "b": [True], "s": ["x"]}, "field 'n' holds numbers"),
        ([1.0], {"n": [1], "b": [1], "s": ["x"]}, "field 'b' holds bools"),
        ([1.0], {"n": [1], "b": [True], "s": [None]}, "field 's' holds strings"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_whole(times, values, message):
    """A field that lacks, is unknown, or has the wrong length or type is an error, and nothing is taken."""
    buffer = RollingBuffer({"n": "number", "b": "bool", "s": "string"}, 10.0, "g")
    with pytest.raises(ValueError, match=message):
        buffer.extend(times, values)
    assert len(buffer) == 0


def test_no_samples_are_no_change():
    """An empty batch is accepted."""
    buffer = filled(1.0)
    buffer.extend([], {"a": []})
    assert len(buffer) == 1


@pytest.mark.parametrize("duration_s", [0, -1.0, math.nan])
def test_a_duration_must_be_above_zero(duration_s):
    """A buffer that could keep nothing is refused."""
    with pytest.raises(ValueError, match="above zero"):
        make_buffer(duration_s)


batches = st.lists(st.lists(st.integers(0, 60).map(lambda half: half / 2), max_size=6), max_size=30)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(batches, st.sampled_from([1.0, 10.0, 1000.0]))
def test_the_buffer_agrees_with_a_sorted_list(batches, duration_s):
    """Whatever arrives in whatever order, what is kept is what a sorted list would hold; finality never lies."""
    buffer, twin, serial = make_buffer(duration_s), [], 0
    for batch in batches:
        before, seen = whole(buffer), []
        for time in batch:
            bisect.insort(twin, (time, serial))
            seen.append(serial)
            serial += 1
        twin = [row for row in twin if row[0] >= twin[-1][0] - duration_s]
        buffer.extend(batch, {"a": seen})
        after = whole(buffer)
        assert list(zip(after.times.tolist(), after.values["a"].tolist(), strict=True)) == twin
        if after.generation == before.generation:
            final = before.within(after.available_from, before.finalized_until)
            again = after.within(after.available_from, before.finalized_until)
            np.testing.assert_array_equal(final.values["a"], again.values["a"])


def test_readers_beside_a_writer_see_whole_states():
    """While one thread writes, every block read has ascending times and the values that belong to them."""
    buffer = make_buffer(50.0)
    wrong, done = [], threading.Event()

    def read():
        while not done.is_set():
            block = whole(buffer)
            if (np.diff(block.times) < 0).any() or (block.values["a"] != block.times).any():
                wrong.append(block)

    reader = threading.Thread(target=read)
    reader.start()
    for time in range(4000):
        late = time - 3 if time % 10 == 0 else time
        buffer.append(late, {"a": late})
    done.set()
    reader.join()
    assert not wrong
