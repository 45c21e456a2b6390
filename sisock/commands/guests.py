"""Data node servers out of other people's files, which log in as our commands do, whatever their own code says.

A server may be written as a class, as an instance that its program has made, or as a function that makes one. It may
join as somebody else, or as nobody, and it may stop the process when its connection is gone. All of that is the
command's business under ``sisock node``.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autobahn.wamp.types import ComponentConfig
from twisted.internet import reactor

from sisock.core.errors import ConfigurationError
from sisock.core.wire.info import NODE_NAME
from sisock.settings import Settings
from sisock.wamp.data_node_server import DataNodeServer
from sisock.wamp.session import sign

MakeServer = Callable[[ComponentConfig], Any]
LOOKS_LIKE_A_CONFIGURATION = re.compile("conf|cfg", re.IGNORECASE)
# Where os.environ[…] fails.
ENVIRONMENT = ("<frozen os>", "__getitem__")


class Guest:
    """A mixin before a server's own class: it logs in under the node's name, and the process is not its to stop."""

    _guest_joined = False
    _guest_lost: Callable[[str], None] | None = None

    def join(self: Any, *_: Any, **__: Any) -> None:
        """Join as the command says, whoever the server's own ``onConnect`` wants to be."""
        # Past the server's own class, which may have a join of its own.
        DataNodeServer.join(self, self.config.realm, ["wampcra"], self.config.extra["authid"])

    def onChallenge(self: Any, challenge: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Answer the router's challenge with the node's secret."""
        return sign(challenge, self.config.extra["secret"])

    def onJoin(self: Any, details: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Remember that this session has been on the network."""
        self._guest_joined = True
        return super().onJoin(details)  # type: ignore[misc] # that of the server's class

    def onLeave(self: Any, details: Any) -> Any:  # noqa: N802 - Autobahn's name
        """Let the server leave, but not stop the process."""
        with _reactor_kept():
            return super().onLeave(details)  # type: ignore[misc]

    def onClose(self: Any, wasClean: bool) -> None:  # noqa: N802, N803, FBT001 - Autobahn's signature
        """Let the server go offline, but not stop the process; tell who wants to know that it has been online."""
        with _reactor_kept():
            super().onClose(wasClean)  # type: ignore[misc]
        if self._guest_joined and self._guest_lost is not None:
            self._guest_lost(self.closing_reason)


@contextlib.contextmanager
def _reactor_kept() -> Iterator[None]:
    """Pass over calls of ``reactor.stop`` meanwhile: servers of the original's made them in ``onDisconnect``."""
    # A caller of ours has hidden it already.
    if "stop" in vars(reactor):
        yield
        return
    # Hides the method; no signal can call it just now, in the reactor's own thread.
    reactor.stop = lambda: None
    try:
        yield
    finally:
        del reactor.stop


class Sessions:
    """A factory of the sessions of one data node server, for :func:`sisock.wamp.connection.connection`.

    The first server is made at once, because its name is needed to log in, and because a server that cannot be made
    is told before anything runs. It gets the first connection.

    Parameters
    ----------
    make
        Called with a configuration for each connection; or a server that exists already, and gets all of them.
    what
        What errors call it.
    name
        The node's name, in place of the server's own.
    extra
        Further entries of the configuration's ``extra``.
    lost
        Called with a reason when a session that was on the network has ended.
    first
        The first server, where it is made already.

    Raises
    ------
    ConfigurationError
        When no server can be made, or it has no name that can log in.
    """

    def __init__(
        self,
        make: Any,
        what: str,
        name: str | None = None,
        extra: Mapping[str, Any] | None = None,
        lost: Callable[[str], None] | None = None,
        first: Any = None,
    ) -> None:
        self._make = make
        self._what = what
        self._extra = dict(extra or {})
        self._lost = lost
        self._first: Any = first or self._make_server(ComponentConfig(Settings.from_environment().realm, self._extra))
        self.name = self._checked(name or self._first.name)

    def __call__(self, config: ComponentConfig) -> Any:
        """Return the server for a new connection."""
        server, self._first = self._first or self._make_server(config), None
        if not isinstance(server, Guest):
            # Its class is changed after the fact, because its own __init__ may do whatever it likes.
            own = type(server)
            server.__class__ = type(own.__name__, (Guest, own), {"__module__": own.__module__})
        # What the server has set itself is kept, but where it logs in is ours to say.
        given = server.config.extra if isinstance(server.config.extra, dict) else {}
        extra = given | self._extra | config.extra
        server._config = ComponentConfig(config.realm, extra)  # noqa: SLF001 - Autobahn has no other way
        # Each time, because a server that exists already gets all connections, one after the other.
        server._guest_joined, server._guest_lost = False, self._lost  # noqa: SLF001 - our own
        server.name = self.name
        return server

    def _make_server(self, config: ComponentConfig) -> Any:
        server = self._make
        if not isinstance(server, DataNodeServer):
            try:
                server = self._make(config)
            except ConfigurationError:
                raise
            except Exception as error:
                raise ConfigurationError(f"{self._what} cannot be made: {describe_error(error)}") from error
        if not isinstance(server, DataNodeServer):
            raise ConfigurationError(f"{self._what} is no DataNodeServer, but {type(server).__name__}")
        return server

    def _checked(self, name: Any) -> str:
        if not name:
            raise ConfigurationError(f"{self._what} has no name: add --name NAME")
        if not isinstance(name, str) or not NODE_NAME.fullmatch(name):
            raise ConfigurationError(
                f"{self._what}: {name!r} cannot be a node's name, which has 1 to 64 of the characters "
                "A-Z a-z 0-9 _ -: give it another one with --name"
            )
        return name


def maker(function: Callable[..., Any], what: str, name: str | None, options: Mapping[str, Any]) -> MakeServer:
    """Return a function of a configuration that calls a class, or a function, with what it takes.

    A parameter ``config`` gets the configuration; so does one that looks like it. A parameter ``name`` gets the
    node's name.

    Raises
    ------
    ConfigurationError
        When the function needs more than the options, or does not take one of them; it says what to add.
    """
    parameters = inspect.signature(function).parameters
    given = dict(options)
    if name and "name" in parameters:
        given.setdefault("name", name)
    kinds = {one.kind for one in parameters.values()}
    unknown = [] if inspect.Parameter.VAR_KEYWORD in kinds else [key for key in given if key not in parameters]
    if unknown:
        known = _listed(one for one in parameters if one != _configuration_of(parameters, [])) or "no options"
        raise ConfigurationError(f"{what} does not take {_listed(unknown)}; it takes {known}")
    needed = [one.name for one in parameters.values() if _is_needed(one) and one.name not in given]
    configuration = _configuration_of(parameters, needed)
    missing = [one for one in needed if one != configuration]
    if missing:
        ways = ("--name NAME" if one == "name" else f"--option {one}=…" for one in missing)
        raise ConfigurationError(f"{what} needs {_listed(missing)}: add {' '.join(ways)}")
    if configuration is not None and parameters[configuration].kind is not inspect.Parameter.POSITIONAL_ONLY:
        return lambda config: function(**{configuration: config}, **given)
    # Arguments of any number are mostly handed on to the base class, which wants the configuration.
    if configuration is not None or inspect.Parameter.VAR_POSITIONAL in kinds:
        return lambda config: function(config, **given)
    return lambda _: function(**given)


def _is_needed(parameter: inspect.Parameter) -> bool:
    variable = (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    return parameter.default is parameter.empty and parameter.kind not in variable


def _configuration_of(parameters: Mapping[str, inspect.Parameter], needed: list[str]) -> str | None:
    """Return the name of the parameter that wants the configuration, if there is any."""
    if "config" in parameters:
        return "config"
    # Only the first: Autobahn's runners give the configuration as the first argument.
    return next((one for one in needed[:1] if LOOKS_LIKE_A_CONFIGURATION.search(one)), None)


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)


def describe_error(error: BaseException, path: str | None = None) -> str:
    """Return an error of somebody else's code in one line: where in a file it was, if it was there, and what."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if path is not None and frame.filename == path]
    # The innermost place in the author's file: deeper frames are of libraries, where nothing is to be mended.
    place = f"line {lines[-1]}: " if lines else ""
    if isinstance(error, KeyError) and frames and (frames[-1].filename, frames[-1].name) == ENVIRONMENT:
        return f"{place}the environment variable {error.args[0]} is not set"
    return f"{place}{type(error).__name__}: {error}"
