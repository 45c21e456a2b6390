"""Saying a thing once: what is true at every call would otherwise be said at every call."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Iterable

AGAIN_S = 3600.0
MOST = 1000
FIELD = re.compile(r"field '(?P<name>.*?)' (?P<rest>(?:is|has) .*)", re.DOTALL)
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?\d[\d.:+-]*(?:e[-+]?\d+)?")


class Once:
    """Tells what is due to be said: what was not said in the last hour. It remembers a bounded number of things."""

    def __init__(self, again_s: float = AGAIN_S, most: int = MOST) -> None:
        self._again_s = again_s
        self._most = most
        self._said_at: OrderedDict[Hashable, float] = OrderedDict()

    def is_due(self, thing: Hashable, now: float) -> bool:
        """Tell whether a thing is due, and note that it is said then; ``now`` in seconds of a monotonic clock."""
        said_at = self._said_at.get(thing)
        if said_at is not None and now - said_at < self._again_s:
            return False
        self._said_at[thing] = now
        self._said_at.move_to_end(thing)
        while len(self._said_at) > self._most:
            self._said_at.popitem(last=False)
        return True


def kind_of(remark: str) -> str:
    """Return what a remark has the same from one call to the next: the field, and the words without figures."""
    found = FIELD.fullmatch(remark)
    subject, rest = (found["name"], found["rest"]) if found else ("", remark)
    return f"{subject}: {_VARYING.sub('#', rest)}"


def field_of(remark: str) -> str | None:
    """Return the field that a remark is about; None when it is about no single one."""
    found = FIELD.fullmatch(remark)
    return found["name"] if found else None


def summed(remarks: Iterable[str]) -> list[str]:
    """Return remarks with those that say the same of several fields as one, which counts them."""
    fields: dict[str, list[str]] = {}
    others = []
    for remark in remarks:
        found = FIELD.fullmatch(remark)
        if found:
            fields.setdefault(found["rest"], []).append(found["name"])
        else:
            others.append(remark)
    return [*others, *(f"field '{names[0]}'{_and_more(len(names) - 1)} {rest}" for rest, names in fields.items())]


def _and_more(count: int) -> str:
    return f" (and {count} more)" if count else ""
