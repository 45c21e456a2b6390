"""A batch of samples for a buffer: checked, sorted and turned into arrays before any of it is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sisock.core.model import FieldType, Times, Values

DTYPES: Mapping[FieldType, np.dtype[Any]] = {
    "number": np.dtype(np.float64),
    "bool": np.dtype(np.bool_),
    "string": np.dtype(np.object_),
}
"""The types of the arrays that the values of a field are kept in."""

_EXACT: Mapping[FieldType, frozenset[type]] = {
    "number": frozenset({float, int, bool, np.float64}),
    "bool": frozenset({bool, np.bool_}),
    "string": frozenset({str}),
}
_MISSING = object()


def exact_row(fields: Mapping[str, FieldType], time: Any, values: Mapping[str, Any]) -> list[Any] | None:
    """Return the values of a row in the order of the fields where they need no conversion, otherwise None.

    None may mean that the row is wrong, too: :func:`checked_batch` says what is.
    """
    if len(values) != len(fields) or not isinstance(time, float) or not math.isfinite(time):
        return None
    row = []
    for name, kind in fields.items():
        value = values.get(name, _MISSING)
        if type(value) not in _EXACT[kind]:
            return None
        row.append(value)
    return row


def checked_batch(
    fields: Mapping[str, FieldType], times: ArrayLike, values: Mapping[str, Any]
) -> tuple[Times, list[Values]]:
    """Return a batch in ascending order of time, as arrays of the right types in the order of the fields.

    Raises
    ------
    ValueError
        When a field lacks or is unknown, lengths differ, a time is not finite, or a value is of another type.
    """
    if values.keys() != fields.keys():
        wrong = sorted(values.keys() ^ fields.keys())
        raise ValueError(f"a row must have a value for each field and no other; look at {', '.join(wrong)}")
    checked_times = np.asarray(times, dtype=np.float64)
    in_order = _is_in_order(checked_times)
    checked = [_as_array(name, values[name], kind) for name, kind in fields.items()]
    for name, array in zip(fields, checked, strict=True):
        if array.shape != checked_times.shape:
            raise ValueError(f"field '{name}' has {array.shape} values for {checked_times.shape} times")
    if in_order:
        return checked_times, checked
    # Stable, so that samples of the same time stay in the order in which they were given.
    order = np.argsort(checked_times, kind="stable")
    return checked_times[order], [array[order] for array in checked]


def _is_in_order(times: Times) -> bool:
    """Tell whether times ascend; raise ValueError unless they are a list of finite numbers."""
    if times.ndim == 1:
        # Where all ascend, which none does beside a NaN, the two at the ends speak for the rest.
        ends = times if len(times) <= 1 else times[:: len(times) - 1]
        in_order = bool((times[1:] >= times[:-1]).all())
        if np.isfinite(ends if in_order else times).all():
            return in_order
    raise ValueError("times must be a list of finite UNIX seconds")


def _as_array(name: str, values: Sequence[Any], kind: FieldType) -> Values:
    """Return the values of a field as an array, or raise ValueError when they are of another type."""
    # An array of objects may hold anything, and is looked at one by one.
    if isinstance(values, np.ndarray) and values.dtype == DTYPES[kind] and kind != "string":
        return values
    if kind == "number":
        return _as_numbers(name, values)
    wanted = (bool, np.bool_) if kind == "bool" else (str,)
    if not all(isinstance(value, wanted) for value in values):
        raise ValueError(f"field '{name}' holds {kind}s only, but was given something else")
    array = np.empty(len(values), dtype=DTYPES[kind])
    array[:] = [str(value) for value in values] if kind == "string" else values
    return array


def _as_numbers(name: str, values: Sequence[Any]) -> Values:
    """Return numbers as float64, None as NaN; text is refused even where it could be read as a number."""
    try:
        given = np.asarray(values)
        if given.dtype.kind in "biufO":
            return given.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        # Nested or foreign objects, or whole numbers beyond float64: the same advice holds.
        pass
    raise ValueError(f"field '{name}' holds numbers only, but was given something else")
