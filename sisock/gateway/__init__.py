"""The mechanism behind every consumer that draws: plan the queries, ask nodes side by side, say what is missing.

Start with ``gateway``. ``drawing.planner`` makes a query for each node. The ``cached_reader`` reads it: it asks for
what the ``tile_cache`` lacks (``tiles`` are what is kept; ``single_flight`` lets many wait for one call). Where a node
has only the original library, the ``legacy_reader`` reads it; where one does not tell what holds at the window's
start, the ``earlier_reader`` adds that. A ``node_client`` is one node and its breaker, called through the
``RouterLink``; the ``directory`` has all of them, and the ``target_index`` their names. ``drawing`` turns what came
into what is drawn, on a grid by the ``gridder``. ``session`` connects all of it to the router.
"""

import sisock.wamp  # noqa: F401 - Autobahn must first be loaded by that package, which keeps it quiet
from sisock.gateway.drawing.planner import SeriesWanted
from sisock.gateway.gateway import Gateway

__all__ = ["Gateway", "SeriesWanted"]
