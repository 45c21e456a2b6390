"""Reads Parquet files, some rows at a time, with the optional package pyarrow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds
from pyarrow.parquet import ParquetFile

from sisock.core.errors import UnusableFile
from sisock.core.model import FieldType, Times, Values
from sisock.nodes.table.fields import EMPTY, Label, Mask, Table, TableColumn, TableOptions, labels_of, on_one_line
from sisock.nodes.table.times import TimeColumns, find_times, seconds_of_numbers

PARQUET_ROWS_AT_ONCE = 2**16
ROWS_TO_SAMPLE = 100
MOST_NAMED = 5
DATE_LENGTH = len("2000-01-01")
LONGEST_REASON = 200
INT64_MAX = np.iinfo(np.int64).max


def read_parquet(path: Path, options: TableOptions) -> Table:
    """Read a Parquet file, of which columns of lists, structures, bytes and durations are left out.

    Raises
    ------
    UnusableFile
        When it is not complete, is damaged, or has no times.
    """
    try:
        with path.open("rb") as raw, ParquetFile(raw) as file:
            return _table(file, options)
    except (pa.lib.ArrowException, UnicodeDecodeError, OSError) as error:
        # The disk's error goes on, for the file to be tried again; Arrow's own have no number.
        if isinstance(error, OSError) and error.errno:
            raise
        words = on_one_line(str(error))[:LONGEST_REASON]
        raise UnusableFile(f"is no complete Parquet file, or is damaged ({words})") from None


@dataclass
class _ColumnBuilder:
    """A column as its values come, batch by batch."""

    label: Label
    type: FieldType
    batches: list[tuple[Values, Mask | None]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    def add(self, array: Any) -> None:
        present = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
        self.batches.append((_CONVERSIONS[self.type](array, self.texts), present))

    def finish(self) -> TableColumn:
        values, present = np.concatenate([values for values, _ in self.batches]), None
        # A missing number is NaN already.
        if self.type != "number":
            masks = [np.ones(len(one), dtype=bool) if mask is None else mask for one, mask in self.batches]
            present = np.concatenate(masks)
        # Otherwise all columns would be in memory twice at the end.
        self.batches.clear()
        return TableColumn(self.label, self.type, values, present)


def _table(file: Any, options: TableOptions) -> Table:
    schema = file.schema_arrow
    served = [place for place, one in enumerate(schema) if _may_be_time(one.type) or _type(one.type)]
    labels = labels_of(schema.names) if served else []
    names = [schema.names[place] for place in served]
    first = next(file.iter_batches(ROWS_TO_SAMPLE, columns=names), None) if names else None
    if first is None or not first.num_rows:
        return EMPTY
    # Parquet names the members of a structure as it would a column of that name.
    if first.schema.names != names:
        raise UnusableFile("has columns that have the same name")
    own = [labels[place] for place in served]
    times = find_times(own, [_texts(array) for array in first.columns], options.time, options.time_unit)
    columns = {
        place: _ColumnBuilder(own[place], kind)
        for place, one in enumerate(first.schema)
        if place not in times.places and (kind := _type(one.type))
    }
    seconds = _read(file.iter_batches(PARQUET_ROWS_AT_ONCE, columns=names), times, columns)
    used = {served[place] for place in (*columns, *times.places)}
    unserved = {labels[place].header: str(one.type) for place, one in enumerate(schema) if place not in used}
    return Table(seconds, tuple(one.finish() for one in columns.values()), _problem(seconds, unserved))


def _read(batches: Iterable[Any], times: TimeColumns, columns: Mapping[int, _ColumnBuilder]) -> Times:
    """Give the columns what is in batches, and return the times of all rows."""
    seconds = []
    for batch in batches:
        seconds.append(_seconds(batch, times))
        for place, column in columns.items():
            column.add(batch.column(place))
    return np.concatenate(seconds)


def _seconds(batch: Any, times: TimeColumns) -> Times:
    arrays = [batch.column(place) for place in times.places]
    if len(arrays) > 1 or _type(arrays[0].type) == "string":
        # Null and an empty text are no time, and stay none beside the other cell.
        return times.seconds_of_cells([_texts(array) for array in arrays])
    numbers, unit = _since_1970(arrays[0])
    seconds = seconds_of_numbers(numbers, unit or times.unit)
    return np.where(arrays[0].is_valid().to_numpy(zero_copy_only=False), seconds, math.nan)


def _since_1970(array: Any) -> tuple[Values, str | None]:
    """Return counts since 1970 as int64 or float64, anything where there is none, and their unit if it is known."""
    if kinds.is_date(array.type):
        array = array.cast(pa.timestamp("ms"))
    if kinds.is_timestamp(array.type):
        return array.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), array.type.unit
    return _numbers(array), None


def _texts(array: Any) -> list[str]:
    """Return values as texts, times among them as ISO 8601, dates and times of day too; nothing for null."""
    if kinds.is_time(array.type):
        array = array.cast(pa.time64("us"), safe=False)
    if not _is_time(array.type):
        return ["" if value is None else str(value) for value in array.to_pylist()]
    numbers, unit = _since_1970(array)
    seconds = seconds_of_numbers(numbers, unit or "s")
    length = DATE_LENGTH if kinds.is_date(array.type) else None
    # Arrow's own texts of times need a database of zones, which slim machines lack.
    return [
        "" if math.isnan(one) else datetime.fromtimestamp(one, UTC).isoformat()[:length] for one in seconds.tolist()
    ]


def _is_time(kind: Any) -> bool:
    return bool(kinds.is_timestamp(kind) or kinds.is_date(kind))


def _may_be_time(kind: Any) -> bool:
    return _is_time(kind) or bool(kinds.is_time(kind))


def _type(kind: Any) -> FieldType | None:
    """Return the type of the field that a column of a type becomes, None for none."""
    if kinds.is_dictionary(kind):
        kind = kind.value_type
    return next((name for name, tests in _TYPES.items() if any(test(kind) for test in tests)), None)


def _problem(seconds: Times, unserved: Mapping[str, str]) -> str | None:
    timeless = np.flatnonzero(np.isnan(seconds))
    problems = []
    if timeless.size:
        problems.append(f"row {timeless[0] + 1} has no time; it and others like it are left out")
    if unserved:
        names = ", ".join(f"'{name}' ({kind:.40})" for name, kind in list(unserved.items())[:MOST_NAMED])
        problems.append(f"columns are left out because of their types: {names}")
    return "; ".join(problems) or None


def _numbers(array: Any, _: dict[str, str] | None = None) -> Values:
    """Return int64 if all are whole numbers that fit, or else float64 with NaN for null."""
    if kinds.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not kinds.is_integer(array.type):
        return np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    values = array.to_numpy(zero_copy_only=False)
    whole = values.dtype.kind == "i" or (values.dtype.kind == "u" and values.max(initial=0) <= INT64_MAX)
    return np.asarray(values, dtype=np.int64 if whole else np.float64)


def _truths(array: Any, _: dict[str, str]) -> Values:
    if kinds.is_dictionary(array.type):
        array = array.dictionary_decode()
    return np.asarray(array.fill_null(pa.scalar(0).cast(pa.bool_())).to_numpy(zero_copy_only=False), dtype=bool)


def _strings(array: Any, texts: dict[str, str]) -> Values:
    """Return texts, of which equal ones are one object; empty where there is none."""
    # Decoded, each row would be an object of its own, which takes 50 bytes and more.
    encoded = array if kinds.is_dictionary(array.type) else array.dictionary_encode()
    own = encoded.dictionary.to_pylist()
    table = np.array(["", *(texts.setdefault(one or "", one or "") for one in own)], dtype=object)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(table[codes.astype(np.int64) + 1], dtype=object)


_CONVERSIONS: Mapping[FieldType, Callable[[Any, dict[str, str]], Values]] = {
    "number": _numbers,
    "bool": _truths,
    "string": _strings,
}
_TYPES: Mapping[FieldType, Sequence[Callable[[Any], bool]]] = {
    "number": (kinds.is_integer, kinds.is_floating, kinds.is_decimal),
    "bool": (kinds.is_boolean,),
    "string": (kinds.is_string, kinds.is_large_string, kinds.is_string_view),
}
