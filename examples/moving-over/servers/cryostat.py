"""A data node server as people wrote them for the original, with its last lines; it runs as it is.

``sisock node cryostat.py`` runs it under the name in NAME. By itself it shares the user of all servers, and needs the
router's certificate as ``.crossbar/server_cert.pem``, WAMP_SECRET, and a router with SISOCK_LEGACY=1.
"""

import time
from os import environ

from autobahn.twisted.wamp import ApplicationRunner, ApplicationSession
from autobahn.wamp.types import ComponentConfig
from OpenSSL import crypto
from twisted.internet._sslverify import OpenSSLCertificateAuthorities
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import LoopingCall

import sisock


class CryostatServer(sisock.base.DataNodeServer):
    """Reads a thermometer every half second, and keeps the last half an hour."""

    def __init__(self, config, name, description):
        ApplicationSession.__init__(self, config)
        self.name = name
        self.description = description
        self.t = []
        self.data = []

    def after_onJoin(self, details):
        LoopingCall(self.read).start(0.5)

    def read(self):
        self.t = [*self.t[-3599:], time.time()]
        self.data = [*self.data[-3599:], 4.2 + 0.01 * (time.time() % 60)]

    def get_fields(self, start, end):
        if not self.t:
            return {}, {}
        field = {"description": "4 K stage", "timeline": "t", "type": "number", "units": "K"}
        return {"stage": field}, {"t": {"interval": 0.5, "field": ["stage"]}}

    def get_data(self, field, start, end, min_stride=None):
        start = sisock.base.sisock_to_unix_time(start)
        end = sisock.base.sisock_to_unix_time(end)
        rows = [row for row in zip(self.t, self.data, strict=True) if start <= row[0] < end]
        times = {"t": [t for t, _ in rows], "finalized_until": self.t[-1]}
        return {"data": {"stage": [value for _, value in rows]}, "timeline": {"t": times}}


if __name__ == "__main__":
    certificate = crypto.load_certificate(crypto.FILETYPE_PEM, open(".crossbar/server_cert.pem").read())
    options = CertificateOptions(trustRoot=OpenSSLCertificateAuthorities([certificate]))
    runner = ApplicationRunner(
        f"wss://{sisock.base.SISOCK_HOST}:{sisock.base.SISOCK_PORT}/ws", sisock.base.REALM, ssl=options
    )
    runner.run(CryostatServer(ComponentConfig(sisock.base.REALM, {}), environ["NAME"], environ["DESCRIPTION"]))
