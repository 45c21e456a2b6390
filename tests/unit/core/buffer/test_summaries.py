"""The summaries of a buffer: they may lag, be cut and lose their head, and are as if made anew."""

import numpy as np
import pytest

from sisock.core.buffer.chunks import Chunk, Chunks
from sisock.core.buffer.summaries import MOST_BEHIND, BufferSummaries

DTYPES = [np.dtype(np.float64), np.dtype(np.bool_), np.dtype(np.object_)]


def in_chunks(times, first=0):
    """Chunks whose values are made of the times."""
    texts = np.array([str(int(time) // 9) for time in times], dtype=object)
    values = (np.sin(times), times % 50 < 1, texts)
    chunks = [Chunk(first + low, times[low : low + 777], tuple(one[low : low + 777] for one in values))
              for low in range(0, len(times), 777)]  # fmt: skip
    return Chunks(tuple(chunks))


def known(kept, chunks, first, stop):
    """All that it tells, as plain lists."""
    steps, summaries = kept.read(chunks, first, stop, range(len(DTYPES)))
    arrays = [{name: one.tolist() for name, one in summary.arrays().items()} for summary in summaries]
    return steps.first, steps.values.tolist(), arrays


def made_anew(chunks, first, stop):
    return known(BufferSummaries(DTYPES, first), chunks, first, stop)


@pytest.mark.parametrize("first", [0, 64, 1000])
def test_it_grows_as_if_made_at_once(first):
    """In whatever steps samples come, and wherever their indices begin, the same is known of them."""
    chunks = in_chunks(np.arange(10_000.0), first)
    kept, stop = BufferSummaries(DTYPES, first), first
    for count in (1, 62, 1, 1, 63, 5000, 4872):
        stop += count
        if count > 1:
            kept.update(chunks, first, stop)
        assert known(kept, chunks, first, stop) == made_anew(chunks, first, stop)
    assert stop == first + 10_000


@pytest.mark.parametrize("place", [0, 1, 63, 64, 4095, 4096, 4097, 9999, 10_000])
def test_what_is_cut_is_made_again(place):
    """From the place on where samples become others it knows the others, and what was handed out stays."""
    times = np.arange(10_000.0)
    before = in_chunks(times)
    kept = BufferSummaries(DTYPES)
    kept.update(before, 0, len(times))
    steps, summaries = kept.read(before, 0, len(times), [0])
    held = steps.values.copy(), {name: one.copy() for name, one in summaries[0].arrays().items()}
    kept.cut(place)
    after = in_chunks(np.insert(times, place, max(0, place - 1)))
    assert known(kept, after, 0, len(times) + 1) == made_anew(after, 0, len(times) + 1)
    np.testing.assert_array_equal(steps.values, held[0])
    for name, array in summaries[0].arrays().items():
        np.testing.assert_array_equal(array, held[1][name])


def test_samples_may_be_gone_before_it_has_seen_them():
    """What was let go of meanwhile is never asked for."""
    times = np.arange(20_000.0)
    kept = BufferSummaries(DTYPES)
    kept.update(in_chunks(times), 0, 3000)
    rest = in_chunks(times[9000:], 9000)
    assert known(kept, rest, 9000, 20_000) == made_anew(rest, 9000, 20_000)


def test_it_says_when_it_lags():
    """It should be brought up after so many samples."""
    kept = BufferSummaries(DTYPES, 10)
    assert not kept.lags(10 + MOST_BEHIND - 1)
    assert kept.lags(10 + MOST_BEHIND)
