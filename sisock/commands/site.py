"""A site file: which programs make up a deployment on one machine, as YAML.

::

    settings:              # any setting, by its name in sisock.settings
      port: 5000
    router: true           # true unless said otherwise, as are hub and grafana
    hub: true
    grafana: true
    nodes:
      outside:             # the data node's name
        kind: weather      # one that comes with sisock; its other entries are options of that kind
        folder: archive/   # paths are relative to the site file
      sine:
        file: sine.py      # or a Python file with a data node server, as FILE.py or FILE.py:Class
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from sisock.core.errors import ConfigurationError
from sisock.core.wire.info import NODE_NAME
from sisock.settings import Settings, parse, variables

# WAMP_USER and WAMP_SECRET in the environment of a site tell the router whom to let in; its programs, which share its
# state directory, log in under their own names. Where the router is another's, they are the adapter's login there.
OWN_LOGIN = {"WAMP_USER": "", "WAMP_SECRET": ""}
SECTIONS = {"settings", "router", "hub", "grafana", "nodes"}


@dataclass(frozen=True)
class Program:
    """One process of a site: its name, its command line, where it runs, and what its environment has in addition."""

    name: str
    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """A deployment on one machine, as a site file lists it.

    Parameters
    ----------
    settings
        Those of all programs.
    programs
        In the order in which they are started.
    nodes
        The names of the data nodes among them.
    has_adapter
        Whether the Grafana adapter is among them.
    """

    settings: Settings
    programs: tuple[Program, ...]
    nodes: tuple[str, ...]
    has_adapter: bool


def load_site(path: Path, settings: Settings) -> Deployment:
    """Read a site file on top of settings from the environment, which win over those in the file.

    Raises
    ------
    ConfigurationError
        Naming the file and the entry that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.safe_load(text) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    try:
        return parse_site(document, path.parent.resolve(), settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def parse_site(document: Any, folder: Path, settings: Settings) -> Deployment:
    """Turn a site file's document into programs; paths in it are relative to ``folder``."""
    _check_mapping(document, "the file", SECTIONS)
    settings = _combine(document.get("settings") or {}, settings)
    settings = _with_absolute_paths(settings)
    nodes = {} if document.get("nodes") is None else document["nodes"]
    _check_mapping(nodes, "'nodes'", None)
    # In an order in which each finds what it needs: who comes too early waits, and logs that it does.
    programs = []
    if document.get("router", True):
        programs.append(_program("router", ["router"], Path.cwd(), settings))
    if document.get("hub", True):
        programs.append(_program("hub", ["hub"], Path.cwd(), settings, OWN_LOGIN))
    programs += [_node_program(name, entry, folder, settings) for name, entry in nodes.items()]
    has_adapter = bool(document.get("grafana", True))
    if has_adapter:
        login = OWN_LOGIN if document.get("router", True) else None
        programs.append(_program("grafana", ["grafana"], Path.cwd(), settings, login))
    return Deployment(settings, tuple(programs), tuple(nodes), has_adapter)


def _node_program(name: Any, entry: Any, folder: Path, settings: Settings) -> Program:
    if not isinstance(name, str) or not NODE_NAME.match(name):
        raise ConfigurationError(f"'{name}' cannot be a node's name: use 1 to 64 of the characters A-Z a-z 0-9 _ -")
    _check_mapping(entry, f"node '{name}'", None)
    # A copy, of which the entries that are no options are taken.
    options = dict(entry)
    what = options.pop("kind", None) or options.pop("file", None)
    if not isinstance(what, str):
        raise ConfigurationError(f"node '{name}' needs a 'kind' or a 'file'")
    arguments = ["node", what, "--name", name]
    for key, value in options.items():
        # On one line however long it is; YAML puts "..." on the next one behind a value that stands alone.
        line = yaml.safe_dump(value, default_flow_style=True, width=math.inf).splitlines()[0]
        arguments += ["--option", f"{key}={line}"]
    return _program(name, arguments, folder, settings, OWN_LOGIN)


def _program(
    name: str, arguments: list[str], folder: Path, settings: Settings, login: dict[str, str] | None = None
) -> Program:
    # With this interpreter: a "sisock" on the PATH may be of another installation.
    command = (sys.executable, "-m", "sisock", *arguments)
    return Program(name, command, folder, variables(settings) | (login or {}))


def _combine(given: Any, settings: Settings) -> Settings:
    """Return the settings with those of the file where the environment does not say otherwise."""
    table = {entry.name: entry for entry in fields(Settings)}
    _check_mapping(given, "'settings'", set(table))
    changes = {
        name: parse(name, str(value), type(table[name].default))
        for name, value in given.items()
        if table[name].metadata["variable"] not in os.environ
    }
    return settings.replace(**changes)


def _with_absolute_paths(settings: Settings) -> Settings:
    """Return the settings such that programs in any folder find the same files."""
    names = ("certificate", "certificate_key", "cache", "data_directory", "g3_index")
    files = {name: getattr(settings, name) for name in names}
    # The index of g3 may be the URL of a database, which is no path.
    absolute = {name: str(Path(path).resolve()) for name, path in files.items() if path and "://" not in path}
    return settings.replace(state=settings.state.resolve(), **absolute)


def _check_mapping(value: Any, what: str, known: set[str] | None) -> None:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{what} must hold entries, each 'name: value'")
    unknown = set(value) - known if known is not None else set()
    if unknown:
        raise ConfigurationError(
            f"{what} has the unknown entry '{min(map(str, unknown))}': use {', '.join(sorted(known or ()))}"
        )
