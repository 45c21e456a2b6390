r"""The grammar of targets: which series a text in a panel means; pure.

A target is ``node::field``. Variables reach us formatted in Grafana's ways, so a text is read, in this order, as

1. a name, exactly as it stands;
2. a name with escapes, as a variable's single value is sent: ``weather::temp\.in``;
3. a pattern, as several values are sent: ``weather::(temp|wind)``, by RE2, in linear time whatever is typed;
4. a glob, or the formats ``:glob`` and ``:csv``: ``weather::{temp,wind}``, ``weather::*``, ``weather::temp,wind``;
5. a pattern with escapes, as a variable whose value is a pattern is sent: ``weather::\.\*``.

``archive+live::temp`` is one quantity that two nodes serve, as a single series; patterns may follow its ``::`` too.

The alias of a field means the field; a pattern matches the aliases of fields whose names it does not match.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any, Protocol

import re2

from sisock.gateway.drawing.planner import SEPARATOR, SPLICE, SeriesWanted
from sisock.gateway.target_index import Names, Targets

MOST_SERIES = 100
# Of the series that a target matches; a warning says how many there are, and counting them must end.
MOST_COUNTED = 10_000
_AT_ONCE = 1000
# Names that a misspelt one is compared with, which is slow.
MOST_COMPARED = 200
LONGEST_COMPARED = 200
LONGEST_TARGET = 100_000
# Groups of nodes in one target.
MOST_SPLICED = 10
_ESCAPED = re.compile(r"\\([\\^$*+?.()|\[\]{}/])")
_PATTERN_SIGN = re.compile(r"[\\^$*+?.()|\[\]{}]")
_GLOB_PART = re.compile(r"[*?{},]|[^*?{},]+")
_SPLICED_NODES = re.compile(r"[\w-]{1,64}(?:\\?\+[\w-]{1,64}){1,9}(?=::)", re.ASCII)
_PREFIX_PATTERN = re.compile(r"((?:[^\\^$*+?.()|\[\]{}]|\\[\\^$*+?.()|\[\]{}/])*)\.\*")
# Such a pattern speaks of the whole text, or changes its own options: it is tried on one name after another.
_NOT_FOR_LINES = re.compile(r"\\[AzCQ]|\(\?(?!:|i\))")
QUIET = re2.Options()
QUIET.log_errors = False
_LINES = re2.Options()
_LINES.log_errors = False
# Whatever a pattern says, it does not go on into the next line.
_LINES.never_nl = True
_LINES.never_capture = True


class Searchable(Protocol):
    """Names in blocks; :class:`Names` and :class:`Targets` are such."""

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such a name, or alias."""

    @property
    def blocks(self) -> Sequence[Names]:
        """Return all names."""

    @property
    def aliases(self) -> Sequence[Names]:
        """Return other names for the same, in blocks."""

    def name_of(self, alias: str) -> str:
        """Return what an alias is another name for."""


@dataclass(frozen=True)
class Matched:
    """The names that a target means, at most ``MOST_SERIES``, and a warning where there are more."""

    names: tuple[str, ...]
    warning: str | None = None

    @cached_property
    def series(self) -> tuple[SeriesWanted, ...]:
        """The series of these names; ``node+node::field`` is one of several nodes."""
        parts = (name.partition(SEPARATOR) for name in self.names)
        return tuple(SeriesWanted(node, field) for node, _, field in parts)


def match(target: str, names: Iterable[str]) -> Matched | str:
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
    searchable = _searchable(names)
    # One more than is counted, so that the warning can say that there are more.
    matches = list(islice(_find(text, searchable), MOST_COUNTED + 1))
    if not matches:
        return _not_found(unescape(text), searchable)
    return Matched(tuple(matches[:MOST_SERIES]), excess_warning(len(matches)))


def find(target: str, names: Iterable[str]) -> list[str]:
    """Return all names that a target means, however many; none when it is too long to be one."""
    return list(_find(target.strip(), _searchable(names)))


def _searchable(names: Iterable[str]) -> Searchable:
    return names if isinstance(names, Names | Targets) else Names(names)


def _find(text: str, names: Searchable) -> Iterator[str]:
    if not text or len(text) > LONGEST_TARGET:
        return iter(())
    for name in (text, unescape(text)):
        if name in names:
            return iter((name,))
    blocks = names.blocks
    # The names of what several nodes serve are in no catalogue: they are made for the groups that this text names.
    if SPLICE in text and _SPLICED_NODES.search(text):
        if _is_spliced_name(unescape(text), names):
            return iter((unescape(text),))
        blocks = (Names(_spliced_names(text, blocks)), *blocks)
        text = _SPLICED_NODES.sub(lambda nodes: re.sub(r"\\?\+", r"\+", nodes[0]), text)
    for pattern in (text, *_other_patterns(text)):
        matches = _full_matches(pattern, blocks)
        if names.aliases:
            matches = _with_aliases(matches, pattern, names)
        # The first reading that matches anything is what was meant; the others are not tried.
        first = next(matches, None)
        if first is not None:
            return chain((first,), matches)
    return iter(())


def _with_aliases(matches: Iterator[str], pattern: str, names: Searchable) -> Iterator[str]:
    """Yield names that were found, then the aliases that match of what was not."""
    known = set()
    for name in matches:
        known.add(name)
        yield name
    yield from (alias for alias in _full_matches(pattern, names.aliases) if names.name_of(alias) not in known)


def _is_spliced_name(text: str, names: Searchable) -> bool:
    """Tell whether this names a field that one of several nodes serves; the others may be away."""
    nodes, _, field = text.partition(SEPARATOR)
    return SPLICE in nodes and any(f"{node}{SEPARATOR}{field}" in names for node in nodes.split(SPLICE))


