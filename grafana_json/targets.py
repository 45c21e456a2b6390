r"""The grammar of targets: which series a text in a panel means; pure.

A target is ``node::field``. Variables reach us formatted in Grafana's ways, so a text is read, in this order, as

1. a name, exactly as it stands;
2. a name with escapes, as a variable's single value is sent: ``weather::temp\.in``;
3. a pattern, as several values are sent: ``weather::(temp|wind)``, by RE2, in linear time whatever is typed;
4. a glob, or the formats ``:glob`` and ``:csv``: ``weather::{temp,wind}``, ``weather::*``, ``weather::temp,wind``.

``archive+live::temp`` is one quantity that two nodes serve, as a single series; patterns may follow its ``::`` too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import re2

from sisock.gateway.answer import MERGE, SEPARATOR

MOST_SERIES = 100
MOST_COMPARED = 500  # names that a misspelt one is compared with
LONGEST_COMPARED = 200
LONGEST_TARGET = 100_000
MOST_MERGED = 10  # groups of nodes in one target
_ESCAPED = re.compile(r"\\([\\^$*+?.()|\[\]{}/])")
_PATTERN_SIGN = re.compile(r"[\\^$*+?.()|\[\]{}]")
_GLOB_PART = re.compile(r"[*?{},]|[^*?{},]+")
_MERGED_NODES = re.compile(r"[\w-]{1,64}(?:\\?\+[\w-]{1,64}){1,9}(?=::)", re.ASCII)
QUIET = re2.Options()
QUIET.log_errors = False


@dataclass(frozen=True)
class Matched:
    """The names that a target means, at most ``MOST_SERIES``, and what a viewer should know of it."""

    names: tuple[str, ...]
    warning: str | None = None


def match(target: str, names: Mapping[str, Any]) -> Matched | str:
    """Return the names that a target means, or in words why it means none.

    Parameters
    ----------
    target
        As it came in a request.
    names
        All targets that there are, in the order in which several are drawn.
    """
    text = target.strip()
    if not text:
        return f"choose what to draw: a target is node{SEPARATOR}field"
    found = find(text, names)
    return capped(found) if found else _not_found(unescape(text), names)


def find(target: str, names: Mapping[str, Any]) -> list[str]:
    """Return all names that a target means, however many; none when it is too long to be one."""
    text = target.strip()
    if not text or len(text) > LONGEST_TARGET:
        return []
    for name in (text, unescape(text)):
        if name in names:
            return [name]
    if MERGE in text and _MERGED_NODES.search(text):
        if _is_merged_name(unescape(text), names):
            return [unescape(text)]
        names = {**_merged_names(text, names), **names}
        text = _MERGED_NODES.sub(lambda nodes: re.sub(r"\\?\+", r"\\+", nodes[0]), text)
    for pattern in (text, *_glob_patterns(text)):
        found = _full_matches(pattern, names)
        if found:
            return found
    return []


def _is_merged_name(text: str, names: Mapping[str, Any]) -> bool:
    """Tell whether this names a field that one of several nodes serves; the others may be away."""
    nodes, _, field = text.partition(SEPARATOR)
    return MERGE in nodes and any(f"{node}{SEPARATOR}{field}" in names for node in nodes.split(MERGE))


def _merged_names(text: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names of what all nodes of a group that are there serve, for the groups in a text."""
    fields: dict[str, dict[str, None]] = {}
    for name in names:
        node, _, field = name.partition(SEPARATOR)
        fields.setdefault(node, {})[field] = None
    merged: dict[str, Any] = {}
    for nodes in [unescape(nodes) for nodes in _MERGED_NODES.findall(text)][:MOST_MERGED]:
        first, *others = [fields[node] for node in nodes.split(MERGE) if node in fields] or [{}]
        shared = [field for field in first if all(field in other for other in others)]
        merged.update({f"{nodes}{SEPARATOR}{field}": None for field in shared})
    return merged


def unescape(text: str) -> str:
    """Take back the escapes that Grafana puts before the special characters of regular expressions."""
    return _ESCAPED.sub(r"\1", text)


def _full_matches(pattern: str, names: Iterable[str]) -> list[str]:
    """Return the names that match as a whole; none when this is no pattern or too large a one for RE2."""
    if not _PATTERN_SIGN.search(pattern):
        return []  # a plain name, which was compared already
    try:
        compiled = re2.compile(pattern, QUIET)
    except re2.error:
        return []
    return [name for name in names if compiled.fullmatch(name)]


def _glob_patterns(text: str) -> Iterator[str]:
    """Yield a text as patterns: as a glob, then as a list of globs that share the node of the first."""
    plain = unescape(text)
    if any(sign in plain for sign in "*?{"):
        yield _glob_pattern(plain)
    parts = [part.strip() for part in plain.split(",")]
    if len(parts) > 1 and "{" not in plain:
        node, separator, _ = parts[0].partition(SEPARATOR)
        complete = [part if not separator or SEPARATOR in part else f"{node}::{part}" for part in parts]
        yield "|".join(f"(?:{_glob_pattern(part)})" for part in complete)


def _glob_pattern(glob: str) -> str:
    """Return a glob as a pattern; a brace that isn't closed stays a character, and the pattern matches nothing."""
    signs = {"*": ".*", "?": ".", "{": "(?:", "}": ")"}
    depth = 0
    pattern = []
    for part in _GLOB_PART.findall(glob):
        depth += (part == "{") - (part == "}")
        alternative = part == "," and depth > 0
        pattern.append("|" if alternative else signs.get(part) or re2.escape(part))
    return "".join(pattern)


def capped(found: list[str]) -> Matched:
    """Return as many names as are drawn, with a warning when there are more."""
    if len(found) <= MOST_SERIES:
        return Matched(tuple(found))
    warning = f"{len(found)} series match, the first {MOST_SERIES} are drawn: narrow the target"
    return Matched(tuple(found[:MOST_SERIES]), warning)


def _not_found(text: str, names: Mapping[str, Any]) -> str:
    node, separator, _ = text.partition(SEPARATOR)
    shown = text if len(text) <= LONGEST_COMPARED else f"{text[:LONGEST_COMPARED]}…"
    if not separator:
        same_field = next((name for name in names if name.endswith(f"{SEPARATOR}{text}")), None)
        return f"'{shown}' is no series: a target is node{SEPARATOR}field{_suggestion(same_field)}"
    siblings = [name for name in names if name.startswith(f"{node}{SEPARATOR}")]
    return f"'{shown}' is not served by any node that is online{_suggestion(_closest(text, siblings or names))}"


def _closest(text: str, names: Iterable[str]) -> str | None:
    """Return the most similar name; comparing is slow, so only so many names and no monsters are compared."""
    compared = list(islice(names, MOST_COMPARED)) if len(text) <= LONGEST_COMPARED else []
    return next(iter(difflib.get_close_matches(text, compared, n=1)), None)


def _suggestion(name: str | None) -> str:
    return f"; did you mean '{name}'?" if name else ""
