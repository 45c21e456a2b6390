"""Finds the files of a housekeeping archive that the index does not know yet, and indexes them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sisock.core.errors import ConfigurationError
from sisock.nodes.archive.format import Signature
from sisock.nodes.archive.listing import is_folder, signature_of
from sisock.nodes.g3.frames import BEGINNING, FileSummary, FrameReader, summarize
from sisock.nodes.g3.store import G3Store, KnownFile

logger = logging.getLogger(__name__)

SUFFIX = ".g3"
# What was not written to for so long is not being written any more.
STILL_WRITTEN_S = 3600.0

TellProgress = Callable[[int, int], None]


@dataclass
class ScanResult:
    """The outcome of a scan: files and bytes that were read, and how many were known, are gone, or cannot be read."""

    read: int = 0
    read_bytes: int = 0
    known: int = 0
    gone: int = 0
    failed: int = 0


@dataclass
class G3Scanner:
    """Keeps the index of an archive up to date.

    Parameters
    ----------
    folder
        Where the archive is; folders in it are searched. It must exist.
    frames
        Reads the frames of a file.
    clock
        UNIX seconds.
    """

    folder: Path
    store: G3Store
    frames: FrameReader
    clock: Callable[[], float] = time.time
    _reported: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise ConfigurationError(f"'{self.folder}' is not a folder: give one that holds {SUFFIX} files")

    def scan(self, progress: TellProgress | None = None) -> ScanResult:
        """Read what is new or has changed, the oldest first, and take note of what is gone.

        A file that cannot be read is left for the next scan.

        Parameters
        ----------
        progress
            Is told after each file how many bytes of how many are done.
        """
        unreadable: dict[str, str] = {}
        signatures, known = list_files(self.folder, unreadable), self.store.known()
        changed = [path for path, signature in signatures.items() if not _is_known(known.get(path), signature)]
        result = ScanResult(known=len(signatures) - len(changed))
        total, done = sum(signatures[path][1] for path in changed), 0
        for path in changed:
            summary = self._read(path, signatures[path], known.get(path))
            if summary is None:
                result.failed += 1
            else:
                result.read += 1
                result.read_bytes += signatures[path][1]
            # As listed: a file that grows meanwhile must not make more than all.
            done += signatures[path][1]
            if progress is not None:
                progress(done, total)
        self._report_folders(unreadable)
        # What is in a folder that cannot be read is not gone for that.
        gone = {path for path in known.keys() - signatures.keys() if not path.startswith(tuple(unreadable))}
        # Where none is left, a disk may be away and come back.
        if gone and signatures:
            self.store.remove(gone)
            result.gone = len(gone)
        self._report_known({path: one for path, one in known.items() if path in signatures and path not in changed})
        return result

    def _read(self, path: str, signature: Signature, before: KnownFile | None) -> FileSummary | None:
        # What another version of the scanner has read is read anew, as if nothing were known of it.
        place = before.place if before is not None and before.is_current else BEGINNING
        try:
            summary = summarize(self.frames(self.folder / path), place)
        except OSError as error:
            self._report(path, f"cannot be read ({error.strerror}): check its permissions")
            return None
        self.store.put(path, signature, summary, before if place.end else None)
        self._report(path, self._problem(signature, summary.place.end, summary.problem))
        return summary

    def _report_known(self, known: dict[str, KnownFile]) -> None:
        for path, file in known.items():
            self._report(path, self._problem(file.signature, file.place.end, file.problem))

    def _report_folders(self, unreadable: Mapping[str, str]) -> None:
        for below in [one for one in self._reported if not one.endswith(SUFFIX) and one not in unreadable]:
            self._report(below, None)
        for below, why in unreadable.items():
            self._report(below, f"cannot be read ({why}): check its permissions")

    def _problem(self, signature: Signature, end: int, problem: str | None) -> str | None:
        """Say what is wrong with a file; one that ends within a frame may be in the middle of being written."""
        mtime_ns, size, _ = signature
        if problem is not None or mtime_ns / 1e9 > self.clock() - STILL_WRITTEN_S:
            return problem
        if size == 0:
            return "is empty"
        return f"ends within a frame: its last {size - end} bytes are left out" if end < size else None

    def _report(self, path: str, problem: str | None) -> None:
        """Log a problem of a file once, until it changes."""
        if problem is None:
            self._reported.pop(path, None)
        elif self._reported.get(path) != problem:
            self._reported[path] = problem
            logger.warning("'%s': %s", self.folder / path, problem)


def list_files(folder: Path, unreadable: dict[str, str]) -> dict[str, Signature]:
    """Return the signature of each file of an archive, in order of path, which begins with a time.

    Hidden files and folders, and names that cannot be printed, are passed over.

    Parameters
    ----------
    unreadable
        Gets the folders that cannot be read, as their files' paths begin, and why.
    """
    return dict(sorted(_found(folder, "", set(), unreadable)))


def _found(
    folder: Path, below: str, seen: set[tuple[int, int]], unreadable: dict[str, str]
) -> Iterator[tuple[str, Signature]]:
    try:
        status = folder.stat()
        # A link that leads back to where it is in would lead there for ever.
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            listed = [one for one in entries if one.name.isprintable() and not one.name.startswith(".")]
    except OSError as error:
        # One that is gone was there a moment ago.
        if not below or not isinstance(error, FileNotFoundError):
            unreadable[below] = error.strerror or str(error)
        return
    for entry in listed:
        if is_folder(entry):
            yield from _found(folder / entry.name, f"{below}{entry.name}/", seen, unreadable)
        elif entry.name.endswith(SUFFIX):
            signature = signature_of(entry)
            if signature is not None:
                yield below + entry.name, signature


def _is_known(file: KnownFile | None, signature: Signature) -> bool:
    return file is not None and file.is_current and file.signature == signature
