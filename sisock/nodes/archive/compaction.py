"""What a field's parts are cut into so that they follow one another, and which of them had better be merged."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sisock.core.column.column import Column
from sisock.nodes.archive.segments import COMPACTED_AT_ONCE, Segment

MOST_COMPACTED_SAMPLES = 2**23
"""Larger parts are not made: one is made in memory, while somebody waits."""
MOST_SEGMENTS = 64


@dataclass(eq=False)
class SegmentSlice:
    """What lies inside [start, stop), UNIX seconds: of one part, or of several that overlap there."""

    start: float
    stop: float
    parts: tuple[Segment, ...]
    column: Column | None = field(default=None, repr=False)  # of several parts, once it was made

    @property
    def is_whole(self) -> bool:
        """Whether all samples of its parts are inside."""
        return all(self.start <= part.oldest and part.newest < self.stop for part in self.parts)


def slices_of(parts: Sequence[Segment]) -> list[SegmentSlice]:
    """Return the pieces of parts that are in order of their first samples."""
    pieces: list[SegmentSlice] = []
    for cluster in _clusters(parts):
        pieces.extend(_cut(cluster))
    return pieces


def _clusters(parts: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Yield parts that overlap, directly or by way of others, together."""
    cluster: list[Segment] = []
    reach = -math.inf
    for part in parts:
        if cluster and part.oldest > reach:
            yield cluster
            cluster = []
        cluster.append(part)
        reach = max(reach, part.newest)
    if cluster:
        yield cluster


def _cut(cluster: Sequence[Segment]) -> Iterator[SegmentSlice]:
    """Cut parts where one of them begins or ends; neighbours in which several overlap are one piece."""
    for several, group in itertools.groupby(_intervals(cluster), key=lambda one: len(one[2]) > 1):
        if not several:
            yield from (SegmentSlice(*one) for one in group)
            continue
        starts, stops, parts = zip(*group, strict=True)
        yield SegmentSlice(starts[0], stops[-1], tuple(dict.fromkeys(itertools.chain(*parts))))


def _intervals(cluster: Sequence[Segment]) -> Iterator[tuple[float, float, tuple[Segment, ...]]]:
    """Yield the intervals between all ends of parts, and which parts each is inside of."""
    ends = {part: math.nextafter(part.newest, math.inf) for part in cluster}
    waiting = deque(cluster)
    inside: list[Segment] = []
    for start, stop in itertools.pairwise(sorted({part.oldest for part in cluster} | set(ends.values()))):
        inside = [part for part in inside if ends[part] > start]
        while waiting and waiting[0].oldest <= start:
            inside.append(waiting.popleft())
        yield start, stop, tuple(inside)


def to_compact(parts: Sequence[Segment], sealed: Sequence[bool]) -> list[tuple[int, int]]:
    """Return which neighbours, [low, high) of the parts, are to become one each; nothing when there are few enough.

    Only parts that are sealed are merged: eight of those that were merged as often, so that the work for each sample
    grows with the logarithm of their number; of single files at once as many as come to the same.
    """
    runs = list(_runs([(one, part.level) for part, one in zip(parts, sealed, strict=True)]))
    groups = [group for low, high in runs if sealed[low] for group in _groups(parts, low, high)]
    if groups or len(parts) <= MOST_SEGMENTS:
        return groups
    # Questions about scattered spans leave neighbours of all sizes; then the smallest are merged as they come.
    for most in range(max(part.level for part in parts) + 1):
        small = [one and part.level <= most for part, one in zip(parts, sealed, strict=True)]
        groups = [
            group for low, high in _runs(small) if small[low] for group in _within_limit(parts, low, high, high - low)
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


def _groups(parts: Sequence[Segment], low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield groups out of a run of parts of one level: of single files as many as eight to a power, else eight."""
    while high - low >= COMPACTED_AT_ONCE:
        power = int(math.log(high - low + 0.5, COMPACTED_AT_ONCE)) if parts[low].level == 0 else 1
        for most in (COMPACTED_AT_ONCE**one for one in range(power, 0, -1)):
            if sum(part.count for part in parts[low : low + most]) <= MOST_COMPACTED_SAMPLES:
                yield low, low + most
                low += most
                break
        else:
            low += 1


def _within_limit(parts: Sequence[Segment], low: int, high: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield groups of neighbours that together are not too large, of at least two."""
    begin, samples = low, 0
    for place in range(low, high + 1):
        count = parts[place].count if place < high else 0
        if place == high or place - begin == most or samples + count > MOST_COMPACTED_SAMPLES:
            if place - begin > 1:
                yield begin, place
            begin, samples = place, 0
        samples += count
