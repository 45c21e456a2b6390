"""Judging what a server answers to one request, in however many parts it is asked: what must be told of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import replace

from sisock.core.misplaced import PLAUSIBLE, is_unmistakable, misplaced
from sisock.core.model import DataBlock, Span, TimelineBlock
from sisock.core.once import field_of


class Review:
    """Collects what is wrong with the answers to one request.

    Samples outside of the span that was asked for are cut off, and that is fine. It is told only where all samples of
    a field lie outside of the window: when they cannot be UNIX seconds, or none was ever inside of any window.

    Parameters
    ----------
    window
        What the asker is interested in, UNIX seconds; parts of it are asked for.
    proven
        Fields of which samples were inside of a window before.

    Attributes
    ----------
    placed
        Fields of which samples are inside of this window, where it is one that only UNIX seconds lie in.
    """

    def __init__(self, window: Span, proven: Collection[str] = ()) -> None:
        self._window = window
        self._proven = proven
        self._problems: dict[str, None] = {}
        self._suspects: dict[str, str] = {}
        self._inside: set[str] = set()
        self.placed: set[str] = set()

    def take(self, block: DataBlock, problems: Iterable[str] = ()) -> DataBlock:
        """Note what is wrong with an answer; return it, but with nothing promised where its times may be none."""
        self._problems.update(dict.fromkeys(problems))
        return replace(block, timelines={name: self._judged(one) for name, one in block.timelines.items()})

    def problems(self) -> list[str]:
        """Return in words what is wrong, each with its field where it is that of one."""
        return [*self._problems, *(f"field '{name}' is empty: {text}" for name, text in self._suspects.items())]

    def by_field(self) -> dict[str, list[str]]:
        """Return what is wrong with each field that something is wrong with."""
        found: dict[str, list[str]] = {}
        for problem in self.problems():
            name = field_of(problem)
            if name is not None:
                found.setdefault(name, []).append(problem)
        return found

    def _judged(self, block: TimelineBlock) -> TimelineBlock:
        text = misplaced(block.times, *self._window)
        if text is None:
            if block.times.size:
                self._note_inside(block)
            return block
        sure = is_unmistakable(block.times)
        names = [name for name in block.values if name not in self._inside and (sure or name not in self._proven)]
        self._suspects = {**dict.fromkeys(names, text), **self._suspects}
        # What it calls final may be so in another unit: then an empty span would be kept, and the word on it lost.
        return replace(block, finalized_until=-math.inf) if names else block

    def _note_inside(self, block: TimelineBlock) -> None:
        self._inside.update(block.values)
        if self._window[0] >= PLAUSIBLE[0]:
            self.placed.update(block.values)
        self._suspects = {name: text for name, text in self._suspects.items() if name not in self._inside}
