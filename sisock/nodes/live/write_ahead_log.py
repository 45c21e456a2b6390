"""The write-ahead log of one buffer: log files in a folder, written as samples come. ``recovery`` reads them back."""

from __future__ import annotations

import errno
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sisock.core.buffer.rolling import Position
from sisock.core.model import FieldType, Times, Values
from sisock.nodes.live import log_file
from sisock.nodes.live.log_file import Header

LEAST_FILE_BYTES, MOST_FILE_BYTES = 4096, 8 * 2**20
# So that a file which has expired but for a little is an eighth of the disk at most.
FILES_KEPT = 8
LOG_SUFFIX, UNNAMED_SUFFIX = ".journal", ".new"
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
class WrittenFile:
    """A log file on the disk: its bytes that count, and ``newest``, the time of the newest sample before it."""

    number: int
    newest: float
    bytes: int


@dataclass
class Recovered:
    """The content of a write-ahead log's folder.

    Parameters
    ----------
    header
        Of the newest file.
    is_proven
        Whether all that was ever served under its generation is there.
    """

    header: Header
    is_proven: bool = True
    written: list[WrittenFile] = field(default_factory=list)


class FileLog:
    """A write-ahead log in files: what a buffer takes is with the operating system before the call returns.

    Parameters
    ----------
    folder
        Made when the first sample comes.
    fields
        The type of each field, in the order in which values come.
    about
        What the owner of the buffer wants beside it after a restart, as for JSON.
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
        # What an earlier process wrote is not written to any more: the first record begins another file.
        self._is_begun = False
        # A process may end, and close its logs, while another thread of it polls.
        self._guard = threading.Lock()
        self.generation = recovered.header.generation if recovered and recovered.is_proven else fresh_generation()

    def extended(self, before: Position, times: Times, values: Sequence[Values]) -> None:
        """Write a batch that the buffer takes at a position."""
        self._write(before, lambda crc: log_file.encode_batch(times, values, crc))

    def resumed(self, position: Position) -> None:
        """Write that the samples newer than a position's newest were dropped."""
        for one in self._written:
            one.newest = min(one.newest, position.newest)
        self._write(position, lambda crc: log_file.encode_position(position, crc))

    def close(self) -> None:
        """Flush all to the disk and say so in the newest file; what is written after that begins another."""
        with self._guard:
            if self._has_failed or not self._is_sound or not self._written:
                return
            try:
                for one in self._written:
                    _flush(self._path(one.number))
                # Only now, and flushed again: a file that says so after a power cut must be right.
                self._set_state(self._written[-1], log_file.CLOSED)
                _flush(self._path(self._written[-1].number))
                _flush(self._folder)
            except OSError as error:
                self._give_up(error)
            self._is_begun = False

    def _write(self, position: Position, encode: Callable[[int], bytes]) -> None:
        """Write a record, which ``encode`` returns for the CRC of all before it, of a buffer at a position."""
        with self._guard:
            if self._has_failed:
                return
            try:
                if not self._is_begun or self._is_full():
                    self._begin_file(position)
                self._append(encode(self._crc))
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        # Before the call returns: what the buffer serves from here on is not what is kept under the old generation.
        self._has_failed = True
        self.generation = fresh_generation()
        self._failed(error)

    def _is_full(self) -> bool:
        kept = sum(one.bytes for one in self._written)
        least = max(LEAST_FILE_BYTES, self._opening_bytes)
        limit = min(max(kept // FILES_KEPT, least), MOST_FILE_BYTES)
        return self._written[-1].bytes - self._opening_bytes >= limit

    def _begin_file(self, position: Position) -> None:
        """Begin another file, and remove those of which all has expired."""
        self._folder.mkdir(parents=True, exist_ok=True)
        last = self._written[-1] if self._written else None
        new = WrittenFile(last.number + 1 if last else 1, position.newest, 0)
        expired = _count_expired([*self._written, new], position)
        old, self._written = self._written[:expired], [*self._written[expired:], new]
        # In this order, so that whatever the process comes to, the files that are there are found to be whole: the new
        # one names the oldest that is needed, the last says that it is followed, and only then do the old ones go.
        self._open_file(new, self._written[0].number, position)
        if last:
            self._set_state(last, log_file.FOLLOWED)
        for one in old:
            self._path(one.number).unlink(missing_ok=True)
        self._is_begun = self._is_sound = True

    def _open_file(self, new: WrittenFile, oldest: int, position: Position) -> None:
        """Write a file without records under another name first, so that none is ever seen with half a header."""
        path = self._path(new.number)
        header = Header(new.number, oldest, boot_id(), self.generation, self._fields, position, self._about)
        opening = log_file.encode_opening(header, time.time_ns())
        unnamed = path.with_suffix(UNNAMED_SUFFIX)
        with _opened(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
            _write_at(file, opening, 0)
        unnamed.rename(path)
        new.bytes = self._opening_bytes = len(opening)
        self._crc = log_file.crc_of_opening(opening)

    def _append(self, record: bytes) -> None:
        """Write a record behind those of the newest file."""
        newest = self._written[-1]
        with _opened(self._path(newest.number), os.O_WRONLY) as file:
            # The length that counts is written after the record: one that was cut off is never taken for whole.
            _write_at(file, record, newest.bytes)
            _write_progress(file, newest.bytes + len(record))
        newest.bytes += len(record)
        self._crc = log_file.crc_after(record)

    def _set_state(self, one: WrittenFile, state: int) -> None:
        with _opened(self._path(one.number), os.O_WRONLY) as file:
            _write_at(file, log_file.NUMBER32.pack(state), log_file.STATE_OFFSET)
            _write_progress(file, one.bytes)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}{LOG_SUFFIX}"


def cut_file(path: Path, length: int) -> None:
    """Remove what follows the whole records of a log file."""
    with _opened(path, os.O_WRONLY) as file:
        os.ftruncate(file, length)
        _write_progress(file, length)


def _count_expired(files: Sequence[WrittenFile], position: Position) -> int:
    """Return how many of the first files hold nothing that is still kept of a buffer at a position."""
    if not position.dropped:
        return 0
    # All samples of a file are older than the floor when the newest before the file after it is.
    followers = files[1:]
    return next((n for n, one in enumerate(followers) if not one.newest < position.floor), len(followers))


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    # For each record anew: a machine may have more buffers than a process may have files open.
    file = os.open(path, flags, 0o644)
    try:
        yield file
    finally:
        os.close(file)


def _write_at(file: int, data: bytes, offset: int) -> None:
    # A disk that is full takes a part, without an error.
    if os.pwrite(file, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write_progress(file: int, length: int) -> None:
    _write_at(file, log_file.PROGRESS.pack(length, time.time_ns()), log_file.LENGTH_OFFSET)


def _flush(path: Path) -> None:
    with _opened(path, os.O_RDONLY) as file:
        os.fsync(file)
