"""A program for the tests: publishes as an OCS agent does, anonymously, until it is stopped.

``python ocs_publisher.py HOST PORT INSTANCE`` sends a message of two blocks, and a heartbeat, every fifth of a second.
"""

from __future__ import annotations

import sys
import time

import sisock.wamp  # noqa: F401 - before Autobahn

# isort: split
from autobahn.twisted.wamp import ApplicationRunner, ApplicationSession
from twisted.internet import task

SAMPLES, INTERVAL_S = 4, 0.2


def message_of(number, now):
    """Return the blocks of a message; values tell its number."""
    times = [now - INTERVAL_S + INTERVAL_S * (n + 1) / SAMPLES for n in range(SAMPLES)]
    numbers = [float(number) + n / SAMPLES for n in range(SAMPLES)]
    channel = {"Channel_01_T": numbers, "Channel_01_R": [n + 1000 for n in numbers]}
    state = {"mode": ["scan" if number % 2 else "idle"], "autoscan": [number % 2 == 0]}
    return {"Channel_01": _block("Channel_01", times, channel), "state": _block("state", times[-1:], state)}


def _block(name, times, data):
    return {"block_name": name, "timestamps": times, "data": data, "influxdb_tags": None}


class Agent(ApplicationSession):
    """Publishes for as long as its connection lasts; numbers go on over several."""

    number = 0

    def onJoin(self, details):
        self.loop = task.LoopingCall(self.send)
        self.loop.start(INTERVAL_S)

    def onLeave(self, details):
        self.loop.stop()
        super().onLeave(details)

    def send(self):
        instance = self.config.extra["instance"]
        self.feed(instance, "heartbeat", {"acq": 3}, record=False)
        self.feed(instance, "temperatures", message_of(Agent.number, time.time()), record=True)
        Agent.number += 1

    def feed(self, instance, name, message, *, record):
        address = f"observatory.{instance}"
        about = {
            "agent_address": address,
            "agg_params": {},
            "feed_name": name,
            "address": f"{address}.feeds.{name}",
            "record": record,
            "session_id": str(self.config.extra["session_id"]),
            "agent_class": "Lakeshore372Agent",
        }
        self.publish(about["address"], [message, about])


if __name__ == "__main__":
    host, port, instance = sys.argv[1:]
    extra = {"instance": instance, "session_id": time.time()}
    ApplicationRunner(f"ws://{host}:{port}/ws", "test_realm", extra).run(Agent, auto_reconnect=True)
