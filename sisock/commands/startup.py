"""The lines that a user sees while a site starts: what is awaited, and where to look once it is there."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Callable
from typing import Any

from sisock.commands.site import Deployment
from sisock.system import check_port, check_router_ports

PROGRESS_INTERVAL_S = 5.0
# A node that is listed and fed from elsewhere may have no fields yet: it is not waited for any longer.
EMPTY_S = 5.0
_NODES = {"payload": {"target": "nodes"}}
# No proxy knows this machine's loopback.
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Startup:
    """Follows a site until all of its nodes are on the network.

    Parameters
    ----------
    site
        What is started.
    echo
        Prints a line.
    """

    def __init__(self, site: Deployment, echo: Callable[[str], None]) -> None:
        self._site = site
        self._echo = echo
        self._next_progress_s = PROGRESS_INTERVAL_S
        self._listed_at: dict[str, float] = {}
        self.tell(f"starting {', '.join(program.name for program in site.programs)}")

    def tell(self, line: str) -> None:
        """Print a line that says who speaks."""
        self._echo(f"sisock: {line}")

    def tick(self, elapsed_s: float) -> bool:
        """Look once; return whether there is something left to wait for."""
        if not self._site.has_adapter:
            self.tell("running; Ctrl-C stops everything")
            return False
        missing, empty = self._missing(elapsed_s)
        if not missing:
            self._tell_where_to_look(elapsed_s, empty)
            return False
        if elapsed_s >= self._next_progress_s:
            self._next_progress_s += PROGRESS_INTERVAL_S
            self.tell(f"waiting for {', '.join(missing)} ({elapsed_s:.0f} s)")
        return True

    def _missing(self, elapsed_s: float) -> tuple[list[str], list[str]]:
        """Return what is waited for, and the nodes that are there without any fields."""
        try:
            served = {str(target).partition("::")[0] for target in self._ask("/search", {"target": ""})}
            empty = [name for name in self._site.nodes if name not in served]
            listed = {str(one["__value"]) for one in self._ask("/variable", _NODES)} if empty else set()
        except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
            return ["the Grafana adapter"], []
        # A node that is listed may still be about to learn which fields it has.
        for name in listed:
            self._listed_at.setdefault(name, elapsed_s)
        missing = [name for name in empty if elapsed_s - self._listed_at.get(name, elapsed_s) < EMPTY_S]
        return missing, empty

    def _ask(self, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._address()}{path}", json.dumps(body).encode(), headers)  # noqa: S310 - http
        # Short, because the supervisor calls this, and notices no program that ends meanwhile.
        with DIRECTLY.open(request, timeout=1.0) as reply:
            return json.load(reply)

    def _address(self) -> str:
        host = self._site.settings.listen
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self._site.settings.port}"  # noqa: S104 - compared

    def _tell_where_to_look(self, elapsed_s: float, empty: list[str]) -> None:
        address = self._address()
        self.tell(f"everything is up after {elapsed_s:.0f} s")
        if empty:
            self._echo(f"  empty   {', '.join(empty)}: there is nothing to draw yet")
        self._echo(f"  look    {address}/ in a browser: data nodes, their fields, and what is wrong")
        self._echo(f"  draw    in Grafana, add a JSON data source with the URL {address}")
        self._echo("  ask     sisock nodes, sisock fields NODE, sisock get NODE::FIELD")
        self._echo("  stop    Ctrl-C")


def check_ports(site: Deployment) -> None:
    """Raise ConfigurationError when a port that the site needs is taken, before anything is started."""
    wanted = {program.name for program in site.programs}
    if "router" in wanted:
        check_router_ports(site.settings)
    if site.has_adapter:
        check_port(site.settings.listen, site.settings.port, "PORT")
