"""The exceptions of sisock.

::

    SisockError
    ├── BadRequest            the asker's fault: says what to ask instead
    │   ├── UnknownNode
    │   ├── UnknownField
    │   ├── NameTaken         another session holds a data node's name
    │   └── OverAllowance     the answer would be larger than a reply may be
    ├── NodeUnavailable       the node is away, or missed its deadline
    ├── BadReply              the node answered something that breaks the contract
    ├── UnusableFile          a file of an archive: says what is wrong with it
    └── ConfigurationError    a setting, a file or a port of this machine
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

ERROR_BASE_URI = "org.simonsobservatory.error"


class SisockError(Exception):
    """Any error that sisock raises on purpose; its text is meant for people and says what to do."""

    uri = f"{ERROR_BASE_URI}.failed"
    http_status = 502


class BadRequest(SisockError):
    """A question that cannot be answered as it was asked."""

    uri = f"{ERROR_BASE_URI}.bad_request"
    http_status = 400


class UnknownNode(BadRequest):
    """A data node that the hub does not list."""

    uri = f"{ERROR_BASE_URI}.unknown_node"

    def __init__(self, node: str, known: Iterable[str] = ()) -> None:
        self.node = node
        super().__init__(f"data node '{node}' is not online{_suggestion(node, known)}")


class UnknownField(BadRequest):
    """A field that a data node does not serve."""

    uri = f"{ERROR_BASE_URI}.unknown_field"

    def __init__(self, node: str, field: str, known: Iterable[str] = ()) -> None:
        self.node = node
        self.field = field
        super().__init__(f"field '{field}' is not served by node '{node}'{_suggestion(field, known)}")


class NameTaken(BadRequest):
    """A data node's name that another session holds."""

    uri = f"{ERROR_BASE_URI}.name_taken"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"the name '{name}' is held by another data node: choose another, or stop that one; "
            "the name of a server that has just died is free once its session has timed out"
        )


class OverAllowance(BadRequest):
    """A reply that would exceed the bytes that a node puts in one message."""

    uri = f"{ERROR_BASE_URI}.over_allowance"

    def __init__(self, size_bytes: int, allowance_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.allowance_bytes = allowance_bytes
        super().__init__(
            f"the reply would need {size_bytes} bytes, over the allowance of {allowance_bytes}: "
            "ask for a shorter span, fewer fields, a larger min_stride, or page with limit"
        )


class NodeUnavailable(SisockError):
    """A node that did not answer: it is away, it failed, or it missed its deadline."""

    uri = f"{ERROR_BASE_URI}.node_unavailable"
    http_status = 503


class BadReply(SisockError):
    """A reply that breaks the contract so far that nothing of it can be used."""

    uri = f"{ERROR_BASE_URI}.bad_reply"


class UnusableFile(SisockError):
    """A file that a data node leaves out; its text goes on from the name of the file."""


class ConfigurationError(SisockError):
    """Something on this machine must be changed before the program can run; one line says what."""

    uri = f"{ERROR_BASE_URI}.configuration"
    http_status = 500


def _suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
