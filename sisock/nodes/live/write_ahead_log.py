"""The journal of one buffer: segments in a folder, written as samples come and read after a restart."""

from __future__ import annotations

import errno
import math
import os
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sisock.core.buffer.rolling import Position, RollingBuffer
from sisock.core.model import FieldType, Times, Values
from sisock.nodes.live import log_file
from sisock.nodes.live.log_file import Header, LogDamaged, LogFile

LEAST_SEGMENT_BYTES, MOST_SEGMENT_BYTES = 4096, 8 * 2**20
SEGMENTS_KEPT = 8  # so that a file which has expired but for a little is an eighth of the disk at most
_CLOCK_TOLERANCE_NS = 2_500_000_000  # some file systems know the time of a change to two seconds
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return what tells this run of the machine from others; empty where the system has no such thing."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def fresh_generation() -> str:
    """Return an identity that no data had before."""
    return uuid.uuid4().hex


@dataclass
class _Written:
    """A segment on the disk; ``newest`` is the time of the newest sample before it."""

    number: int
    newest: float
    bytes: int


@dataclass
class Recovered:
    """What a journal's folder holds.

    Parameters
    ----------
    header
        Of the newest segment.
    is_proven
        Whether all that was ever served under its generation is there.
    """

    header: Header
    is_proven: bool = True
    written: list[_Written] = field(default_factory=list)


