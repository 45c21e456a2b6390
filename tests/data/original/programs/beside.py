"""What the servers of ``several.py`` share: their parent, what makes them, and how they are run."""

from autobahn.twisted.wamp import ApplicationRunner

import sisock


class Parent(sisock.base.DataNodeServer):
    """Serves one constant, its children's."""

    value = 0.0

    def get_fields(self, start, end):
        field = {"description": None, "timeline": "t", "type": "number", "units": None}
        return {"value": field}, {"t": {"interval": 1.0, "field": ["value"]}}

    def get_data(self, field, start, end, min_stride=None):
        return {"data": {"value": [self.value]}, "timeline": {"t": {"t": [1.5e9], "finalized_until": None}}}


def make_class(called, constant):
    class Made(Parent):
        name = called
        value = constant

    return Made


def start(*servers):
    for number, server in enumerate(servers, start=1):
        runner = ApplicationRunner("ws://127.0.0.1:1/ws", sisock.base.REALM)
        runner.run(server, start_reactor=number == len(servers))
