"""A server of files in a folder beside it: as an instance, over wss, thinned by a number in the environment."""

import glob
import os

from autobahn.twisted.wamp import ApplicationRunner, ApplicationSession
from autobahn.wamp.types import ComponentConfig
from OpenSSL import crypto
from twisted.internet._sslverify import OpenSSLCertificateAuthorities
from twisted.internet.ssl import CertificateOptions

import sisock


class archive_server(sisock.base.DataNodeServer):  # noqa: N801 - as people named them
    """Reads ./readings/*.txt, each a field, when it is asked."""

    def __init__(self, config, max_points=None):
        ApplicationSession.__init__(self, config)
        self.max_points = max_points
        self.name = "old_archive"
        self.description = "Files beside the server"

    def get_fields(self, start, end):
        names = [os.path.basename(path).replace(".txt", "") for path in glob.glob("./readings/*.txt")]
        fields = {f: {"description": "", "timeline": f, "type": "number", "units": "mm"} for f in names}
        return fields, {f: {"interval": 60.0, "field": f} for f in names}

    def _get_data_blocking(self, field, start, end, min_stride=None):
        start = sisock.base.sisock_to_unix_time(start)
        end = sisock.base.sisock_to_unix_time(end)
        reply = {"data": {}, "timeline": {}}
        for f in field:
            with open("./readings/%s.txt" % f) as fp:
                rows = [[float(word) for word in line.split()] for line in fp]
            rows = [row for row in rows if start <= row[0] < end]
            if self.max_points:
                rows = rows[:: max(1, len(rows) // self.max_points)]
            reply["data"][f] = [row[1] for row in rows]
            reply["timeline"][f] = {"t": [row[0] for row in rows], "finalized_until": None}
        return reply


if __name__ == "__main__":
    certificate = crypto.load_certificate(crypto.FILETYPE_PEM, open(".crossbar/server_cert.pem", "r").read())
    options = CertificateOptions(trustRoot=OpenSSLCertificateAuthorities([certificate]))
    for variable in ["MAX_POINTS"]:
        try:
            print("The environment has %s." % os.environ[variable])
        except KeyError:
            os.environ[variable] = None
    runner = ApplicationRunner(
        "wss://%s:%d/ws" % (sisock.base.SISOCK_HOST, sisock.base.SISOCK_PORT), sisock.base.REALM, ssl=options
    )
    runner.run(archive_server(ComponentConfig(sisock.base.REALM, {}), max_points=int(os.environ["MAX_POINTS"])))
