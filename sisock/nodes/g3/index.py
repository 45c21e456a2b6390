"""Answers from the index of a housekeeping archive: which fields there are, when, and in which files.

A field's timeline is that of its block, ``<provider>.<block>``. A field that is not at all times of one block (it came
with a restart, or stands in several blocks of its provider) is on a timeline of its own, ``<provider>/<field>``.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection, Engine, Select, and_, case, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from sisock.core.errors import NodeUnavailable
from sisock.core.model import Field, FieldCatalogue, FieldType
from sisock.core.times import mean_spacing
from sisock.nodes.archive.array_cache import digest
from sisock.nodes.archive.format import FileSpan
from sisock.nodes.g3.frames import DTYPE_OF_TYPE, TYPE_OF_KIND, field_name, unified_kind
from sisock.nodes.g3.tables import archive_table, block_table, field_table, file_table, reason, span_table
from sisock.nodes.ocs_names import original_name, units_of

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")
_Value = TypeVar("_Value")

# So many values in one condition are safe with every database.
AT_ONCE = 500


@dataclass(frozen=True)
class _Block:
    """A block with one set of fields, and its totals over all files."""

    number: int
    provider: str
    name: str
    kinds: Mapping[str, str]
    count: int
    first: float
    last: float

    @property
    def home(self) -> tuple[str, str]:
        return self.provider, self.name

    def kind_of(self, field: str) -> str:
        """Return the kind of a field, by its full name."""
        return self.kinds[field[len(self.provider) + 1 :]]

    def type_of(self, field: str) -> FieldType:
        """Return the type of a field, by its full name."""
        return TYPE_OF_KIND[self.kind_of(field)]


@dataclass(frozen=True)
class _Contents:
    """The blocks and fields of an archive at one revision, but not which file has what."""

    revision: int = -1
    blocks: Mapping[int, _Block] = field(default_factory=dict)
    places: Mapping[str, Sequence[_Block]] = field(default_factory=dict)
    fields: Mapping[str, Field] = field(default_factory=dict)

    @classmethod
    def of(cls, revision: int, blocks: Mapping[int, _Block], units: Mapping[str, str]) -> _Contents:
        places: dict[str, list[_Block]] = defaultdict(list)
        homes: dict[tuple[str, str], set[int]] = defaultdict(set)
        for block in blocks.values():
            homes[block.home].add(block.number)
            for name in block.kinds:
                places[field_name(block.provider, name)].append(block)
        described = {name: _field(name, where, homes, units) for name, where in places.items()}
        return cls(revision, blocks, places, described)

    @property
    def mixed(self) -> list[str]:
        """The fields that are not of the same type in all blocks."""
        return [name for name, where in self.places.items() if len({one.type_of(name) for one in where}) > 1]

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """The field that each alias means."""
        return FieldCatalogue(self.fields).aliases

    def catalogue(self, numbers: Collection[int]) -> FieldCatalogue:
        """Return the fields of some blocks."""
        fields = {name: self.fields[name] for number in numbers for name in self.names(number)}
        intervals_s = {one.timeline: _interval_s(self.places[name]) for name, one in fields.items()}
        return FieldCatalogue.of([fields[name] for name in sorted(fields)], intervals_s)

    def names(self, number: int) -> list[str]:
        """Return the fields of a block."""
        block = self.blocks[number]
        return [field_name(block.provider, name) for name in block.kinds]

    def witness(self, number: int) -> str:
        """Return the field of a block that is in the fewest others: where it has samples, so have all."""
        # The fewer others it is in, the more likely its samples are those of this block.
        return min(self.names(number), key=lambda name: len(self.places[name]))


class G3Index:
    """The index of one archive, to be asked; an :class:`~sisock.nodes.archive.format.ArchiveIndex`.

    While the database cannot be reached, what was last known goes on to be served.

    Parameters
    ----------
    archive
        The archive's name, as the scanner has it.
    units
        Units by patterns of fields' names, such as ``{"*_T": "K"}``.
    """

    def __init__(self, engine: Engine, archive: str, units: Mapping[str, str] | None = None) -> None:
        # What is asked of the database is remembered without a lock: at worst two threads ask the same.
        self._engine = engine
        self._archive = archive
        self._key = digest(archive)
        self._units = units or {}
        self._contents = _Contents()
        self._revision = 0
        self._changed: tuple[tuple[int, int], frozenset[str]] = ((0, 0), frozenset())
        self._is_away = False
        # Held while the revision is asked for, which is replaced by it: see `revision`.
        self._lock = threading.Lock()

    def revision(self) -> int:
        """Return a number that grows with each change."""
        # Or else somebody who asked earlier, and is slow, could set it back.
        with self._lock:
            return self._asked_revision()

    def _asked_revision(self) -> int:
        wanted = select(archive_table.c.revision).where(archive_table.c.key == self._key)
        try:
            self._revision = self._ask(lambda connection: connection.execute(wanted).scalar()) or 0
        except NodeUnavailable as error:
            # Once: every question begins here, some of them each second.
            if not self._is_away:
                logger.warning("%s; what was last known is served", error)
            self._is_away = True
        else:
            self._is_away = False
        return self._revision

    def changed(self, since: int) -> Collection[str]:
        """Return the files that were added, changed or removed after a revision; all fields ask the same."""
        # The fields of one question ask for the same one after another: the answer to the last is at hand.
        revisions = (since, self._revision)
        if self._changed[0] != revisions:
            wanted = self._of_archive(select(file_table.c.path)).where(file_table.c.revision > since)
            paths = self._ask(lambda connection: frozenset(connection.execute(wanted).scalars()))
            self._changed = (revisions, paths)
        return self._changed[1]

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return the fields that have a sample in [start, end), UNIX seconds, and the :meth:`doubtful` ones."""
        contents = self._refreshed()
        sure, doubtful = self._blocks_within(contents, start, end)
        return contents.catalogue(sure | doubtful)

    def doubtful(self, start: float, end: float) -> Mapping[str, Collection[str]]:
        """Return fields that may have no sample in a span, since it lies between the ends of a file's.

        Returns
        -------
        Mapping
            For each field that must be looked at, those that have samples when it has.
        """
        contents = self._refreshed()
        sure, doubtful = self._blocks_within(contents, start, end)
        certain = contents.catalogue(sure).fields
        return {
            contents.witness(number): [name for name in contents.names(number) if name not in certain]
            for number in doubtful
        }

    def timeline(self, field: str) -> str | None:
        """Return the timeline of a field; None when it is not known."""
        known = self._contents.fields.get(field)
        return known.timeline if known else None

    def name_of(self, alias: str) -> str | None:
        """Return the field that an alias means; None when there is none, or several."""
        return self._refreshed().aliases.get(alias)

    def spans_of(self, field: str, files: Collection[str] | None = None) -> Sequence[FileSpan]:
        """Return the spans of a field in some files, or in all of them."""
        contents = self._refreshed()
        where = contents.places.get(field, ())
        if not where:
            return ()
        kinds = {block.number: block.kind_of(field) for block in where}
        keys = None if files is None else [digest(self._archive, path) for path in files]
        rows_of: dict[str, list[Any]] = defaultdict(list)
        for row in self._ask(lambda connection: list(_spans(connection, list(kinds), keys))):
            rows_of[row.path].append(row)
        return [
            _span_of(contents.fields[field], own, unified_kind(kinds[row.block_id] for row in own))
            for own in rows_of.values()
        ]

    def _refreshed(self) -> _Contents:
        """Return what is known at the newest revision."""
        revision = self.revision()
        # A database that is away has no contents: what was last known goes on to be served.
        if revision != self._contents.revision and not self._is_away:
            contents = _Contents.of(revision, self._ask(self._load), self._units)
            # Which type the newest file has is asked only where types differ: it is a query for each such field.
            mixed = self._ask(lambda connection: [_typed(connection, contents, name) for name in contents.mixed])
            self._contents = replace(contents, fields={**contents.fields, **{one.name: one for one in mixed}})
        return self._contents

    def _load(self, connection: Connection) -> dict[int, _Block]:
        """Read the blocks that have samples; fields only of those that were not known."""
        rows = [row for row in connection.execute(self._of_archive(select(block_table), block_table)) if row.samples]
        kinds = {number: dict(block.kinds) for number, block in self._contents.blocks.items()}
        for batch in _batches(sorted({row.id for row in rows} - kinds.keys())):
            for row in connection.execute(select(field_table).where(field_table.c.block_id.in_(batch))):
                kinds.setdefault(row.block_id, {})[row.name] = row.kind
        return {
            row.id: _Block(row.id, row.provider, row.name, kinds[row.id], row.samples, row.first, row.last)
            for row in rows
        }

    def _blocks_within(self, contents: _Contents, start: float, end: float) -> tuple[set[int], set[int]]:
        """Return the numbers of the blocks that have a sample in [start, end), and of those that may have one."""
        touching = [one for one in contents.blocks.values() if start < end and one.first < end and one.last >= start]
        # One of a block's ends inside the span is a sample inside it. Only of the others files must be looked at.
        sure = {one.number for one in touching if start <= one.first or one.last < end}
        others = [one.number for one in touching if one.number not in sure]
        rows = self._ask(lambda connection: list(_coverage(connection, others, start, end))) if others else []
        return sure | {row.block_id for row in rows if row.sure}, {row.block_id for row in rows if not row.sure}

    def _of_archive(self, query: Select[Any], table: Any = file_table) -> Select[Any]:
        return query.join(archive_table, table.c.archive_id == archive_table.c.id).where(
            archive_table.c.key == self._key
        )

    def _ask(self, execute: Callable[[Connection], _Result]) -> _Result:
        try:
            with self._engine.connect() as connection:
                return execute(connection)
        except SQLAlchemyError as error:
            raise NodeUnavailable(f"the index cannot be read ({reason(error)})") from None


