"""From what a server hands over to arrays: lists, tuples, NumPy arrays and scalars, with None for a missing value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import FieldType, Times, Values

INT64 = np.iinfo(np.int64)
EXPECTED = "UNIX seconds are expected"
NESTED = "its values must be a plain list, not lists in a list: make each element a field of its own"


def as_times(given: Any) -> Times:
    """Return timestamps as float64, shape (n,); ValueError in words, with what to do, when they are none."""
    array = np.asarray(given) if hasattr(given, "dtype") else given
    # NumPy would make numbers of them, in whatever unit they happen to have.
    if _are_dates(array):
        way = "t.astype('datetime64[ns]').astype(float) / 1e9"
        raise ValueError(f"its timeline is of datetime64: {EXPECTED}, such as {way}")
    try:
        times = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(_why_no_times(array)) from None
    if times.ndim != 1:
        raise ValueError(f"its timeline must be a plain list, not lists in a list: {EXPECTED}")
    if not np.all(np.isfinite(times)):
        raise ValueError(f"its timeline has a time that is NaN, None or infinite: {EXPECTED}; leave that sample out")
    return times


def _are_dates(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.dtype.kind in "mM"
    # The first one tells, and a list may be long.
    return isinstance(given, list | tuple) and any(
        isinstance(one, np.datetime64 | np.timedelta64) for one in given[:1]
    )


def _why_no_times(given: Any) -> str:
    """Return in words why times are no numbers, by the first that is none."""
    wrong = next((one for one in given if not _is_number(one)), None)
    if hasattr(wrong, "timestamp"):
        return f"its timeline has times of the type {type(wrong).__name__}: {EXPECTED}, such as t.timestamp()"
    if isinstance(wrong, list | tuple | np.ndarray):
        return f"its timeline must be a plain list, not lists in a list: {EXPECTED}"
    return f"its timeline must have numbers, but one time is {wrong!r:.40}: {EXPECTED}"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def as_values(given: Any, field_type: FieldType | None) -> Values:
    """Return values as an array of shape (n,) for the type of their field.

    Numbers become float64, or int64 when all are whole numbers that fit; None becomes NaN. Truth values become
    bool, text an object array of str; a None among these stays None. Without a type, the values decide.

    Raises
    ------
    ValueError
        In words, when the values are not of the type.
    """
    array = _flat_array(given)
    return _CONVERSIONS[field_type or _type_of(array)](array)


def _flat_array(given: Any) -> NDArray[Any]:
    """Return a one-dimensional array, of objects where the values are not of one plain type."""
    if isinstance(given, np.ma.MaskedArray):
        # With None where it is masked.
        given = given.tolist()
    try:
        array = np.asarray(given)
    except ValueError:
        # There are lists of unequal length among the values.
        array = np.empty(0)
        raise ValueError(NESTED) from None
    if array.ndim != 1:
        raise ValueError(NESTED)
    if array.dtype.kind in "USO" or array.dtype.kind not in "fiub":
        # NumPy turns a list of mixed values into text; only the values as they were given tell them apart.
        values = given.tolist() if isinstance(given, np.ndarray) else list(given)
        array = np.empty(len(values), dtype=object)
        array[:] = [value.item() if isinstance(value, np.generic) else value for value in values]
    return array


def _type_of(array: NDArray[Any]) -> FieldType:
    if array.dtype.kind == "b":
        return "bool"
    if array.dtype.kind in "fiu":
        return "number"
    # Exact types: a truth value is a kind of whole number to isinstance().
    kinds = {type(value) for value in array if value is not None}
    if kinds == {bool}:
        return "bool"
    return "number" if kinds <= {int, float} else "string"


def _numbers(array: NDArray[Any]) -> Values:
    if array.dtype.kind == "i":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind == "u" and array.size and array.max() <= INT64.max:
        return array.astype(np.int64)
    if array.dtype == object:
        # NumPy would read numbers out of texts, and drop imaginary parts.
        wrong = next((value for value in array if isinstance(value, str | bytes | complex)), None)
        if wrong is not None:
            raise ValueError(_not_numbers(wrong))
        array = np.array([np.nan if value is None else value for value in array], dtype=object)
    try:
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        wrong = next((value for value in array.tolist() if not _is_number(value)), None)
        raise ValueError(_not_numbers(wrong)) from None


def _not_numbers(example: Any) -> str:
    return (
        f"its values must be numbers, but one is {example!r:.40}; "
        "declare its type as string or bool in get_fields, or give None where there is no value"
    )


def _booleans(array: NDArray[Any]) -> Values:
    if array.dtype.kind == "f" and np.isnan(array).any():
        # NaN is true to Python, but here it stands for a missing value.
        array = _objects([None if np.isnan(value) else bool(value) for value in array])
    if array.dtype != object:
        return array.astype(np.bool_, copy=False)
    wrong = next((one for one in array if one is not None and not isinstance(one, bool | int | float)), None)
    if wrong is not None:
        raise ValueError(
            f"its values must be true or false, but one is {wrong!r:.40}; "
            "declare its type as string or number in get_fields otherwise"
        )
    if not any(value is None for value in array):
        return array.astype(np.bool_)
    return _objects([None if value is None else bool(value) for value in array])


def _strings(array: NDArray[Any]) -> Values:
    return _objects([None if value is None else as_text(value) for value in array.tolist()])


def as_text(value: Any) -> str:
    """Return a value as text that can travel: what is no Unicode in it is replaced."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def text_or_none(value: Any) -> str | None:
    """Return a value as text that can travel, None as it is."""
    return None if value is None else as_text(value)


def describe(given: Any) -> str:
    """Return in words what kind of a thing was handed over in place of what should have been."""
    if given is None:
        return "None (is there a return statement?)"
    if isinstance(given, Mapping):
        entries = [f"{key!r:.20} (a {type(value).__name__})" for key, value in list(given.items())[:4]]
        return f"a dictionary with {', '.join(entries) or 'nothing in it'}"
    if isinstance(given, list | tuple):
        return f"a {type(given).__name__} of {', '.join(type(one).__name__ for one in given[:4]) or 'nothing'}"
    return f"{given!r:.40}"


def _objects(values: list[Any]) -> Values:
    # Filled afterwards, because NumPy would make text of mixed values, and a matrix of lists.
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


_CONVERSIONS = {"number": _numbers, "bool": _booleans, "string": _strings}
