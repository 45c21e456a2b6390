"""Clients that cost little, in a process of their own, so that what is measured is not the measuring.

``python clients.py PLAN.json`` asks as the plan says and prints the figures as JSON. A plan has ``port``, ``seconds``,
and ``clients``, each with the requests that it repeats: ``bodies`` (its ``{from}`` and ``{to}`` are filled in at each
request), ``span_s``, and

- ``interval_s`` and ``phase_s``: a viewer, who refreshes all bodies together, over at most six connections, as a
  browser does; the span ends now; or
- ``end`` and ``step_s``: a client that asks one request after another over one connection, each span a step later;
  with ``per_s`` so many a second, over as many connections as that takes, each at its time whatever became of others.

Latencies are from the first byte sent to the last received; with ``per_s`` from when the request was due. Each answer
must have status 200 and a whole body, and those to queries points in it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BROWSER_CONNECTIONS = 6
HEAD_END = b"\r\n\r\n"


class Connection:
    """One HTTP connection that stays open."""

    def __init__(self, port: int, latencies_s: list[float]) -> None:
        self._port = port
        self._latencies_s = latencies_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, due: float | None = None) -> None:
        """Ask, note how long it took, and check the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        reader, writer = self._streams
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        began = time.perf_counter() if due is None else due
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer_head = await reader.readuntil(HEAD_END)
        answer = await reader.readexactly(_length(answer_head))
        self._latencies_s.append(time.perf_counter() - began)
        if b" 200 " not in answer_head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"{path} was answered with {answer_head!r} {answer[:300]!r}")
        if path == "/query":
            check(answer)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    raise RuntimeError(f"an answer does not say how long it is: {head!r}")


def fill(body: str, start: float, end: float) -> bytes:
    """Return a request for a span, on whole milliseconds."""
    edges = [datetime.fromtimestamp(edge, UTC).isoformat(timespec="milliseconds")[:23] + "Z" for edge in (start, end)]
    return body.replace("{from}", edges[0]).replace("{to}", edges[1]).encode()


def check(answer: bytes) -> None:
    """Raise RuntimeError for an answer in which a series has no points."""
    if b'"datapoints":[]' in answer or b'"datapoints":[[' not in answer:
        raise RuntimeError(f"an answer lacks points: {answer[:300]!r}")


async def ask_in_turn(client: Mapping[str, Any], port: int, until: float, latencies_s: list[float]) -> None:
    """Ask one request after another."""
    connection = Connection(port, latencies_s)
    for end, body in _steps(client):
        if time.perf_counter() > until:
            return
        await connection.post(client.get("path", "/query"), fill(body, end - client["span_s"], end))


async def ask_regularly(client: Mapping[str, Any], port: int, until: float, latencies_s: list[float]) -> None:
    """Ask at regular times."""
    free: list[Connection] = []
    due = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for end, body in _steps(client):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if due > until:
                return
            connection = free.pop() if free else Connection(port, latencies_s)
            request = fill(body, end - client["span_s"], end)
            tasks.create_task(_ask_at(due, connection, client.get("path", "/query"), request, free))
            due += 1 / client["per_s"]


async def _ask_at(due: float, connection: Connection, path: str, body: bytes, free: list[Connection]) -> None:
    await connection.post(path, body, due)
    free.append(connection)


def _steps(client: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    end = client["end"]
    while True:
        for body in client["bodies"]:
            end += client["step_s"]
            yield end, body


async def view(client: Mapping[str, Any], port: int, until: float, latencies_s: list[float]) -> None:
    """Refresh a dashboard at regular times."""
    connections = [Connection(port, latencies_s) for _ in range(BROWSER_CONNECTIONS)]
    due = time.perf_counter() + client["phase_s"]
    while due < until:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        now = time.time()
        waiting = [fill(body, now - client["span_s"], now) for body in client["bodies"]]
        await asyncio.gather(*(_work_off(connection, waiting) for connection in connections))
        due += client["interval_s"]


async def _work_off(connection: Connection, waiting: list[bytes]) -> None:
    while waiting:
        await connection.post("/query", waiting.pop())


async def run(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Let all clients ask; return when they began and ended, UNIX seconds, and each latency in seconds."""
    latencies_s: list[float] = []
    began, until = time.time(), time.perf_counter() + plan["seconds"]
    await asyncio.gather(*(_kind(client)(client, plan["port"], until, latencies_s) for client in plan["clients"]))
    return {"began": began, "ended": time.time(), "latencies_s": latencies_s}


def _kind(client: Mapping[str, Any]) -> Any:
    if "interval_s" in client:
        return view
    return ask_regularly if "per_s" in client else ask_in_turn


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))))
