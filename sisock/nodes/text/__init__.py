"""Text archives, a format a module: ``weather``, ``apex_weather`` and ``radiometer``.

Each is a function that reads a file, and an entry, the ``FileFormat``, that makes the class of its nodes: one more
format is a module like these, and a line in ``sisock.nodes.KINDS``. What the files have in common is in ``rows``.
"""
