"""Units and descriptions of fields from a small YAML file beside the data, which may change at any time."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sisock.core.errors import UnusableFile
from sisock.core.model import Field, FieldCatalogue
from sisock.nodes.table.fields import on_one_line

logger = logging.getLogger(__name__)

NOTE_KEYS = {"units", "description"}
Notes = Mapping[str, Mapping[str, str]]


class NotesFile:
    """A file in which people write more of fields than a table has, by the fields' names.

    Parameters
    ----------
    candidates
        Where the file may be; the first that exists is read, again whenever it changes.
    """

    def __init__(self, candidates: Sequence[Path]) -> None:
        self._candidates = candidates
        # Guards the two below: catalogues are asked for by several threads.
        self._lock = threading.Lock()
        self._seen: tuple[Path, int, int] | None = None
        self._notes: Notes = {}

    def applied(self, catalogue: FieldCatalogue) -> FieldCatalogue:
        """Return a catalogue with the units and descriptions of the file, where it has some."""
        notes = self._current()
        fields = {name: _noted(one, notes.get(name, {})) for name, one in catalogue.fields.items()}
        return dataclasses.replace(catalogue, fields=fields)

    def _current(self) -> Notes:
        """Return what the file says now; of one that is broken, reported once, what it said before."""
        with self._lock:
            seen = next((one for path in self._candidates if (one := _state(path))), None)
            if seen != self._seen:
                # Also of one that is broken, which is reported once.
                self._seen = seen
                try:
                    self._notes = _read(seen[0]) if seen else {}
                except UnusableFile as problem:
                    logger.warning("%s", problem)
            return self._notes


def _state(path: Path) -> tuple[Path, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return path, status.st_mtime_ns, status.st_size


def _read(path: Path) -> Notes:
    try:
        notes = _notes_in(yaml.safe_load(path.read_bytes()))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        # The last where it is nested too deep.
        words = on_one_line(str(error))
        raise UnusableFile(f"'{path}' cannot be read ({words}): units and descriptions stay as they were") from None
    if notes is None:
        raise UnusableFile(
            f"'{path}' does not have the form 'fields: {{NAME: {{units: …, description: …}}}}': it is passed over"
        )
    return notes


def _notes_in(document: Any) -> Notes | None:
    """Return what a document says, None when it has another form; a key that is left empty says nothing."""
    fields = document.get("fields") if isinstance(document, dict) else None
    if not isinstance(fields, dict) or not all(_is_note(one) for one in fields.values()):
        return None
    return {
        str(name): {key: str(text) for key, text in one.items() if text is not None} for name, one in fields.items()
    }


def _is_note(one: Any) -> bool:
    return (
        isinstance(one, dict) and one.keys() <= NOTE_KEYS and not any(isinstance(x, dict | list) for x in one.values())
    )


def _noted(field: Field, note: Mapping[str, str]) -> Field:
    units, description = (note.get(key, getattr(field, key)) for key in ("units", "description"))
    return dataclasses.replace(field, units=units, description=description)
