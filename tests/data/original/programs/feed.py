"""A server of one feed of an agent: as an instance, anonymous on the OCS port, named by the environment."""

import sys
from os import environ

from autobahn.twisted.wamp import ApplicationRunner, ApplicationSession
from autobahn.wamp.types import ComponentConfig
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks

import sisock


class FeedServer(sisock.base.DataNodeServer):
    """Keeps what it hears in memory."""

    def __init__(self, config, name, description, feed, target=None, buffer_time=3600):
        ApplicationSession.__init__(self, config)
        self.name = name
        self.description = description
        self.topic = "observatory.%s.feeds.%s" % (target, feed)
        self.buffer_time = buffer_time
        self.heard = {}

    def onConnect(self):
        self.join(self.config.realm)

    def onChallenge(self, challenge):
        raise RuntimeError("nobody challenges the anonymous")

    @inlineCallbacks
    def after_onJoin(self, details):
        yield self.subscribe(self.hear, self.topic)

    def hear(self, message):
        blocks, _feed = message
        for block in blocks.values():
            for channel, values in block["data"].items():
                times, kept = self.heard.setdefault(channel.lower().replace(" ", "_"), ([], []))
                times.extend(block["timestamps"])
                kept.extend(values)

    def onDisconnect(self):
        reactor.stop()

    def get_fields(self, start, end):
        fields = {
            f: {"description": None, "timeline": "feed." + f, "type": "number", "units": None} for f in self.heard
        }
        return fields, {"feed." + f: {"interval": None, "field": [f]} for f in self.heard}

    def get_data(self, field, start, end, min_stride=None):
        start = sisock.base.sisock_to_unix_time(start)
        end = sisock.base.sisock_to_unix_time(end)
        reply = {"data": {}, "timeline": {}}
        for f in field:
            if f in self.heard:
                rows = [row for row in zip(*self.heard[f]) if start <= row[0] < end]
                reply["data"][f] = [value for _, value in rows]
                reply["timeline"]["feed." + f] = {"t": [t for t, _ in rows], "finalized_until": None}
        return reply


if __name__ == "__main__":
    for variable in ["TARGET", "NAME", "DESCRIPTION", "FEED"]:
        if variable not in environ:
            print("The environment has no %s." % variable)
            sys.exit()
    runner = ApplicationRunner("ws://%s:%d/ws" % (sisock.base.SISOCK_HOST, sisock.base.OCS_PORT), sisock.base.REALM)
    runner.run(
        FeedServer(
            ComponentConfig("test_realm", {}),
            name=environ["NAME"],
            description=environ["DESCRIPTION"],
            feed=environ["FEED"],
            target=environ["TARGET"],
            buffer_time=int(environ.get("BUFFER_TIME", "3600")),
        )
    )
