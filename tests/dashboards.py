"""What Grafana would send for a provisioned dashboard: its panels, its targets, and variables put into texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
DASHBOARDS = sorted((ROOT / "provisioning" / "dashboards").glob("*.json"))
JSON_PLUGIN = "simpod-json-datasource"
ROWS_PLUGIN = "yesoreyeram-infinity-datasource"
WITHOUT_DATA = {"row", "text"}
PUTTING_TOGETHER = {"calculateField", "joinByField", "merge", "seriesToColumns"}
SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}/]")
VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")


@dataclass(frozen=True)
class Panel:
    """A panel that asks for data, and the dashboard that it is on."""

    dashboard: Mapping[str, Any]
    content: Mapping[str, Any]

    @property
    def targets(self) -> list[Mapping[str, Any]]:
        return self.content["targets"]

    @property
    def plugin(self) -> str:
        return self.content["datasource"]["type"]

    @property
    def payloads(self) -> list[Mapping[str, Any]]:
        """What the targets of the JSON plugin set besides the target; variables stand as they are."""
        texts = [target.get("payload") or "{}" for target in self.targets]
        return [json.loads(VARIABLE.sub("null", text)) for text in texts]

    @property
    def puts_series_together(self) -> bool:
        """Whether series are stacked, joined or calculated with, for which they must have the same times."""
        settings = self.content["fieldConfig"]
        styles = [settings["defaults"].get("custom", {}).get("stacking", {})]
        properties = [one for override in settings["overrides"] for one in override["properties"]]
        styles += [one["value"] for one in properties if one["id"] == "custom.stacking"]
        made = {one["id"] for one in self.content.get("transformations", [])}
        return bool(made & PUTTING_TOGETHER) or any(style.get("mode", "none") != "none" for style in styles)

    @property
    def calculations(self) -> set[str]:
        """What is calculated of each series over the window, by Grafana's names: in legends and stats."""
        options = self.content["options"]
        return {name for key in ("legend", "reduceOptions") for name in options.get(key, {}).get("calcs", [])}

    def __str__(self) -> str:
        return f"{self.dashboard['title']}: {self.content['title']}"


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def load_datasources() -> list[dict[str, Any]]:
    """Return the datasources that are provisioned."""
    return yaml.safe_load((ROOT / "provisioning" / "datasources" / "sisock.yml").read_text())["datasources"]


def panels() -> list[Panel]:
    """Return the panels of all dashboards that ask for data."""
    boards = [load(path) for path in DASHBOARDS]
    return [Panel(board, one) for board in boards for one in _flat(board["panels"]) if one["type"] not in WITHOUT_DATA]


def variables(dashboard: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return dashboard["templating"]["list"]


def annotations(dashboard: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return dashboard["annotations"]["list"]


def chosen(dashboard: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each variable when the dashboard is opened."""
    return {one["name"]: one["current"]["value"] for one in variables(dashboard)}


def substitute(text: str, values: Mapping[str, Any], default: str = "regex") -> str:
    """Put variables into a text as Grafana does, each in its own format or the default one."""

    def value_of(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name not in values:
            return match[0]
        return FORMATS[match[2] or default](values[name])

    return VARIABLE.sub(value_of, text)


def request_of(panel: Panel, start: str, end: str) -> dict[str, Any]:
    """Return the body of POST /query for a panel, as the JSON plugin sends it."""
    values = chosen(panel.dashboard)
    targets = [
        {
            "refId": target["refId"],
            "datasource": target["datasource"],
            "editorMode": target["editorMode"],
            "target": substitute(target["target"], values),
            "payload": json.loads(substitute(target["payload"], values, "json") or "{}"),
        }
        for target in panel.targets
    ]
    points = panel.content.get("maxDataPoints", 800)
    span = {"from": start, "to": end, "raw": panel.dashboard["time"]}
    return {"app": "dashboard", "range": span, "maxDataPoints": points, "targets": targets, "filters": []}


def _flat(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in found:
        yield one
        yield from _flat(one.get("panels", []))


def _regex(value: Any) -> str:
    """Return one value escaped, several as alternatives."""
    if isinstance(value, str):
        return SPECIAL.sub(r"\\\g<0>", value)
    escaped = [_regex(one) for one in value]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


FORMATS = {
    "regex": _regex,
    "csv": lambda value: value if isinstance(value, str) else ",".join(value),
    "json": json.dumps,
}
