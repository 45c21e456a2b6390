"""What is drawn at the start of one window, as far as it is known, and whether it must be asked for."""

from __future__ import annotations

from sisock.core.reduce.reducers import Samples
from sisock.core.window.edge import Edge
from sisock.gateway.edge.kept import LEAST_REACH_S, add_first, add_held, lacking_s
from sisock.gateway.node_client import NodeClient
from sisock.gateway.planner import NodeQuestion
from sisock.gateway.tile_cache import Lookup, SeriesKey


class WindowEdges:
    """The edges of the fields of one question to one node.

    Attributes
    ----------
    held
        The fields of which what was before the window is drawn at its start.
    before
        Times of the last samples before the window, UNIX seconds, of these fields and of those without any in it.
    """

    def __init__(self, peer: NodeClient, question: NodeQuestion) -> None:
        self._start = question.request.start
        self._tells = peer.info is not None and "edge" in peer.info.capabilities
        self._asks_when_empty = self._tells and question.resolution.before is not False
        self._holding = question.holding(peer.catalogue)
        self._wanting = set(self._holding) if self._tells else set()
        self.held: set[str] = set()
        self.before: dict[str, float] = {}

    def lacks(self, key: SeriesKey, found: Lookup) -> bool:
        """Tell whether what lies at the window's start is drawn, but not known."""
        if key.field in self._wanting:
            return not _tells_before(found.edge)
        return self._tells and key.looks_ahead and found.edge is None

    def wanted(self, key: SeriesKey, found: Lookup, now: float) -> tuple[float, bool]:
        """Return for how many seconds a call that is due should bring an edge, and whether with what is before.

        Of a window of which nothing is kept but that it was empty, what is before will be wanted.
        """
        wanting, lacks = key.field in self._wanting, self.lacks(key, found)
        if not lacks and not (self._tells and (key.looks_ahead or wanting)):
            return 0.0, False
        edge_s = lacking_s(found.kept_edges, self._start, now, key.patience_s) or LEAST_REACH_S * lacks
        empty = lacks and bool(found.pieces) and not any(piece.times.size for piece in found.pieces)
        return edge_s, edge_s > 0 and (wanting or (self._asks_when_empty and empty))

    def added(self, key: SeriesKey, samples: Samples, edge: Edge | None) -> Samples:
        """Return the samples of a field with what its edge adds to them."""
        if edge is None:
            return samples
        name = key.field
        first = add_first(samples, edge) if key.looks_ahead else samples
        whole = add_held(first, edge, self._start) if name in self._holding else first
        if whole[0].size > first[0].size:
            self.held.add(name)
        told = name in self.held or (self._asks_when_empty and not whole[0].size)
        if told and edge.before is not None and edge.before[0].size:
            self.before[name] = float(edge.before[0][0])
        return whole

    def asks_before(self, name: str, edge: Edge | None) -> bool:
        """Tell whether what was before an empty window must be asked for, from now on; once at most."""
        if not self._asks_when_empty or name in self._wanting or _tells_before(edge):
            return False
        self._wanting.add(name)
        return True

    def give_up(self, name: str) -> None:
        """Ask for nothing more of a field."""
        self._wanting.add(name)


def _tells_before(edge: Edge | None) -> bool:
    return edge is not None and edge.before is not None
