"""What every consumer that draws needs: plan the questions, ask the nodes side by side, say what is missing.

Start with ``gateway``. The ``planner`` makes a question for each node, which the ``cached_reader`` asks for what the
``tile_cache`` lacks (``tiles`` are what is kept; ``single_flight`` lets many wait for one call), and the
``legacy_reader`` where a node has only the original library. ``window_start`` adds what holds at the start. A
``node_client`` is one node with its breaker, called through ``rpc``; the ``directory`` has all of them, and the
``target_index`` their names. ``drawing`` turns what came into what is drawn, on a grid by the ``gridder``.
"""

import sisock.wamp  # noqa: F401 - Autobahn must first be loaded by that package, which keeps it quiet
from sisock.gateway.drawing.planner import SeriesWanted
from sisock.gateway.gateway import Gateway

__all__ = ["Gateway", "SeriesWanted"]
