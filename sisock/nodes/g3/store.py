"""Writes what is found in housekeeping files into the index, a transaction a file.

Any number of processes may do so at the same time, and end at any moment: the index is whole after each transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from sisock.core.errors import NodeUnavailable
from sisock.nodes.archive.array_cache import digest
from sisock.nodes.archive.format import Signature
from sisock.nodes.g3.frames import BlockSummary, FileSummary, Place
from sisock.nodes.g3.tables import archive_table, block_table, field_table, file_table, reason, span_table

# To be raised when something else is made out of a file.
SCANNER_VERSION = 1
# Each time at least one of those who write at the same time gets on.
WRITE_ATTEMPTS = 8

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class KnownFile:
    """A file as the index has it.

    Parameters
    ----------
    place
        Up to where it was read.
    reader
        The version of what read it.
    """

    signature: Signature
    place: Place
    generation: str
    problem: str | None
    reader: int

    @property
    def is_current(self) -> bool:
        """Whether it was read by a reader that makes the same of it as ours."""
        return self.reader == SCANNER_VERSION


class G3Store:
    """The index of one archive, to be written.

    Parameters
    ----------
    archive
        The archive's name, by which several are told apart in one database.
    """

    def __init__(self, engine: Engine, archive: str) -> None:
        self._engine = engine
        self._archive = archive
        # Of blocks that were committed: their numbers stay. One that a transaction adds may be rolled back with it.
        self._block_ids: dict[str, int] = {}
        self._known: dict[str, KnownFile] = {}
        self._known_revision = -1
        self._archive_id = self._retry(self._find_archive)

    def known(self) -> dict[str, KnownFile]:
        """Return what the index has of each file that is there, by its path below the archive's folder."""
        # Only what has changed since: an archive of years has very many files.
        newer = file_table.c.revision > self._known_revision
        wanted = select(file_table).where(file_table.c.archive_id == self._archive_id, newer)
        for row in self._retry(lambda connection: list(connection.execute(wanted))):
            self._known_revision = max(self._known_revision, row.revision)
            if row.gone:
                self._known.pop(row.path, None)
            else:
                self._known[row.path] = _known(row)
        return dict(self._known)

    def put(self, path: str, signature: Signature, summary: FileSummary, before: KnownFile | None) -> None:
        """Index a file, in place of what was there; it keeps its generation if it has only grown."""
        if before is not None and summary.continues and before.place.end:
            generation = before.generation
        else:
            # What was before is a part of it: a file that is cut to where it was first read must be another one.
            generation = digest(path, *summary.place, before.generation if before is not None else "")
        row = {
            "path": path,
            "mtime_ns": signature[0],
            "size": signature[1],
            "inode": str(signature[2]),
            "reader": SCANNER_VERSION,
            "place_end": summary.place.end,
            "checksum": summary.place.checksum,
            "identity": generation,
            "problem": summary.problem,
            "gone": False,
        }
        self._retry(partial(self._write, path=path, row=row, blocks=summary.blocks))

    def remove(self, paths: Iterable[str]) -> None:
        """Take note that files are gone."""
        # The row stays, so that others learn of it by its revision.
        row = {"gone": True, "place_end": 0, "checksum": 0, "problem": None}
        for path in paths:
            self._retry(partial(self._write, path=path, row=row, blocks=()))

    def _write(
        self, connection: Connection, path: str, row: Mapping[str, Any], blocks: Iterable[BlockSummary]
    ) -> None:
        # First of all, since it takes the lock: SQLite gives none to who has read what another changed meanwhile.
        row = {**row, "revision": self._next_revision(connection)}
        file_id = self._put_file(connection, digest(self._archive, path), row)
        old = {
            one.block_id: one for one in connection.execute(select(span_table).where(span_table.c.file_id == file_id))
        }
        new = {self._block_id(connection, block): block for block in blocks}
        # All spans of the file anew: it may have lost some.
        connection.execute(delete(span_table).where(span_table.c.file_id == file_id))
        if new:
            rows = [_span(block) | {"file_id": file_id, "block_id": number} for number, block in new.items()]
            connection.execute(insert(span_table), rows)
        _add_up(connection, old, new)

    def _next_revision(self, connection: Connection) -> int:
        own = archive_table.c.id == self._archive_id
        connection.execute(update(archive_table).where(own).values(revision=archive_table.c.revision + 1))
        return int(connection.execute(select(archive_table.c.revision).where(own)).scalar_one())

    def _put_file(self, connection: Connection, key: str, row: Mapping[str, Any]) -> int:
        number = connection.execute(select(file_table.c.id).where(file_table.c.key == key)).scalar()
        if number is None:
            added = connection.execute(insert(file_table).values(key=key, archive_id=self._archive_id, **row))
            return _new_id(added)
        connection.execute(update(file_table).where(file_table.c.id == number).values(**row))
        return int(number)

    def _block_id(self, connection: Connection, block: BlockSummary) -> int:
        """Return the number of a block, which is added if it is new."""
        fields = [text for name_and_kind in block.fields for text in name_and_kind]
        key = digest(self._archive, block.provider, block.name, *fields)
        if key in self._block_ids:
            return self._block_ids[key]
        number = connection.execute(select(block_table.c.id).where(block_table.c.key == key)).scalar()
        if number is not None:
            return self._block_ids.setdefault(key, int(number))
        row = {"provider": block.provider, "name": block.name, **_span(block), "samples": 0}
        added = _new_id(connection.execute(insert(block_table).values(key=key, archive_id=self._archive_id, **row)))
        rows = [
            {"block_id": added, "position": position, "name": name, "kind": kind}
            for position, (name, kind) in enumerate(block.fields)
        ]
        connection.execute(insert(field_table), rows)
        return added

    def _find_archive(self, connection: Connection) -> int:
        key = digest(self._archive)
        number = connection.execute(select(archive_table.c.id).where(archive_table.c.key == key)).scalar()
        if number is not None:
            return int(number)
        return _new_id(connection.execute(insert(archive_table).values(key=key, name=self._archive, revision=0)))

    def _retry(self, work: Callable[[Connection], _Result]) -> _Result:
        """Do something in a transaction; again where another process has done the same at the same time."""
        for attempt in range(WRITE_ATTEMPTS):
            try:
                with self._engine.begin() as connection:
                    return work(connection)
            except (IntegrityError, OperationalError) as error:
                if attempt == WRITE_ATTEMPTS - 1:
                    raise NodeUnavailable(f"the index cannot be written ({reason(error)})") from None
        raise AssertionError


