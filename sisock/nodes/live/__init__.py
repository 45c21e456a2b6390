"""The mechanism of every live node: timelines of fields, each with a buffer that survives a restart.

A live node is a ``LiveNode`` (``live_timelines``) with a ``poll`` or a ``receive``: it serves ``LiveTimelines``, which
answer for it. A ``BufferFolder`` (``buffer_folder``) makes the buffers and restores them, and what a jump of the clock
would drop is put ``Aside`` there. Each buffer has a ``write_ahead_log``, which ``recovery`` reads back, in files whose
format is in ``log_file``.
"""

from sisock.nodes.live.buffer_folder import Aside, BufferFolder
from sisock.nodes.live.live_timelines import LiveNode, LiveTimelines

__all__ = ["Aside", "BufferFolder", "LiveNode", "LiveTimelines"]
