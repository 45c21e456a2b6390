"""The gateway's place on the network: one session, a new one after each loss."""

from __future__ import annotations

import time
from typing import Any

from autobahn.wamp.types import ComponentConfig
from twisted.internet import task

from sisock.core.wire.info import uri
from sisock.gateway.gateway import Gateway
from sisock.settings import Settings
from sisock.wamp.connection import connection
from sisock.wamp.credentials import CONSUMER
from sisock.wamp.reactor import keep_steady
from sisock.wamp.session import ConsumerSession

# An event that was lost must not hide a node, or keep one, for longer.
REFRESH_INTERVAL_S = 10.0


def connect_gateway(settings: Settings, reactor: Any) -> Gateway:
    """Return a gateway that is connected, and reconnected, for as long as the reactor runs."""
    keep_steady(reactor)
    gateway = Gateway(None, reactor, settings.deadline_s, settings.cache_mib * 2**20, wall=time.time)
    topics = {
        uri("consumer.data_node_added"): gateway.directory.node_added,
        uri("consumer.data_node_subtracted"): gateway.directory.node_subtracted,
    }

    def make_session(config: ComponentConfig) -> ConsumerSession:
        return ConsumerSession(config, topics, gateway.connected, lambda _: gateway.disconnected())

    service = connection(settings, CONSUMER, make_session, reactor)
    service.startService()
    # The hub's events are not acknowledged, and none come while the router is away.
    refreshing = task.LoopingCall(gateway.directory.refresh)
    refreshing.clock = reactor
    refreshing.start(REFRESH_INTERVAL_S, now=False)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    return gateway