class FileLog:
    """Writes what a buffer takes, to the operating system before the call returns.

    Parameters
    ----------
    folder
        Made when the first sample comes.
    fields
        The type of each field, in the order in which values come.
    about
        What the owner of the buffer wants to be told after a restart, as for JSON.
    failed
        Called with the error when something could not be written. Nothing is written after that, and the generation
        is another one.
    recovered
        What the folder holds already.
    """

    def __init__(
        self,
        folder: Path,
        fields: Mapping[str, FieldType],
        about: Mapping[str, Any],
        failed: Callable[[OSError], None],
        recovered: Recovered | None = None,
    ) -> None:
        self._folder = folder
        self._fields = dict(fields)
        self._about = about
        self._failed = failed
        self._written = recovered.written if recovered else []
        self._is_sound = recovered is None or recovered.is_proven
        self._has_failed = False
        self._crc = self._opening_bytes = 0
        self._is_begun = False
        self._guard = threading.Lock()
        self.generation = recovered.header.generation if recovered and recovered.is_proven else fresh_generation()

    def extended(self, before: Position, times: Times, values: Sequence[Values]) -> None:
        """Write a batch that the buffer takes at a mark."""
        self._write(before, lambda crc: log_file.encode_batch(times, values, crc))

    def resumed(self, mark: Position) -> None:
        """Write that the samples newer than a mark's newest were dropped."""
        for one in self._written:
            one.newest = min(one.newest, mark.newest)
        self._write(mark, lambda crc: log_file.encode_mark(mark, crc))

    def close(self) -> None:
        """Flush all to the disk and say so in the newest segment; what is written after that begins another."""
        with self._guard:
            if self._has_failed or not self._is_sound or not self._written:
                return
            try:
                for one in self._written:
                    _flush(self._path(one.number))
                self._set_state(self._written[-1], log_file.CLOSED)
                _flush(self._path(self._written[-1].number))
                _flush(self._folder)
            except OSError as error:
                self._give_up(error)
            self._is_begun = False

    def _write(self, mark: Position, encode: Callable[[int], bytes]) -> None:
        with self._guard:  # a process may end while it polls
            if self._has_failed:
                return
            try:
                if not self._is_begun or self._is_full():
                    self._begin(mark)
                self._append(encode(self._crc))
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._has_failed = True
        self.generation = fresh_generation()
        self._failed(error)

    def _is_full(self) -> bool:
        kept = sum(one.bytes for one in self._written)
        least = max(LEAST_SEGMENT_BYTES, self._opening_bytes)
        limit = min(max(kept // SEGMENTS_KEPT, least), MOST_SEGMENT_BYTES)
        return self._written[-1].bytes - self._opening_bytes >= limit

    def _begin(self, mark: Position) -> None:
        """Begin another segment, and remove those of which all has expired."""
        self._folder.mkdir(parents=True, exist_ok=True)
        last = self._written[-1] if self._written else None
        new = _Written(last.number + 1 if last else 1, mark.newest, 0)
        newest_of = [one.newest for one in (*self._written, new)][1:]
        expired = 0
        while expired < len(newest_of) and mark.dropped and newest_of[expired] < mark.floor:
            expired += 1
        old, self._written = self._written[:expired], [*self._written[expired:], new]
        self._open_segment(new, self._written[0].number, mark)
        if last:
            self._set_state(last, log_file.FOLLOWED)
        for one in old:
            self._path(one.number).unlink(missing_ok=True)
        self._is_begun = self._is_sound = True

    def _open_segment(self, new: _Written, oldest: int, mark: Position) -> None:
        """Write a segment without records under another name first, so that none is ever seen with half a header."""
        path = self._path(new.number)
        header = Header(new.number, oldest, boot_id(), self.generation, self._fields, mark, self._about)
        opening = log_file.encode_opening(header, time.time_ns())
        unnamed = path.with_suffix(".new")
        file = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _write_at(file, opening, 0)
        finally:
            os.close(file)
        unnamed.rename(path)
        new.bytes = self._opening_bytes = len(opening)
        self._crc = zlib.crc32(opening[log_file.PREAMBLE.size :])

    def _append(self, record: bytes) -> None:
        current = self._written[-1]
        file = os.open(self._path(current.number), os.O_WRONLY)
        try:
            _write_at(file, record, current.bytes)
            _write_progress(file, current.bytes + len(record))
        finally:
            os.close(file)
        current.bytes += len(record)
        self._crc = zlib.crc32(record[-log_file.NUMBER32.size :], log_file.NUMBER32.unpack(record[-4:])[0])

    def _set_state(self, one: _Written, state: int) -> None:
        file = os.open(self._path(one.number), os.O_WRONLY)
        try:
            _write_at(file, log_file.NUMBER32.pack(state), log_file.STATE_OFFSET)
            _write_progress(file, one.bytes)
        finally:
            os.close(file)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.journal"


class _Reading:
    """Reads the segments of a folder, oldest first, into a buffer."""

    def __init__(self, make_buffer: Callable[[Mapping[str, FieldType]], RollingBuffer]) -> None:
        self._make_buffer = make_buffer
        self.buffer: RollingBuffer | None = None
        self.read: list[tuple[Path, LogFile]] = []
        self.written: list[_Written] = []
        self.is_sound = True
        self._unknown_until = -math.inf

    def take(self, path: Path) -> None:
        """Take the next segment; what does not go on where the one before it ended begins anew."""
        data = path.read_bytes()
        segment = log_file.decode_log_file(data)
        header = segment.header
        if self.buffer is None:
            self.buffer = self._make_buffer(header.fields)
        if not self._resume(self.buffer, header.mark):
            self.is_sound = self.is_sound and not self.read
            self.read, self.written = [], []
            self._unknown_until = header.mark.newest
        self.is_sound = self.is_sound and segment.is_whole
        self.read.append((path, segment))
        self.written.append(_Written(header.number, header.mark.newest, segment.length))
        for step in segment.steps:
            if isinstance(step, Position):
                self._resume(self.buffer, step)
            else:
                for times, values in step.batches(self.buffer.mark.newest):
                    self.buffer.extend(times, dict(zip(header.fields, values, strict=True)))

    def _resume(self, buffer: RollingBuffer, mark: Position) -> bool:
        for one in self.written:
            one.newest = min(one.newest, mark.newest)
        self._unknown_until = min(self._unknown_until, mark.newest)
        return buffer.resume(mark)

    def recovered(self) -> Recovered | None:
        """Return what was found, after all was read."""
        if self.buffer is None or not self.read:
            return None
        if self._unknown_until > -math.inf:  # what lies before the first segment
            self.buffer.forget_before(math.nextafter(self._unknown_until, math.inf))
        path, segment = self.read[-1]
        header = segment.header
        is_proven = (
            self.is_sound
            and self.written[0].number <= header.oldest
            and segment.state != log_file.FOLLOWED
            and (segment.state == log_file.CLOSED or header.boot == boot_id() != "")
            and abs(path.stat().st_ctime_ns - segment.written_ns) < _CLOCK_TOLERANCE_NS
        )
        return Recovered(header, is_proven, self.written)


def recover(
    folder: Path, make_buffer: Callable[[Mapping[str, FieldType]], RollingBuffer]
) -> tuple[RollingBuffer, Recovered] | None:
    """Return the buffer that a journal tells of, or None when nothing of it can be used.

    Where something lacks in the middle, what comes after that is used. The files are put right, so that they are
    found whole the next time.

    Raises
    ------
    OSError
        When the folder cannot be read, or not be put right.
    """
    reading = _Reading(make_buffer)
    for path in sorted(folder.glob("*.journal")):
        try:
            reading.take(path)
        except LogDamaged:
            reading.is_sound = False
    recovered = reading.recovered()
    if recovered is None or reading.buffer is None:
        return None
    used = dict(reading.read)
    for path in (*folder.glob("*.journal"), *folder.glob("*.new")):
        if path not in used:
            path.unlink()
        elif not used[path].is_whole:
            _cut(path, used[path].length)
    return reading.buffer, recovered


def _cut(path: Path, length: int) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(file, length)
        _write_progress(file, length)
    finally:
        os.close(file)


def _write_at(file: int, data: bytes, offset: int) -> None:
    if os.pwrite(file, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write_progress(file: int, length: int) -> None:
    _write_at(file, log_file.PROGRESS.pack(length, time.time_ns()), log_file.LENGTH_OFFSET)


def _flush(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
