"""A series that can be reduced, whatever holds its samples.

``series`` is the protocol. A ``column`` is one in memory or mapped from files, with its pyramid; ``concatenated`` is
several columns, each after the one before; ``mapped`` writes a column down as plain arrays, and has it back.
"""
