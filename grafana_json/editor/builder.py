"""The query builder of the JSON plugin: which targets there are, and what may be set for each; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_json.editor.listing import near
from sisock.gateway.directory import Snapshot

# The plugin asks for the choices of a list when it is opened, if they aren't sent; they swell long lists.
MOST_WITH_CHOICES = 200
CHOICES: Mapping[str, Mapping[str, str]] = {
    "reduce": {
        "minmax": "lowest and highest (minmax)",
        "m4": "first, lowest, highest, last (m4)",
        "band": "mean between min and max (band)",
        "mean": "mean",
        "min": "min",
        "max": "max",
        "count": "number of values (count)",
        "sum": "sum",
        "stddev": "standard deviation (stddev)",
        "first": "first",
        "last": "last",
    },
    "gaps": {"break": "break the line", "connect": "connect"},
    "align": {
        "false": "each series at its own times",
        "true": "all at the same times: means, unless a reducer is chosen (max keeps peaks)",
    },
}
"""The choices of each list, with their labels."""
INPUTS: Sequence[dict[str, Any]] = (
    {"name": "reduce", "label": "Reducer", "type": "select", "placeholder": "minmax", "width": 32},
    {"name": "alias", "label": "Alias", "type": "input", "placeholder": "{node} {field}", "width": 24},
    {"name": "units", "label": "Units", "type": "input", "placeholder": "as the node says", "width": 20},
    {"name": "gaps", "label": "Gaps", "type": "select", "placeholder": "break", "width": 16},
    {"name": "align", "label": "One grid", "type": "select", "placeholder": "false", "width": 32},
    {"name": "every", "label": "Every", "type": "input", "placeholder": "1h, 1d", "width": 12},
)


def list_metrics(request: Any, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the targets that may be chosen, each with its inputs; a bounded number, near the one that is chosen."""
    metric = request.get("metric") if isinstance(request, Mapping) else None
    listed = near(metric if isinstance(metric, str) else "", snapshot.targets)
    inputs = [_with_choices(entry) for entry in INPUTS] if len(listed) <= MOST_WITH_CHOICES else INPUTS
    return [{"label": one.label, "value": one.target, "payloads": inputs} for one in listed]


def list_choices(request: Any) -> list[dict[str, str]]:
    """Return the choices for one part of the payload."""
    name = request.get("name") if isinstance(request, Mapping) else None
    choices = CHOICES.get(name, {}) if isinstance(name, str) else {}
    return [{"label": label, "value": choice} for choice, label in choices.items()]


def _with_choices(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"options": list_choices(entry)} if entry["name"] in CHOICES else entry
