"""A program for the tests: OCS's FakeDataAgent, which also writes down what it hands to its connection.

``python recorded_agent.py FILE ARGUMENTS`` writes a line of JSON for each message of data: when it was published,
whether there was a connection to publish it on, and its blocks.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from ocs.agents.fake_data import agent
from ocs.ocs_agent import OCSAgent

record = Path(sys.argv.pop(1))
publish = OCSAgent.publish


def recorded(self, topic, arguments, **options):
    """Publish as the agent does, and write it down."""
    line = {"time": time.time(), "sent": False, "blocks": arguments[0]}
    try:
        result = publish(self, topic, arguments, **options)
        line["sent"] = True
        return result
    finally:
        if topic.endswith(".false_temperatures"):
            with record.open("a") as file:
                file.write(json.dumps(line) + "\n")


OCSAgent.publish = recorded

if __name__ == "__main__":
    agent.main()
