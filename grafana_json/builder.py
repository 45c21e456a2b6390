"""The query builder of the JSON plugin: which targets there are, and what may be set for each; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_json.listing import near
from grafana_json.options import GAPS
from sisock.core.downsample import REDUCERS
from sisock.gateway.directory import Snapshot

# The plugin asks for the choices of a list when it is opened, if they aren't sent; they swell long lists.
MOST_WITH_CHOICES = 200
CHOICES: Mapping[str, Sequence[str]] = {"reduce": tuple(REDUCERS), "gaps": GAPS}
INPUTS: Sequence[dict[str, Any]] = (
    {"name": "reduce", "label": "Reducer", "type": "select", "placeholder": "minmax", "width": 16},
    {"name": "alias", "label": "Alias", "type": "input", "placeholder": "{node} {field}", "width": 24},
    {"name": "units", "label": "Units", "type": "input", "placeholder": "as the node says", "width": 20},
    {"name": "gaps", "label": "Gaps", "type": "select", "placeholder": "break", "width": 16},
)


def list_metrics(request: Any, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return what may be chosen as target, each with what may be set for it; a bounded number, near what is chosen."""
    metric = request.get("metric") if isinstance(request, Mapping) else None
    listed = near(metric if isinstance(metric, str) else "", snapshot.targets)
    inputs = [_with_choices(entry) for entry in INPUTS] if len(listed) <= MOST_WITH_CHOICES else INPUTS
    return [{"label": one.label, "value": one.target, "payloads": inputs} for one in listed]


def list_choices(request: Any) -> list[dict[str, str]]:
    """Return what may be chosen for one part of the payload."""
    name = request.get("name") if isinstance(request, Mapping) else None
    return [{"label": choice, "value": choice} for choice in CHOICES.get(name, ())] if isinstance(name, str) else []


def _with_choices(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"options": list_choices(entry)} if entry["name"] in CHOICES else entry
