"""Rolling buffers that survive a restart: a folder with a journal for each of them.

What a buffer takes is written to its journal before any reader can see it, so that the end of the process, however
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.model import FieldType
from sisock.nodes.live.write_ahead_log import FileLog, fresh_generation, recover

log = logging.getLogger(__name__)

_LOCK = "lock"
_SUFFIX, _DISCARDED = ".samples", ".discarded"
_NAME = re.compile(rf"[0-9a-f]{{32}}{re.escape(_SUFFIX)}({re.escape(_DISCARDED)})?")


class BufferFolder:
    """Makes buffers and brings back those of an earlier process.

    One process at a time uses a folder. Where it cannot be used, buffers are in memory only; the log says so, once.

    Parameters
    ----------
    folder
        None for buffers in memory only.
    """

    def __init__(self, folder: Path | str | None) -> None:
        self._folder = None if folder is None else Path(folder).absolute()
        self._warn = _Warning(self._folder)
        self._journals: dict[RollingBuffer, tuple[Path, FileLog]] = {}
        self._lock = None if self._folder is None else self._use(self._folder)
        # What is handed to the end of the process must not hold on to this folder.
        self._ending = weakref.finalize(self, _end, self._journals, self._lock)

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
        """Return the buffers of an earlier process, each with what was said about it; call it once, before others."""
        found = []
        for path in self._journal_folders():
            try:
                restored = recover(path, lambda fields: RollingBuffer(fields, duration_s, "", max_bytes, late_s))
                if restored is None:
                    _remove(path)
                    continue
            except OSError as error:
                self._warn(error)
                continue
            buffer, recovered = restored
            header = recovered.header
            journal = FileLog(path, header.fields, header.about, self._warn, recovered)
            if not recovered.is_proven:
                journal.resumed(buffer.mark)  # so that the new generation is there after the next restart
            self._keep(buffer, path, journal)
            found.append((buffer, header.about))
        return found

    def discard(self, buffer: RollingBuffer) -> None:
        """Remove what is kept of a buffer that is no longer used."""
        path, _ = self._journals.pop(buffer, (None, None))
        if path is not None:
            try:
                _remove(path)
            except OSError as error:
                self._warn(error)

    def close(self) -> None:
        """Flush all to the disk, so that it is known to be whole even after the machine was off; done at exit, too."""
        _flush(self._journals)

    def _use(self, folder: Path) -> int | None:
        """Return the lock on a folder, None when it cannot be had; a process that is gone holds none."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            self._warn(error)
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            self._warn(error)
            return None
        return lock

    def _journal_folders(self) -> list[Path]:
        """Return the folders of journals, without those whose removal was begun."""
        if self._lock is None or self._folder is None:
            return []
        paths = [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
        for path in paths:
            if path.name.endswith(_DISCARDED):
                _empty(path)
        return sorted(path for path in paths if not path.name.endswith(_DISCARDED))

    def _keep(self, buffer: RollingBuffer, path: Path, journal: FileLog) -> None:
        self._journals[buffer] = (path, journal)
        buffer.keep_in(journal)


class _Warning:
    """Says, once, that samples are not kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._is_said = False

    def __call__(self, error: OSError) -> None:
        reason = "another process uses it" if error.errno == errno.EWOULDBLOCK else error.strerror or str(error)
        if not self._is_said:
            self._is_said = True
            log.warning(
                "samples cannot be kept in %s: %s. They are in memory only, and lost when this process ends",
                self._folder,
                reason,
            )


def _flush(journals: Mapping[RollingBuffer, tuple[Path, FileLog]]) -> None:
    for _, journal in list(journals.values()):
        journal.close()


def _end(journals: Mapping[RollingBuffer, tuple[Path, FileLog]], lock: int | None) -> None:
    _flush(journals)
    if lock is not None:
        os.close(lock)


def _remove(path: Path) -> None:
    """Remove a journal: under another name first, so that half of one is never taken for a whole."""
    _empty(path.rename(path.with_name(path.name + _DISCARDED)))


def _empty(path: Path) -> None:
    for one in (*path.glob("*.journal"), *path.glob("*.new")):
        one.unlink()
    path.rmdir()
