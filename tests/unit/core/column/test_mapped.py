"""Texts come back as they were, and only those are decoded that are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sisock.core.column.mapped import Texts


def as_array(texts: list[str]) -> np.ndarray:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


@given(st.lists(st.text(st.characters()) | st.sampled_from(["", "a", "\ud800", "a\0", "é"])), st.data())
def test_texts_come_back(texts, data):
    """Any text, even one that is no valid Unicode, is what it was, taken one by one or as a run."""
    encoded = Texts.of(as_array(texts))
    assert (len(encoded), encoded.dtype) == (len(texts), object)
    low, high = sorted(data.draw(st.tuples(*[st.integers(0, len(texts))] * 2)))
    assert encoded.slice(low, high).tolist() == texts[low:high]
    indices = sorted(data.draw(st.lists(st.integers(0, len(texts) - 1)))) if texts else []
    taken = encoded.take(np.array(indices, dtype=np.intp))
    assert taken.tolist() == [texts[index] for index in indices]
    assert taken.dtype == object


def test_blocks_of_texts_are_rows():
    """A row has the 64 texts of its block."""
    texts = [str(number) for number in range(300)]
    rows = Texts.of(as_array(texts)).rows(np.array([1, 3]))
    assert rows.tolist() == [texts[64:128], texts[192:256]]
    assert Texts.of(as_array(texts)).rows(np.array([], dtype=np.intp)).shape == (0, 64)


@pytest.fixture
def decoded(monkeypatch):
    """The texts that were decoded, in order."""
    found = []
    decode = Texts._text

    def counted(self, code):
        found.append(decode(self, code))
        return found[-1]

    monkeypatch.setattr(Texts, "_text", counted)
    return found


def test_only_what_is_looked_at_is_decoded(decoded):
    """Of a long series, what is taken is decoded, each different text once."""
    encoded = Texts.of(as_array([f"line {number % 1000}" for number in range(100_000)]))
    assert decoded == []
    assert encoded.take(np.array([5, 1005, 99_007])).tolist() == ["line 5", "line 5", "line 7"]
    assert encoded.slice(2000, 2002).tolist() == ["line 0", "line 1"]
    assert decoded == ["line 5", "line 7", "line 0", "line 1"]


def test_equal_texts_are_kept_once():
    """A state that repeats takes four bytes a sample."""
    encoded = Texts.of(as_array(["on", "off"] * 5000))
    assert encoded.codes.nbytes == 40_000
    assert encoded.letters.tobytes() == b"onoff"


def test_rows_are_blocks_of_samples():
    """Blocks of 64 come as rows, decoded as the samples themselves."""
    values = np.array([f"text {number % 7}" for number in range(200)], dtype=object)
    rows = Texts.of(values).rows(np.array([0, 2]))
    assert rows.tolist() == [values[:64].tolist(), values[128:192].tolist()]
