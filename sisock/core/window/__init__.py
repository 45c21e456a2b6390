"""The answer for a window, by a node that has columns and by one that can only be read.

``spans`` reduces several spans of a window at once. ``edge`` is what lies at the window's start; ``edge_reading``,
``newest`` and ``parts`` read a source that may refuse: for the start, for the newest samples, for the rest in halves.
``walks`` are over spans that no one reply can hold. ``review`` judges what a server answers, and ``remarks`` are what
is told of it in words.
"""
