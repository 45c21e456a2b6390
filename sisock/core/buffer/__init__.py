"""A rolling buffer: the last hours of live samples of one timeline.

Read ``rolling`` first: the buffer, its position, and the protocol of a write-ahead log. ``batch`` checks what comes,
``chunks`` hold it and count its bytes, and ``summaries`` keep up with them.
"""

from sisock.core.buffer.rolling import RollingBuffer

__all__ = ["RollingBuffer"]
