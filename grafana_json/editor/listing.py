"""The lists of targets in Grafana's editors, bounded however many there are: narrowed by a text, or by level; pure.

A level is what names share up to one of their dots. Where not all names fit into a list, an entry stands for all below
a level: it is a pattern, so it may be drawn as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_json.targets import escape, unescape
from sisock.gateway.drawing.planner import SEPARATOR
from sisock.gateway.target_index import LEVEL_SEPARATOR, Names, Targets

# The plugins open such a list in half a second.
MOST_LISTED = 2000
LONGEST_LISTED = 1000

Levels = Mapping[str, Sequence[str]]
"""Names by the level that they are on, as in :attr:`Names.levels`."""


@dataclass(frozen=True)
class Listed:
    """An entry of a list: what is drawn when it is chosen, how it is shown, and how many series it means."""

    target: str
    label: str
    count: int = 1

    @classmethod
    def of_name(cls, name: str) -> Listed:
        """Return the entry of one target."""
        return cls(name, name)

    @classmethod
    def of_level(cls, level: str, count: int) -> Listed:
        """Return the entry that stands for all below a level."""
        return cls(f"{escape(level)}.*", f"{level}* ({count:,} fields)", count)


def search(text: str, targets: Targets) -> list[str]:
    """Return the targets that contain a text, whatever its case; where they are too many, the first of them.

    Without a text, as in :func:`overview`.
    """
    text = text.strip()
    if not text:
        return [entry.target for entry in overview(targets)]
    names: list[str] = []
    for block in targets.blocks:
        names += block.containing(text, MOST_LISTED - len(names))
    return names


def overview(targets: Targets) -> list[Listed]:
    """Return all targets, or where they are too many, levels of each node, as deep as fits into its share."""
    entries: dict[str, Sequence[Listed]] = {}
    room = MOST_LISTED
    # From the smallest node on: what it does not need of its share is left to the larger ones.
    for number, names in enumerate(sorted(targets.blocks, key=len)):
        share = room // (len(targets.blocks) - number)
        entries[names.prefix] = _all_within(names, share) if share else ()
        room -= len(entries[names.prefix])
    return [entry for names in targets.blocks for entry in entries[names.prefix]]


def _all_within(names: Names, most: int) -> Sequence[Listed]:
    """Return all names of a node in their order, or levels of it."""
    return (
        [Listed.of_name(name) for name in names] if len(names) <= most else _within(names.prefix, names.levels, most)
    )


def near(target: str, targets: Targets) -> list[Listed]:
    """Return what may be chosen in place of a target: all targets, or where they are too many, those near it.

    These are the levels that it is on, what is below the lowest of them, and the nodes; for a target on no level they
    are those of :func:`overview`. The target itself is always among them, or the builder would forget it.
    """
    chosen = [Listed.of_name(target)] if target.strip() and len(target) <= LONGEST_LISTED else []
    level = _level_of(target, targets) if chosen and len(targets) > MOST_LISTED else None
    if level is None:
        listed = overview(targets)
    else:
        above = [Listed.of_level(one, len(targets.under(one))) for one in _levels_of(level)]
        # The way to other nodes stays open, by one entry each.
        others = [names for names in targets.blocks if len(names) and not level.startswith(names.prefix)]
        nodes = [Listed.of_level(names.prefix, len(names)) for names in others]
        room = max(MOST_LISTED - len(above) - len(nodes), 0)
        listed = [*above, *_below(level, targets, room), *nodes][:MOST_LISTED]
    return listed if any(entry.target == target for entry in listed) else [*chosen, *listed]


def _level_of(target: str, targets: Targets) -> str | None:
    """Return the level that a target names as a pattern or a glob, or that it is on; None when it is on none."""
    text = target.strip()
    # A pattern that this list wrote itself names a level; whoever chose it goes on from there.
    if text.endswith("*"):
        level = unescape(text.removesuffix("*").removesuffix("."))
        level += "" if level.endswith((LEVEL_SEPARATOR, SEPARATOR)) else LEVEL_SEPARATOR
    else:
        name = text if text in targets else unescape(text)
        level = _levels_of(name)[-1] if name in targets else ""
    return level if level and targets.under(level) else None


def _levels_of(name: str) -> list[str]:
    """Return the levels that a name is on, and of a level itself and those above; the highest is the node."""
    start = name.find(SEPARATOR) + len(SEPARATOR)
    dots = [index + 1 for index in range(start, len(name)) if name[index] == LEVEL_SEPARATOR]
    return [name[:end] for end in (start, *dots)]


def _below(level: str, targets: Targets, most: int) -> Sequence[Listed]:
    """Return what is below a level; where its own names alone are too many, the first of them."""
    names = targets.names_of[level.partition(SEPARATOR)[0]]
    entries = _within(level, {one: members for one, members in names.levels.items() if one.startswith(level)}, most)
    return entries if len(entries) > 1 else [Listed.of_name(name) for name in names.under(level)[:most]]


def _within(level: str, levels: Levels, most: int) -> Sequence[Listed]:
    """Return the entries for all names below a level, as deep as there are no more than ``most``."""
    count = sum(map(len, levels.values()))
    deepest: Sequence[Listed] = [Listed.of_level(level, count)] if count else []
    depth = 1
    # One level deeper at a time, for how many entries that makes is known only once they are counted.
    while len(deepest) < count and (deeper := _at_depth(level, levels, depth, most)):
        deepest = deeper
        depth += 1
    return deepest


def _at_depth(level: str, levels: Levels, depth: int, most: int) -> Sequence[Listed] | None:
    """Return an entry for each level so much deeper, and for each name above those; None where they are too many."""
    shallow: list[Sequence[str]] = []
    groups: dict[str, list[Sequence[str]]] = {}
    for one, names in levels.items():
        parts = one[len(level) :].split(LEVEL_SEPARATOR)
        if len(parts) <= depth:
            shallow.append(names)
        else:
            groups.setdefault(level + LEVEL_SEPARATOR.join(parts[:depth]) + LEVEL_SEPARATOR, []).append(names)
    if sum(map(len, shallow)) + len(groups) > most:
        return None
    entries = [Listed.of_name(name) for names in shallow for name in names]
    entries += [_entry(head, group) for head, group in groups.items()]
    return sorted(entries, key=lambda entry: entry.label)


def _entry(level: str, group: Sequence[Sequence[str]]) -> Listed:
    """Return the entry of a level, or of the one name below it."""
    count = sum(map(len, group))
    return Listed.of_level(level, count) if count > 1 else Listed.of_name(group[0][0])
