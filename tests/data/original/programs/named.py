"""A server whose constructor wants a name and a description and no configuration; its program takes arguments."""

import argparse

from autobahn.twisted.component import Component, run
from autobahn.wamp.types import ComponentConfig

import sisock


class Named(sisock.base.DataNodeServer):
    """Serves one constant."""

    def __init__(self, name, description):
        super().__init__(ComponentConfig(sisock.base.REALM, {}))
        self.name = name
        self.description = description

    def get_fields(self, start, end):
        field = {"description": self.description, "timeline": "t", "type": "number", "units": None}
        return {"one": field}, {"t": {"interval": 1.0, "field": ["one"]}}

    def get_data(self, field, start, end, min_stride=None):
        return {"data": {"one": [1.0]}, "timeline": {"t": {"t": [1.5e9], "finalized_until": None}}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--called", required=True)
    called = parser.parse_args().called
    component = Component(
        transports="ws://127.0.0.1:1/ws",
        realm=sisock.base.REALM,
        session_factory=lambda config: Named(called, "by its arguments"),
    )
    run([component])


if __name__ == "__main__":
    main()