def _known(row: Any) -> KnownFile:
    signature = (row.mtime_ns, row.size, int(row.inode))
    place = Place(row.place_end, row.checksum)
    return KnownFile(signature, place, row.identity, row.problem, row.reader)


def _new_id(added: Any) -> int:
    return int(added.inserted_primary_key[0])


def _span(block: BlockSummary) -> dict[str, Any]:
    return {"samples": block.count, "first": block.first, "last": block.last}


def _add_up(connection: Connection, old: Mapping[int, Any], new: Mapping[int, BlockSummary]) -> None:
    """Bring the totals of blocks up to date after a file's spans of them have changed."""
    numbers = old.keys() | new.keys()
    if not numbers:
        return
    rows = [
        {"number": total.id, **_total(connection, total, old.get(total.id), new.get(total.id))}
        for total in connection.execute(select(block_table).where(block_table.c.id.in_(numbers)))
    ]
    connection.execute(update(block_table).where(block_table.c.id == bindparam("number")), rows)


def _total(connection: Connection, total: Any, old: Any, new: BlockSummary | None) -> dict[str, Any]:
    """Return a block's totals; only after a file has lost samples must all of its spans be looked at."""
    if new is None or (old is not None and (new.first > old.first or new.last < old.last)):
        sums = select(func.sum(span_table.c.samples), func.min(span_table.c.first), func.max(span_table.c.last))
        count, first, last = connection.execute(sums.where(span_table.c.block_id == total.id)).one()
        return {"samples": int(count or 0), "first": first or 0.0, "last": last or 0.0}
    # Of a block without samples the ends are those of nothing.
    if not total.samples:
        return _span(new)
    count = total.samples + new.count - (0 if old is None else old.samples)
    return {"samples": count, "first": min(total.first, new.first), "last": max(total.last, new.last)}
