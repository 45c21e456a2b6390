"""Runs one hub or one data node until it is told to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
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

    start_logging(settings.loglevel)
    _run(settings, HUB, Hub)


def run_node(
    settings: Settings, what: str, name: str | None, options: dict[str, Any], arguments: Sequence[str] = ()
) -> None:
    """Run a data node until SIGINT or SIGTERM.

    Parameters
    ----------
    what
        A kind of node that comes with sisock, or ``FILE.py`` or ``FILE.py:Class``.
    name
        The node's name, in place of its own.
    options
        Keyword arguments of the node's class.
    arguments
        What a file that is a program of its own finds in ``sys.argv``.
    """
    from sisock.commands.guests import Sessions

    if what not in KINDS:
        source = _run_file(settings, what, name, options, arguments)
    elif arguments:
        raise ConfigurationError(f"{what} takes no arguments, but was given {' '.join(arguments)}: see --option")
    else:
        source = load_source(what, name, options_from_settings(what, settings) | options, settings.cache_folder())
        start_logging(settings.loglevel)
    if isinstance(source, Sessions):
        _run(settings, source.name, source)
    elif source is not None:
        _run_contract_node(settings, source)


def _run_contract_node(settings: Settings, node: DataNode) -> None:
    from twisted.internet import reactor

    from sisock.wamp.inbox import Inbox, listen_to_feeds
    from sisock.wamp.node_server import NodeServer, start_polling

    assert isinstance(node, DataNode)
    # Before there is a connection: samples are taken whether or not anybody asks for them.
    start_polling(node, reactor)
    inbox = Inbox(node) if isinstance(node, Subscribes) else None
    if inbox is not None and isinstance(node, SubscribesElsewhere) and node.router is not None:
        # On a router of its own, so that the node's session need not subscribe.
        listen_to_feeds(node.router, settings.realm, inbox, reactor).startService()
        inbox = None
    _run(settings, node.name, lambda config: NodeServer(config, node, inbox))


def load_source(what: str, name: str | None, options: dict[str, Any], cache: Path | None = None) -> Any:
    """Return a data node, or the sessions of a data node server, for what the command line names.

    A file is read as a module: its block for ``__main__`` does not run. ``cache`` is the folder for what nodes keep
    of archives.
    """
    from sisock.commands import programs

    if what in KINDS:
        return make_node(what, options | ({"name": name} if name else {}), cache)
    path, class_name = _split(what)
    source = programs.ProgramFile.read(path)
    module, problem = programs.execute(source, path.stem)
    if problem:
        raise ConfigurationError(f"{path} cannot be run: {problem}")
    return _source_of(programs.find_servers(module, class_name, str(path)), what, name, options, cache)


def _split(what: str) -> tuple[Path, str]:
    """Split ``FILE.py:Class``."""
    path, _, class_name = what.partition(":")
    if not path.endswith(".py"):
        raise ConfigurationError(f"'{what}' is neither a Python file (FILE.py) nor one of {', '.join(sorted(KINDS))}")
    return Path(path), class_name


def _source_of(source: Any, what: str, name: str | None, options: Mapping[str, Any], cache: Path | None) -> Any:
    """Return the node, or the sessions of the server, that a class, a function or a server of a file stands for."""
    from autobahn.wamp.types import ComponentConfig

    from sisock.commands.guests import Sessions, maker
    from sisock.commands.programs import is_server
    from sisock.wamp.data_node_server import DataNodeServer

    if isinstance(source, DataNodeServer):
        return Sessions(source, what, name)
    if is_server(source):
        return Sessions(maker(source, f"{what}: {source.__name__}()", name, options), what, name)
    if not isinstance(source, type) and callable(source):
        make = maker(source, f"{what}: {source.__name__}()", name, options)
        server = make(ComponentConfig("", {}))
        if is_server(server):
            return _source_of(server, what, name, {}, cache)
        if isinstance(server, DataNodeServer):
            return Sessions(make, what, name, first=server)
        node = server
    else:
        node = construct(source, what, options, cache)
    if name:
        node.name = name
    return node


def _run_file(
    settings: Settings, what: str, name: str | None, options: Mapping[str, Any], arguments: Sequence[str]
) -> Any:
    """Run a file with our runner in place of its own, and return what there is to run if it runs nothing itself.

    A file that is a program says by its last lines which server it wants, and how; these run unless the command says
    that itself, by a class or by options. Where they fail, or run no server, the file's class has to do.
    """
    from sisock.commands import programs

    path, class_name = _split(what)
    source = programs.ProgramFile.read(path)
    is_program = source.has_block and not (class_name or options or source.has_contract_node)
    if arguments and not is_program:
        raise ConfigurationError(f"{what} is not run as a program of its own, so it takes no arguments: see --option")
    start_logging(settings.loglevel)
    host = _Host(settings, path, name)
    with programs.runners_replaced(host.run):
        module, problem = programs.execute(source, programs.MAIN if is_program else path.stem, arguments)
    # A server that has run and failed is not run a second time: that would hide why.
    if problem and (host.has_run or not is_program):
        raise ConfigurationError(f"{path} cannot be run: {problem}")
    if host.has_run:
        return None
    why = f"its block for {programs.MAIN} ran no server" + (f": {problem}" if problem else "")
    if source.reads_arguments and not arguments:
        why += "; what it reads from its command line goes behind --"
    try:
        server = programs.find_servers(module, class_name, str(path))
    except ConfigurationError as error:  # perhaps the file did not come so far as to define it
        raise ConfigurationError(f"{path} cannot be run: {problem}" if problem else str(error)) from None
    try:
        runnable = _source_of(server, what, name, options, settings.cache_folder())
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} ({why})" if is_program else str(error)) from None
    if problem:
        host.log.warn("{path}: {why}; it is run without", path=path, why=why)
    return runnable


class _Host:
    """Runs the servers of somebody else's program on our connection.

    When a session is lost, the program is started anew: who wrote it has it begin once, and end with the connection.
    """

    def __init__(self, settings: Settings, path: Path, name: str | None) -> None:
        import sisock.wamp  # noqa: F401 - first, so that Autobahn is loaded quietly

        # isort: split
        from twisted.logger import Logger

        self.log = Logger()
        self.has_run = False
        self._settings = settings
        self._path = path
        self._name = name
        self._folder = Path.cwd()
        self._ending = False

    def run(self, make: Any, extra: Any, start_reactor: bool) -> Any:  # noqa: FBT001 - as a runner is called
        """Do what a runner of Autobahn's does with a server."""
        from twisted.internet import reactor

        from sisock.commands.guests import Sessions
        from sisock.wamp.connection import connection
        from sisock.wamp.reactor import keep_steady

        if self.has_run and self._name:
            raise ConfigurationError(f"{self._path} runs several servers, which --name cannot name: leave it out")
        extra = extra if isinstance(extra, Mapping) else {}
        sessions = Sessions(make, f"the server of {self._path}", self._name, extra=extra, lost=self._lost)
        self.has_run = True
        keep_steady(reactor)
        # Before the service is stopped: a session that ends by that is none that was lost.
        reactor.addSystemEventTrigger("before", "shutdown", self._end)
        service = connection(self._settings, sessions.name, sessions, reactor)
        service.startService()
        reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
        if start_reactor:
            return reactor.run()
        return service.whenConnected()

    def _end(self) -> None:
        self._ending = True

    def _lost(self, reason: str) -> None:
        from twisted.internet import reactor

        if self._ending:
            return
        self._ending = True
        self.log.warn(
            "{path}: the connection to the router is gone ({why}); it is started anew", path=self._path, why=reason
        )
        # After the shutdown, in which the reactor waits for its threads: exec would cut them off.
        reactor.addSystemEventTrigger("after", "shutdown", self._start_anew)
        reactor.stop()

    def _start_anew(self) -> None:
        # exec drops what Python still holds back of them.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # The program may have left it, and its command line may be relative to it.
        os.chdir(self._folder)
        # In the same process, so that whoever supervises it sees no end.
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the command line of this process


def _run(settings: Settings, authid: str, make_session: Any) -> None:
    from twisted.internet import reactor

    from sisock.wamp.connection import connection
    from sisock.wamp.reactor import keep_steady

    # Before anything is timed: pings and retries must not follow a step of the wall clock.
    keep_steady(reactor)
    service = connection(settings, authid, make_session, reactor)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
