"""Walking over a long span in parts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sisock.core.window.walks import FIRST_SPAN_S, GROWTH, BackwardWalk, ForwardWalk


def walked(times, start, end, page, **hints):
    """Walk over samples of which a reply holds at most so many; return the parts and the samples in them."""
    walk = ForwardWalk(start, end, page // 2, **hints)
    parts, came = [], []
    while walk.span is not None:
        low, high = walk.span
        inside = times[(times >= low) & (times < high)]
        if walk.after is not None:
            inside = inside[inside > walk.after]
        taken, after = inside, None
        if inside.size > page:  # samples of one time are never torn apart
            taken = inside[inside <= inside[page - 1]]
            after = float(taken[-1]) if taken.size < inside.size else None
        parts.append((low, high))
        came += taken.tolist()
        walk.answered(taken.size, after)
    return parts, came


@pytest.mark.parametrize("seed", range(20))
def test_every_sample_comes_once_and_in_order(seed):
    """Whatever the density, the parts bring all samples of the span, each once."""
    random = np.random.default_rng(seed)
    steps = random.choice([0.0, 1e-3, 1.0, 3600.0, 1e6], 2000)
    times = 1.5e9 + np.cumsum(steps)
    start, end = times[50], times[-50]
    parts, came = walked(times, start, end, page=100, interval_s=random.choice([None, 1.0, 1e5]))
    assert came == times[(times >= start) & (times < end)].tolist()
    assert all(later[0] <= earlier[1] for earlier, later in pairwise(parts))


@pytest.mark.parametrize("page", [2, 1000])
def test_silence_is_crossed_quickly(page):
    """Where nothing is, parts grow, so that forty years without samples take a handful of calls."""
    parts, came = walked(np.array([1.4e9]), 1.0, 1.5e9, page=page)
    assert len(parts) < 25
    assert came == [1.4e9]
    assert all(b[1] - b[0] <= GROWTH * (a[1] - a[0]) * 1.001 for a, b in pairwise(parts))


def test_a_known_spacing_is_used_at_once():
    """With the spacing known, the first part already holds what a reply should."""
    assert ForwardWalk(0.0, 1e9, 1000, 5.0).span == (0.0, 5000.0)


def test_a_refused_part_is_halved_until_it_is_too_short():
    """A part that is refused is asked for again at half the length, and given up where that makes no sense."""
    walk = ForwardWalk(1.0e9, 2.0e9, 1000)
    assert walk.refused()
    assert walk.span == (1.0e9, 1.0e9 + 5.0)
    while walk.refused():
        pass
    assert walk.span[1] - walk.span[0] < 1e-5
    assert walk.span[1] > walk.span[0]


SAMPLES = 8_000


def walk_back(end, **limits):
    return BackwardWalk(0.0, end, SAMPLES, most_parts=50, **limits)


def test_a_walk_back_covers_the_span():
    """The walk goes from the newest to the oldest without hole or overlap, whatever the replies hold."""
    walk = walk_back(100_000.0)
    covered = []
    while walk.span:
        covered.append(walk.span)
        walk.answered(int(3 * (walk.span[1] - walk.span[0])))
    assert covered[0] == (100_000.0 - FIRST_SPAN_S, 100_000.0)
    assert covered[-1][0] == 0.0
    assert all(later[0] == earlier[1] for later, earlier in pairwise(covered))


def test_a_walk_back_learns_the_density():
    """Spans grow, eightfold at most, until a reply holds about 8,000 values, and shrink where data are denser."""
    walk = walk_back(1e9)
    for _ in range(10):
        low, high = walk.span
        values = int(20 * (high - low))
        assert values <= SAMPLES
        walk.answered(values)
    assert values == pytest.approx(SAMPLES, rel=0.01)
    walk.answered(values * 10)
    assert walk.span[1] - walk.span[0] == pytest.approx((high - low) / 10, rel=0.01)


def test_a_refused_part_of_a_walk_back_is_halved():
    """A span that the node refuses is asked again half as long, until that makes no sense."""
    walk = walk_back(100.0, shortest_s=1e-3)
    assert walk.refused()
    assert walk.span == (95.0, 100.0)
    while walk.refused():
        pass
    assert walk.span[1] - walk.span[0] < 1e-3


def test_silence_does_not_make_a_span_longer_than_a_reply_may_be():
    """However long a node had nothing, a span holds no more than the spacing of its fields lets one reply hold."""
    walk = walk_back(14_400.0, longest_s=100.0)
    spans = []
    while (span := walk.span) is not None:
        spans.append(span[1] - span[0])
        walk.answered(0)
    assert max(spans) <= 100.0 + 1e-6
    assert sum(spans) == pytest.approx(14_400.0)
