"""Recovery: a buffer as the write-ahead log of an earlier process has it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from sisock.core.buffer.rolling import Position, RollingBuffer
from sisock.core.model import FieldType
from sisock.nodes.live import log_file, write_ahead_log
from sisock.nodes.live.log_file import LogDamaged, LogFile
from sisock.nodes.live.write_ahead_log import Recovered, WrittenFile

MakeBuffer = Callable[[Mapping[str, FieldType]], RollingBuffer]
_FILES, _UNNAMED_FILES = f"*{write_ahead_log.LOG_SUFFIX}", f"*{write_ahead_log.UNNAMED_SUFFIX}"
# Some file systems know the time of a change to two seconds.
_CLOCK_TOLERANCE_NS = 2_500_000_000


def recover(folder: Path, make_buffer: MakeBuffer) -> tuple[RollingBuffer, Recovered] | None:
    """Return the buffer that a write-ahead log has, or None when nothing of it can be used.

    Where something lacks in the middle, what comes after that is used. The files are put right, so that they are
    found whole the next time.

    Raises
    ------
    OSError
        When the folder cannot be read, or not be put right.
    """
    reader = _LogReader(make_buffer)
    for path in sorted(folder.glob(_FILES)):
        try:
            reader.take(path)
        except LogDamaged:
            reader.is_sound = False
    recovered = reader.recovered()
    if recovered is None or reader.buffer is None:
        return None
    used = dict(reader.read)
    for path in (*folder.glob(_FILES), *folder.glob(_UNNAMED_FILES)):
        if path not in used:
            path.unlink()
        elif not used[path].is_whole:
            write_ahead_log.cut_file(path, used[path].length)
    return reader.buffer, recovered


class _LogReader:
    """Reads the log files of a folder, oldest first, into a buffer."""

    def __init__(self, make_buffer: MakeBuffer) -> None:
        self._make_buffer = make_buffer
        self.buffer: RollingBuffer | None = None
        self.read: list[tuple[Path, LogFile]] = []
        self.written: list[WrittenFile] = []
        self.is_sound = True
        self._unknown_until = -math.inf

    def take(self, path: Path) -> None:
        """Take the next file; what does not go on where the one before it ended begins anew."""
        file = log_file.decode_log_file(path.read_bytes())
        header = file.header
        if self.buffer is None:
            self.buffer = self._make_buffer(header.fields)
        if not self._resume(self.buffer, header.position):
            self.is_sound = self.is_sound and not self.read
            self.read, self.written = [], []
            self._unknown_until = header.position.newest
        self.is_sound = self.is_sound and file.is_whole
        self.read.append((path, file))
        self.written.append(WrittenFile(header.number, header.position.newest, file.length))
        for step in file.steps:
            if isinstance(step, Position):
                self._resume(self.buffer, step)
            else:
                for times, values in step.batches(self.buffer.position.newest):
                    self.buffer.extend(times, dict(zip(header.fields, values, strict=True)))

    def _resume(self, buffer: RollingBuffer, position: Position) -> bool:
        for one in self.written:
            one.newest = min(one.newest, position.newest)
        self._unknown_until = min(self._unknown_until, position.newest)
        return buffer.resume(position)

    def recovered(self) -> Recovered | None:
        """Return what was found, after all was read."""
        if self.buffer is None or not self.read:
            return None
        if self._unknown_until > -math.inf:
            # Samples up to that time are missing before the first file: nothing is served of it.
            self.buffer.forget_before(math.nextafter(self._unknown_until, math.inf))
        path, file = self.read[-1]
        return Recovered(file.header, self.is_sound and self._is_complete(path, file), self.written)

    def _is_complete(self, path: Path, file: LogFile) -> bool:
        """Tell whether no file and no record lacks before what was read, or after it; given the last of the files."""
        header = file.header
        return (
            self.written[0].number <= header.oldest
            and file.state != log_file.FOLLOWED
            # After a crash of the machine the last seconds may be lost, unless all had been flushed.
            and (file.state == log_file.CLOSED or header.boot == write_ahead_log.boot_id() != "")
            # A copy that was put back has a later time of change than the one it says it was written at.
            and abs(path.stat().st_ctime_ns - file.written_ns) < _CLOCK_TOLERANCE_NS
        )
