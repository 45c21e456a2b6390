"""From the targets of a request to the series of each, and the reason where there are none."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from grafana_json.filters import Filters
from grafana_json.replies import Notice
from grafana_json.requests import Query, Target
from grafana_json.targets import MOST_SERIES, Matched, excess_warning, find, match, unescape
from sisock.core.errors import BadRequest, NodeUnavailable
from sisock.gateway.directory import Snapshot
from sisock.gateway.drawing.planner import SEPARATOR, SeriesWanted
from sisock.gateway.drawing.series import Series
from sisock.gateway.gateway import Gateway
from sisock.gateway.target_index import Targets

Match = Matched | str
"""The names that a text means, or in words why it means none."""
MOST_TEXTS_IN_A_REQUEST = 1000
MOST_TEXTS_KEPT = 1000
LONGEST_TEXT_KEPT = 1000
# Of a text with a name, in one request: some seconds of a thread.
MOST_COMPARISONS = 2_000_000
FEWEST_TEXTS = 20
MOST_MEMBERS = 1000
_GROUP = re.compile(r"(?<!\\)(?:\(((?:\\.|[^()\\])*)\)|\{((?:\\.|[^{}\\])*)\})(?![*+?{])")
_BAR = re.compile(r"(?<!\\)\|")
InThread = Callable[..., Awaitable[Any]]
"""Calls a function in a worker thread and returns a Deferred, or another awaitable, of its result."""


@dataclass(frozen=True)
class ResolvedTarget:
    """The series of one target, and the notices that its viewer gets besides theirs."""

    target: Target
    wanted: tuple[SeriesWanted, ...]
    notices: tuple[Notice, ...]


def resolve_target(
    target: Target, matches: Mapping[str, Match], filters: Filters, snapshot: Snapshot
) -> ResolvedTarget:
    """Return the series of a target, given what each of its texts means."""
    series: dict[SeriesWanted, None] = {}
    notices = [Notice("warning", problem) for problem in target.options.problems]
    notices += [Notice("info", remark) for remark in filters.remarks]
    reasons = []
    for text in target.texts:
        matched = matches[text]
        if not isinstance(matched, str):
            series.update(dict.fromkeys(matched.series))
            notices += [Notice("warning", matched.warning)] if matched.warning else []
        elif left := snapshot.left(text.strip()):
            # The reason comes with what is kept of it.
            series[left] = None
        else:
            reasons.append(Notice("error" if text.strip() else "info", _reason(matched, text, snapshot)))
    wanted, more = _drawable(list(series), filters, snapshot)
    return ResolvedTarget(target, tuple(wanted), (*notices, *more, *reasons))


def _drawable(
    series: Sequence[SeriesWanted], filters: Filters, snapshot: Snapshot
) -> tuple[Sequence[SeriesWanted], list[Notice]]:
    """Return those of the series that are drawn, and notices of the others."""
    notices = []
    if len(series) > MOST_SERIES:
        notices.append(Notice("warning", str(excess_warning(len(series)))))
        series = series[:MOST_SERIES]
    if not filters.tests:
        return series, notices
    passing = [one for one in series if filters.passes(one, snapshot)]
    if series and not passing:
        notices.append(Notice("info", f"no series of this target passes the filters {filters.text}"))
    return passing, notices


def _reason(spelling: str, text: str, snapshot: Snapshot) -> str:
    """Return why a target means nothing: what is known to be wrong with its node says more than its spelling."""
    if not text.strip():
        return spelling
    node = snapshot.nodes.get(text.partition(SEPARATOR)[0].strip())
    return snapshot.outage or (node.problem if node and node.problem else spelling)


class KnownTexts:
    """A bounded memory of texts and their matches among the newest names: refreshes ask for the same patterns."""

    def __init__(self) -> None:
        self._targets = Targets({})
        self._known: dict[str, Match] = {}

    def among(self, targets: Targets) -> Mapping[str, Match]:
        """Return the matches that are known among some targets; the mapping never changes."""
        # They are the same object for as long as no node says anything new, so most looks are at that only.
        if targets is not self._targets and targets.has_names_of(self._targets):
            self._targets = targets
        return self._known if targets is self._targets else {}

    def keep(self, targets: Targets, matches: Mapping[str, Match]) -> None:
        """Keep new matches, unless their texts are long."""
        short = {text: matched for text, matched in matches.items() if len(text) <= LONGEST_TEXT_KEPT}
        known = {**self.among(targets), **short}
        if short or targets is not self._targets:
            self._targets, self._known = targets, known if len(known) <= MOST_TEXTS_KEPT else short


def check_work(texts: Sequence[str], targets: Targets) -> None:
    """Raise BadRequest for so many names and patterns that comparing them with all names would take long."""
    unknown = sum(text not in targets for text in texts)
    most = min(MOST_TEXTS_IN_A_REQUEST, max(MOST_COMPARISONS // max(len(targets), 1), FEWEST_TEXTS))
    if unknown > most:
        raise BadRequest(f"{unknown} different targets are too many: use patterns such as node::(a|b)")


def match_texts(texts: Sequence[str], targets: Targets) -> dict[str, Match]:
    """Return what each text means."""
    return {text: match(text, targets) for text in texts}


class Resolver:
    """Finds the series of targets; to be called in the reactor's thread.

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
        self._known_texts = KnownTexts()

    async def resolve(self, query: Query) -> list[ResolvedTarget]:
        """Return the series of each target.

        Where one is unknown it may be new, so the nodes are asked again, if not just now.
        """
        texts = list(dict.fromkeys(text for target in query.targets for text in target.texts))
        snapshot = self._gateway.snapshot()
        matches = await self._match_all(texts, snapshot.targets)
        # An empty text is a query that its author has not written yet, and asks for nothing.
        if any(isinstance(matched, str) and text.strip() for text, matched in matches.items()):
            fresh: Snapshot = await self._gateway.freshen()
            if fresh is not snapshot:
                snapshot, matches = fresh, await self._match_all(texts, fresh.targets)
        return [resolve_target(target, matches, query.filters, snapshot) for target in query.targets]

    async def _match_all(self, texts: Sequence[str], targets: Targets) -> Mapping[str, Match]:
        known = self._known_texts.among(targets)
        new = [text for text in texts if text not in known]
        if not new:
            return {text: known[text] for text in texts}
        # Names are looked up at once; anything else is compared with all names, which may take seconds.
        if all(text in targets for text in new):
            new_matches = match_texts(new, targets)
        else:
            check_work(new, targets)
            new_matches = await self._in_thread(match_texts, new, targets)
        # Another request may have changed what is known meanwhile, but not the mapping that was looked up before.
        matches = {text: new_matches[text] if text in new_matches else known[text] for text in texts}
        self._known_texts.keep(targets, new_matches)
        return matches


