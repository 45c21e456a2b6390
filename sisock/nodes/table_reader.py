"""Reads a table by the ending of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sisock.core.errors import UnusableFile
from sisock.nodes.archive import Contents
from sisock.nodes.table_csv import CsvReader
from sisock.nodes.table_fields import Table, TableOptions, samples_of

PARQUET_HINT = "is a Parquet file, for which a package is not installed: pip install 'sisock[parquet]'"
CSV_ENDINGS = (".csv", ".tsv")
PARQUET_ENDINGS = (".parquet", ".pq")


class TableReader:
    """Reads tables as a user says; a file that is none is a problem in words.

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
        from sisock.nodes.table_parquet import read_parquet  # pyarrow takes a while, and may be missing
    except ImportError:
        raise UnusableFile(PARQUET_HINT) from None
    return read_parquet(path, options)
