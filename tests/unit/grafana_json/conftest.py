"""A gateway with nodes in memory behind the web application, without reactor and network."""

from types import SimpleNamespace

import pytest
from twisted.internet.defer import maybeDeferred

from grafana_json.adapter import Adapter
from grafana_json.http.app import create_app
from sisock.gateway.gateway import Gateway
from sisock.settings import Settings
from sisock.testing import FakeHub, FakeNode, FakeRouter, ManualClock, result_of

NOW = 1795325987.03  # 2026-11-22T05:39:47.030Z
HOUR_S = 3600.0


def make_hub():
    """Return a hub with a weather station and a cryostat, with a few samples in the six hours before NOW."""
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
    return FakeHub([weather, cryo])


@pytest.fixture
def site():
    """Return hub, clock, gateway and web client of an adapter; ``waiting`` runs while a view waits for nodes."""
    clock = ManualClock(NOW)
    hub = make_hub()
    gateway = Gateway(None, clock, 2.0)
    hub.on_added.append(gateway.directory.node_added)
    hub.on_subtracted.append(gateway.directory.node_subtracted)
    result_of(gateway.connected(FakeRouter(hub, clock)))
    site = SimpleNamespace(hub=hub, clock=clock, gateway=gateway, waited_s=0.0)

    def wait(function, *arguments):
        asking = function(*arguments)
        while not asking.called:
            clock.advance(0.25)
            site.waited_s += 0.25
        return result_of(asking)

    site.adapter = Adapter(gateway, maybeDeferred)
    site.client = create_app(Settings(), site.adapter, wait).test_client()
    return site
