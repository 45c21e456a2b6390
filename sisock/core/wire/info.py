"""Addresses on the network, and what a node says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sisock.core.errors import BadReply

BASE_URI = "org.simonsobservatory"
# Not "$", which would let a name end with a newline where match() is used.
NODE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
# No argument is sent to a node that lacks its word here: the original library refuses the call.


class Capability:
    """The extensions that nodes say they have, by the words that travel."""

    REDUCE = "reduce"
    PACKED = "packed"
    PAGING = "paging"
    SPANS = "spans"
    AHEAD = "ahead"
    EDGE = "edge"
    AGGREGATES = "aggregates"


CAPABILITIES = frozenset(word for name, word in vars(Capability).items() if not name.startswith("_"))
"""All that nodes of this version have."""


def uri(suffix: str) -> str:
    """Compose the full URI of a procedure or topic."""
    return f"{BASE_URI}.{suffix}"


def procedure(node: str, name: str) -> str:
    """Compose the URI of a node's procedure, for example ``get_data``."""
    return uri(f"consumer.{node}.{name}")


@dataclass(frozen=True)
class NodeInfo:
    """A data node's statement about itself.

    Parameters
    ----------
    version
        Of the library it runs on; empty for the original, which cannot say.
    capabilities
        The extensions it understands; empty for the original library.
    allowance_bytes
        The most encoded bytes of one of its replies.
    catalogue_version
        Changes when its fields do; None when it does not tell.
    """

    version: str = ""
    capabilities: frozenset[str] = frozenset()
    allowance_bytes: int = 0
    catalogue_version: str | None = None


def encode_info(info: NodeInfo) -> dict[str, Any]:
    """Return the reply of ``consumer.<node>.info``."""
    return {
        "version": info.version,
        "capabilities": sorted(info.capabilities),
        "allowance": info.allowance_bytes,
        "catalogue_version": info.catalogue_version,
    }


def decode_info(reply: Any) -> NodeInfo:
    """Read a reply of ``consumer.<node>.info``; what is missing counts as not there."""
    if not isinstance(reply, Mapping):
        raise BadReply(f"the answer to 'info' is a {type(reply).__name__}, not a dictionary")
    capabilities = reply.get("capabilities")
    allowance = reply.get("allowance")
    version = reply.get("catalogue_version")
    return NodeInfo(
        version=str(reply.get("version", "")),
        capabilities=frozenset(map(str, capabilities)) if isinstance(capabilities, list | tuple) else frozenset(),
        allowance_bytes=allowance if isinstance(allowance, int) else 0,
        catalogue_version=None if version is None else str(version),
    )


def encode_entry(name: str, description: str | None) -> dict[str, Any]:
    """Return a data node as the hub lists it, and as its topics tell of it."""
    return {"name": name, "description": description}


def decode_entries(entries: Any) -> Iterator[tuple[str, str | None]]:
    """Yield name and description of each entry of the hub that names a node."""
    for entry in entries:
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if isinstance(name, str) and NODE_NAME.match(name):
            description = entry.get("description")
            yield name, None if description is None else str(description)
