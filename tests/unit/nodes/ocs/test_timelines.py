"""How the bytes of all timelines are shared."""

from __future__ import annotations

import pytest

from sisock.nodes.ocs.timelines import Origin, _share_of_each


@pytest.mark.parametrize(
    ("sizes", "share"),
    [([], 100.0), ([50], 100.0), ([40, 60], 100.0), ([10, 60, 60], 45.0), ([90, 90], 50.0), ([0, 0, 101], 100.0)],
)
def test_the_largest_are_cut_to_one_size(sizes, share):
    """What the small ones leave is shared by the large ones; where all fit, each may take everything."""
    assert _share_of_each(sizes, 100.0) == share


def test_what_is_kept_beside_a_buffer_tells_whose_it_is():
    """A timeline and its block are found again; where a part lacks or is of another type, none is."""
    origin = Origin("observatory.a.feeds.b", "block", "Agent", {"x": "K"})
    about = origin.about("t")
    assert list(about) == ["timeline", "address", "block", "agent_class", "units"]
    assert Origin.from_about(about) == ("t", origin)
    for name in about:
        assert Origin.from_about(about | {name: None}) is None
