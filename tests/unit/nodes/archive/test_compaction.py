"""Segments are cut where they overlap, and compacted where there are many."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from sisock.core.model import Field
from sisock.nodes.archive import segment_loader
from sisock.nodes.archive.compaction import MOST_COMPACTED_SAMPLES, MOST_SEGMENTS, slices_of, to_compact
from sisock.nodes.archive.format import Contents, FieldSamples, FileSpan
from sisock.nodes.archive.segment_loader import SegmentLoader, reading_with
from sisock.nodes.archive.segments import Segment

many = settings(derandomize=True, deadline=None, max_examples=200)
FLOAT = np.dtype(float)
spans = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), min_size=1, max_size=12)


def span(name: str, oldest: float, newest: float, count: int = 2) -> FileSpan:
    return FileSpan(name, (1, 1, 1), name, Field("x", "x"), "float64", count, oldest, newest)


def segment(number: int, files: int = 1, samples: int = 10) -> Segment:
    return Segment(tuple(span(f"{number}.{one}", number, number, samples) for one in range(files)), FLOAT)


@many
@given(spans)
def test_slices_cover_their_segments_once(ends):
    """Each instant inside of a segment is in one slice, with just the segments that have it, or all of an overlap."""
    ordered = sorted((float(low), float(low + length)) for low, length in ends)
    segments = [Segment((span(str(number), *one),), FLOAT) for number, one in enumerate(ordered)]
    slices = slices_of(segments)
    for before, after in itertools.pairwise(slices):
        assert before.start < before.stop <= after.start
    for instant in np.arange(-1, 45, 0.5):
        inside = [one for one in segments if one.oldest <= instant <= one.newest]
        found = [one for one in slices if one.start <= instant < one.stop]
        assert len(found) == bool(inside)
        assert all(set(inside) <= set(one.segments) for one in found)
        assert all(len(one.segments) == 1 for one in found if len(inside) == 1 and one.is_whole)
    for one in slices:
        places = [segments.index(segment) for segment in one.segments]
        assert places == sorted(places)


@many
@given(st.lists(st.sampled_from([1, 1, 1, 1, 8, 64]), max_size=200), st.integers(0, 10**6))
def test_compaction_comes_to_an_end_with_few_segments(sizes, seed):
    """Only sealed neighbours are compacted, to no segment that is too large, until there are few or no more can be."""
    random = np.random.default_rng(seed)
    segments = [segment(number, files, int(random.choice([1, 100, 2**21]))) for number, files in enumerate(sizes)]
    open_ones = set(random.choice(segments, min(3, len(segments)), replace=False)) if segments else set()
    for _ in range(50):
        groups = to_compact(segments, [one not in open_ones for one in segments])
        if not groups:
            break
        compacted, done = [], 0
        for low, high in groups:
            assert done <= low < high - 1 < len(segments)
            assert open_ones.isdisjoint(segments[low:high])
            members = tuple(one for two in segments[low:high] for one in two.members)
            assert sum(one.count for one in members) <= MOST_COMPACTED_SAMPLES
            compacted += [*segments[done:low], Segment(members, FLOAT)]
            done = high
        segments = [*compacted, *segments[done:]]
    assert not groups
    large = sum(one.count > MOST_COMPACTED_SAMPLES // 16 for one in segments)
    assert len(segments) <= MOST_SEGMENTS + 3 * large


def test_many_open_columns_are_closed(tmp_path, monkeypatch):
    """Of very many segments those that were opened longest ago are let go of, and opened again when asked for."""
    monkeypatch.setattr(segment_loader, "MOST_OPEN", 5)
    readings = []

    def read(path, names):
        readings.append(path.name)
        return Contents((FieldSamples(Field("x", "x"), np.array([1.0, 2.0]), np.array([3.0, 4.0])),))

    source = SegmentLoader(tmp_path, reading_with(tmp_path, read), None)
    segments = [Segment((span(str(number), 1.0, 2.0),), FLOAT) for number in range(9)]
    for one in segments * 2:
        assert source.column(one, lambda _: {}).stop == 2
    assert [one.column is not None for one in segments] == [False] * 4 + [True] * 5
    assert len(readings) == 18
