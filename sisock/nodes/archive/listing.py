"""The files of a folder, and of folders in it, whose names match patterns."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sisock.nodes.archive.format import Signature


@dataclass(frozen=True)
class ListedFiles:
    """The files of a folder: their signatures by their relative paths, and in words which folder cannot be read."""

    files: dict[str, Signature]
    problem: str | None


class Listing:
    """Looks for the files of a folder.

    Parameters
    ----------
    folder
        Where to look.
    patterns
        Shell patterns for paths relative to the folder: each part between ``/`` is one for the names of files or
        folders. Hidden ones and unprintable names are passed over.
    """

    def __init__(self, folder: Path, patterns: Sequence[str]) -> None:
        self.folder = folder
        self._patterns = [pattern.split("/") for pattern in patterns]
        self._problem: str | None = None

    def look(self) -> ListedFiles:
        """Return the regular files that match; a file may go away at any moment."""
        self._problem = None
        # Several patterns may match one file, and a folder lists its files in no order.
        by_name = {name: one for pattern in self._patterns for name, one in self._inside(self.folder, "", pattern)}
        files = {name: by_name[name] for name in sorted(by_name)}
        return ListedFiles(files, self._problem)

    def _inside(self, folder: Path | str, prefix: str, pattern: Sequence[str]) -> Iterator[tuple[str, Signature]]:
        """Yield what matches below a folder."""
        try:
            with os.scandir(folder) as scanned:
                entries = [one for one in scanned if _matches(one.name, pattern[0])]
        except OSError as error:
            # It was there a moment ago; of the archive's own folder one must say that it is away.
            if prefix and isinstance(error, FileNotFoundError | NotADirectoryError):
                return
            self._problem = f"folder '{folder}' cannot be read ({error.strerror}): check its permissions"
            return
        for one in entries:
            if len(pattern) > 1:
                if is_folder(one):
                    yield from self._inside(one.path, f"{prefix}{one.name}/", pattern[1:])
            elif (signature := signature_of(one)) is not None:
                yield prefix + one.name, signature


def signature_of(path: Path | os.DirEntry[str]) -> Signature | None:
    """Return what tells whether a file changed; None for all but regular files: opening a pipe would block."""
    try:
        status = path.stat()
    except OSError:
        return None
    # The inode number too: a file that was put in place of another may have its size and modification time.
    return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether something is a folder, or a link to one; a link that leads nowhere, or to itself, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) and name.isprintable() and not name.startswith(".")
