"""From the targets of a request to the series that are drawn for each, and the reason where there are none."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from grafana_json.filters import Filters, keep
from grafana_json.replies import Notice
from grafana_json.requests import Query, Target
from grafana_json.targets import Matched, capped, find, match, unescape
from sisock.core.errors import BadRequest, NodeUnavailable
from sisock.gateway.directory import Snapshot
from sisock.gateway.drawing.planner import SEPARATOR, SeriesWanted
from sisock.gateway.drawing.series import Series
from sisock.gateway.gateway import Gateway
from sisock.gateway.target_index import Targets

Resolved = Matched | str
MOST_TEXTS_IN_A_REQUEST = 1000
MOST_TEXTS_KEPT = 1000
LONGEST_TEXT_KEPT = 1000
MOST_COMPARISONS = 2_000_000  # of a text with a name, in one request: some seconds of a thread
FEWEST_TEXTS = 20
MOST_MEMBERS = 1000
_GROUP = re.compile(r"(?<!\\)(?:\(((?:\\.|[^()\\])*)\)|\{((?:\\.|[^{}\\])*)\})(?![*+?{])")
_BAR = re.compile(r"(?<!\\)\|")
InThread = Callable[..., Awaitable[Any]]
"""Calls a function in a worker thread and returns a Deferred, or another awaitable, of its result."""


@dataclass(frozen=True)
class ResolvedTarget:
    """The series of one target, and what its viewer should know of the choice."""

    target: Target
    wanted: tuple[SeriesWanted, ...]
    notices: tuple[Notice, ...]


def resolve_target(
    target: Target, readings: Mapping[str, Resolved], filters: Filters, snapshot: Snapshot
) -> ResolvedTarget:
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
    return ResolvedTarget(target, tuple(wanted), (*notices, *unread))


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


class KnownTexts:
    """What texts meant among the newest names; panels ask for the same patterns at each refresh."""

    def __init__(self) -> None:
        self._targets = Targets({})
        self._known: dict[str, Resolved] = {}

    def of(self, targets: Targets) -> Mapping[str, Resolved]:
        """Return what is known among some targets; it stays as it is."""
        return self._known if targets.has_names_of(self._targets) else {}

    def keep(self, targets: Targets, found: Mapping[str, Resolved]) -> None:
        """Keep what was found, a bounded number of short texts."""
        short = {text: reading for text, reading in found.items() if len(text) <= LONGEST_TEXT_KEPT}
        if short or not targets.has_names_of(self._targets):
            together = {**self.of(targets), **short}
            self._targets, self._known = targets, together if len(together) <= MOST_TEXTS_KEPT else short


def check_work(texts: Sequence[str], targets: Targets) -> None:
    """Raise BadRequest for so many names and patterns that comparing them with all names would take long."""
    unknown = sum(text not in targets for text in texts)
    most = min(MOST_TEXTS_IN_A_REQUEST, max(MOST_COMPARISONS // max(len(targets), 1), FEWEST_TEXTS))
    if unknown > most:
        raise BadRequest(f"{unknown} different targets are too many: use patterns such as node::(a|b)")


def match_texts(texts: Sequence[str], targets: Targets) -> dict[str, Resolved]:
    """Return what each text means."""
    return {text: match(text, targets) for text in texts}


class Resolver:
    """Chooses the series of targets; to be called in the reactor's thread.

    Parameters
    ----------
    gateway
        Knows the nodes and their fields.
    in_thread
        Calls a function in a worker thread: matching patterns may take long.
    """

    def __init__(self, gateway: Gateway, in_thread: InThread) -> None:
        self._gateway = gateway
        self._in_thread = in_thread
        self._readings = KnownTexts()

    async def choose(self, query: Query) -> list[ResolvedTarget]:
        """Return what is drawn for each target.

        Where one is unknown it may be new, so the nodes are asked again, if not just now.
        """
        texts = list(dict.fromkeys(text for target in query.targets for text in target.texts))
        snapshot = self._gateway.snapshot()
        readings = await self._match_all(texts, snapshot)
        if any(isinstance(reading, str) and text.strip() for text, reading in readings.items()):
            fresh: Snapshot = await self._gateway.freshen()
            if fresh is not snapshot:
                snapshot, readings = fresh, await self._match_all(texts, fresh)
        return [resolve_target(target, readings, query.filters, snapshot) for target in query.targets]

    async def _match_all(self, texts: Sequence[str], snapshot: Snapshot) -> dict[str, Resolved]:
        targets = snapshot.targets
        known = self._readings.of(targets)
        new = [text for text in texts if text not in known]
        if not new:
            return {text: known[text] for text in texts}
        if all(text in targets for text in new):
            found = match_texts(new, targets)
        else:
            check_work(new, targets)
            found = await self._in_thread(match_texts, new, targets)
        readings = {text: found[text] if text in found else known[text] for text in texts}
        self._readings.keep(targets, found)
        return readings


def check_targets(choices: Sequence[ResolvedTarget], snapshot: Snapshot) -> None:
    """Do nothing where each target, and each member of a list, means something, and means it wholly.

    Raises
    ------
    NodeUnavailable
        Where a node is not online, or cannot tell what it serves.
    BadRequest
        Where a target is wrong, or means more series than are drawn.
    """
    away = [snapshot.outage] if snapshot.outage else []
    wrong: list[str] = []
    for choice in choices:
        for member in islice(_members_of(choice, snapshot), MOST_MEMBERS):
            reading = match(member, snapshot.targets)
            nodes = unescape(member.partition(SEPARATOR)[0])
            away += [one.problem for one in snapshot.nodes.values() if one.problem and find(nodes, [one.name])]
            # What is kept of a node that left is drawn for a target that names it alone, and then says so itself.
            if isinstance(reading, str) and (member not in choice.target.texts or not snapshot.left(member.strip())):
                (wrong if find(nodes, snapshot.nodes) or SEPARATOR not in member else away).append(reading)
        wrong += [notice.text for notice in choice.notices if notice.severity == "warning"]
    _refuse(away, wrong)


def check_series(series: Sequence[Series]) -> None:
    """Do nothing where all of the series came; NodeUnavailable otherwise."""
    _refuse([one.problem for one in series if one.problem], [])


def members(text: str) -> Iterator[str]:
    r"""Yield texts that must each mean something, of a list as Grafana writes variables of several values.

    ``a::(x|y)``, ``a::{x,y}`` and ``a::x,y`` are ``a::x`` and ``a::y``. Where there are several lists, one after the
    other is taken apart, for not all of their combinations need be. Any other text is its own.
    """
    groups = list(_GROUP.finditer(text))
    for group in groups:
        parts = _BAR.split(group[1]) if group[1] is not None else group[2].split(",")
        yield from (f"{text[: group.start()]}{part}{text[group.end() :]}" for part in parts)
    if not groups:
        node, separator, _ = text.partition(SEPARATOR)
        for part in text.split(","):
            name = part.strip()
            yield name if SEPARATOR in name or not separator else f"{node}{SEPARATOR}{name}"


def _members_of(choice: ResolvedTarget, snapshot: Snapshot) -> Iterator[str]:
    for text in choice.target.texts:
        is_name = text in snapshot.targets or unescape(text) in snapshot.targets
        yield from (text,) if is_name else members(text)


def _refuse(away: Sequence[str], wrong: Sequence[str]) -> None:
    if away:
        raise NodeUnavailable("; ".join(dict.fromkeys((*away, *wrong))))
    if wrong:
        raise BadRequest("; ".join(dict.fromkeys(wrong)))
