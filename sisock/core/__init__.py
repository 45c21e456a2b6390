"""The pure core: plain functions on arrays and frozen dataclasses, with no socket, file, clock or environment.

``model`` has the words that all parts share (field, timeline, request, block of samples), ``times`` sisock time and
the buckets, ``instants`` times as people write them, ``errors`` the exceptions. Then, each standing on those before:
``reduce`` (what is kept of a bucket), ``column`` (a series that can be reduced), ``buffer`` (a series that grows and
forgets), ``window`` (what is answered for a window), ``wire`` (how it travels). Read ``model`` and ``times`` first,
then ``reduce``.
"""
