"""The payload of a query: the settings of its author besides the target, such as reducer and legend; pure.

The JSON plugin sends it as typed, or with every value turned into text: ``{"connect": "true"}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import orjson

from sisock.core.errors import BadRequest
from sisock.core.reduce.reducers import REDUCERS
from sisock.gateway.drawing.every import Every, find_zone, parse_every
from sisock.gateway.drawing.planner import DEFAULT_REDUCER, GRID_REDUCER, Drawing

LONGEST_TEXT = 200
MOST_METRICS = 100
LONGEST_SHOWN = 60
TRUE_TEXTS = {"true", "1", "yes", "on"}
FALSE_TEXTS = {"false", "0", "no", "off", ""}
GAPS = ("break", "connect")
PANEL_UNITS = "panel"
BAND = "band"
REDUCE = (*REDUCERS, BAND)
# What is drawn of each cell of a grid, from below, and what is put behind the legend of each; others are drawn alone.
BAND_PARTS: Mapping[str, str] = {"min": " min", "mean": "", "max": " max"}
ALIGNED_PARTS: Mapping[str, Mapping[str, str]] = {
    "minmax": {"min": " min", "max": " max"},
    "m4": {"first": " first", "min": " min", "max": " max", "last": " last"},
}
# As Grafana writes it.
ZONES = {"utc": "UTC"}


@dataclass(frozen=True)
class Options:
    """The settings of one query.

    Parameters
    ----------
    reducer
        How samples are reduced, one of ``REDUCE``.
    alias
        The legend, with ``{node}``, ``{field}`` and ``{units}``; empty for the target's name.
    units
        In place of the field's own; empty for those, and ``panel`` for those that the panel itself sets.
    metrics
        Targets to draw in place of the query's text.
    connect
        Whether lines are drawn across gaps.
    notices
        Whether a notice has the buckets that a series is drawn from.
    before
        Whether what holds at the window's start is drawn there; None for where that is usual.
    changes
        Whether an annotation marks the changes of a field.
    align
        Whether all series of the request stand on one grid.
    every
        The length of the cells of that grid, which is then wanted; None for what fits.
    zone
        The time zone of their days; empty for the one of the dashboard.
    chosen
        Whether the author chose the reducer.
    problems
        What could not be understood, in words.
    """

    reducer: str = DEFAULT_REDUCER
    alias: str = ""
    units: str = ""
    metrics: tuple[str, ...] = ()
    connect: bool = False
    notices: bool = False
    before: bool | None = None
    changes: bool = False
    align: bool = False
    every: Every | None = None
    zone: str = ""
    chosen: bool = field(default=False, compare=False)
    problems: tuple[str, ...] = ()

    @cached_property
    def drawings(self) -> Mapping[Drawing, str]:
        """The ways in which each series is drawn, and the ending of the legend of each."""
        # The zone says where days begin, so it goes with the length of the cells.
        every = replace(self.every, zone=self.zone) if self.every and self.zone else self.every
        way = Drawing(breaks=not self.connect, before=self.before, align=self.align, chosen=self.chosen, every=every)
        return {replace(way, reducer=reducer): ending for reducer, ending in self._parts.items()}

    @property
    def aligns(self) -> bool:
        """Whether all series stand on a grid."""
        return self.align or self.every is not None

    @property
    def effective_reducer(self) -> str:
        """Return the reducer that holds: on a grid, the mean where none was chosen."""
        # One value stands for a cell. The two of the default become two lines only where somebody asks for them.
        return GRID_REDUCER if self.aligns and not self.chosen and self.reducer == DEFAULT_REDUCER else self.reducer

    @property
    def _parts(self) -> Mapping[str, str]:
        reducer = self.effective_reducer
        if reducer == BAND:
            return BAND_PARTS
        return ALIGNED_PARTS.get(reducer, {reducer: ""}) if self.aligns else {reducer: ""}


NO_OPTIONS = Options()


def parse_options(payload: Any) -> Options:
    """Read a payload; what is wrong in it becomes a problem in words, and unknown keys are passed over."""
    # As it was typed, perhaps half of it yet: then nothing is set.
    if isinstance(payload, str) and payload.strip():
        payload = _from_text(payload)
    if not payload or not isinstance(payload, Mapping):
        return NO_OPTIONS
    changes: dict[str, Any] = {}
    problems = []
    for key, (name, read) in _READERS.items():
        if payload.get(key) is None:
            continue
        try:
            changes[name] = read(payload[key])
            changes["chosen"] = changes.get("chosen") or (name == "reducer" and payload[key] != "")
        except ValueError as error:
            problems.append(f"the payload's '{key}' {error}")
        except BadRequest as error:
            problems.append(f"the payload's '{key}': {error}")
    return replace(NO_OPTIONS, **changes, problems=tuple(problems))


def _from_text(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _shown(value: Any) -> str:
    return f"is {str(value)[:LONGEST_SHOWN]!r}"


def _reducer(value: Any) -> str:
    if value == "":
        return DEFAULT_REDUCER
    if not isinstance(value, str) or value not in REDUCE:
        raise ValueError(f"{_shown(value)}, but must be one of {', '.join(REDUCE)}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"{_shown(value)}, but must be a text of at most {LONGEST_TEXT} characters")
    return value.strip()


def _metrics(value: Any) -> tuple[str, ...]:
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError(f"{_shown(value)}, but must be a list of targets")
    if len(entries) > MOST_METRICS:
        raise ValueError(f"has {len(entries)} targets, but may have {MOST_METRICS}: use a pattern")
    # An entry without a text means nothing yet, and one that is there twice is drawn once.
    return tuple(dict.fromkeys(entry for entry in entries if entry.strip()))


def _connect(value: Any) -> bool:
    if value == "":
        return False
    if value not in GAPS:
        raise ValueError(f"{_shown(value)}, but must be one of {', '.join(GAPS)}")
    return bool(value == "connect")


def _every(value: Any) -> Every | None:
    text = _text(value)
    return parse_every(text) if text else None


def parse_zone(value: Any) -> str:
    """Return the name of a time zone as it is known; ValueError or BadRequest, in words, for anything else."""
    name = _text(value)
    return find_zone(ZONES.get(name.lower(), name)).key if name else ""


def parse_switch(value: Any) -> bool:
    """Return whether something is on; ValueError, in words, for anything else."""
    text = str(value).strip().lower()
    if text not in TRUE_TEXTS | FALSE_TEXTS:
        raise ValueError(f"{_shown(value)}, but must be true or false")
    return text in TRUE_TEXTS


_READERS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "reduce": ("reducer", _reducer),
    "alias": ("alias", _text),
    "units": ("units", _text),
    "metrics": ("metrics", _metrics),
    "gaps": ("connect", _connect),
    "notices": ("notices", parse_switch),
    "before": ("before", lambda value: None if value == "" else parse_switch(value)),
    "changes": ("changes", parse_switch),
    "align": ("align", parse_switch),
    "every": ("every", _every),
    "zone": ("zone", parse_zone),
}
