"""Compaction: how a field's segments are cut so that they follow one another, and which of them are to become one."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sisock.core.column.column import Column
from sisock.nodes.archive.segments import COMPACTED_AT_ONCE, Segment

MOST_COMPACTED_SAMPLES = 2**23
"""Larger segments are not made: one is made in memory, while somebody waits."""
MOST_SEGMENTS = 64


@dataclass(eq=False)
class SegmentSlice:
    """The samples inside [start, stop), UNIX seconds: of one segment, or of several that overlap there.

    Parameters
    ----------
    column
        Of several segments, once they were joined.
    """

    start: float
    stop: float
    segments: tuple[Segment, ...]
    # Without a lock: two threads may make it at once, and either one is right.
    column: Column | None = field(default=None, repr=False)

    @property
    def is_whole(self) -> bool:
        """Whether all samples of its segments are inside."""
        return all(self.start <= one.oldest and one.newest < self.stop for one in self.segments)


def slices_of(segments: Sequence[Segment]) -> list[SegmentSlice]:
    """Return the slices of segments that are in order of their first samples."""
    slices: list[SegmentSlice] = []
    for cluster in _clusters(segments):
        slices.extend(_cut(cluster))
    return slices


def _clusters(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Yield groups of segments that overlap, directly or by way of others."""
    cluster: list[Segment] = []
    reach = -math.inf
    for segment in segments:
        if cluster and segment.oldest > reach:
            yield cluster
            cluster = []
        cluster.append(segment)
        # Not the newest of the last one: a short one may lie inside of a long one before it.
        reach = max(reach, segment.newest)
    if cluster:
        yield cluster


def _cut(cluster: Sequence[Segment]) -> Iterator[SegmentSlice]:
    """Cut segments where one of them begins or ends; neighbours in which several overlap are one slice."""
    for several, group in itertools.groupby(_intervals(cluster), key=lambda one: len(one[2]) > 1):
        if not several:
            yield from (SegmentSlice(*one) for one in group)
            continue
        starts, stops, segments = zip(*group, strict=True)
        yield SegmentSlice(starts[0], stops[-1], tuple(dict.fromkeys(itertools.chain(*segments))))


def _intervals(cluster: Sequence[Segment]) -> Iterator[tuple[float, float, tuple[Segment, ...]]]:
    """Yield the intervals between all ends of segments, and which segments each is inside of."""
    # Half-open: the next number after the last sample's time is the first at which the segment has nothing.
    ends = {segment: math.nextafter(segment.newest, math.inf) for segment in cluster}
    waiting = deque(cluster)
    inside: list[Segment] = []
    for start, stop in itertools.pairwise(sorted({segment.oldest for segment in cluster} | set(ends.values()))):
        inside = [segment for segment in inside if ends[segment] > start]
        while waiting and waiting[0].oldest <= start:
            inside.append(waiting.popleft())
        yield start, stop, tuple(inside)


def to_compact(segments: Sequence[Segment], sealed: Sequence[bool]) -> list[tuple[int, int]]:
    """Return which neighbours, [low, high) of the segments, are to become one each; nothing when there are few enough.

    Only segments that are sealed are compacted: eight of those that were compacted as often, so that the work for each
    sample grows with the logarithm of their number; of single files at once as many as come to the same.
    """
    runs = list(_runs([(one, segment.level) for segment, one in zip(segments, sealed, strict=True)]))
    groups = [group for low, high in runs if sealed[low] for group in _groups(segments, low, high)]
    if groups or len(segments) <= MOST_SEGMENTS:
        return groups
    # Questions about scattered spans leave neighbours of all sizes; then the smallest are compacted as they come.
    for most in range(max(segment.level for segment in segments) + 1):
        small = [one and segment.level <= most for segment, one in zip(segments, sealed, strict=True)]
        groups = [
            group
            for low, high in _runs(small)
            if small[low]
            for group in _within_limit(segments, low, high, high - low)
        ]
        if groups:
            break
    return groups


def _runs(marks: Sequence[object]) -> Iterator[tuple[int, int]]:
    """Yield the ranges in which marks are equal."""
    low = 0
    for place in range(1, len(marks) + 1):
        if place == len(marks) or marks[place] != marks[low]:
            yield low, place
            low = place


def _groups(segments: Sequence[Segment], low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield groups out of a run of segments of one level: of single files as many as eight to a power, else eight."""
    while high - low >= COMPACTED_AT_ONCE:
        # Single files are read for it anyhow, and go straight to the level that they would reach step by step.
        power = int(math.log(high - low + 0.5, COMPACTED_AT_ONCE)) if segments[low].level == 0 else 1
        for most in (COMPACTED_AT_ONCE**one for one in range(power, 0, -1)):
            if sum(segment.count for segment in segments[low : low + most]) <= MOST_COMPACTED_SAMPLES:
                yield low, low + most
                low += most
                break
        else:
            low += 1


def _within_limit(segments: Sequence[Segment], low: int, high: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield groups of neighbours, of at least two, that are not too large as one segment."""
    begin, samples = low, 0
    for place in range(low, high + 1):
        count = segments[place].count if place < high else 0
        if place == high or place - begin == most or samples + count > MOST_COMPACTED_SAMPLES:
            if place - begin > 1:
                yield begin, place
            begin, samples = place, 0
        samples += count
