"""What the adapter asks: the gateway, or a fake of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from sisock.gateway.directory import NodeChange, NodeState, Snapshot
from sisock.gateway.grid.cells import Cells
from sisock.gateway.planner import PLAIN, Drawing
from sisock.gateway.series import SeriesWanted

InThread = Callable[..., Deferred[Any]]
"""Calls a function in a worker thread and returns a Deferred of its result."""


class Source(Protocol):
    """What is asked; the Gateway is one."""

    def snapshot(self) -> Snapshot:
        """Return what is known now."""

    def freshen(self) -> Any:
        """Return a Deferred with what is known after asking again."""

    def query(
        self,
        series: Sequence[SeriesWanted],
        start: float,
        end: float,
        max_points: int | None,
        drawing: Drawing = PLAIN,
        *,
        cells: Cells | None = None,
        least_s: float = 0.0,
    ) -> Any:
        """Return a Deferred with an Answer."""

    def cells(
        self,
        drawn: Mapping[Drawing, Iterable[SeriesWanted]],
        start: float,
        end: float,
        max_points: int | None,
        least_s: float = 0.0,
    ) -> Mapping[Drawing, Cells]:
        """Return the grid of each drawing that is on one."""

    def refresh(self) -> Any:
        """Return a Deferred that fires when the hub has been asked again."""

    def now(self) -> float:
        """Return the present, UNIX seconds."""

    def outage(self) -> str | None:
        """Return in words why nothing can be answered; None while router and hub are there."""

    def history(self) -> Sequence[NodeChange]:
        """Return the nodes that came and left."""

    def states(self) -> Mapping[str, NodeState]:
        """Return how each node that is online does."""
