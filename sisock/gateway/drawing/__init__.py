"""From a node's samples to what is drawn; pure.

``planner`` has what is asked of the gateway, how finely it is drawn, and the query for each node. ``series`` makes
series of a node's samples, and splices one of what several nodes serve; ``gaps`` breaks lines. ``cells`` are those of
a grid (``every``: as long as somebody wants them), and ``laying`` puts series on them.
"""
