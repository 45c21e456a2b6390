"""Data node servers in the ways in which those for the original API are written, each a program of its own.

``python servers.py CASE`` runs one: as a class or an instance, blocking or not, over wss with a login or anonymous on
the OCS port, with and without the base's ``__init__``, and with what such servers get wrong.
"""

import os
import sys

import numpy as np
from autobahn.twisted.wamp import ApplicationRunner, ApplicationSession
from autobahn.wamp.types import ComponentConfig
from OpenSSL import crypto
from twisted.internet import reactor
from twisted.internet._sslverify import OpenSSLCertificateAuthorities
from twisted.internet.ssl import CertificateOptions

import sisock

T0 = 1.5e9


class ByClass(sisock.base.DataNodeServer):
    """Unsorted, longer than asked, NumPy scalars, wrong interval, 'field' a text, no finalized_until."""

    name = "by_class"
    description = "served by a class"

    def get_fields(self, start, end):
        return {"a": {"description": None, "timeline": "t", "type": "number", "units": None}}, {
            "t": {"interval": np.float64(1.5e9), "field": "a"}
        }

    def get_data(self, field, start, end, min_stride=None):
        start = sisock.base.sisock_to_unix_time(start)
        times = [np.float64(T0 + n) for n in (5, 3, 4, 1, 2, 900)]
        return {"data": {f: [np.float64(n) for n in range(6)] for f in field}, "timeline": {"t": {"t": times}}}


class ByInstance(sisock.base.DataNodeServer):
    """Calls ApplicationSession's __init__ only, joins anonymously, keeps its data in a class attribute."""

    data = {}

    def __init__(self, config, name, description):
        ApplicationSession.__init__(self, config)
        self.name = name
        self.description = description

    def onConnect(self):
        self.join(self.config.realm)

    def onChallenge(self, challenge):
        raise AssertionError("anonymous sessions are not challenged")

    def after_onJoin(self, details):
        self.data["a"] = {"time": [T0 + n for n in range(10)], "data": list(range(10))}

    def onDisconnect(self):
        reactor.stop()

    def get_fields(self, start, end):
        fields = {f: {"description": None, "timeline": "x." + f, "type": "number", "units": None} for f in self.data}
        return fields, {"x." + f: {"interval": None, "field": [f]} for f in self.data}

    def get_data(self, field, start, end, min_stride=None):
        reply = {"data": {}, "timeline": {}}
        for f in field:
            if f in self.data:
                reply["data"][f] = np.array(self.data[f]["data"])
                reply["timeline"]["x." + f] = {"t": np.array(self.data[f]["time"]), "finalized_until": None}
        return reply


class Blocking(sisock.base.DataNodeServer):
    """Reads in a thread, and returns lists of unequal length for one of its fields."""

    def __init__(self, config, max_points=None):
        ApplicationSession.__init__(self, config)
        self.name = "blocking"
        self.description = "reads from disk"

    def _get_fields_blocking(self, start, end):
        field = {"description": "", "timeline": "t", "type": "number", "units": "mm"}
        return {"a": dict(field), "b": dict(field)}, {"t": {"interval": 60.48, "field": ["a", "b"]}}

    def _get_data_blocking(self, field, start, end, min_stride=None):
        times = [T0 + n for n in range(10)]
        return {"data": {"a": list(range(10)), "b": [1, 2, 3]}, "timeline": {"t": {"t": times, "finalized_until": T0}}}


class Large(ByClass):
    """Returns 300,000 samples whatever was asked."""

    name = "large"

    def get_data(self, field, start, end, min_stride=None):
        times = np.arange(300_000) + T0
        return {"data": {"a": times.tolist()}, "timeline": {"t": {"t": times.tolist(), "finalized_until": None}}}


class Raising(ByClass):
    """Raises for data, and answers nonsense for fields."""

    name = "raising"

    def get_fields(self, start, end):
        return {"a": None}, ["?"]

    def get_data(self, field, start, end, min_stride=None):
        raise KeyError("no such file")


def secure():
    """Run over wss, trusting the certificate where the original's programs look for it."""
    with open(".crossbar/server_cert.pem") as file:
        certificate = crypto.load_certificate(crypto.FILETYPE_PEM, file.read())
    options = CertificateOptions(trustRoot=OpenSSLCertificateAuthorities([certificate]))
    return ApplicationRunner(sisock.base.WAMP_URI, sisock.base.REALM, ssl=options)


def plain():
    """Run on the OCS port."""
    address = "ws://%s:%d/ws" % (sisock.base.SISOCK_HOST, sisock.base.OCS_PORT)
    return ApplicationRunner(address, sisock.base.REALM)


CASES = {
    "by_class": lambda: secure().run(ByClass),
    "by_instance": lambda: plain().run(ByInstance(ComponentConfig("test_realm", {}), "by_instance", "an instance")),
    "blocking": lambda: secure().run(Blocking(ComponentConfig(sisock.base.REALM, {}))),
    "large": lambda: secure().run(Large),
    "raising": lambda: secure().run(Raising),
    "reconnecting": lambda: secure().run(ByClass, auto_reconnect=True),
}

if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    CASES[sys.argv[1]]()
