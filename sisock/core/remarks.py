"""What is to be told of fields beside their samples, in words: by a node, to whoever looks at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sisock.core.model import Span
from sisock.core.times import format_duration, format_iso8601

MOST_REMARKS = 8  # of one field
LONGEST_REMARK = 500

Told = Mapping[str, Sequence[str]]
"""Texts by field."""


class Remarks:
    """Collects texts about fields, each once; no more of a field than a reader takes."""

    def __init__(self) -> None:
        self._texts: dict[str, dict[str, None]] = {}

    def note(self, fields: Iterable[str], text: str) -> None:
        """Add a text about some fields."""
        for name in fields:
            texts = self._texts.setdefault(name, {})
            if len(texts) < MOST_REMARKS:
                texts[text[:LONGEST_REMARK]] = None

    def by_field(self) -> dict[str, list[str]]:
        """Return the texts of each field that has some, in the order in which they were added."""
        return {name: list(texts) for name, texts in self._texts.items()}


def tell_thinned(spans: Sequence[Span], stride: float | None) -> str:
    """Return what is to be told where a node gave one sample in a stride, seconds, and no more, of some spans."""
    first, last = format_iso8601(spans[0][0]), format_iso8601(spans[-1][1])
    return (
        f"between {first} and {last} it has more samples than it gives at once, so only one in "
        f"{format_duration(stride or 0.0)} was read, and short excursions may be missing; ask for a shorter range"
    )


def read_remarks(given: Any, fields: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the texts of some fields, as somebody else sent them; what is no text is passed over."""
    if not isinstance(given, Mapping):
        return {}
    read = {name: _read_texts(given.get(name)) for name in fields}
    return {name: texts for name, texts in read.items() if texts}


def _read_texts(given: Any) -> tuple[str, ...]:
    listed = given[:MOST_REMARKS] if isinstance(given, list | tuple) else ()
    return tuple(dict.fromkeys(text[:LONGEST_REMARK] for text in listed if isinstance(text, str) and text))