def _field(
    name: str, where: Sequence[_Block], homes: Mapping[tuple[str, str], set[int]], units: Mapping[str, str]
) -> Field:
    newest = max(where, key=lambda block: (block.last, block.number))
    short = name[len(newest.provider) + 1 :]
    # It has a value at all times of the block only if it is in each set of fields that the block ever had.
    shares = {block.number for block in where} == homes[newest.home]
    timeline = f"{newest.provider}.{newest.name}" if shares else f"{newest.provider}/{short}"
    alias = field_name(newest.provider, original_name(short))
    return Field(
        name,
        timeline,
        TYPE_OF_KIND[newest.kinds[short]],
        units_of(short, "", units),
        # The original's name, by which old dashboards ask.
        aliases=() if alias == name else (alias,),
    )


def _interval_s(where: Iterable[_Block]) -> float | None:
    """Return the mean spacing in seconds; None for fewer than two samples, or when all are at one time."""
    blocks = list(where)
    count = sum(block.count for block in blocks)
    first, last = min(block.first for block in blocks), max(block.last for block in blocks)
    return mean_spacing(first, last, count)


def _span_of(described: Field, rows: Sequence[Any], kind: str) -> FileSpan:
    """Return what a file has of a field, of which it may have several blocks."""
    one = rows[0]
    return FileSpan(
        file=one.path,
        signature=(one.mtime_ns, one.size, int(one.inode)),
        generation=one.identity,
        field=replace(described, type=TYPE_OF_KIND[kind]),
        dtype=np.dtype(DTYPE_OF_TYPE[kind]).name,
        count=sum(row.samples for row in rows),
        oldest=min(row.first for row in rows),
        newest=max(row.last for row in rows),
    )


