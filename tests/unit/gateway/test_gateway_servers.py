"""What is drawn of servers by the letter of the API is what they have, with answers kept and without."""

from collections import Counter

import pytest
from servers import run


@pytest.mark.parametrize("first", range(0, 36, 6))
def test_servers_of_any_kind_are_drawn_as_they_are(first):
    """Whatever a server may do, and wherever one looks, every reply is the right one."""
    counts: Counter = run(range(first, first + 6), 25)
    assert counts["replies"] >= 250
