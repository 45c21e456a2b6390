"""How a column is written down as plain arrays, texts as three of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sisock.core.column import Column
from sisock.nodes.texts import Texts

VERSION_DIGITS = 16


def absolute(path: Path) -> Path:
    """Return where a file is, links in its folder's path resolved."""
    return path.parent.resolve() / path.name


def arrays_of(column: Column) -> dict[str, NDArray[Any]]:
    """Return the arrays of a column, texts as three of them."""
    arrays = column.arrays()
    if column.values.dtype.hasobject:
        texts = Texts.of(arrays.pop("values"))
        arrays |= {"codes": texts.codes, "ends": texts.ends, "letters": texts.letters}
    return arrays


def column_of(arrays: Mapping[str, NDArray[Any]], generation: str, finalized_until: float) -> Column:
    """Return the column of arrays from the cache."""
    texts = Texts(arrays["codes"], arrays["ends"], arrays["letters"]) if "codes" in arrays else None
    given = arrays if texts is None else {**arrays, "values": np.empty(0, dtype=object)}
    column = Column.from_arrays(given, generation=generation, finalized_until=finalized_until)
    return column if texts is None else dataclasses.replace(column, values=texts)
