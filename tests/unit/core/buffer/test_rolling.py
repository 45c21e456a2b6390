"""The rolling buffer of live samples."""

import bisect
import math
import threading
import tracemalloc
from contextlib import contextmanager

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from sisock.core.buffer import chunks, summaries
from sisock.core.buffer.rolling import Position, RollingBuffer
from sisock.core.column.column import Column
from sisock.core.reduce.reducers import REDUCERS

import twins

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


@contextmanager
def small_chunks(samples, behind=64):
    """Let chunks be short, so that a few samples fill several, and summaries follow closely."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((chunks, "CHUNK_SAMPLES"), (chunks, "_LEAST_SAMPLES"), (chunks, "CHUNK_SAMPLES")):
            patch.setattr(module, name, samples)
        patch.setattr(chunks, "_LEAST_COPIED", max(1, samples // 4))
        patch.setattr(summaries, "MOST_BEHIND", behind)
        yield


@pytest.mark.parametrize("samples", [1, 3, 16])
@settings(derandomize=True, deadline=None, max_examples=100)
@given(batches=batches, duration_s=st.sampled_from([1.0, 10.0, 1000.0]))
def test_the_length_of_chunks_does_not_matter(samples, batches, duration_s):
    """However the samples are cut into chunks, what is kept and what is said of it is the same."""
    whole_chunks = make_buffer(duration_s)
    with small_chunks(samples):
        buffer = make_buffer(duration_s)
        for number, batch in enumerate(batches):
            for one in (buffer, whole_chunks):
                one.extend(batch, {"a": [number] * len(batch)})
                if number % 7 == 6:
                    one.forget_after(batch[0] if batch else 10.0)
            found, expected = whole(buffer), whole(whole_chunks)
            assert found.times.tolist() == expected.times.tolist()
            assert found.values["a"].tolist() == expected.values["a"].tolist()
            assert buffer.position == whole_chunks.position
            assert (found.finalized_until, found.available_from, found.generation) == (
                expected.finalized_until, expected.available_from, expected.generation,
            )  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=200)
@given(batches, st.sampled_from([1.0, 10.0, 1000.0]))
def test_rows_one_by_one_are_as_good_as_a_batch(batches, duration_s):
    """Samples in order may come in any batches: what is kept and where each has its index is the same."""
    together, alone = make_buffer(duration_s), make_buffer(duration_s)
    times = sorted(time for batch in batches for time in batch)
    for low in range(0, len(times), 7):
        together.extend(times[low : low + 7], {"a": times[low : low + 7]})
    for time in times:
        alone.append(time, {"a": time})
    assert whole(together).times.tolist() == whole(alone).times.tolist()
    assert together.position == alone.position


@pytest.mark.parametrize("value", [5, True, 2.5, np.float64(2.5), np.float32(2.5), np.int8(3), None])
def test_a_row_takes_what_a_batch_takes(value):
    """A number may be of any kind of number, or None, in a row as in a batch."""
    buffer = make_buffer()
    buffer.append(1.0, {"a": value})
    buffer.extend([2], {"a": [value]})
    kept = whole(buffer).values["a"]
    np.testing.assert_array_equal(kept[0], kept[1])
    assert kept.dtype == np.float64


def test_a_number_beyond_float64_is_refused():
    """A whole number too large to be a float64 is an error, in a row as in a batch, and nothing is taken."""
    buffer = RollingBuffer({"a": "number", "b": "number"}, 10.0, "g")
    for take in (buffer.append, lambda time, row: buffer.extend([time], {"a": [row["a"]], "b": [row["b"]]})):
        with pytest.raises(ValueError, match="field 'b' holds numbers"):
            take(1.0, {"a": 1.0, "b": 10**400})
    assert len(buffer) == 0


def test_a_given_array_is_copied():
    """What the caller does with its arrays afterwards changes nothing."""
    buffer, times, values = make_buffer(), np.array([1.0, 2.0]), np.array([10.0, 20.0])
    buffer.extend(times, {"a": values})
    times[:], values[:] = 7.0, 7.0
    assert whole(buffer).times.tolist() == [1.0, 2.0]
    assert whole(buffer).values["a"].tolist() == [10.0, 20.0]


def test_a_count_needs_no_samples():
    """How many samples a span has is what a block of it would have."""
    buffer = filled(1.0, 2.0, 3.0)
    spans = [(1.0, 3.0), (3.0, 1.0), EVERYTHING, (4.0, 5.0)]
    assert [buffer.count(*span) for span in spans] == [len(buffer.block([], *span).times) for span in spans]


def test_nothing_is_claimed_of_what_was_dropped_before_the_clock_was_set_back():
    """When the newest are forgotten the time from which on samples are kept does not move back."""
    buffer = filled(100.0, 195.0, 200.0)
    buffer.forget_after(197.0)
    buffer.append(196.0, {"a": 1})
    assert whole(buffer).times.tolist() == [195.0, 196.0]
    buffer.append(187.0, {"a": 1})  # samples of then may have been dropped
    assert whole(buffer).times.tolist() == [195.0, 196.0]
    assert whole(buffer).available_from == 195.0


def test_a_clock_far_ahead_does_not_keep_samples_out():
    """Once its samples are forgotten those of now are taken, though all of theirs had expired."""
    buffer = filled(1.0, 2.0, 1e9)
    buffer.forget_after(3.0)
    assert (len(buffer), whole(buffer).available_from, whole(buffer).finalized_until) == (0, 3.0, -math.inf)
    buffer.append(3.5, {"a": 1})
    assert whole(buffer).times.tolist() == [3.5]
    assert whole(buffer).available_from == 3.5


def test_a_buffer_may_be_bounded_in_bytes():
    """The oldest go when all take more than was allowed, and what is kept is all there is from then on."""
    buffer = RollingBuffer({"a": "number", "b": "bool"}, 1e9, "g", max_bytes=100_000)
    for low in range(0, 50_000, 50):
        times = np.arange(low, low + 50)
        buffer.extend(times, {"a": times, "b": times % 2 == 0})
        assert buffer._state.chunks.room * (8 + 8 + 1) <= 100_000
    block = buffer.block(["a"], *EVERYTHING)
    assert 3000 < len(buffer) < 100_000 / 17
    assert block.available_from == block.times[0] == 50_000 - len(buffer)
    assert block.generation == "g"
    buffer.append(block.times[0] - 1.0, {"a": 0, "b": True})
    assert buffer.oldest == block.times[0]


def test_texts_count_with_their_length():
    """A bound in bytes holds for long texts, too, as they come, expire, are forgotten and come late."""
    buffer = RollingBuffer({"s": "string"}, 1e9, "g", max_bytes=1_000_000)
    for number in range(20_000):
        buffer.append(float(number), {"s": f"{number:0500d}"})
        if number % 1000 == 999:
            buffer.append(number - 20.5, {"s": "x" * 500})
            buffer.forget_after(number - 10)
    texts = buffer.block(["s"], *EVERYTHING).values["s"]
    assert 500_000 < sum(map(len, texts)) < 1_000_000
    assert buffer._budget._text_bytes == pytest.approx(549 * len(texts), rel=0.2)


def test_samples_of_one_instant_are_not_claimed_whole_when_some_were_dropped():
    """Where only a part of the samples of an instant is kept, what is said to be available begins after it."""
    buffer = RollingBuffer({"a": "number"}, 1e9, "g", max_bytes=10_000)
    for number in range(20):
        buffer.extend([float(number // 10)] * 200, {"a": np.arange(200)})
    block = whole(buffer)
    assert len(block.times) < 1000
    assert block.available_from > 1.0


@pytest.mark.parametrize(("duration_s", "kept"), [(1e9, 1_000_000), (299_999.0, 300_000)], ids=["growing", "rolling"])
def test_memory_of_a_long_series(duration_s, kept):
    """Samples of one field take at most 20 bytes each, all told, of which some may not be touched yet."""
    tracemalloc.start()
    try:
        buffer = make_buffer(duration_s)
        for low in range(0, 1_000_000, 1000):
            times = np.arange(low, low + 1000, dtype=np.float64)
            buffer.extend(times, {"a": times})
        del times
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    chunk = buffer._state.chunks.tail
    untouched = 16 * (chunk.start + chunk.room - buffer.position.stop)
    assert len(buffer) == kept
    assert taken - untouched <= 20 * kept


values_of = {
    "number": st.sampled_from([0.0, 1.0, -2.5, 1e300, math.inf, -math.inf, math.nan]),
    "bool": st.booleans(),
    "string": st.sampled_from(["on", "off", "idle"]),
}


@pytest.mark.parametrize("kind", sorted(values_of))
@settings(derandomize=True, deadline=None, max_examples=60)
@given(data=st.data())
def test_a_column_is_reduced_as_its_samples_are(kind, data):
    """Whatever was appended, late, expired or forgotten, a column gives what its samples would give, bit for bit."""
    draw = data.draw
    with small_chunks(draw(st.sampled_from([16, 100, 5000])), behind=draw(st.sampled_from([1, 300]))):
        buffer = RollingBuffer({"x": kind}, draw(st.sampled_from([50.0, 700.0, 1e6])), "g")
        time = 0.0
        for _ in range(draw(st.integers(1, 12))):
            count, step = draw(st.integers(1, 300)), draw(st.sampled_from([0.0, 0.5, 1.0]))
            pattern = draw(st.lists(values_of[kind], min_size=1, max_size=7))
            back = draw(st.sampled_from([0.0, 0.0, 3.0, 200.0]))
            times = time - back + step * np.arange(count)
            buffer.extend(times, {"x": [pattern[number % len(pattern)] for number in range(count)]})
            time = max(time, float(times[-1]))
            if draw(st.integers(0, 5)) == 0:
                time -= 20.0
                buffer.forget_after(time)
            if draw(st.booleans()):
                buffer.column("x")
        assert_reduced_alike(buffer, time - draw(st.sampled_from([30.0, 400.0, 1e5])), time + draw(st.integers(-5, 5)))


def assert_reduced_alike(buffer, start, end):
    column, block = buffer.column("x"), buffer.block(["x"], *EVERYTHING)
    plain = Column.plain(block.times, block.values["x"])
    for found, expected in zip(column.within(start, end), plain.within(start, end), strict=True):
        np.testing.assert_array_equal(found, expected)
    for reducer in set(REDUCERS) - twins.ADDED_UP:
        for stride in (0.3, 7.0, 1000.0):
            kept, truth = column.reduced(start, end, reducer, stride), plain.reduced(start, end, reducer, stride)
            for found, expected in zip(kept, truth, strict=True):
                np.testing.assert_array_equal(found, expected)
    assert (column.finalized_until, column.available_from, column.generation) == (
        block.finalized_until, block.available_from, block.generation,
    )  # fmt: skip


@pytest.mark.parametrize("reducer", sorted(twins.ADDED_UP))
def test_what_is_added_up_of_a_final_bucket_never_changes(reducer):
    """While a buffer goes on and lets go of old samples, the bits of a whole bucket's mean stay the same."""
    rng = np.random.default_rng(1)
    seen = {}
    with small_chunks(320, behind=1000):
        buffer = make_buffer(9000.0)
        for low in range(0, 40_000, 100):
            buffer.extend(np.arange(low, low + 100), {"a": rng.normal(size=100) * 10.0 ** rng.integers(-5, 5, 100)})
            column = buffer.column("a")
            times, means = column.reduced(-1.0, 1e9, reducer, 700.0)
            for time, mean in zip(times.tolist(), means.tolist(), strict=True):
                bucket = time // 700
                if bucket * 700 >= column.available_from and (bucket + 1) * 700 <= column.finalized_until:
                    assert seen.setdefault(bucket, mean) == mean
    assert len(seen) > 50


