"""Fields and timelines as they travel: the reply of ``get_fields``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sisock.core.errors import BadReply
from sisock.core.model import FIELD_TYPES, Field, FieldCatalogue
from sisock.core.wire.values import as_text, describe, text_or_none

# Fields take about 170 bytes each, so a page is below 1 MB, and below every allowance.
PAGE_FIELDS = 5000
# Original servers state a difference from 1970 as an interval; no real one is this long.
LONGEST_INTERVAL_S = 1e8


def encode_catalogue(catalogue: FieldCatalogue) -> list[dict[str, Any]]:
    """Return the reply of ``get_fields``: fields by name, then timelines by name."""
    fields = {
        field.name: {
            "description": field.description,
            "timeline": field.timeline,
            "type": field.type,
            "units": field.units,
            **({"aliases": list(field.aliases)} if field.aliases else {}),
        }
        for field in catalogue.fields.values()
    }
    timelines = {
        timeline.name: {"interval": timeline.interval_s, "field": list(timeline.fields)}
        for timeline in catalogue.timelines.values()
    }
    return [fields, timelines]


def page_catalogue(catalogue: FieldCatalogue, limit: int | None, after: str | None) -> FieldCatalogue:
    """Return the fields that follow ``after`` in the order of their names, at most ``limit`` of them."""
    names = sorted(name for name in catalogue.fields if after is None or name > after)[:limit]
    intervals_s = {name: timeline.interval_s for name, timeline in catalogue.timelines.items()}
    return FieldCatalogue.of([catalogue.fields[name] for name in names], intervals_s)


class CataloguePages:
    """A catalogue that is asked for in pages, as far as it has come.

    Attributes
    ----------
    are_whole
        Whether no page is to come.
    remarks
        What was wrong with the replies, in words.
    """

    def __init__(self) -> None:
        self.are_whole = False
        self.remarks: list[str] = []
        self.next_arguments: dict[str, Any] = {"limit": PAGE_FIELDS}
        self._fields: dict[str, Field] = {}
        self._intervals_s: dict[str, float | None] = {}

    def take(self, reply: Any) -> None:
        """Take the reply of ``get_fields`` to ``next_arguments``."""
        page, remarks = decode_catalogue(reply)
        fresh = page.fields.keys() - self._fields.keys()
        self._fields.update(page.fields)
        self._intervals_s.update((name, one.interval_s) for name, one in page.timelines.items())
        self.remarks += remarks
        # A node that pages wrongly and repeats itself must not be asked for ever.
        self.are_whole = len(page.fields) < PAGE_FIELDS or not fresh
        # The greatest, and not the last: other servers may send a page in any order.
        self.next_arguments = {"limit": PAGE_FIELDS, "after": max(page.fields, default=None)}

    @property
    def catalogue(self) -> FieldCatalogue:
        """The fields that came, by the order of their names."""
        return FieldCatalogue.of(sorted(self._fields.values(), key=lambda one: one.name), self._intervals_s)


def decode_catalogue(reply: Any) -> tuple[FieldCatalogue, list[str]]:
    """Read a reply of ``get_fields``; return the catalogue, and what was wrong with the reply in words.

    Which fields are on a timeline is taken from the fields alone: original servers state it wrongly. An interval
    that is no spacing becomes None.

    Raises
    ------
    BadReply
        When the reply is not two dictionaries.
    """
    if not (isinstance(reply, list | tuple) and len(reply) == 2 and all(isinstance(part, Mapping) for part in reply)):  # noqa: PLR2004 - fields and timelines
        must_be = "two dictionaries: fields and timelines"
        raise BadReply(f"the answer to 'get_fields' must be {must_be}, but is {describe(reply)}")
    problems: list[str] = []
    fields = [_decode_field(name, entry, problems) for name, entry in reply[0].items()]
    intervals_s = {as_text(name): _decode_interval(entry) for name, entry in reply[1].items()}
    return FieldCatalogue.of([field for field in fields if field], intervals_s), problems


def _decode_field(name: Any, entry: Any, problems: list[str]) -> Field | None:
    if not isinstance(name, str) or not name or not isinstance(entry, Mapping):
        problems.append(f"field {name!r} is left out: it must be a text with a dictionary that describes it")
        return None
    if as_text(name) != name:
        # A lone surrogate, which no serializer takes: the field could never be asked for.
        problems.append(f"field {name!r} is left out: its name is no Unicode")
        return None
    # What has no type is a number, as almost all is.
    kind = entry.get("type", "number")
    if kind not in FIELD_TYPES:
        problems.append(f"field '{name}' has the type {kind!r}: taken for a number; use number, string or bool")
        kind = "number"
    # Some original servers state none; one of its own claims nothing about other fields.
    timeline = entry.get("timeline")
    return Field(
        name=name,
        timeline=as_text(timeline) if isinstance(timeline, str) and timeline else name,
        type=kind,
        units=text_or_none(entry.get("units")),
        description=text_or_none(entry.get("description")),
        aliases=_decode_aliases(entry.get("aliases")),
    )


def _decode_aliases(aliases: Any) -> tuple[str, ...]:
    listed = aliases if isinstance(aliases, list | tuple) else ()
    return tuple(alias for alias in listed if isinstance(alias, str) and alias and as_text(alias) == alias)


def _decode_interval(entry: Any) -> float | None:
    interval = entry.get("interval") if isinstance(entry, Mapping) else None
    try:
        interval_s = float(interval)  # type: ignore[arg-type]  # whatever it is, float() says
    except (TypeError, ValueError, OverflowError):
        return None
    return interval_s if 0 < interval_s < LONGEST_INTERVAL_S else None
