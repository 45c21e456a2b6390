"""The cells of one column of a text table: of which type they are, and their values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sisock.core.model import FieldType, Values
from sisock.nodes.table.fields import Label, TableColumn

NO_VALUE = frozenset({"", "na", "n/a", "#n/a", "nan", "null"})
MISSING = NO_VALUE | {"none", "-"}  # among numbers; of themselves they may be states
TRUTH = {"true": 1, "false": 0}
# Beside 1 and 0, so that bools with gaps take a byte each.
ABSENT = -1
SAMPLED_CELLS = 1000
FITTING_CELLS = 0.9
Converted = tuple[Values, list[int]]
"""Values, and which of the cells are not of the type."""


@dataclass
class CellColumn:
    """A column of a table as its cells come, block by block, and the values of all of them.

    Parameters
    ----------
    type
        None to decide by the first block that has a value: number or bool if nine in ten of its first 1000 values are.
    decimal_comma
        Whether ``1,5`` is a number.
    """

    label: Label
    type: FieldType | None = None
    decimal_comma: bool = False
    _blocks: list[Values] = field(default_factory=list)
    _texts: dict[str, str] = field(default_factory=dict)

    def add(self, cells: Sequence[str]) -> list[int]:
        """Take some cells; return which of them are left out because they are not of the column's type."""
        commas = self.decimal_comma and self.type != "string"
        # A text with commas stays as it is, while a decimal comma is Python's point.
        plain = [cell.replace(",", ".") for cell in cells] if commas else cells
        if self.type is None:
            self.type = type_of(plain)
        if self.type is None or self.type == "string":
            # Without a type, as text: what is missing among numbers may turn out to be a state.
            self._blocks.append(self._strings(cells))
            return []
        values, unfit = CONVERSIONS[self.type](plain)
        self._blocks.append(values)
        return unfit

    def add_numbers(self, values: Values) -> None:
        """Take float64 in place of cells that are such numbers."""
        self._blocks.append(values)

    def finish(self) -> TableColumn | None:
        """Return the column of all cells until now; None when no value is in them."""
        values = self._join_blocks()
        if self.type == "number":
            return TableColumn(self.label, "number", values)
        if self.type is None and all(text.strip().lower() in NO_VALUE for text in self._texts):
            return None
        present = values != (ABSENT if self.type == "bool" else "")
        if not present.any():
            return None
        return TableColumn(self.label, self.type or "string", values == 1 if self.type == "bool" else values, present)

    def until(self, count: int) -> CellColumn:
        """Return a column of the first cells, which takes others in place of those that came after."""
        return dataclasses.replace(self, _blocks=[self._join_blocks()[:count]])

    def _join_blocks(self) -> Values:
        """Return all values in one array, which takes the place of the blocks."""
        blocks = [one if self.type in (None, "string") else _retyped(one, self.type) for one in self._blocks]
        if len(blocks) != 1:
            blocks = [np.concatenate(blocks)] if blocks else [np.empty(0)]
        self._blocks = blocks
        return blocks[0]

    def _strings(self, cells: Sequence[str]) -> Values:
        """Return texts, of which equal ones are one object: states repeat."""
        values = np.empty(len(cells), dtype=object)
        values[:] = [self._texts.setdefault(cell, cell) for cell in cells]
        return values


def type_of(cells: Sequence[str]) -> FieldType | None:
    """Return the type that cells seem to be of; None when all are missing."""
    # Nine in ten are enough: a word among numbers is a mistake of the one who wrote it.
    sample = [text for cell in cells if (text := cell.strip().lower()) not in MISSING][:SAMPLED_CELLS]
    if not sample:
        return "number" if any(cell.strip().lower() == "nan" for cell in cells) else None
    for kind in ("number", "bool"):
        if len(sample) - len(CONVERSIONS[kind](sample)[1]) >= FITTING_CELLS * len(sample):
            return kind
    return "string"


def numbers(cells: Sequence[str]) -> Converted:
    """Return the float64 of cells, NaN for missing ones and for those that are none."""
    try:
        values = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return _numbers_one_by_one(cells)
    # Python reads 1_000 as a number.
    return _numbers_one_by_one(cells) if "_" in "".join(cells) else (values, [])


def truths(cells: Sequence[str]) -> Converted:
    """Return cells as int8: 1 for true, 0 for false, ``ABSENT`` for missing ones and for those that are neither."""
    texts = [cell.strip().lower() for cell in cells]
    values = np.array([TRUTH.get(text, ABSENT) for text in texts], dtype=np.int8)
    absent = np.flatnonzero(values == ABSENT).tolist()
    return values, [place for place in absent if texts[place] not in MISSING]


CONVERSIONS: Mapping[FieldType, Callable[[Sequence[str]], Converted]] = {"number": numbers, "bool": truths}


def _numbers_one_by_one(cells: Sequence[str]) -> Converted:
    values, unfit = [], []
    for place, cell in enumerate(cells):
        try:
            if "_" in cell:
                raise ValueError  # noqa: TRY301 - as float does
            values.append(float(cell))
        except ValueError:
            values.append(math.nan)
            if cell.strip().lower() not in MISSING:
                unfit.append(place)
    return np.array(values, dtype=np.float64), unfit


def _retyped(block: Values, kind: FieldType | None) -> Values | NDArray[np.int8]:
    """Return a block that was taken before the type was known, when nothing was in it, as one of the type."""
    if block.dtype != object:
        return block
    return np.full(len(block), math.nan) if kind == "number" else np.full(len(block), ABSENT, dtype=np.int8)