def check_targets(resolved: Sequence[ResolvedTarget], snapshot: Snapshot) -> None:
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
    for one in resolved:
        for member in islice(_members_of(one.target, snapshot), MOST_MEMBERS):
            reason = match(member, snapshot.targets)
            nodes = unescape(member.partition(SEPARATOR)[0])
            away += [node.problem for node in snapshot.nodes.values() if node.problem and find(nodes, [node.name])]
            # What is kept of a node that left is drawn for a target that names it alone, and then says so itself.
            if isinstance(reason, str) and (member not in one.target.texts or not snapshot.left(member.strip())):
                (wrong if find(nodes, snapshot.nodes) or SEPARATOR not in member else away).append(reason)
        wrong += [notice.text for notice in one.notices if notice.severity == "warning"]
    _refuse(away, wrong)


def check_series(series: Sequence[Series]) -> None:
    """Do nothing where all of the series came; NodeUnavailable otherwise."""
    _refuse([one.problem for one in series if one.problem], [])


def members(text: str) -> Iterator[str]:
    r"""Yield texts that must each mean something, of a list as Grafana writes variables of several values.

    ``a::(x|y)``, ``a::{x,y}`` and ``a::x,y`` are ``a::x`` and ``a::y``. Where there are several lists, one after the
    other is taken apart, for not all of their combinations need be. Any other text is its own.
    """
    # A group behind which a sign of repetition stands is a pattern, not a list.
    groups = list(_GROUP.finditer(text))
    for group in groups:
        parts = _BAR.split(group[1]) if group[1] is not None else group[2].split(",")
        yield from (f"{text[: group.start()]}{part}{text[group.end() :]}" for part in parts)
    if not groups:
        node, separator, _ = text.partition(SEPARATOR)
        for part in text.split(","):
            name = part.strip()
            yield name if SEPARATOR in name or not separator else f"{node}{SEPARATOR}{name}"


def _members_of(target: Target, snapshot: Snapshot) -> Iterator[str]:
    for text in target.texts:
        is_name = text in snapshot.targets or unescape(text) in snapshot.targets
        yield from (text,) if is_name else members(text)


def _refuse(away: Sequence[str], wrong: Sequence[str]) -> None:
    if away:
        raise NodeUnavailable("; ".join(dict.fromkeys((*away, *wrong))))
    if wrong:
        raise BadRequest("; ".join(dict.fromkeys(wrong)))
