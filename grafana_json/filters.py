"""Ad hoc filters: what a dashboard's viewer narrows all panels down to; pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import re2

from grafana_json.targets import QUIET
from sisock.core.model import Field
from sisock.gateway.directory import Snapshot
from sisock.gateway.drawing.planner import SeriesWanted

MOST_FILTERS = 50
# A list of more opens slowly.
MOST_TAG_VALUES = 5000
LONGEST_PATTERN = 10_000
LONGEST_SHOWN_FILTERS = 60

Test = Callable[[str], bool]
NODE = "node"
OF_FIELD: Mapping[str, Callable[[Field], str]] = {
    "units": lambda field: field.units or "",
    "type": lambda field: field.type,
    "field": lambda field: field.name,
}
TAG_KEYS = (NODE, *OF_FIELD)


@dataclass(frozen=True)
class Filters:
    """The filters of a request that can be applied, in words what the viewer chose, and what was passed over."""

    tests: tuple[tuple[str, Test], ...] = ()
    text: str = ""
    remarks: tuple[str, ...] = ()

    def passes(self, wanted: SeriesWanted, snapshot: Snapshot) -> bool:
        """Tell whether a series is among what the viewer chose; of a spliced one any part may be."""
        # A node that is away describes no field; its name, and the field's, can still be compared.
        return any(self._passes(part.node, snapshot.field(part) or Field(part.field, "")) for part in wanted.parts)

    def passing(self, node: str, fields: Iterable[Field]) -> Iterator[Field]:
        """Yield the fields of a node that are among what the viewer chose."""
        return (field for field in fields if self._passes(node, field)) if self.tests else iter(fields)

    def _passes(self, node: str, field: Field) -> bool:
        return all(test(node if key == NODE else OF_FIELD[key](field)) for key, test in self.tests)


NONE = Filters()


def parse_filters(given: Any) -> Filters:
    """Read the filters of a request; keys that are not ours are normal, for filters hold for all data sources."""
    if not given or not isinstance(given, list):
        return NONE
    tests, texts, remarks = [], [], []
    for entry in given[:MOST_FILTERS]:
        # One whose key is not chosen yet filters nothing.
        if not isinstance(entry, Mapping) or not isinstance(key := entry.get("key"), str) or not key:
            continue
        shown = f"{key} {entry.get('operator')} {entry.get('value')}"[:LONGEST_SHOWN_FILTERS]
        if key not in TAG_KEYS:
            remarks.append(f"the filter on '{key[:LONGEST_SHOWN_FILTERS]}' is passed over: no series has it")
            continue
        try:
            tests.append((key, _OPERATORS[str(entry.get("operator"))](entry)))
            texts.append(shown)
        except KeyError:
            remarks.append(f"the filter '{shown}' is passed over: its operator is unknown")
        except re2.error:
            remarks.append(f"the filter '{shown}' is passed over: that is no pattern")
    return Filters(tuple(tests), ", ".join(texts), tuple(remarks))


def list_keys() -> list[dict[str, str]]:
    """Return what series can be filtered by."""
    return [{"type": "string", "text": key} for key in TAG_KEYS]


def list_values(request: Any, snapshot: Snapshot) -> list[dict[str, str]]:
    """Return the values of a key among the series that pass the other filters of the request."""
    request = request if isinstance(request, Mapping) else {}
    key = request.get("key")
    if not isinstance(key, str) or key not in TAG_KEYS:
        return []
    filters = parse_filters(request.get("filters"))
    # A filter on the key itself would leave only what was chosen before, and nothing to change it to.
    others = Filters(tuple(test for test in filters.tests if test[0] != key))
    values: set[str] = set()
    for node in snapshot.nodes.values():
        passing = others.passing(node.name, node.catalogue.fields.values())
        values.update(map(OF_FIELD[key], passing) if key in OF_FIELD else (node.name for _ in islice(passing, 1)))
    return [{"text": value} for value in islice(sorted(values - {""}), MOST_TAG_VALUES)]


def _value(entry: Mapping[str, Any]) -> str:
    value = entry.get("value")
    return value if isinstance(value, str) else str(value if value is not None else "")


def _values(entry: Mapping[str, Any]) -> set[str]:
    values = entry.get("values")
    return {str(value) for value in values} if isinstance(values, list) else {_value(entry)}


def _equal(entry: Mapping[str, Any]) -> Test:
    value = _value(entry)
    return lambda text: text == value


def _one_of(entry: Mapping[str, Any]) -> Test:
    values = _values(entry)
    return lambda text: text in values


def _matches(entry: Mapping[str, Any]) -> Test:
    # RE2 is safe whatever the pattern, but a long one takes long to compile, at each refresh.
    if len(_value(entry)) > LONGEST_PATTERN:
        raise re2.error("too long")
    compiled = re2.compile(_value(entry), QUIET)
    return lambda text: compiled.fullmatch(text) is not None


def _not(make: Callable[[Mapping[str, Any]], Test]) -> Callable[[Mapping[str, Any]], Test]:
    def make_opposite(entry: Mapping[str, Any]) -> Test:
        test = make(entry)
        return lambda text: not test(text)

    return make_opposite


def _compare(compare: Callable[[Any, Any], bool]) -> Callable[[Mapping[str, Any]], Test]:
    def make(entry: Mapping[str, Any]) -> Test:
        value = _value(entry)
        return lambda text: _in_order(compare, text, value)

    return make


def _in_order(compare: Callable[[Any, Any], bool], text: str, value: str) -> bool:
    """Compare as numbers where both are, and as texts otherwise."""
    try:
        return compare(float(text), float(value))
    except ValueError:
        return compare(text, value)


_OPERATORS: Mapping[str, Callable[[Mapping[str, Any]], Test]] = {
    "=": _equal,
    "!=": _not(_equal),
    "=~": _matches,
    "!~": _not(_matches),
    "<": _compare(operator.lt),
    ">": _compare(operator.gt),
    "=|": _one_of,
    "!=|": _not(_one_of),
}
