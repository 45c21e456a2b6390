"""Sources of data. They know nothing of WAMP: :mod:`sisock.wamp` serves them.

``contract`` is what a node must be able to do. ``archive`` is the engine of those that serve files (``text``,
``table``, ``g3``), ``live`` what those of live samples share (``host``, ``ocs``); ``ocs_names`` are names that ``ocs``
and ``g3`` have in common. ``KINDS`` below is the table of those that come with sisock, by the names that people give.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sisock.core.errors import ConfigurationError
from sisock.nodes.contract import DataNode
from sisock.settings import Settings

# As texts, so that only the kind that is run is imported: what others need may not be installed.
KINDS = {
    "apex_weather": "sisock.nodes.text.apex_weather:ApexWeatherNode",
    "g3": "sisock.nodes.g3.node:G3Node",
    "host": "sisock.nodes.host.node:HostNode",
    "ocs_feed": "sisock.nodes.ocs.node:OcsFeedNode",
    "radiometer": "sisock.nodes.text.radiometer:RadiometerNode",
    "table": "sisock.nodes.table.node:TableNode",
    "weather": "sisock.nodes.text.weather:WeatherNode",
}
FROM_SETTINGS = {
    "g3": "sisock.nodes.g3.node:g3_options",
    "ocs_feed": "sisock.nodes.ocs.node:feed_options",
}
"""Functions that turn environment variables into options, for the kinds that had some in the original."""


def make_node(kind: str, options: Mapping[str, Any], cache: Path | None = None) -> DataNode:
    """Make a node of a kind in ``KINDS``; see :func:`construct`."""
    if kind not in KINDS:
        raise ConfigurationError(f"there is no kind of node '{kind}': choose one of {', '.join(sorted(KINDS))}")
    module, name = KINDS[kind].split(":")
    node: DataNode = construct(
        getattr(importlib.import_module(module), name), f"node of kind '{kind}'", options, cache
    )
    return node


def options_from_settings(kind: str, settings: Settings) -> dict[str, Any]:
    """Return the options that the environment gives a node of a kind: those of a function in ``FROM_SETTINGS``."""
    if kind not in FROM_SETTINGS:
        return {}
    module, name = FROM_SETTINGS[kind].split(":")
    options: dict[str, Any] = getattr(importlib.import_module(module), name)(settings)
    return options


def construct(node_class: Callable[..., Any], what: str, options: Mapping[str, Any], cache: Path | None = None) -> Any:
    """Make a node from the keyword arguments of its class.

    Parameters
    ----------
    what
        What an error calls the node.
    cache
        A folder for what is kept of archives. A class that has a parameter of this name gets it, unless the options
        say otherwise.

    Raises
    ------
    ConfigurationError
        When the class does not take these options.
    """
    try:
        # Classes that know nothing of caches need not take one.
        known = inspect.signature(node_class).parameters
        return node_class(**({"cache": cache} if "cache" in known else {}) | dict(options))
    except TypeError as error:
        # Also where it comes from inside of the class: an option of a wrong type mostly ends so.
        raise ConfigurationError(f"{what}: {error}") from None