def _spliced_names(text: str, blocks: Sequence[Names]) -> Iterator[str]:
    """Yield the names of what all nodes of a group that are there serve, for the groups in a text."""
    for nodes in dict.fromkeys([unescape(nodes) for nodes in _SPLICED_NODES.findall(text)][:MOST_SPLICED]):
        fields = [fields for node in nodes.split(SPLICE) if (fields := _fields_of(node, blocks))]
        first, *others = fields or [{}]
        shared = (field for field in first if all(field in other for other in others))
        yield from (f"{nodes}{SEPARATOR}{field}" for field in shared)


def _fields_of(node: str, blocks: Sequence[Names]) -> dict[str, None]:
    start = f"{node}{SEPARATOR}"
    held = (block for block in blocks if start.startswith(block.prefix))
    return {name[len(start) :]: None for block in held for name in block if name.startswith(start)}


def unescape(text: str) -> str:
    """Take back the escapes that Grafana puts before the special characters of regular expressions."""
    return _ESCAPED.sub(r"\1", text)


def escape(text: str) -> str:
    """Return a pattern that matches only this text."""
    return _PATTERN_SIGN.sub(r"\\\g<0>", text)


def _full_matches(pattern: str, blocks: Sequence[Names]) -> Iterator[str]:
    """Yield the names that match as a whole; none when this is no pattern or too large a one for RE2."""
    if not _PATTERN_SIGN.search(pattern):
        # A plain name, which was compared already.
        return
    # What the lists of editors have for a whole level: no pattern need be run on its names.
    if beginning := _PREFIX_PATTERN.fullmatch(pattern):
        start = unescape(beginning[1])
        yield from (name for name in chain.from_iterable(blocks) if name.startswith(start))
        return
    whole = _compiled(pattern, QUIET)
    if whole is None:
        return
    # All names of a node are one text with a line for each: one search of it is quicker than one of each name.
    each = None if _NOT_FOR_LINES.search(pattern) else _compiled(f"(?m)^(?:{pattern})$", _LINES)
    if each is None:
        names = chain.from_iterable(blocks)
        yield from (name for name in names if whole.fullmatch(name.encode("utf-8", "replace")))
        return
    for block in blocks:
        offsets = (match.start() for match in each.finditer(block.lines.text) if match.end() > match.start())
        while some := list(islice(offsets, _AT_ONCE)):
            yield from block.at(some)


def _compiled(pattern: str, options: re2.Options) -> Any:
    """Return a compiled pattern; None where it is none, or too large a one for RE2."""
    try:
        return re2.compile(pattern.encode(), options)
    except (re2.error, UnicodeEncodeError):
        return None


def _other_patterns(text: str) -> Iterator[str]:
    """Yield a text as patterns: as a glob, as a list of globs that share a node, and without its escapes."""
    plain = unescape(text)
    if any(sign in plain for sign in "*?{"):
        yield _glob_pattern(plain)
    parts = [part.strip() for part in plain.split(",")]
    if len(parts) > 1 and "{" not in plain:
        node, separator, _ = parts[0].partition(SEPARATOR)
        complete = [part if not separator or SEPARATOR in part else f"{node}::{part}" for part in parts]
        yield "|".join(f"(?:{_glob_pattern(part)})" for part in complete)
    if plain != text:
        # A variable whose value is a pattern.
        yield plain


def _glob_pattern(glob: str) -> str:
    """Return a glob as a pattern; a brace that isn't closed stays a character, and the pattern matches nothing."""
    # A comma separates alternatives only inside braces; outside it is a sign like others.
    signs = {"*": ".*", "?": ".", "{": "(?:", "}": ")"}
    depth = 0
    pattern = []
    for part in _GLOB_PART.findall(glob):
        depth += (part == "{") - (part == "}")
        alternative = part == "," and depth > 0
        pattern.append("|" if alternative else signs.get(part) or escape(part))
    return "".join(pattern)


def excess_warning(count: int) -> str | None:
    """Return the warning for a target that means so many series; None where all of them are drawn."""
    if count <= MOST_SERIES:
        return None
    counted = str(count) if count <= MOST_COUNTED else f"more than {MOST_COUNTED}"
    return f"{counted} series match, the first {MOST_SERIES} are drawn: narrow the target"


def _not_found(text: str, names: Searchable) -> str:
    node, separator, _ = text.partition(SEPARATOR)
    shown = text if len(text) <= LONGEST_COMPARED else f"{text[:LONGEST_COMPARED]}…"
    if not separator:
        everything = chain.from_iterable(names.blocks)
        same_field = next((name for name in everything if name.endswith(f"{SEPARATOR}{text}")), None)
        return f"'{shown}' is no series: a target is node{SEPARATOR}field{_suggestion(same_field)}"
    # Whoever names a node that is there misspelt its field, so the fields of others are no suggestion.
    siblings = [block for block in names.blocks if f"{node}{SEPARATOR}".startswith(block.prefix)]
    return f"'{shown}' is not served by any node that is online{_suggestion(_closest(text, siblings or names.blocks))}"


def _closest(text: str, blocks: Sequence[Names]) -> str | None:
    """Return the most similar name; comparing is slow, so no monsters are compared, and only neighbours in order."""
    if len(text) > LONGEST_COMPARED or not blocks:
        return None
    share = max(MOST_COMPARED // len(blocks), 1)
    near = chain.from_iterable(block.neighbours(text, share) for block in blocks)
    return next(iter(difflib.get_close_matches(text, islice(near, MOST_COMPARED), n=1)), None)


def _suggestion(name: str | None) -> str:
    return f"; did you mean '{name}'?" if name else ""
