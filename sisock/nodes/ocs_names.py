"""The names of the fields of OCS feeds, and their units."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from sisock.core.model import FIELD_TYPES, FieldType

LONGEST_NAME = 255
_FOREIGN = re.compile(r"[^A-Za-z0-9_]")
_BEGINNING = re.compile(r"(_*)[^A-Za-z]*")
_LAKE_SHORE = {"*_T": "K", "*_R": "ohm", "*_V": "V"}
UNITS_OF_AGENTS: Mapping[str, Mapping[str, str]] = {
    "Lakeshore240Agent": _LAKE_SHORE,
    "Lakeshore370Agent": _LAKE_SHORE,
    "Lakeshore372Agent": _LAKE_SHORE,
}
"""For classes of agents, patterns of fields and their units."""


class Key(NamedTuple):
    """The identity of a field: several blocks of a feed may have one of the same name."""

    address: str
    block: str
    field: str
    kind: FieldType


def names_of(keys: Collection[Key]) -> dict[Key, str]:
    """Return the name of each field; it does not depend on the order in which they came.

    It is ``address.field``, as in the archive that OCS writes. Where several blocks of the feed have the field, each
    is ``address.block.field``; where it has values of several types, those of all but the first are named after it.
    """
    # Whatever order they came in: a restart must not move a name from one field to another.
    ordered = sorted(keys, key=lambda key: (*key[:3], FIELD_TYPES.index(key.kind)))
    blocks: dict[tuple[str, str], set[str]] = {}
    for key in ordered:
        blocks.setdefault((key.address, clean(key.field)), set()).add(key.block)
    names: dict[Key, str] = {}
    taken: set[str] = set()
    before: tuple[str, str, str] | None = None
    for key in ordered:
        field = clean(key.field)
        parts = [printable(key.address), field]
        if len(blocks[key.address, field]) > 1:
            parts.insert(1, printable(key.block))
        # Of the same field of the same block, another type.
        if before == key[:3]:
            parts.append(key.kind)
        names[key] = _unused(".".join(parts), taken)
        taken.add(names[key])
        before = key[:3]
    return names


def aliases_of(names: Mapping[Key, str]) -> tuple[dict[str, str], list[str]]:
    """Return the names that the original gave: lower case, with underscores; and those that would not be clear.

    Returns
    -------
    dict
        The name of the field that each alias means.
    list
        Aliases that several fields would have, and that none has.
    """
    owners: dict[str, dict[tuple[str, str, str], str]] = {}
    for key, name in names.items():
        # The first type of a field is the field: names are in the order of types.
        owners.setdefault(original_name(key.field), {}).setdefault(key[:3], name)
    clear = {alias: next(iter(fields.values())) for alias, fields in owners.items() if alias and len(fields) == 1}
    return clear, sorted(alias for alias, fields in owners.items() if len(fields) > 1)


def original_name(field: str) -> str:
    """Return the name that the original gave a field."""
    return printable(field.lower().replace(" ", "_"))


def clean(field: str) -> str:
    """Return a field's name as OCS's aggregator writes it: letters, digits and underscores, a letter first."""
    name = _BEGINNING.sub(r"\1", _FOREIGN.sub("", field.replace(" ", "_")), count=1)
    return name[:LONGEST_NAME] or "invalid_field"


def printable(text: str) -> str:
    """Return a text without signs that lists and targets could not show."""
    return "".join(sign if sign.isprintable() and not sign.isspace() else "_" for sign in text)


def units_of(field: str, agent_class: str, given: Mapping[str, str]) -> str | None:
    """Return the units of a field, where they are known.

    Parameters
    ----------
    given
        Units by patterns of fields' names, such as ``*_T``; they win over what is known of the class of agents.
    """
    patterns = (*given.items(), *UNITS_OF_AGENTS.get(agent_class, {}).items())
    return next((units for pattern, units in patterns if fnmatchcase(field, pattern)), None)


def _unused(name: str, taken: Iterable[str]) -> str:
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count:02}"
    return candidate
