"""An adapter with nodes in memory, without reactor and network."""

import pytest

from sisock.settings import Settings
from sisock.testing import FakeNode, Site

NOW = 1795325987.03  # 2026-11-22T05:39:47.030Z
HOUR_S = 3600.0


@pytest.fixture
def site():
    """Return an adapter with a weather station and a cryostat, with a few samples in the six hours before NOW."""
    times = [NOW - 5 * HOUR_S, NOW - 3 * HOUR_S, NOW - HOUR_S]
    weather = FakeNode(
        "weather",
        {
            "temperature": (times, [4.5, 5.25, 3.0]),
            "raining": (times, [False, True, False]),
            "sky": (times, ["clear", "overcast", "clear"]),
        },
        units={"temperature": "degC"},
        interval_s=2 * HOUR_S,
    )
    kelvins = {"temp.stage 4K": (times, [4.21, 4.22, 4.2])}
    cryo = FakeNode("cryo", kelvins, units={"temp.stage 4K": "K"}, interval_s=2 * HOUR_S)
    return Site(weather, cryo, now=NOW, settings=Settings(base_path="/lab/sisock"))