def _typed(connection: Connection, contents: _Contents, name: str) -> Field:
    """Return a field with the type that it has in the newest file, in which several blocks may have it."""
    where = contents.places[name]
    newest = max(where, key=lambda block: (block.last, block.number))
    # Several files may have the newest sample: all that they say is counted.
    last = select(span_table.c.file_id).where(span_table.c.block_id == newest.number, span_table.c.last >= newest.last)
    kinds = {
        block.kind_of(name)
        for batch in _batches([block.number for block in where])
        for number in connection.execute(
            select(span_table.c.block_id).where(span_table.c.block_id.in_(batch), span_table.c.file_id.in_(last))
        ).scalars()
        for block in [contents.blocks[number]]
    }
    return replace(contents.fields[name], type=TYPE_OF_KIND[unified_kind(kinds or {newest.kind_of(name)})])


def _spans(connection: Connection, numbers: Sequence[int], keys: Sequence[str] | None) -> Iterator[Any]:
    """Yield what files have of some blocks, with what is known of the files."""
    known = (file_table.c.path, file_table.c.mtime_ns, file_table.c.size, file_table.c.inode, file_table.c.identity)
    wanted = select(span_table, *known).join(file_table, span_table.c.file_id == file_table.c.id)
    for batch in _batches(numbers):
        of_blocks = wanted.where(span_table.c.block_id.in_(batch))
        for chosen in [()] if keys is None else _batches(keys):
            yield from connection.execute(of_blocks.where(file_table.c.key.in_(chosen)) if chosen else of_blocks)


def _coverage(connection: Connection, numbers: Sequence[int], start: float, end: float) -> Iterator[Any]:
    """Yield the blocks with a file whose samples touch [start, end), and whether one of its ends is inside."""
    inside = or_(span_table.c.first >= start, span_table.c.last < end)
    wanted = select(span_table.c.block_id, func.max(case((inside, 1), else_=0)).label("sure"))
    for batch in _batches(numbers):
        touching = and_(span_table.c.block_id.in_(batch), span_table.c.last >= start, span_table.c.first < end)
        yield from connection.execute(wanted.where(touching).group_by(span_table.c.block_id))


def _batches(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    for low in range(0, len(values), AT_ONCE):
        yield values[low : low + AT_ONCE]
