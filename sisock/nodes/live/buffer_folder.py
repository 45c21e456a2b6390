"""Rolling buffers that survive a restart: a folder with a write-ahead log for each of them.

What a buffer takes is written to its log before any reader can see it, so that the end of the process, however
sudden, loses nothing that was ever served. The operating system brings it to the disk some seconds later: a buffer
whose last seconds may have been lost on that way, as in a power cut, comes back as other data, under a new generation.
The time in which no process ran is no loss: nothing was measured. The format is in :mod:`sisock.nodes.live.log_file`.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import math
import os
import re
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.model import FieldType
from sisock.nodes.live import write_ahead_log
from sisock.nodes.live.recovery import recover
from sisock.nodes.live.write_ahead_log import FileLog, Recovered, fresh_generation

log = logging.getLogger(__name__)

# A clock that nobody sets right again within an hour is taken to be right.
ASIDE_S = 3600.0
_LOCK = "lock"
_SUFFIX, _DISCARDED = ".samples", ".discarded"
_NAME = re.compile(rf"[0-9a-f]{{32}}{re.escape(_SUFFIX)}({re.escape(_DISCARDED)})?")

Kept = TypeVar("Kept")
TakeBuffer = Callable[[RollingBuffer, Mapping[str, Any]], bool]
"""Called with a buffer and the ``about`` of it; returns whether it is used."""


class BufferFolder:
    """A folder of buffers: it makes new ones, and brings back those of an earlier process.

    One process at a time uses a folder. Where it cannot be used, buffers are in memory only; a warning says so, once.

    Parameters
    ----------
    folder
        None for buffers in memory only.
    """

    def __init__(self, folder: Path | str | None) -> None:
        self._folder = None if folder is None else Path(folder).absolute()
        self._warn = _Warning(self._folder)
        self._logs: dict[RollingBuffer, tuple[Path, FileLog]] = {}
        self._lock = None if self._folder is None else self._use(self._folder)
        # Done at the end of the process, too. What it is given must not hold on to this folder, which would never go.
        self._ending = weakref.finalize(self, _end, self._logs, self._lock)

    def new_buffer(
        self,
        fields: Mapping[str, FieldType],
        duration_s: float,
        about: Mapping[str, Any] | None = None,
        max_bytes: float = math.inf,
        late_s: float = 0.0,
    ) -> RollingBuffer:
        """Return an empty buffer.

        Parameters
        ----------
        fields, duration_s, max_bytes, late_s
            As of :class:`RollingBuffer`.
        about
            What is wanted beside it after a restart, as for JSON.
        """
        buffer = RollingBuffer(fields, duration_s, fresh_generation(), max_bytes, late_s)
        if self._lock is not None and self._folder is not None:
            path = self._folder / f"{uuid.uuid4().hex}{_SUFFIX}"
            self._keep(buffer, path, FileLog(path, fields, about or {}, self._warn))
        return buffer

    def restored(
        self, duration_s: float, max_bytes: float = math.inf, late_s: float = 0.0
    ) -> list[tuple[RollingBuffer, Mapping[str, Any]]]:
        """Return the buffers of an earlier process, each with its ``about``; call it once, before others."""
        buffers = []
        for path in self._log_folders():
            try:
                recovered = recover(path, lambda fields: RollingBuffer(fields, duration_s, "", max_bytes, late_s))
                if recovered is None:
                    _remove(path)
                else:
                    buffers.append(self._go_on(path, *recovered))
            except OSError as error:
                self._warn(error)
        return buffers

    def restore(
        self,
        take: TakeBuffer,
        rank: Callable[[RollingBuffer], Any],
        duration_s: float,
        max_bytes: float = math.inf,
        late_s: float = 0.0,
    ) -> None:
        """Offer the buffers of an earlier process to their owner, that of the highest rank first.

        What it does not take is discarded, as what is empty is: of two buffers with the same fields, which a process
        leaves that ends between beginning one and discarding the other, it takes the better one.
        """
        buffers = self.restored(duration_s, max_bytes, late_s)
        for buffer, about in sorted(buffers, key=lambda one: rank(one[0]), reverse=True):
            if not len(buffer) or not take(buffer, about):
                self.discard(buffer)

    def discard(self, buffer: RollingBuffer) -> None:
        """Remove what is kept of a buffer that is no longer used."""
        path, _ = self._logs.pop(buffer, (None, None))
        if path is not None:
            try:
                _remove(path)
            except OSError as error:
                self._warn(error)

    def close(self) -> None:
        """Flush all to the disk, so that it is known to be whole even after the machine was off; done at exit, too."""
        _flush(self._logs)

    def _use(self, folder: Path) -> int | None:
        """Return the lock on a folder, None when it cannot be had; a process that is gone holds none."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            self._warn(error)
            return None
        # The system lets go of it when the process ends, however it does.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            self._warn(error)
            return None
        return lock

    def _log_folders(self) -> list[Path]:
        """Return the folders of logs, without those whose removal was begun; these are removed."""
        if self._lock is None or self._folder is None:
            return []
        paths = [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
        # A process ended while it removed these.
        for path in paths:
            if path.name.endswith(_DISCARDED):
                _empty(path)
        return sorted(path for path in paths if not path.name.endswith(_DISCARDED))

    def _go_on(
        self, path: Path, buffer: RollingBuffer, recovered: Recovered
    ) -> tuple[RollingBuffer, Mapping[str, Any]]:
        """Go on with the log of a buffer; return that, and its ``about``."""
        header = recovered.header
        file_log = FileLog(path, header.fields, header.about, self._warn, recovered)
        if not recovered.is_proven:
            # So that the new generation is there after the next restart, even if no sample comes before it.
            file_log.resumed(buffer.position)
        self._keep(buffer, path, file_log)
        return buffer, header.about

    def _keep(self, buffer: RollingBuffer, path: Path, file_log: FileLog) -> None:
        self._logs[buffer] = (path, file_log)
        buffer.keep_in(file_log)


class Aside(Generic[Kept]):
    """The past of one clock, from before it jumped so far that nothing of it could stay; kept for an hour.

    ``kept`` is that past in the form in which its owner goes on with it, None when nothing is aside; ``buffers`` are
    those in it.

    Parameters
    ----------
    folder
        Where the buffers are kept, too: they are removed from it when the hour is over.
    steady
        Returns seconds of a clock that never steps; the one that jumped cannot tell when an hour is over.
    """

    def __init__(self, folder: BufferFolder, steady: Callable[[], float]) -> None:
        self._folder = folder
        self._steady = steady
        self._until = -math.inf
        self.kept: Kept | None = None
        self.buffers: Sequence[RollingBuffer] = ()

    def put(self, kept: Kept, buffers: Iterable[RollingBuffer]) -> None:
        """Put a past aside, where none is."""
        self.kept, self.buffers = kept, tuple(buffers)
        self._until = self._steady() + ASIDE_S

    def clear(self) -> None:
        """Have nothing aside any more; its buffers are used again, and stay on the disk."""
        self.kept, self.buffers = None, ()

    def discard(self) -> None:
        """Have nothing aside any more, on the disk neither."""
        for buffer in self.buffers:
            self._folder.discard(buffer)
        self.clear()

    def discard_when_over(self) -> None:
        """Discard what has been aside for an hour: that clock is right, or will not be set right."""
        if self.kept is not None and self._steady() > self._until:
            self.discard()


class _Warning:
    """A warning that samples are not kept, written to the program's log once."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._is_written = False

    def __call__(self, error: OSError) -> None:
        reason = "another process uses it" if error.errno == errno.EWOULDBLOCK else error.strerror or str(error)
        if not self._is_written:
            self._is_written = True
            log.warning(
                "samples cannot be kept in %s: %s. They are in memory only, and lost when this process ends",
                self._folder,
                reason,
            )


def _flush(logs: Mapping[RollingBuffer, tuple[Path, FileLog]]) -> None:
    # Another thread may still poll, and begin or discard a buffer.
    for _, file_log in list(logs.values()):
        file_log.close()


def _end(logs: Mapping[RollingBuffer, tuple[Path, FileLog]], lock: int | None) -> None:
    _flush(logs)
    if lock is not None:
        os.close(lock)


def _remove(path: Path) -> None:
    """Remove a log: under another name first, so that half of one is never taken for a whole."""
    _empty(path.rename(path.with_name(path.name + _DISCARDED)))


def _empty(path: Path) -> None:
    for suffix in (write_ahead_log.LOG_SUFFIX, write_ahead_log.UNNAMED_SUFFIX):
        for file in path.glob(f"*{suffix}"):
            file.unlink()
    path.rmdir()
