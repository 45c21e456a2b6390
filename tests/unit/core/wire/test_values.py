"""From what servers hand over to arrays."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from sisock.core.wire.values import as_times, as_values


@pytest.mark.parametrize(
    ("given", "field_type", "expected", "dtype"),
    [
        ([1, 2, 3], "number", [1, 2, 3], np.int64),
        ([1, 2.5], "number", [1.0, 2.5], np.float64),
        ([1.0, None], "number", [1.0, np.nan], np.float64),
        ([None, None], "number", [np.nan, np.nan], np.float64),
        ([], "number", [], np.float64),
        ([True, 2], "number", [1, 2], np.int64),
        ([2**70, 1], "number", [float(2**70), 1.0], np.float64),
        (np.array([1, 2], dtype=np.float32), "number", [1.0, 2.0], np.float64),
        (np.array([1, 2], dtype=np.uint8), "number", [1, 2], np.int64),
        (np.array([2**63], dtype=np.uint64), "number", [float(2**63)], np.float64),
        ([np.float64(1.5), np.float32(2.5)], "number", [1.5, 2.5], np.float64),
        ((float("inf"), float("-inf")), "number", [np.inf, -np.inf], np.float64),
        ([True, False], "bool", [True, False], np.bool_),
        ([np.bool_(True), False], "bool", [True, False], np.bool_),
        ([0, 1.0], "bool", [False, True], np.bool_),
        ([True, None], "bool", [True, None], object),
        (["a", None], "string", ["a", None], object),
        (np.array(["a", "bc"]), "string", ["a", "bc"], object),
        (["a", 1, True, b"x"], "string", ["a", "1", "True", "x"], object),
        ([1, 2], None, [1, 2], np.int64),
        ([True, None], None, [True, None], object),
        (["on", "off"], None, ["on", "off"], object),
        ([1, "x"], None, ["1", "x"], object),
        ([1.5, None], None, [1.5, np.nan], np.float64),
    ],
)
def test_values_take_the_type_of_their_field(given, field_type, expected, dtype):
    """Whatever container and scalars a server uses, the array has the type that its field declares."""
    array = as_values(given, field_type)
    assert array.dtype == dtype
    assert array.shape == (len(expected),)
    np.testing.assert_array_equal(array, np.array(expected, dtype=dtype))


@pytest.mark.parametrize(
    ("given", "field_type"),
    [
        (["1.5", "x"], "number"),
        ([1 + 2j], "number"),
        ([[1, 2], [3, 4]], "number"),
        ([[1], [2, 3]], "number"),
        ([{}], "number"),
        (np.zeros((2, 2)), "number"),
        (["yes", "no"], "bool"),
        (np.array(["2020-01-01"], dtype="M8[s]"), "number"),
    ],
)
def test_values_of_another_type_are_refused_in_words(given, field_type):
    """Values that are not of their field's type are an error that says so, never a guess."""
    with pytest.raises(ValueError, match="its values must be"):
        as_values(given, field_type)


@pytest.mark.parametrize("given", [[1.0, None], ["a"], [float("nan")], [float("inf")], [[1.0]], 5, [1 + 1j]])
def test_times_must_be_finite_numbers(given):
    """A timeline with anything but finite numbers is refused in words."""
    with pytest.raises(ValueError, match="its timeline"):
        as_times(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.array(["2026-01-01"], dtype="M8[ns]"), r"datetime64: .*astype\(float\) / 1e9"),
        ([np.datetime64("2026-01-01")], "datetime64: UNIX seconds are expected"),
        (np.array([5], dtype="m8[s]"), "datetime64: UNIX seconds are expected"),
        ([datetime(2026, 1, 1, tzinfo=UTC)], r"of the type datetime: .*t\.timestamp\(\)"),
        ([1.0, "2026-01-01T00:00:00Z"], "one time is '2026-01-01T00:00:00Z'"),
        ([[1.0], [2.0, 3.0]], "not lists in a list"),
        ([[1.0, 2.0]], "not lists in a list"),
        ([1.0, None], "leave that sample out"),
    ],
)
def test_times_of_another_kind_are_refused_with_what_to_do(given, told):
    """Dates, texts and lists in place of UNIX seconds are never guessed at: the error says how to make seconds."""
    with pytest.raises(ValueError, match=f"its timeline.*{told}"):
        as_times(given)


@pytest.mark.parametrize(
    ("given", "field_type", "told"),
    [
        ([1.0, "n/a"], "number", "one is 'n/a'; declare its type as string"),
        ([1.0, {}], "number", "one is {}"),
        (["yes"], "bool", "one is 'yes'; declare its type as string or number"),
        ([[1, 2], [3, 4]], "number", "make each element a field of its own"),
    ],
)
def test_values_of_another_type_are_refused_with_an_example(given, field_type, told):
    """The error names the first value that is wrong, and what to do."""
    with pytest.raises(ValueError, match=told):
        as_values(given, field_type)


def test_times_become_float64():
    """Integer and NumPy times are float64 seconds."""
    assert as_times([1, np.float32(2), np.int64(3)]).tolist() == [1.0, 2.0, 3.0]
