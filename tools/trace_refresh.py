"""Counts the files that one cached refresh of a panel goes through: ``python tools/trace_refresh.py [TREE]``.

A panel of a few series of one live node is drawn three times, seconds apart; the third is traced from the bytes of
the HTTP request to those of the reply. A call counts where Python enters a function of the packages, with what Python
runs as one (lambdas, and comprehensions until 3.11). That a generator or coroutine goes on is no call: so the figures
don't depend on how many items it yields. A move is a call whose nearest caller in the packages, whatever library lies
between, stands in another file. The fakes in sisock.testing stand for WAMP and the clock: neither they nor what the
node does below them counts.

TREE is the checkout that is measured, this one unless given. Classes are found by their names, wherever they stand.
"""

import argparse
import ast
import importlib
import inspect
import json
import sys
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from census import ROOT, source_paths

NOW = 1_795_325_987.03
WINDOW_S = 3600.0
EVERY_S = 10.0
SAMPLE_S = 1.0
POINTS = 1000
NODE = "live"
PAUSING = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def main(tree: Path, series: int = 4, *, files_only: bool = False) -> None:
    sys.path.insert(0, str(tree))
    panel = Panel(series, tree)
    for _ in range(2):
        panel.refresh()
        panel.wait()
    tracer = Tracer(tree, panel.fakes)
    asked = panel.refresh(tracer)
    if not tracer.calls:
        sys.exit(f"trace_refresh: nothing of {tree} ran; is another checkout imported?")
    figures = [
        f"{series} series, of which the node was asked for {asked:.0f} of {WINDOW_S:.0f} s",
        f"{len(tracer.calls)} files",
        f"{tracer.moves} moves",
    ]
    files = [f"{count:5}  {path}" for path, count in tracer.calls.items()]
    print("\n".join(files if files_only else figures + files))


class Tracer:
    """Counts calls in the sources of a tree, and moves between them.

    Parameters
    ----------
    fakes
        Path of a source that does not count, nor what is called from there.
    """

    def __init__(self, tree: Path, fakes: str) -> None:
        self.calls: Counter[str] = Counter()
        self.moves = 0
        self._fakes = fakes
        self._places = {str(path): str(path.relative_to(tree)) for path in source_paths(tree)}
        self._paused: set[FrameType] = set()

    def __enter__(self) -> None:
        self._before = sys.getprofile()
        sys.setprofile(self._note)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)
        self._paused.clear()

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        place = self._places.get(frame.f_code.co_filename)
        if event != "call" or place is None or self._goes_on(frame):
            return
        callers, caller = [frame], frame.f_back
        while caller:
            callers.append(caller)
            caller = caller.f_back
        if any(one.f_code.co_filename == self._fakes for one in callers):
            return
        self.calls[place] += 1
        ours = [self._places.get(one.f_code.co_filename) for one in callers[1:]]
        self.moves += next((one for one in ours if one), place) != place

    def _goes_on(self, frame: FrameType) -> bool:
        if not frame.f_code.co_flags & PAUSING:
            return False
        known = frame in self._paused
        self._paused.add(frame)
        return known


class Panel:
    """A panel of Grafana, and the adapter of a tree with one node; a sample is there as soon as its time is."""

    def __init__(self, series: int, tree: Path) -> None:
        from twisted.internet.defer import maybeDeferred
        from twisted.web.server import Site

        from sisock import testing

        self.fakes = testing.__file__
        self._make_node = testing.FakeNode
        self._names = [f"field{number}" for number in range(series)]
        self._clock = testing.ManualClock(NOW)
        self._hub = testing.FakeHub([self._node()])
        gateway = find(tree, "Gateway")(None, self._clock, 2.0)
        self._hub.on_added.append(gateway.directory.node_added)
        self._hub.on_subtracted.append(gateway.directory.node_subtracted)
        testing.result_of(gateway.connected(testing.FakeRouter(self._hub, self._clock)))
        adapter = find(tree, "Adapter")(gateway, maybeDeferred)
        self._site = Site(find(tree, "QueryResource")(adapter, maybeDeferred), reactor=self._clock)
        self._site.timeOut = None

    def wait(self) -> None:
        """Let the time pass until the next refresh."""
        self._clock.advance(EVERY_S)

    def refresh(self, tracer: Tracer | None = None) -> float:
        """Draw the panel; return the seconds of its window that the node was asked for."""
        from twisted.internet.testing import StringTransport

        node = self._hub.nodes[NODE] = self._node()
        channel, transport, request = self._site.buildProtocol(None), StringTransport(), self._request()
        channel.makeConnection(transport)
        with tracer or nullcontext():
            channel.dataReceived(request)
        self._check(transport.value())
        return sum(map(asked_s, node.calls))

    def _node(self) -> Any:
        count = int((self._clock() - NOW + 2 * WINDOW_S) / SAMPLE_S)
        times = [NOW - 2 * WINDOW_S + number * SAMPLE_S for number in range(count)]
        values = [float(number % 97) for number in range(count)]
        return self._make_node(NODE, dict.fromkeys(self._names, (times, values)), interval_s=SAMPLE_S)

    def _request(self) -> bytes:
        end = self._clock()
        targets = [
            {"refId": f"A{number}", "target": f"{NODE}::{name}", "payload": {}}
            for number, name in enumerate(self._names)
        ]
        window = {"from": iso(end - WINDOW_S), "to": iso(end)}
        query = {"app": "dashboard", "range": window, "maxDataPoints": POINTS, "targets": targets}
        body = json.dumps(query | {"intervalMs": int(1000 * WINDOW_S / POINTS)}).encode()
        head = "POST /query HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "
        return f"{head}{len(body)}\r\n\r\n".encode() + body

    def _check(self, reply: bytes) -> None:
        head, _, body = reply.partition(b"\r\n\r\n")
        drawn = [entry for entry in json.loads(body or "[]") if "datapoints" in entry]
        if not head.startswith(b"HTTP/1.1 200") or len(drawn) != len(self._names):
            sys.exit(f"trace_refresh: the panel was not drawn: {reply[:500]!r}")


def asked_s(call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> float:
    """Return how long the spans are that one call asks a node for samples of."""
    procedure, arguments, keywords = call
    if procedure != "get_data":
        return 0.0
    return float(sum(end - start for start, end in keywords.get("spans") or [arguments[1:3]]))


def find(tree: Path, name: str) -> Any:
    """Return the class of a name, which stands in one of the sources."""
    paths = [path for path in source_paths(tree) if defines(path, name)]
    if len(paths) != 1:
        sys.exit(
            f"trace_refresh: one class {name} is needed, but there are {len(paths)}: {', '.join(map(str, paths))}"
        )
    parts = paths[0].relative_to(tree).with_suffix("").parts
    module = importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return getattr(module, name)


def defines(path: Path, name: str) -> bool:
    body = ast.parse(path.read_text()).body
    return any(isinstance(statement, ast.ClassDef) and statement.name == name for statement in body)


def iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", nargs="?", type=Path, default=ROOT, help="folder of a checkout; this one unless given")
    parser.add_argument("--series", type=int, default=4, help="of the panel; 4 unless given")
    parser.add_argument("--files", action="store_true", help="print only the list of files with counts of calls")
    given = parser.parse_args()
    main(given.tree.resolve(), given.series, files_only=given.files)
