"""From the targets of a request to the series that are drawn for each, and the reason where there are none; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grafana_json.filters import Filters, keep
from grafana_json.protocol import Target
from grafana_json.replies import Notice
from grafana_json.targets import Matched, capped
from sisock.gateway.answer import SEPARATOR, SeriesWanted
from sisock.gateway.directory import Snapshot

Reading = Matched | str


@dataclass(frozen=True)
class Choice:
    """The series of one target, and what its viewer should know of the choice."""

    target: Target
    wanted: tuple[SeriesWanted, ...]
    notices: tuple[Notice, ...]


def choose(target: Target, readings: Mapping[str, Reading], filters: Filters, snapshot: Snapshot) -> Choice:
    """Return what is drawn for a target, given what each of its texts means."""
    names: dict[str, None] = {}
    notices = [Notice("warning", problem) for problem in target.options.problems]
    notices += [Notice("info", remark) for remark in filters.remarks]
    unread = []
    for text in target.texts:
        reading = readings[text]
        left = snapshot.left(text.strip()) if isinstance(reading, str) else None
        if left is not None:  # the reason comes with what is kept of it
            names[left.target] = None
        elif isinstance(reading, str):
            unread.append(Notice("error" if text.strip() else "info", _reason(reading, text, snapshot)))
        else:
            names.update(dict.fromkeys(reading.names))
            notices += [Notice("warning", reading.warning)] if reading.warning else []
    matched = capped(list(names))
    if matched.warning:
        notices.append(Notice("warning", matched.warning))
    wanted = keep([series_of(name, snapshot) for name in matched.names], filters, snapshot)
    if names and not wanted:
        notices.append(Notice("info", f"no series of this target passes the filters {filters.text}"))
    return Choice(target, tuple(wanted), (*notices, *unread))


def series_of(name: str, snapshot: Snapshot) -> SeriesWanted:
    """Return what a name means, ``node::field`` or ``node+node::field``."""
    known = snapshot.targets.get(name)
    if known is not None:
        return known
    node, _, field = name.partition(SEPARATOR)
    return SeriesWanted(node, field)


def _reason(reading: str, text: str, snapshot: Snapshot) -> str:
    """Return why a target means nothing: what is known to be wrong with its node says more than its spelling."""
    if not text.strip():
        return reading
    node = snapshot.nodes.get(text.partition(SEPARATOR)[0].strip())
    return snapshot.outage or (node.problem if node and node.problem else reading)
