"""A cache of arrays on disk: entries below a folder, each written once, checked when opened, and replaced whole."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import io
import json
import logging
import os
import re
import resource
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]

META = "meta.json"
UNFINISHED = "unfinished"
LOCK_SUFFIX = ".lock"
PRIVATE_MODE = 0o700
# The beginning of a file that its checksum covers: of gigabytes all would take seconds. What is longer is forced to
# the disk as well, since nobody would notice that its end was never written.
CHECKED_BYTES = 2**18
# A file up to this size is read: a mapping takes a page at least, and a process may have 65530 of them.
LOADED_BYTES = 2**14
# Each mapping keeps its file open.
OPEN_FILES = 2**16
FORGET_AFTER_S = 30 * 86400.0
DIGEST_BYTES = 16
LOCK_ATTEMPTS = 5
# Of what docs/archive-cache.md describes: entries of another one are passed over, and made anew.
FORMAT = 2
KEY = re.compile(r"[0-9a-f]{32}")
CHECKSUM_LINE = re.compile(rb'\{"crc32": (\d{1,10}),\n')
# How much of a digest is a version's name, which only has to differ from the other versions of one key.
VERSION_DIGITS = 16


class DamagedEntry(Exception):
    """A file of an entry that is gone, or is not what was written: remove the entry, and make it again."""

    def __init__(self, entry: CacheEntry, reason: object) -> None:
        super().__init__(f"'{entry.folder}' is damaged: {reason}")
        self.entry = entry


@dataclass(frozen=True)
class CacheEntry:
    """One entry as its ``meta.json`` tells of it; the arrays are opened when asked for."""

    folder: Path
    meta: Mapping[str, Any]

    def exists(self) -> bool:
        """Tell whether the entry is still where it was."""
        return (self.folder / META).is_file()

    def array(self, name: str) -> NDArray[Any]:
        """Return an array, read-only; a long one is mapped, and stays as it is when the entry is removed.

        Raises
        ------
        DamagedEntry
            When its file is gone, or is another one than was written.
        """
        path = self.folder / f"{name}.npy"
        try:
            head = _checked_head(path, self.meta["files"][name])
            if len(head) <= LOADED_BYTES:
                array: NDArray[Any] = np.load(io.BytesIO(head), allow_pickle=False)
                array.flags.writeable = False
                return array
            # A plain view of the mapping: numpy's own class for it is slow in all that follows.
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (OSError, KeyError, ValueError) as error:
            raise DamagedEntry(self, error) from None


class ArrayCache:
    """Entries below a folder, by a key and a version; of a key the newest version is kept.

    Any number of processes may use the folder at the same time, end at any moment, and have it removed beneath them.
    Where it cannot be written, one warning says so, and nothing is kept.

    Parameters
    ----------
    folder
        It is made when first needed, for its owner only.
    area
        Which part of the folder it is.
    """

    def __init__(self, folder: Path | str, area: str = "archives") -> None:
        _allow_open_files()
        self.folder = Path(folder) / area
        self._warned: set[str] = set()

    def beside(self, area: str) -> ArrayCache:
        """Return another part of the folder; one warning is for both."""
        other = ArrayCache(self.folder.parent, area)
        other._warned = self._warned
        return other

    def has(self, key: str) -> bool:
        """Tell, at once, whether there may be an entry of a key."""
        return (self.folder / key).is_dir()

    def open(self, key: str, version: str) -> CacheEntry | None:
        """Return an entry that says to be whole, or None; from now on it counts as used today."""
        entry = _open(self.folder / key / version)
        if entry is not None:
            with contextlib.suppress(OSError):
                os.utime(entry.folder)
        return entry

    def newest(self, key: str) -> CacheEntry | None:
        """Return the entry of a key that was made or used last, whatever its version; None when there is none."""
        folders = sorted(_ages(self.folder / key).items(), key=lambda one: one[1])
        return next((entry for entry in (_open(folder) for folder, _ in folders) if entry is not None), None)

    def commit(self, key: str, version: str, meta: Mapping[str, Any], arrays: Arrays) -> CacheEntry | None:
        """Write an entry and remove the key's other versions; None, and one warning, when it cannot be written."""
        try:
            try:
                self._write(key, version, meta, arrays)
            except FileNotFoundError:
                # The whole cache was removed meanwhile; the folders are made again for the second attempt.
                self._write(key, version, meta, arrays)
        except OSError as error:
            self._warn(error)
            return None
        self._warned.clear()
        # Only now: until the new version is in its place, a restart has to find the old one.
        self.remove(key, version)
        return self.open(key, version)

    def remove(self, key: str, kept: str | None = None) -> None:
        """Remove the entries of a key, but for one version."""
        for folder in _ages(self.folder / key):
            if folder.name != kept:
                self._remove(folder)
        with contextlib.suppress(OSError):
            (self.folder / key).rmdir()

    def discard(self, entry: CacheEntry) -> None:
        """Remove one entry, if it is there."""
        self._remove(entry.folder)
        with contextlib.suppress(OSError):
            entry.folder.parent.rmdir()

    def sweep(self) -> None:
        """Remove what dead processes left, versions that are not the newest, and what nobody has used for a month.

        An entry whose source is there stays, however old. The meta of entries name it as ``source``.
        """
        unfinished = self.folder / UNFINISHED
        for token in {path.name.removesuffix(LOCK_SUFFIX) for path in _ages(unfinished)}:
            # A lock that cannot be had says that its process lives, and is still writing there.
            with contextlib.suppress(OSError):
                lock = _lock(unfinished, token)
                _delete(unfinished / token)
                _unlock(lock, unfinished, token)
        for key in _ages(self.folder):
            if KEY.fullmatch(key.name):
                self._sweep_key(key)

    def _write(self, key: str, version: str, meta: Mapping[str, Any], arrays: Arrays) -> None:
        with self._workplace() as folder:
            files = {name: _write_array(folder / f"{name}.npy", array) for name, array in arrays.items()}
            # Last, as it has what tells each of the other files from any other.
            _write_meta(folder / META, {"format": FORMAT, **meta, "files": files})
            self._put(folder, self.folder / key / version)

    def _sweep_key(self, key: Path) -> None:
        ages = sorted(_ages(key).items(), key=lambda one: one[1])
        for number, (folder, age) in enumerate(ages):
            if number or (age > FORGET_AFTER_S and not _has_source(folder)):
                self._remove(folder)
        with contextlib.suppress(OSError):
            key.rmdir()

    @contextlib.contextmanager
    def _workplace(self) -> Iterator[Path]:
        """Give a folder that no sweep touches for as long as this process lives."""
        unfinished = self._unfinished()
        for attempt in range(LOCK_ATTEMPTS):
            token = secrets.token_hex(8)
            try:
                lock = _lock(unfinished, token)
                break
            except (BlockingIOError, FileNotFoundError):
                # A sweep of another process came between; another token is as good.
                if attempt == LOCK_ATTEMPTS - 1:
                    raise
        folder = unfinished / token
        try:
            folder.mkdir(PRIVATE_MODE)
            yield folder
        finally:
            _delete(folder)
            _unlock(lock, unfinished, token)

    def _unfinished(self) -> Path:
        """Return the folder for what is made or taken away at the moment; it is made if need be."""
        unfinished = self.folder / UNFINISHED
        for folder in (self.folder.parent, self.folder, unfinished):
            folder.mkdir(PRIVATE_MODE, parents=True, exist_ok=True)
        return unfinished

    def _put(self, folder: Path, place: Path) -> None:
        """Put a whole entry in its place; one that another process has put there meanwhile is as good."""
        for attempt in range(LOCK_ATTEMPTS):
            place.parent.mkdir(PRIVATE_MODE, exist_ok=True)
            try:
                # One rename, so that nobody ever sees half an entry.
                folder.rename(place)
                return
            except OSError:
                # There is something, or else another process has just removed the empty folder of the key.
                if _open(place) is not None:
                    return
                if attempt == LOCK_ATTEMPTS - 1:
                    raise
            self._remove(place)

    def _remove(self, folder: Path) -> None:
        """Remove an entry at one stroke; what cannot be removed stays."""
        with contextlib.suppress(OSError):
            away = self._unfinished() / secrets.token_hex(8)
            # Renamed first: files that go one by one would leave an entry that is there, and damaged.
            folder.rename(away)
            _delete(away)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned.add("written")
            logger.warning(
                "the cache folder '%s' cannot be written (%s), so archives are read anew at each start: "
                "make room or give permission there, or set SISOCK_CACHE to another folder",
                self.folder.parent,
                error.strerror or error,
            )


