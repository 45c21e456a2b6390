"""What a site of the original had besides its router, without anything of ours: a hub, and servers of its library.

``python site.py hub|node|reader URL CERTIFICATE USER SECRET``. They share a user, and know no procedure ``info``.
"""

import sys

from autobahn.twisted.wamp import ApplicationRunner, ApplicationSession
from autobahn.wamp import auth
from OpenSSL import crypto
from twisted.internet import reactor
from twisted.internet._sslverify import OpenSSLCertificateAuthorities
from twisted.internet.defer import inlineCallbacks
from twisted.internet.ssl import CertificateOptions

BASE = "org.simonsobservatory."
T0 = 1.5e9


class Login(ApplicationSession):
    """Logs in as everybody does."""

    def onConnect(self):
        self.join(self.config.realm, ["wampcra"], self.config.extra["user"])

    def onChallenge(self, challenge):
        return auth.compute_wcs(self.config.extra["secret"], challenge.extra["challenge"])


class Hub(Login):
    """Believes what it is told."""

    nodes = []

    @inlineCallbacks
    def onJoin(self, details):
        yield self.register(self.add, BASE + "data_node.add")
        yield self.register(
            lambda: [{"name": n, "description": d} for n, d, _ in self.nodes], BASE + "consumer.get_data_node"
        )
        yield self.subscribe(self.gone, "wamp.session.on_leave")
        print("ready", flush=True)

    def add(self, name, description, session_id):
        if name in [node[0] for node in self.nodes]:
            return False
        self.nodes.append((name, description, session_id))
        self.publish(BASE + "consumer.data_node_added", {"name": name, "description": description})
        return True

    def gone(self, session_id):
        for node in [node for node in self.nodes if node[2] == session_id]:
            self.nodes.remove(node)
            self.publish(BASE + "consumer.data_node_subtracted", {"name": node[0], "description": node[1]})


class Node(Login):
    """Has a sample a second for an hour."""

    @inlineCallbacks
    def onJoin(self, details):
        yield self.register(self.get_fields, BASE + "consumer.cryostat.get_fields")
        yield self.register(self.get_data, BASE + "consumer.cryostat.get_data")
        added = yield self.call(BASE + "data_node.add", "cryostat", "of 2019", details.session)
        print("ready" if added else "refused", flush=True)

    def get_fields(self, start, end):
        field = {"description": "50 K stage", "timeline": "t", "type": "number", "units": "K"}
        return {"stage": field}, {"t": {"interval": 1.0, "field": ["stage"]}}

    def get_data(self, field, start, end, min_stride=None):
        times = [T0 + n for n in range(3600) if start <= T0 + n < end]
        values = [50.0 + (t - T0) / 3600 for t in times]
        if "stage" not in field or not times:
            return {"data": {f: [] for f in field}, "timeline": {}}
        return {"data": {"stage": values}, "timeline": {"t": {"t": times, "finalized_until": None}}}


class Reader(Login):
    """Asks once what there is, and says so."""

    @inlineCallbacks
    def onJoin(self, details):
        nodes = yield self.call(BASE + "consumer.get_data_node")
        yield self.subscribe(lambda node: None, BASE + "consumer.data_node_added")
        reply = yield self.call(BASE + "consumer.cryostat.get_data", ["stage"], T0, T0 + 3)
        print(*sorted(node["name"] for node in nodes), *reply["data"], flush=True)
        self.leave()

    def onDisconnect(self):
        if reactor.running:
            reactor.stop()


if __name__ == "__main__":
    what, url, path, user, secret = sys.argv[1:]
    with open(path) as file:
        certificate = crypto.load_certificate(crypto.FILETYPE_PEM, file.read())
    options = CertificateOptions(trustRoot=OpenSSLCertificateAuthorities([certificate]))
    runner = ApplicationRunner(url, "test_realm", extra={"user": user, "secret": secret}, ssl=options)
    runner.run({"hub": Hub, "node": Node, "reader": Reader}[what])
