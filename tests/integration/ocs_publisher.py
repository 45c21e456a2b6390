"""A program for the tests: publishes as an OCS agent does, anonymously, until it is stopped.

``python ocs_publisher.py PORT INSTANCE [INTERVAL]`` sends a message of two blocks, and a heartbeat, every INTERVAL s.
It prints the number of each message that it has handed to a connection.
"""

from __future__ import annotations

import sys
import time

import sisock.wamp  # noqa: F401 - before Autobahn

# isort: split
from autobahn.twisted.wamp import ApplicationRunner, ApplicationSession
from twisted.internet import task

SAMPLES = 4


def message_of(number, now, interval_s):
    """Return the blocks of a message; values tell its number."""
    times = [now - interval_s + interval_s * (n + 1) / SAMPLES for n in range(SAMPLES)]
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
        self.loop.start(self.config.extra["interval_s"])

    def onLeave(self, details):
        self.loop.stop()
        super().onLeave(details)

    def send(self):
        instance, interval_s = self.config.extra["instance"], self.config.extra["interval_s"]
        self.feed(instance, "heartbeat", {"acq": 3}, record=False)
        self.feed(instance, "temperatures", message_of(Agent.number, time.time(), interval_s), record=True)
        print(Agent.number, flush=True)
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
    port, instance, *interval = sys.argv[1:]
    extra = {"instance": instance, "interval_s": float(interval[0]) if interval else 0.2, "session_id": time.time()}
    ApplicationRunner(f"ws://127.0.0.1:{port}/ws", "test_realm", extra).run(Agent, auto_reconnect=True)
