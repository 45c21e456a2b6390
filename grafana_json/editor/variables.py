"""Variables of dashboards: which values one may have; pure.

A query is a text (``nodes``, ``fields NODE``, ``targets PATTERN``, ``units UNIT``, or just a pattern of targets), or
an object: ``{"kind": "nodes"}``, ``{"kind": "fields", "node": …}``, ``{"kind": "targets", "pattern": …, "units": …}``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from grafana_json.targets import find, unescape
from sisock.gateway.directory import Snapshot
from sisock.gateway.drawing.planner import SEPARATOR

Option = dict[str, str]


def list_options(request: Any, snapshot: Snapshot) -> list[Option]:
    """Return the values that a variable may have, sorted; none for what is no query of ours."""
    payload = request.get("payload") if isinstance(request, Mapping) else None
    if isinstance(payload, str):
        payload = {"target": payload}
    if not isinstance(payload, Mapping):
        return []
    kind = payload.get("kind")
    if isinstance(kind, str) and kind in _KINDS:
        values = _KINDS[kind](payload, snapshot)
    else:
        values = _from_text(_text(payload.get("target")), snapshot)
    # Fields of several nodes share names, and a variable's values must differ.
    return [{"__text": value, "__value": value} for value in sorted(set(values))]


def _from_text(text: str, snapshot: Snapshot) -> Iterable[str]:
    word, _, rest = text.strip().partition(" ")
    if word in _WORDS and (rest.strip() or word == "nodes"):
        return _KINDS[word]({_WORDS[word]: rest}, snapshot)
    return find(text, snapshot.targets)


def _nodes(payload: Mapping[str, Any], snapshot: Snapshot) -> Iterable[str]:
    pattern = _text(payload.get("node"))
    return find(pattern, snapshot.nodes) if pattern else snapshot.nodes


def _fields(payload: Mapping[str, Any], snapshot: Snapshot) -> Iterable[str]:
    return (field for node in _nodes(payload, snapshot) for field in snapshot.nodes[node].catalogue.fields)


def _targets(payload: Mapping[str, Any], snapshot: Snapshot) -> Iterable[str]:
    pattern = _text(payload.get("pattern"))
    names = find(pattern, snapshot.targets) if pattern else snapshot.targets
    # The node is a pattern of its own, so its matches are looked up once and not for each name.
    node = _text(payload.get("node"))
    nodes = snapshot.nodes if not node else {name: snapshot.nodes[name] for name in find(node, snapshot.nodes)}
    chosen = [(key, unescape(_text(payload.get(key)))) for key in ("units", "type") if _text(payload.get(key))]
    for name in names:
        of_node, _, of_field = name.partition(SEPARATOR)
        field = nodes[of_node].catalogue.find(of_field) if of_node in nodes else None
        if field and (not chosen or all((getattr(field, key) or "") == text for key, text in chosen)):
            yield name


def _text(value: Any) -> str:
    """Return a text; of a list, as a variable of several values comes, the list of a glob."""
    if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
        return ",".join(value)
    return value.strip() if isinstance(value, str) else ""


_KINDS: Mapping[str, Callable[[Mapping[str, Any], Snapshot], Iterable[str]]] = {
    "nodes": _nodes,
    "fields": _fields,
    "targets": _targets,
    "units": _targets,
}
_WORDS: Mapping[str, str] = {"nodes": "node", "fields": "node", "targets": "pattern", "units": "units"}
