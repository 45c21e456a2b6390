"""Cached answers equal uncached ones, whatever happens to the data in between."""

import pytest
from living import LivingSite


@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_equals_what_is_read_anew(seed):
    """Over random queries, appends, late samples, reconnects, losses, clock steps and expiry nothing differs."""
    site = LivingSite(seed)
    for _ in range(400):
        site.step()
    assert site.compared > 100
