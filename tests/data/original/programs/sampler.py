"""A server that takes samples by itself: as a class, over wss, its samples in the class."""

import os
import time

import txaio
from autobahn.twisted.wamp import ApplicationRunner
from OpenSSL import crypto
from twisted.internet._sslverify import OpenSSLCertificateAuthorities
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import LoopingCall

import sisock


class sampler(sisock.base.DataNodeServer):  # noqa: N801 - as people named them
    """Counts, ten times a second."""

    name = "old_sampler"
    description = "Counts"
    data = []
    t = [None] * 100
    timeline = {"t": {"field": ["count"], "interval": 0.1}}

    def take(self):
        self.t.pop(0)
        self.t.append(time.time())
        self.data.append(len(self.data))

    def after_onJoin(self, details):
        LoopingCall(self.take).start(0.1)

    def get_fields(self, start, end):
        if not self.data:
            return {}, {}
        field = {"name": "count", "description": "", "timeline": "t", "type": "number", "units": "unknown"}
        return {"count": field}, self.timeline

    def get_data(self, field, start, end, min_stride=None):
        reply = {"data": {"count": []}, "timeline": {"t": {"t": [], "finalized_until": self.t[-1]}}}
        start = sisock.base.sisock_to_unix_time(start)
        end = sisock.base.sisock_to_unix_time(end)
        for t, value in zip(reversed(self.t), reversed(self.data)):
            if t and start <= t < end:
                reply["data"]["count"].insert(0, value)
                reply["timeline"]["t"]["t"].insert(0, t)
        return reply


if __name__ == "__main__":
    txaio.start_logging(level=os.environ.get("LOGLEVEL", "info"))
    certificate = crypto.load_certificate(crypto.FILETYPE_PEM, open(".crossbar/server_cert.pem").read())
    options = CertificateOptions(trustRoot=OpenSSLCertificateAuthorities([certificate]))
    runner = ApplicationRunner(
        "wss://%s:%d/ws" % (sisock.base.SISOCK_HOST, sisock.base.SISOCK_PORT), sisock.base.REALM, ssl=options
    )
    runner.run(sampler)
