"""Runs one hub or one data node until it is told to stop."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from sisock.core.errors import ConfigurationError
from sisock.log import start_logging
from sisock.nodes import KINDS, construct, make_node, options_from_settings
from sisock.nodes.contract import DataNode, Subscribes, SubscribesElsewhere
from sisock.settings import Settings


def run_hub(settings: Settings) -> None:
    """Run the hub until SIGINT or SIGTERM."""
    import sisock.wamp  # noqa: F401 - first, so that Autobahn is loaded quietly
    from sisock.wamp.credentials import HUB
    from sisock.wamp.hub import Hub

    _run(settings, HUB, Hub)


def run_node(settings: Settings, what: str, name: str | None, options: dict[str, Any]) -> None:
    """Run a data node until SIGINT or SIGTERM.

    Parameters
    ----------
    what
        A kind of node that comes with sisock, or ``FILE.py`` or ``FILE.py:Class``.
    name
        The node's name, in place of its own.
    options
        Keyword arguments of the node's class.
    """
    from twisted.internet import reactor

    from sisock.base import DataNodeServer
    from sisock.wamp.inbox import Inbox
    from sisock.wamp.listener import listen
    from sisock.wamp.node_server import NodeServer, start_polling

    source = load_source(what, name, options_from_settings(what, settings) | options, settings.cache_folder())
    if isinstance(source, type) and issubclass(source, DataNodeServer):
        node_name = name or source.name
        if not isinstance(node_name, str):
            raise ConfigurationError(f'{what}: give the class {source.__name__} a name, as in: name = "sine"')

        def make_session(config: Any) -> Any:
            session = source(config)
            session.name = node_name
            return session

        _run(settings, node_name, make_session)
        return
    assert isinstance(source, DataNode)
    start_polling(source, reactor)
    inbox = Inbox(source) if isinstance(source, Subscribes) else None
    if inbox is not None and isinstance(source, SubscribesElsewhere) and source.router is not None:
        listen(source.router, settings.realm, inbox, reactor).startService()
        inbox = None
    _run(settings, source.name, lambda config: NodeServer(config, source, inbox))


def load_source(what: str, name: str | None, options: dict[str, Any], cache: Path | None = None) -> Any:
    """Return a data node, or the class of a data node server, for what the command line names.

    ``cache`` is the folder for what nodes keep of archives.
    """
    if what in KINDS:
        return make_node(what, options | ({"name": name} if name else {}), cache)
    path, _, class_name = what.partition(":")
    if not path.endswith(".py"):
        raise ConfigurationError(f"'{what}' is neither a Python file (FILE.py) nor one of {', '.join(sorted(KINDS))}")
    found = _find_class(_load_module(Path(path)), class_name, path)
    if _is_server(found):
        if options:
            raise ConfigurationError(
                f"{what}: a data node server takes no options, but was given {', '.join(options)}"
            )
        return found
    node = construct(found, what, options, cache)
    if name:
        node.name = name
    return node


def _load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigurationError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        place = f"line {lines[-1]}: " if lines else ""
        raise ConfigurationError(f"{path} cannot be run: {place}{type(error).__name__}: {error}") from error
    return module


def _find_class(module: ModuleType, class_name: str, path: str) -> Any:
    if class_name:
        if not hasattr(module, class_name):
            raise ConfigurationError(f"{path} has no class '{class_name}'")
        return getattr(module, class_name)
    own = [one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == module.__name__]
    found = [one for one in own if _is_server(one) or (hasattr(one, "catalogue") and hasattr(one, "read"))]
    if len(found) != 1:
        names = ", ".join(one.__name__ for one in found) or "none"
        raise ConfigurationError(f"{path} must have one data node server, but has {names}: name it as {path}:Class")
    return found[0]


def _is_server(found: Any) -> bool:
    from sisock.base import DataNodeServer

    return isinstance(found, type) and issubclass(found, DataNodeServer)


def _run(settings: Settings, authid: str, make_session: Any) -> None:
    from twisted.internet import reactor

    from sisock.wamp.connection import connection
    from sisock.wamp.steady import keep_steady

    start_logging(settings.loglevel)
    keep_steady(reactor)
    service = connection(settings, authid, make_session, reactor)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
