"""Sources of data. They know nothing of WAMP: :mod:`sisock.wamp` serves them.

``KINDS`` is the table of those that come with sisock; a new one is a module and a line here.
"""

from __future__ import annotations

import importlib
from typing import Any

from sisock.core.errors import ConfigurationError
from sisock.nodes.contract import DataNode

KINDS = {
    "host": "sisock.nodes.host:HostNode",
    "weather": "sisock.nodes.weather:WeatherNode",
}


def make_node(kind: str, **options: Any) -> DataNode:
    """Make a node of a kind in ``KINDS`` from the keyword arguments of its class."""
    if kind not in KINDS:
        raise ConfigurationError(f"there is no kind of node '{kind}': choose one of {', '.join(sorted(KINDS))}")
    module, name = KINDS[kind].split(":")
    node_class = getattr(importlib.import_module(module), name)
    try:
        node: DataNode = node_class(**options)
    except TypeError as error:
        raise ConfigurationError(f"node of kind '{kind}': {error}") from None
    return node
