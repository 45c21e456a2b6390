"""The adapter on the network.

``command`` starts the ``server``, which answers queries in the reactor's thread and hands the rest to Flask's ``app``.
``compression`` and ``metrics`` are what both need; ``in_memory`` is the server without sockets, for tests.
"""