@functools.cache
def _allow_open_files() -> None:
    """Let this process open as many files as it may map; most systems begin with 1024, and let it have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if resource.RLIM_INFINITY != soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def digest(*parts: str | int | bytes | memoryview) -> str:
    """Return a short name, of hexadecimal digits, for some texts, numbers and bytes; their order counts."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        content = part if isinstance(part, bytes | memoryview) else str(part).encode()
        # With its length before it, or else ("ab", "c") and ("a", "bc") would have one name.
        state.update(len(content).to_bytes(8, "big"))
        state.update(content)
    return state.hexdigest()


def _lock(folder: Path, token: str) -> int:
    """Take the lock of a token, which ends with this process at the latest; OSError when somebody else has it."""
    path = folder / f"{token}{LOCK_SUFFIX}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A sweep may have had it between the two lines before, and have removed the file: then this is the lock of
        # a file that no other process can see.
        if not os.path.samestat(path.stat(), os.fstat(descriptor)):
            raise FileNotFoundError(path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unlock(lock: int, folder: Path, token: str) -> None:
    with contextlib.suppress(OSError):
        (folder / f"{token}{LOCK_SUFFIX}").unlink()
    os.close(lock)


def _write_array(path: Path, array: NDArray[Any]) -> dict[str, int]:
    """Write an array and return the fingerprint of its file."""
    with path.open("xb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        # No checksum covers what is behind: after a power cut it could be zeros that nobody notices.
        if file.tell() > CHECKED_BYTES:
            os.fsync(file.fileno())
    with path.open("rb") as file:
        return _fingerprint(file.fileno(), file.read(CHECKED_BYTES))


def _fingerprint(descriptor: int, head: bytes) -> dict[str, int]:
    """Return what tells an open file from any other, given its beginning."""
    status = os.fstat(descriptor)
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "crc32": zlib.crc32(head)}


def _checked_head(path: Path, expected: Mapping[str, int]) -> bytes:
    """Return the beginning of an array's file; ValueError when it is not the file that was written."""
    with path.open("rb") as file:
        head = file.read(CHECKED_BYTES)
        if _fingerprint(file.fileno(), head) != expected:
            raise ValueError("it was changed")
    return head


def _write_meta(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object whose first line holds the checksum of the others."""
    body = json.dumps(content, indent=1).encode().removeprefix(b"{\n")
    path.write_bytes(b'{"crc32": %d,\n' % zlib.crc32(body) + body)


def _open(folder: Path) -> CacheEntry | None:
    """Read the meta of an entry; None when it is not there, or not as it was written."""
    try:
        raw = (folder / META).read_bytes()
    except OSError:
        return None
    match = CHECKSUM_LINE.match(raw)
    if match is None or int(match[1]) != zlib.crc32(raw[match.end() :]):
        return None
    meta = json.loads(raw)
    return CacheEntry(folder, meta) if meta.get("format") == FORMAT else None


def _has_source(folder: Path) -> bool:
    entry = _open(folder)
    return entry is not None and os.path.lexists(entry.meta.get("source", ""))


def _ages(folder: Path) -> dict[Path, float]:
    """Return what is in a folder, and for how many seconds it was not touched; nothing if there is no such folder."""
    now, ages = time.time(), {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for one in entries:
            with contextlib.suppress(OSError):
                ages[Path(one.path)] = now - one.stat(follow_symlinks=False).st_mtime
    return ages


def _delete(path: Path) -> None:
    """Remove a folder or a file, if it is there and as far as it goes."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def absolute(path: Path) -> Path:
    """Return where a file is, links in its folder's path resolved."""
    return path.parent.resolve() / path.name
