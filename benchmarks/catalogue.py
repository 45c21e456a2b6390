"""A data node with a hundred thousand fields: how quickly they are searched, and whether panels notice."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

from asking import Asked, command, read
from figures import Figure, at_most
from harness import Bench, RunningSite, bench_node, connected, make_body, percentile, post, running_site
from live_nodes import ManyFields, many_names

GROUP = "catalogue"
FIELDS = 100_000
SEARCHES = 100
SEARCHES_PER_S = 50
PANELS_PER_S = 20
MOST_MS = 50.0
MOST_RATIO = 1.5
POINTS = 1000
SPAN_S = 2000.0


def measure(bench: Bench) -> Iterator[Figure]:
    """Search alone, then draw panels alone, then both at once."""
    fields = 2000 if bench.short else FIELDS
    names = many_names(fields)
    with running_site(bench.folder / "catalogue", {"many": bench_node("ManyFields", fields=fields)}) as site:
        letters = random.Random(4)
        took_ms, sizes = search(site, [_three_letters(names, letters) for _ in range(SEARCHES)])
        yield Figure(GROUP, f"/search of {fields:,} fields, p50", percentile(took_ms, 50), "ms", at_most(MOST_MS))
        yield Figure(GROUP, f"/search of {fields:,} fields, p99", percentile(took_ms, 99), "ms")
        yield Figure(GROUP, "the largest answer", max(sizes), "targets")
        seconds = 1.0 if bench.short else 6.0
        panels, searches = _panels(names), _searches([_three_letters(names, letters) for _ in range(300)])
        beside(bench, site, [panels], 1.0)  # warm up
        (alone,) = beside(bench, site, [panels], seconds)
        busy, searched = beside(bench, site, [panels, searches], seconds)
        yield Figure(GROUP, "panels alone, p50", alone.p50_ms, "ms")
        yield Figure(GROUP, f"panels beside {searched.rate:.0f} searches a second, p50", busy.p50_ms, "ms")
        yield Figure(GROUP, f"panels beside {searched.rate:.0f} searches a second, p99", busy.p99_ms, "ms")
        yield Figure(GROUP, "beside / alone, p50", busy.p50_ms / alone.p50_ms, "x", at_most(MOST_RATIO))


def search(site: RunningSite, texts: list[str]) -> tuple[list[float], list[int]]:
    """Return the milliseconds that each search takes, and how many targets it finds."""
    took_ms, sizes = [], []
    with connected(site.port) as connection:
        for text in texts:
            took_s, body = post(connection, "/search", {"target": text})
            took_ms.append(1e3 * took_s)
            targets = json.loads(body)
            if not targets or not all(text in target for target in targets):
                raise RuntimeError(f"'{text}' is in some names, but found was {targets[:5]}")
            sizes.append(len(targets))
    return took_ms, sizes


def beside(bench: Bench, site: RunningSite, clients: list[dict[str, object]], seconds: float) -> list[Asked]:
    """Let clients ask, each in a process of its own, and return what each found."""
    with ExitStack() as stack:
        processes = []
        for client in clients:
            words = command(bench.folder, site.port, [client], seconds)
            processes.append(stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True)))
        return [read(process, seconds) for process in processes]


def _three_letters(names: list[str], source: random.Random) -> str:
    """Return three characters in a row of some name, from where names differ."""
    name = source.choice(names)
    low = source.randrange(len("observatory."), len(name.partition(".feeds")[0]) - 2)
    return name[low : low + 3]


def _panels(names: list[str]) -> dict[str, object]:
    bodies = [make_body([f"many::{name}"], POINTS) for name in names[:: len(names) // 50]]
    end = ManyFields.start + SPAN_S
    return {"bodies": bodies, "span_s": SPAN_S, "end": end, "step_s": 0.137, "per_s": PANELS_PER_S}


def _searches(texts: list[str]) -> dict[str, object]:
    bodies = [json.dumps({"target": text}) for text in texts]
    return {"path": "/search", "bodies": bodies, "span_s": 0, "end": 0, "step_s": 0, "per_s": SEARCHES_PER_S}
