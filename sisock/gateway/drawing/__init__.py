"""From a node's samples to what is drawn; pure.

``series`` is what is asked of the gateway and what it answers, ``resolution`` how finely. ``draw`` makes series of a
node's samples, ``splicing`` one of what several nodes serve, ``gaps`` breaks lines. ``cells`` are those of a grid
(``every``: as long as somebody wants them), and ``laying`` puts series on them.
"""
