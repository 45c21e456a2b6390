"""The hub's state: which data nodes are online, by name, and what changed.

A name belongs to the session that added it. Whoever calls must take the session from the router, not from what
a peer says of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sisock.core.errors import BadRequest, NameTaken
from sisock.core.wire import NODE_NAME


@dataclass(frozen=True)
class NodeEntry:
    """A data node that is online, and the WAMP session that holds its name."""

    name: str
    description: str | None
    session_id: int


@dataclass(frozen=True)
class Added:
    """A data node came online."""

    entry: NodeEntry


@dataclass(frozen=True)
class Removed:
    """A data node went offline."""

    entry: NodeEntry


Event = Added | Removed


def check_name(name: Any) -> str:
    """Return the name of a data node; raise BadRequest unless it is one component of a WAMP URI."""
    if not isinstance(name, str) or not NODE_NAME.fullmatch(name):
        raise BadRequest(f"{name!r:.80} cannot name a data node: use 1 to 64 letters, digits, underscores and hyphens")
    return name


class Registry:
    """The data nodes that are online, in order of arrival."""

    def __init__(self) -> None:
        self._entries: dict[str, NodeEntry] = {}

    def add(self, name: str, description: str | None, session_id: int) -> list[Event]:
        """Enter a data node and return what changed.

        The session that holds the name may add it again, with a new description; that is no event.

        Raises
        ------
        BadRequest
            For a name that cannot be part of a WAMP URI, or a description that is no text.
        NameTaken
            When another session holds the name.
        """
        check_name(name)
        if description is not None and not isinstance(description, str):
            raise BadRequest(f"the description of data node '{name}' is {description!r:.80}, but must be a text")
        held = self._entries.get(name)
        if held is not None and held.session_id != session_id:
            raise NameTaken(name)
        entry = NodeEntry(name, description, session_id)
        self._entries[name] = entry
        return [] if held else [Added(entry)]

    def subtract(self, name: str, session_id: int) -> list[Event]:
        """Take a data node out and return what changed: nothing unless the session holds the name."""
        return self._remove(lambda entry: entry.name == name and entry.session_id == session_id)

    def session_lost(self, session_id: int) -> list[Event]:
        """Take out every data node of a session and return what changed."""
        return self._remove(lambda entry: entry.session_id == session_id)

    def retain(self, live_session_ids: Collection[int]) -> list[Event]:
        """Take out every data node whose session is not among those alive, and return what changed."""
        return self._remove(lambda entry: entry.session_id not in live_session_ids)

    def nodes(self) -> list[NodeEntry]:
        """Return the data nodes that are online, in order of arrival."""
        return list(self._entries.values())

    def _remove(self, leaves: Callable[[NodeEntry], bool]) -> list[Event]:
        gone = [entry for entry in self._entries.values() if leaves(entry)]
        for entry in gone:
            del self._entries[entry.name]
        return [Removed(entry) for entry in gone]
