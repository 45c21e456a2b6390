"""Python files with a data node: how they are run, and what is found in them.

A file may be a program of its own, whose last lines log a server in by one of Autobahn's runners. These runners are
then ours: the file says which server to make, and how; where the router is, and who logs in, is known here.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib.util
import inspect
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from sisock.commands.guests import describe_error
from sisock.core.errors import ConfigurationError, SisockError
from sisock.settings import Settings
from sisock.wamp.certificate import CERTIFICATE_NAME, LOCAL_NAMES, self_signed
from sisock.wamp.data_node_server import DataNodeServer

MAIN = "__main__"
# Where programs written for the original look for it.
ORIGINAL_CERTIFICATE = (".crossbar", CERTIFICATE_NAME)
Run = Callable[[Any, Any, bool], Any]


@dataclass(frozen=True)
class ProgramFile:
    """A Python file with a data node, before it is run: what can be seen without running it.

    Parameters
    ----------
    has_block
        Whether it has a block for ``if __name__ == "__main__"``.
    has_contract_node
        Whether it has a class with the methods of :class:`sisock.nodes.contract.DataNode`.
    reads_arguments
        Whether it looks at its command line.
    """

    path: Path
    has_block: bool
    has_contract_node: bool
    reads_arguments: bool

    @classmethod
    def read(cls, path: Path) -> ProgramFile:
        """Read a file; ConfigurationError when there is none, or it is no Python."""
        if not path.is_file():
            raise ConfigurationError(f"there is no file {path}")
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError) as error:
            line = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
            problem = error.msg if isinstance(error, SyntaxError) else error
            raise ConfigurationError(f"{path} cannot be run: {line}{type(error).__name__}: {problem}") from None
        classes = [one for one in tree.body if isinstance(one, ast.ClassDef)]
        names = {one.name for one in ast.walk(tree) if isinstance(one, ast.alias)}
        names |= {one.attr for one in ast.walk(tree) if isinstance(one, ast.Attribute)}
        return cls(
            path,
            has_block=any(map(_is_main_block, tree.body)),
            has_contract_node=any(map(_is_contract_node, classes)),
            reads_arguments=not names.isdisjoint({"argv", "argparse", "click", "optparse"}),
        )


def _is_main_block(statement: ast.stmt) -> bool:
    # Whichever way round it is written, and whatever else it asks.
    return isinstance(statement, ast.If) and {"__name__", MAIN} <= {
        value
        for one in ast.walk(statement.test)
        for value in (getattr(one, "id", None), getattr(one, "value", None))
        if isinstance(value, str)
    }


def _is_contract_node(statement: ast.ClassDef) -> bool:
    return {"catalogue", "read"} <= {getattr(one, "name", None) for one in statement.body}


def execute(source: ProgramFile, name: str, arguments: Sequence[str] = ()) -> tuple[ModuleType, str | None]:
    """Run a file as the module of a name; return it, and in words what ended it early, if anything did.

    Files beside it can be imported. The working directory stays what it is, as with ``python FILE.py``.
    """
    path = source.path
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Only this module sees it; the built-in one stays what it is.
    vars(module)["open"] = _opening(Settings.from_environment())
    # As Python does for a script.
    sys.path.insert(0, str(path.resolve().parent))
    if name == MAIN:
        # Pickle and multiprocessing look up there what a program defines.
        sys.modules[MAIN] = module
        sys.argv = [str(path), *arguments]
    else:
        # A file may be called like a module that is in use already, such as "random".
        sys.modules.setdefault(name, module)
    try:
        spec.loader.exec_module(module)
    except SisockError:
        raise
    except SystemExit as end:
        # Not passed on: it may have run its server before, or hold a class that can be run.
        return module, "it ended by itself" + (f" ({end.code})" if end.code else "")
    except Exception as error:  # noqa: BLE001 - whatever somebody's file raises is told in a line
        return module, describe_error(error, spec.origin)
    return module, None


def _opening(settings: Settings) -> Callable[..., Any]:
    """Return ``open`` for a file that looks for the router's certificate where the original had it.

    What it does with it does not count, as the connection is ours; so where there is none yet, another one will do.
    """
    really_open = builtins.open

    def opened(file: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        is_certificate = isinstance(file, str | Path) and Path(file).parts[-2:] == ORIGINAL_CERTIFICATE
        if not is_certificate or Path(file).exists():
            return really_open(file, mode, *arguments, **keywords)
        own = Path(settings.certificate or settings.state / CERTIFICATE_NAME)
        if own.exists():
            return really_open(own, mode, *arguments, **keywords)
        pem = self_signed(ec.generate_private_key(ec.SECP256R1()), LOCAL_NAMES).public_bytes(Encoding.PEM)
        return io.BytesIO(pem) if "b" in mode else io.StringIO(pem.decode())

    return opened


@contextlib.contextmanager
def runners_replaced(run: Run) -> Iterator[None]:
    """Let ``run`` take the place of Autobahn's runners, and keep the log ours.

    Parameters
    ----------
    run
        Called with what makes a server (or a server), with the runner's ``extra``, and with whether to run the
        reactor.
    """
    import txaio
    from autobahn.twisted import component, wamp
    from twisted.python import log

    def run_one(runner: Any, make: Any, start_reactor: bool = True, *_: Any, **__: Any) -> Any:  # noqa: FBT001, FBT002
        return run(make, runner.extra, start_reactor)

    def run_components(components: Any, *_: Any, **__: Any) -> None:
        several = components if isinstance(components, list | tuple) else [components]
        for number, one in enumerate(several, start=1):
            # The reactor is run with the last of them, because that does not return.
            run(one.session_factory, getattr(one, "_extra", None), number == len(several))

    def pass_over(*_: Any, **__: Any) -> None:
        pass

    # What starts a log is replaced too: ours runs already, in its own format and at LOGLEVEL.
    places = ((wamp.ApplicationRunner, "run"), (component, "run"), (txaio, "start_logging"), (log, "startLogging"))
    before = [getattr(place, name) for place, name in places]
    for (place, name), ours in zip(places, (run_one, run_components, pass_over, pass_over), strict=True):
        setattr(place, name, ours)
    try:
        yield
    finally:
        for (place, name), theirs in zip(places, before, strict=True):
            setattr(place, name, theirs)


def find_servers(module: ModuleType, class_name: str, path: str) -> Any:
    """Return what a file is run for: the class, function or server of that name, or else its one data node.

    Raises
    ------
    ConfigurationError
        When there is none, or more than one.
    """
    if class_name:
        if not hasattr(module, class_name):
            raise ConfigurationError(f"{path} has no class '{class_name}'")
        return getattr(module, class_name)
    classes = {id(one): one for _, one in inspect.getmembers(module, inspect.isclass)}.values()
    nodes = [one for one in classes if is_server(one) or (hasattr(one, "catalogue") and hasattr(one, "read"))]
    servers = [one for one in nodes if one.__module__ == module.__name__]
    # A file may do no more than import the server from a package of its author's.
    servers = servers or [one for one in nodes if is_server(one) and one.__module__.split(".")[0] != "sisock"]
    if len(servers) > 1:
        servers = [one for one in servers if getattr(one, "name", None)] if _one_has_a_name(servers) else servers
    if len(servers) != 1:
        names = ", ".join(one.__name__ for one in servers) or "none"
        raise ConfigurationError(
            f"{path} must have one data node server, but has {names}: name it as {path}:Class, or as a function that "
            "makes it"
        )
    return servers[0]


def _one_has_a_name(classes: list[Any]) -> bool:
    """Tell whether one of several classes only is more than a base of others."""
    return sum(bool(getattr(one, "name", None)) for one in classes) == 1


def is_server(candidate: Any) -> bool:
    """Tell whether something is a class of data node servers."""
    return isinstance(candidate, type) and issubclass(candidate, DataNodeServer)
