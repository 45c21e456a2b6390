"""What every node of live samples shares: buffers that survive a restart.

``buffer_folder`` makes buffers and brings them back; each has a ``write_ahead_log``, written as samples come, in files
whose format is in ``log_file``.
"""

from sisock.nodes.live.buffer_folder import BufferFolder

__all__ = ["BufferFolder"]
