"""What is missing of an answer that must be whole, such as an alert rule's; pure.

A pattern means what there is, so nothing of it can be missing, except on a node that cannot tell what it serves. Of a
list, in any of the formats of Grafana's variables, each member must mean something.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from grafana_json.resolve import ResolvedTarget
from grafana_json.targets import find, match, unescape
from sisock.core.errors import BadRequest, NodeUnavailable
from sisock.gateway.directory import Snapshot
from sisock.gateway.series import SEPARATOR, Series

MOST_MEMBERS = 1000
_GROUP = re.compile(r"(?<!\\)(?:\(((?:\\.|[^()\\])*)\)|\{((?:\\.|[^{}\\])*)\})(?![*+?{])")
_BAR = re.compile(r"(?<!\\)\|")


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
