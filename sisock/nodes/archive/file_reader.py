"""Reads the files of a folder one by one, out of the cache or anew, and says which generation each is of."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sisock.nodes.archive.array_cache import DamagedEntry
from sisock.nodes.archive.file_cache import ArchivedFile, FileCache
from sisock.nodes.archive.format import Contents, Reader, Signature
from sisock.nodes.archive.listing import signature_of

logger = logging.getLogger(__name__)

CHEAP_BYTES = 4 * 2**20
STORE_AGAIN_S = 600.0


@dataclass
class ProblemLog:
    """The problems of files that were logged: each once, until it changes or is gone."""

    # Guarded by the lock of the index that reads the files.
    _reported: dict[str, str] = field(default_factory=dict)

    def report(self, name: str, problem: str | None) -> None:
        """Log the problem of a file, unless it was the same before; None when it has none."""
        if problem is None:
            self._reported.pop(name, None)
        elif self._reported.get(name) != problem:
            self._reported[name] = problem
            logger.warning("%s", problem)

    def keep(self, names: Collection[str]) -> None:
        """Forget all files but those of some names, and the folder itself, whose name is empty."""
        self._reported = {name: text for name, text in self._reported.items() if not name or name in names}


@dataclass
class _History:
    """The memory of files, by their names, so that each reading is under the right generation.

    Parameters
    ----------
    readings
        How many generations a file has had.
    damaged
        What was served of a file when its entry in the cache turned out to be damaged.
    stored_at
        When it was put into the cache last, on the clock.
    """

    # Guarded by the lock of the index that reads the files. The readings stay when a file is gone: when it comes back
    # with other samples, they must not be served under a generation that it has had.
    readings: dict[str, int] = field(default_factory=dict)
    damaged: dict[str, ArchivedFile] = field(default_factory=dict)
    stored_at: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, file: ArchivedFile) -> None:
        """Remember how many generations a file has had; another process may have counted on."""
        self.readings[name] = max(file.readings, self.readings.get(name, 0))


@dataclass(frozen=True)
class _Past:
    """A file as it was before it was read now.

    Parameters
    ----------
    file
        What was served of it, or what a process before has left in the cache; None where there is neither.
    readings
        How many generations it has had.
    damaged
        As in :class:`_History`; None when its entry was sound.
    """

    file: ArchivedFile | None
    readings: int
    damaged: ArchivedFile | None = None

    def continued_by(self, file: ArchivedFile) -> ArchivedFile:
        """Return what was read now under the generation of what it continues, or else under a new one."""
        # Only the cache was damaged. The samples of before are lost, but the file says that they are the same.
        if self.damaged is not None and self.damaged.signature == file.signature:
            return file.under(self.damaged.generation, self.damaged.readings)
        if self.file is not None and _grew(self.file, file):
            return file.under(self.file.generation, self.readings)
        # The number tells a file that is changed and changed back from what it was at first.
        number = f"+{self.readings}" if self.readings else ""
        return file.under(f"{file.digest()}{number}", self.readings + 1)


class FileReader:
    """Reads files of a folder that are new or have changed. One call at a time.

    Parameters
    ----------
    folder
        Where the files are.
    reader
        Reads one file.
    cache
        Where columns of files are kept; None to keep them in memory.
    clock
        Seconds, from any origin.
    """

    def __init__(self, folder: Path, reader: Reader, cache: FileCache | None, clock: Callable[[], float]) -> None:
        self.folder = folder
        self.problems = ProblemLog()
        self._reader = reader
        self._cache = cache
        self._clock = clock
        self._history = _History()

    def read(
        self, name: str, signature: Signature, before: ArchivedFile | None, *, stays_open: bool
    ) -> ArchivedFile | None:
        """Return a file, from the cache if it is there; None when it cannot be read.

        Parameters
        ----------
        before
            What is served of the file; None when nothing is.
        stays_open
            Whether its columns stay mapped once they are in the cache.
        """
        file = self._load(name, signature, before)
        if file is not None:
            self._history.add(name, file)
        else:
            contents = self._read_contents(name)
            if contents is None:
                return None
            file = self._past_of(name, before).continued_by(ArchivedFile.of(signature, contents))
            self._history.add(name, file)
            file = self._keep(name, file, before, stays_open=stays_open)
        self.problems.report(name, file.problem)
        return file

    def distrust(self, name: str, file: ArchivedFile) -> None:
        """Read a file itself the next time, whatever the cache has of it; until then it is what was served."""
        self._history.damaged[name] = file

    def forget(self, gone: Iterable[str], *, for_good: bool) -> None:
        """Forget files that are gone; those that are gone for good, in the cache too."""
        for name in gone:
            self._history.stored_at.pop(name, None)
            self._history.damaged.pop(name, None)
            if self._cache is not None and for_good:
                self._cache.remove(self.folder / name)

    def _load(self, name: str, signature: Signature, before: ArchivedFile | None) -> ArchivedFile | None:
        """Return what the cache has of a file, unless another process has given it a generation that is wrong here."""
        if self._cache is None or name in self._history.damaged:
            return None
        file = self._cache.load(self.folder / name, signature)
        # That process may have seen a state of the file that we have not, or have missed one that we have served.
        if file is None or (before and _grew(before, file) != (file.generation == before.generation)):
            return None
        return file

    def _read_contents(self, name: str) -> Contents | None:
        """Read a file itself; None, and a line in the log, when it is to be tried again."""
        path = self.folder / name
        try:
            return self._reader(path)
        except OSError as error:
            self.problems.report(name, f"'{path}' cannot be read ({error.strerror}): check its permissions")
            return None
        except ValueError as error:
            return Contents(problem=f"'{path}' is broken and left out: {error}")

    def _past_of(self, name: str, before: ArchivedFile | None) -> _Past:
        """Return what a file was before, given what is served of it; that its entry was damaged counts once."""
        damaged = self._history.damaged.pop(name, None)
        if before is None and self._cache is not None and name not in self._history.readings:
            # The first time that this process sees it: it may have grown while no process looked.
            kept = self._cache.newest(self.folder / name)
            return _Past(kept, kept.readings if kept is not None else 0, damaged)
        return _Past(before, self._history.readings.get(name, 0), damaged)

    def _keep(self, name: str, file: ArchivedFile, before: ArchivedFile | None, *, stays_open: bool) -> ArchivedFile:
        """Put a file into the cache and return it as it is there; a large one that grows, every ten minutes only."""
        if self._cache is None:
            return file
        path, now = self.folder / name, self._clock()
        # All of it is written anew, however little has come: at each line that would wear a disk out.
        grows = before is not None and before.generation == file.generation and file.nbytes > CHEAP_BYTES
        if grows and now < self._history.stored_at.get(name, -math.inf) + STORE_AGAIN_S:
            return file
        # It was written to while it was read: nobody knows which of two states was read, and it will be read again.
        if signature_of(path) != file.signature:
            return file
        self._history.stored_at[name] = now
        stored = self._cache.store(path, file)
        return stored if stays_open else stored.closed()


def _grew(before: ArchivedFile, file: ArchivedFile) -> bool:
    """Tell whether a file continues what it was before; what is no longer in the cache cannot be compared."""
    try:
        return file.continues(before)
    except DamagedEntry:
        return False
