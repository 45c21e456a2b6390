"""A column as plain arrays, such as lie in files that are mapped into memory; texts as three of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.column.column import Column
from sisock.core.model import Statement, Values
from sisock.core.reduce.indexed_array import BLOCK


@dataclass(frozen=True, eq=False)
class Texts:
    """A series of texts; equal ones are kept once. It serves as samples of a column.

    Parameters
    ----------
    codes
        Shape (n,), int32: which of the texts each sample is.
    ends
        Shape (m,), int64: where the bytes of each text end; those of the first begin at 0.
    letters
        Uint8: the texts in UTF-8, one after the other; lone surrogates are encoded as if they were characters.
    """

    codes: NDArray[np.int32]
    ends: NDArray[np.int64]
    letters: NDArray[np.uint8]

    @classmethod
    def of(cls, values: Values) -> Texts:
        """Encode an array of str."""
        numbers: dict[str, int] = {}
        codes = np.fromiter((numbers.setdefault(text, len(numbers)) for text in values), np.int32, len(values))
        # Texts come from files that nobody checked: what is no Unicode must come back as it was.
        encoded = [text.encode("utf-8", "surrogatepass") for text in numbers]
        ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        return cls(codes, ends, np.frombuffer(b"".join(encoded), dtype=np.uint8))

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.codes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of what is handed out: object, for str."""
        return np.dtype(object)

    def take(self, indices: NDArray[np.intp]) -> Values:
        """Return the texts of some samples; each different one is decoded once."""
        return self._decoded(self.codes[indices])

    def rows(self, blocks: NDArray[np.intp]) -> Values:
        """Return the texts of some blocks of 64 samples, a row each."""
        return self.take((blocks[:, np.newaxis] * BLOCK + np.arange(BLOCK)).ravel()).reshape(-1, BLOCK)

    def slice(self, low: int, high: int) -> Values:
        """Return the texts of the samples from ``low`` up to ``high``."""
        return self._decoded(self.codes[low:high])

    def _decoded(self, codes: NDArray[np.int32]) -> Values:
        wanted, inverse = np.unique(codes, return_inverse=True)
        table = np.empty(len(wanted), dtype=object)
        table[:] = [self._text(code) for code in wanted.tolist()]
        return table[inverse]

    def _text(self, code: int) -> str:
        begin = int(self.ends[code - 1]) if code else 0
        return self.letters[begin : int(self.ends[code])].tobytes().decode("utf-8", "surrogatepass")


def arrays_of(column: Column) -> dict[str, NDArray[Any]]:
    """Return the arrays of a column, texts as three of them."""
    arrays = column.arrays()
    if column.values.dtype.hasobject:
        texts = Texts.of(arrays.pop("values"))
        arrays |= {"codes": texts.codes, "ends": texts.ends, "letters": texts.letters}
    return arrays


def column_of(arrays: Mapping[str, NDArray[Any]], statement: Statement) -> Column:
    """Return the column of arrays from the cache, with the statement that holds for it."""
    texts = Texts(arrays["codes"], arrays["ends"], arrays["letters"]) if "codes" in arrays else None
    given = arrays if texts is None else {**arrays, "values": np.empty(0, dtype=object)}
    column = Column.from_arrays(given, statement)
    return column if texts is None else dataclasses.replace(column, values=texts)
