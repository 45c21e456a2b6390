"""Tables on disk, CSV and Parquet files, as time series."""

from __future__ import annotations

import glob
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sisock.core.column.series import ReducibleSeries
from sisock.core.errors import ConfigurationError, UnusableFile
from sisock.core.model import FIELD_TYPES, DataBlock, FieldCatalogue, FieldType
from sisock.nodes.archive.file_archive import FileArchive
from sisock.nodes.archive.file_cache import FileCache
from sisock.nodes.archive.format import Contents
from sisock.nodes.table.csv_reader import CsvReader
from sisock.nodes.table.fields import Table, TableOptions, samples_of
from sisock.nodes.table.notes import NotesFile
from sisock.nodes.table.times import PER_SECOND

PARQUET_HINT = "is a Parquet file, for which a package is not installed: pip install 'sisock[parquet]'"
CSV_ENDINGS = (".csv", ".tsv")
PARQUET_ENDINGS = (".parquet", ".pq")
# To be raised when TableReader makes something else out of a file.
TABLE_READER_VERSION = 2
EVERYTHING = "*"


class TableReader:
    """Reads tables by a user's options; a file that is none is a problem in words.

    Parameters
    ----------
    any_ending
        Whether files with unknown endings are text tables; otherwise they are passed over.
    """

    def __init__(self, options: TableOptions, *, any_ending: bool = False) -> None:
        self._prefix = options.prefix
        read_csv = CsvReader(options)
        self._readers: Mapping[str, Callable[[Path], Table]] = {
            **dict.fromkeys(CSV_ENDINGS, read_csv),
            **dict.fromkeys(PARQUET_ENDINGS, lambda path: _read_parquet(path, options)),
        }
        self._other = read_csv if any_ending else None

    def __call__(self, path: Path) -> Contents:
        """Return the fields of a file."""
        reader = self._readers.get(path.suffix.lower(), self._other)
        if reader is None:
            return Contents()
        try:
            table = reader(path)
        except UnusableFile as problem:
            return Contents(problem=f"'{path}' {problem}")
        samples = samples_of(table.times, table.columns, path.name, f"{path.stem}." if self._prefix else "")
        return Contents(samples, f"'{path}': {table.problem}" if table.problem else None)


def _read_parquet(path: Path, options: TableOptions) -> Table:
    try:
        # Only now: pyarrow takes a while, and may be missing.
        from sisock.nodes.table.parquet_reader import read_parquet
    except ImportError:
        raise UnusableFile(PARQUET_HINT) from None
    return read_parquet(path, options)


class TableNode:
    """Serves the columns of a table, or of all tables of a folder, as fields of the columns' names.

    Files may appear, grow, be rewritten and go away meanwhile. Units and descriptions may stand in a YAML file beside
    them: ``table.yml`` in the folder, or one with the name of the folder or the file, and ``.yml``.

    Parameters
    ----------
    path
        A file, or a folder of files; folders in it are not searched.
    time
        The name of the column of times, or those of date and time of day; found if not given.
    time_unit
        ``s``, ``ms``, ``us`` or ``ns``; found if not given.
    types
        ``number``, ``bool`` or ``string`` by the names of columns of text files; found for the others.
    pattern
        Shell pattern for the names of files; without it, those ending in .csv, .tsv, .parquet and .pq.
    prefix
        ``file`` to put the name of the file, without its ending, and a dot before the name of each field.
    name, description
        What the hub lists.
    cache
        Folder where what was read of the files is kept; None to keep it in memory only.

    Raises
    ------
    ConfigurationError
        When the path does not exist, or an option is none of those above.
    """

    def __init__(
        self,
        path: Path | str,
        time: str | Sequence[str] | None = None,
        time_unit: str | None = None,
        types: Mapping[str, FieldType] | None = None,
        pattern: str | None = None,
        prefix: str | None = None,
        name: str = "table",
        description: str = "Tables on disk",
        cache: Path | str | None = None,
    ) -> None:
        self.name = name
        self.description = description
        wanted = (time,) if isinstance(time, str) else tuple(time or ())
        options = TableOptions(wanted, time_unit, types or {}, prefix == "file")
        _check(options, pattern, prefix)
        # A single file is the folder that it is in, and a pattern that only its name matches.
        own = Path(path)
        folder, names = (own.parent, glob.escape(own.name)) if own.is_file() else (own, pattern or EVERYTHING)
        beside = own.resolve().with_suffix(".yml") if own.is_file() else own.resolve().with_name(f"{own.name}.yml")
        self._notes = NotesFile([own / "table.yml", beside])
        # What was read with other options, or without pyarrow, is another reading. This very text: caches keep digests
        # of it.
        reader = f"table {options!r} {names == EVERYTHING} {importlib.util.find_spec('pyarrow') is not None}"
        file_cache = FileCache(cache, reader, TABLE_READER_VERSION) if cache else None
        read = TableReader(options, any_ending=names != EVERYTHING)
        self._archive = FileArchive(folder, names, read, file_cache)

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return every field with at least one sample in [start, end), UNIX seconds."""
        return self._notes.applied(self._archive.catalogue(start, end))

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return every sample of the fields inside [start, end), UNIX seconds; views, not to be written to."""
        return self._archive.read(fields, start, end)

    def columns(self, fields: Sequence[str]) -> Mapping[str, ReducibleSeries]:
        """Return the columns of the known ones of the fields."""
        return self._archive.columns(fields)


def _check(options: TableOptions, pattern: str | None, prefix: str | None) -> None:
    """Refuse options that YAML can hold, but that mean nothing."""
    if len(options.time) > 2 or not all(isinstance(one, str) for one in options.time):  # noqa: PLR2004 - date and time
        raise ConfigurationError(
            "time is the name of a column, or a list of two: that of dates, and that of times of day"
        )
    if not isinstance(pattern, str | None):
        raise ConfigurationError(f"'{pattern}' is no pattern for names of files: write it in quotes, as in '*.csv'")
    if not isinstance(options.types, Mapping):
        raise ConfigurationError(f"'{options.types}' are no types: write them as NAME: TYPE")
    if options.time_unit not in (None, *PER_SECOND):
        raise ConfigurationError(f"'{options.time_unit}' is no unit of time: time_unit is s, ms, us or ns")
    if prefix not in (None, "file"):
        raise ConfigurationError(f"'{prefix}' is no prefix: leave it out, or set it to file")
    for name, kind in options.types.items():
        if kind not in FIELD_TYPES:
            raise ConfigurationError(f"'{kind}' is no type for '{name}': choose one of {', '.join(FIELD_TYPES)}")
