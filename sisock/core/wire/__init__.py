"""Between the model and what travels over WAMP, both ways: the only folder that knows the keys of these dictionaries.

``requests`` and ``replies`` are the two ends of a call. ``info`` has addresses and what a node says of itself,
``catalogue`` the reply of ``get_fields``, ``data`` that of ``get_data``, ``spans`` the short form of it that our own
consumers ask for. ``values`` makes arrays of whatever a server hands over.
"""
