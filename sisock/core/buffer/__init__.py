"""A rolling buffer: the last hours of live samples of one timeline.

Read ``rolling`` first. What it takes is checked in ``batch`` and lies in ``chunks``; ``summaries`` keep up with them,
and ``budget`` tells how many bytes all take. ``position`` is what a write-ahead log must know of it.
"""

from sisock.core.buffer.rolling import RollingBuffer

__all__ = ["RollingBuffer"]
