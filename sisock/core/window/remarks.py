"""Remarks about fields, in words: for whoever looks at them, and for the author of a server, each once."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from sisock.core.model import Span
from sisock.core.times import format_duration, format_iso8601

# Remarks about one field.
MOST_REMARKS = 8
LONGEST_REMARK = 500

Remarked = Mapping[str, Sequence[str]]
"""Texts by field."""
AGAIN_S = 3600.0
# Callers and authors choose what is noted, such as names: without a bound it could fill the memory.
MOST = 1000
# A name may have quotes and spaces in it: it ends where the sentence goes on.
FIELD = re.compile(r"field '(?P<name>.*?)' (?P<rest>(?:is|has) .*)", re.DOTALL)
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?\d[\d.:+-]*(?:e[-+]?\d+)?")


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


class Once:
    """A memory of the texts of the last hour, so that none is repeated all the time; it is bounded."""

    def __init__(self, again_s: float = AGAIN_S, most: int = MOST) -> None:
        self._again_s = again_s
        self._most = most
        self._noted_at: OrderedDict[Hashable, float] = OrderedDict()

    def is_due(self, thing: Hashable, now: float) -> bool:
        """Tell whether a text is due, and note that it is given then; ``now`` in seconds of a monotonic clock."""
        noted_at = self._noted_at.get(thing)
        if noted_at is not None and now - noted_at < self._again_s:
            return False
        self._noted_at[thing] = now
        # The oldest comes first, to be forgotten first.
        self._noted_at.move_to_end(thing)
        while len(self._noted_at) > self._most:
            self._noted_at.popitem(last=False)
        return True


def kind_of(remark: str) -> str:
    """Return what a remark has the same from one call to the next: the field, and the words without figures."""
    match = FIELD.fullmatch(remark)
    subject, rest = (match["name"], match["rest"]) if match else ("", remark)
    return f"{subject}: {_VARYING.sub('#', rest)}"


def field_of(remark: str) -> str | None:
    """Return the field that a remark is about; None when it is about no single one."""
    match = FIELD.fullmatch(remark)
    return match["name"] if match else None


def join_remarks(remarks: Iterable[str]) -> list[str]:
    """Return remarks with those that say the same of several fields as one, which counts them."""
    fields: dict[str, list[str]] = {}
    others = []
    for remark in remarks:
        match = FIELD.fullmatch(remark)
        if match:
            fields.setdefault(match["rest"], []).append(match["name"])
        else:
            others.append(remark)
    return [*others, *(f"field '{names[0]}'{_and_more(len(names) - 1)} {rest}" for rest, names in fields.items())]


def _and_more(count: int) -> str:
    return f" (and {count} more)" if count else ""
