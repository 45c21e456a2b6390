"""Walking over a long span in parts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sisock.core.window.parts import GROWTH, Walk


def walked(times, start, end, page, **hints):
    """Walk over samples of which a reply holds at most so many; return the parts and the samples in them."""
    walk = Walk(start, end, page // 2, **hints)
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
    assert Walk(0.0, 1e9, 1000, 5.0).span == (0.0, 5000.0)


def test_a_refused_part_is_halved_until_it_is_too_short():
    """A part that is refused is asked for again at half the length, and given up where that makes no sense."""
    walk = Walk(1.0e9, 2.0e9, 1000)
    assert walk.refused()
    assert walk.span == (1.0e9, 1.0e9 + 5.0)
    while walk.refused():
        pass
    assert walk.span[1] - walk.span[0] < 1e-5
    assert walk.span[1] > walk.span[0]