def test_columns_are_of_one_moment():
    """Columns asked for together have the same samples, and unknown fields are left out."""
    buffer = RollingBuffer({"a": "number", "b": "bool"}, 10.0, "g")
    buffer.append(1.0, {"a": 1, "b": True})
    columns = buffer.columns(["b", "nothing", "a"])
    buffer.append(2.0, {"a": 2, "b": False})
    assert list(columns) == ["b", "a"]
    assert [one.within(*EVERYTHING)[1].tolist() for one in columns.values()] == [[True], [1.0]]
    with pytest.raises(KeyError):
        buffer.column("nothing")


def test_an_empty_column_promises_nothing():
    """Without samples a column is empty, and nothing of it is final."""
    column = make_buffer().column("a")
    assert [len(part) for part in (*column.reduced(0.0, 1e9, "minmax", 1.0), *column.newest(0.0, 1e9))] == [0] * 4
    assert (column.finalized_until, column.available_from, column.generation) == (-math.inf, -math.inf, "g")


def test_a_column_stays_as_it_is():
    """What a reader reduces does not change while samples come, come late, expire and are forgotten."""
    held = []
    with small_chunks(64):
        buffer = make_buffer(1000.0)
        for time in range(4000):
            buffer.append(float(time), {"a": time % 7})
            if time % 97 == 0:
                column = buffer.column("a")
                held.append((column, column.within(*EVERYTHING), column.reduced(0.0, 1e9, "mean", 50.0)))
                buffer.append(time - 0.5, {"a": 100.0})
            if time % 501 == 0:
                buffer.forget_after(time - 40.25)
    for column, samples, means in held:
        for found, expected in zip(column.within(*EVERYTHING), samples, strict=True):
            np.testing.assert_array_equal(found, expected)
        for found, expected in zip(column.reduced(0.0, 1e9, "mean", 50.0), means, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_columns_beside_a_writer_are_whole():
    """While one thread writes, also late samples, each column is reduced as its own samples are."""
    wrong, done = [], threading.Event()
    with small_chunks(256, behind=128):
        buffer = make_buffer(2000.0)

        def read():
            while not done.is_set():
                column = buffer.column("a")
                times, values = column.reduced(-10.0, 1e9, "max", 100.0)
                own = Column.plain(*column.within(*EVERYTHING)).reduced(-10.0, 1e9, "max", 100.0)
                if times.tolist() != own[0].tolist() or values.tolist() != own[1].tolist():
                    wrong.append(column)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for low in range(0, 12_000, 40):
            times = np.arange(low, low + 40.0)
            buffer.extend(times - 500.0 if low % 1000 == 0 else times, {"a": times % 97})
            if low % 4000 == 0:
                buffer.forget_after(low - 10.0)
        done.set()
        for reader in readers:
            reader.join()
    assert not wrong


class Recorder:
    """A log in memory, that fails when it is told to."""

    def __init__(self, fails_at=None):
        self.generation, self.calls, self._fails_at = "kept", [], fails_at

    def extended(self, before, times, values):
        self.calls.append((before, times.copy(), [array.copy() for array in values]))
        if len(self.calls) == self._fails_at:
            self.generation = "not kept"

    def resumed(self, position):
        self.calls.append(position)

    def replay(self, buffer):
        for call in self.calls:
            if isinstance(call, Position):
                buffer.resume(call)
            else:
                assert buffer.position == call[0]
                buffer.extend(call[1], {"a": call[2][0]})


@settings(derandomize=True, deadline=None, max_examples=200)
@given(batches, st.sampled_from([1.0, 10.0, 1000.0]))
def test_a_log_has_all_that_is_needed(batches, duration_s):
    """A buffer that is given what a log was told of is the same one, with the same indices and revisions."""
    buffer, again, log = make_buffer(duration_s), make_buffer(duration_s), Recorder()
    buffer.keep_in(log)
    for number, batch in enumerate(batches):
        buffer.extend(batch, {"a": batch})
        if number % 5 == 4:
            buffer.forget_after(batch[0] if batch else 10.0)
    log.replay(again)
    assert again.position == buffer.position
    assert whole(again).times.tolist() == whole(buffer).times.tolist()
    assert whole(again).available_from == whole(buffer).available_from


def test_a_log_is_told_before_anybody_else():
    """By the time that a reader can see a sample the log has it; what it could not keep is other data."""
    buffer, log = make_buffer(), Recorder(fails_at=2)
    log.extended = lambda before, times, values, told=log.extended: (
        seen.append(len(buffer)),
        told(before, times, values),
    )
    seen = []
    buffer.keep_in(log)
    buffer.append(1.0, {"a": 1})
    assert (seen, whole(buffer).generation) == ([0], "kept")
    buffer.append(2.0, {"a": 2})
    assert (seen, whole(buffer).generation) == ([0, 1], "not kept")


def test_a_buffer_that_cannot_go_on_begins_anew():
    """Where samples lack before a position, those kept are dropped and what comes next has the index of that."""
    buffer = filled(1.0, 2.0)
    assert buffer.resume(Position(stop=2, newest=2.0))
    assert not buffer.resume(Position(stop=70, newest=30.0, floor=20.0, dropped=True, revision=2))
    assert (len(buffer), whole(buffer).available_from, whole(buffer).generation) == (0, 20.0, "g+2")
    buffer.append(31.0, {"a": 1})
    assert (buffer.position.stop, whole(buffer).times.tolist()) == (71, [31.0])


def test_what_is_not_known_can_be_forgotten():
    """Samples before a time are dropped and no more of them are taken."""
    buffer = filled(1.0, 2.0, 3.0)
    buffer.forget_before(2.0)
    buffer.append(1.5, {"a": 1})
    assert whole(buffer).times.tolist() == [2.0, 3.0]
    assert (whole(buffer).available_from, whole(buffer).generation) == (2.0, "g")


def test_what_may_still_come_is_not_final():
    """With a margin for late samples, one inside it changes nothing that was final, and one before it all."""
    buffer = RollingBuffer({"a": "number"}, 100.0, "g", late_s=5.0)
    assert whole(buffer).finalized_until == -math.inf
    buffer.extend([10.0, 20.0], {"a": [1, 2]})
    assert whole(buffer).finalized_until == 15.0
    generation = whole(buffer).generation
    buffer.append(15.0, {"a": 3})
    assert whole(buffer).times.tolist() == [10.0, 15.0, 20.0]
    assert (whole(buffer).finalized_until, whole(buffer).generation) == (15.0, generation)
    assert buffer.column("a").finalized_until == 15.0
    buffer.append(14.9, {"a": 4})
    assert whole(buffer).generation != generation


@pytest.mark.parametrize("late_s", [-1.0, math.inf, math.nan])
def test_a_margin_is_a_number_of_seconds(late_s):
    """A margin that is none is refused."""
    with pytest.raises(ValueError, match="late"):
        RollingBuffer({"a": "number"}, 100.0, "g", late_s=late_s)


def test_what_was_final_under_another_margin_is_other_data():
    """A log that is read with another margin gives another generation."""
    one, other = (RollingBuffer({"a": "number"}, 100.0, "g", late_s=late_s) for late_s in (5.0, 6.0))
    assert whole(one).generation != whole(other).generation


def test_the_bound_in_bytes_may_change():
    """A lower bound lets the oldest samples go at once, and a higher one lets more be kept from then on."""
    buffer = RollingBuffer({"a": "number"}, 1e9, "g", max_bytes=2**20)
    buffer.extend(np.arange(40_000.0), {"a": np.arange(40_000.0)})
    kept = len(buffer)
    buffer.limit(2**18)
    assert buffer.bytes <= 2**18
    assert 0 < len(buffer) < kept
    assert whole(buffer).times[-1] == 39_999.0
    assert whole(buffer).available_from > 0
    buffer.limit(2**20)
    buffer.extend(np.arange(40_000.0, 80_000.0), {"a": np.arange(40_000.0)})
    assert 2**18 < buffer.bytes <= 2**20
