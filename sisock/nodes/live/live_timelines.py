"""The timelines of a live node: which fields are on each, and the buffer of their samples."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sisock.core.buffer.rolling import RollingBuffer
from sisock.core.column.column import Column
from sisock.core.model import DataBlock, Field, FieldCatalogue


@dataclass(frozen=True)
class LiveTimelines:
    """All that a node serves at one moment.

    Which fields there are never changes in it, so that readers need no lock: a node replaces it whole. The buffers
    go on taking samples.

    Parameters
    ----------
    fields
        By their names.
    buffers
        By the names of the timelines of all fields.
    columns_of
        For fields that are called otherwise in their buffer, what they are called there.
    aliases
        The fields that further names mean.
    """

    fields: Mapping[str, Field] = field(default_factory=dict)
    buffers: Mapping[str, RollingBuffer] = field(default_factory=dict)
    columns_of: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return every field with at least one sample in [start, end), UNIX seconds."""
        # What is empty in the span is left out, and so is the interval of its timeline.
        alive = {name: buffer for name, buffer in self.buffers.items() if buffer.count(start, end)}
        fields = [one for one in self.fields.values() if one.timeline in alive]
        return FieldCatalogue.of(fields, {name: buffer.interval_s for name, buffer in alive.items()})

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return every sample of the known fields inside [start, end), UNIX seconds, under the names asked for."""
        # One block for all fields of a timeline: they share its times, as they are at one moment.
        blocks = {}
        for timeline, columns in self._columns_by_timeline(fields).items():
            block = self.buffers[timeline].block(columns.values(), start, end)
            values = {asked: block.values[column] for asked, column in columns.items()}
            blocks[timeline] = replace(block, values=values)
        return DataBlock(blocks)

    def columns(self, fields: Sequence[str]) -> dict[str, Column]:
        """Return all samples of the known fields with their summaries, under the names asked for and in that order."""
        by_name: dict[str, Column] = {}
        for timeline, columns in self._columns_by_timeline(fields).items():
            kept = self.buffers[timeline].columns(columns.values())
            by_name.update((asked, kept[column]) for asked, column in columns.items())
        return {name: by_name[name] for name in dict.fromkeys(fields) if name in by_name}

    def _columns_by_timeline(self, fields: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return for each timeline of the known fields the column of each name as it was asked for."""
        asked: dict[str, dict[str, str]] = {}
        for name in dict.fromkeys(fields):
            # A field's own name wins over an alias of another.
            served = self.fields.get(name) or self.fields.get(self.aliases.get(name, ""))
            if served is not None:
                columns = asked.setdefault(served.timeline, {})
                columns[name] = self.columns_of.get(served.name, served.name)
        return asked


class LiveNode:
    """A node of live samples, which answers from the timelines that it serves at the moment.

    What takes samples, such as ``poll`` or ``receive``, is for its subclass: it adds to the buffers, and sets
    ``served`` anew when fields come or go.
    """

    def __init__(self, name: str, description: str) -> None:
        self.name = name
        self.description = description
        self.served = LiveTimelines()

    def catalogue(self, start: float, end: float) -> FieldCatalogue:
        """Return every field with at least one sample in [start, end), UNIX seconds."""
        return self.served.catalogue(start, end)

    def read(self, fields: Sequence[str], start: float, end: float) -> DataBlock:
        """Return every sample of the fields inside [start, end), UNIX seconds; not to be written to."""
        return self.served.read(fields, start, end)

    def columns(self, fields: Sequence[str]) -> Mapping[str, Column]:
        """Return all samples of the fields, with what makes reducing them quick; unknown fields are left out."""
        return self.served.columns(fields)


def unused_name(name: str, taken: Container[str]) -> str:
    """Return a name, with a number behind it where it is taken already."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}-{count}"
    return candidate
