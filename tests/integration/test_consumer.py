"""The blocking client in programs as people write them: they get their samples, and they end without a word."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from sisock.client import Consumer
from sisock.core.errors import BadRequest, NodeUnavailable, SisockError
from sisock.settings import Settings, variables

from integration.ports import free_port
from integration.sites import clean_environment, poll
from integration.test_original_servers import program

ARCHIVE = Path(__file__).parent.parent / "data" / "apex"
START = "from sisock.client import Consumer\nimport sys\n"


@pytest.fixture(scope="module")
def settings(router, tmp_path_factory):
    """A router with a hub and a weather archive."""
    folder = tmp_path_factory.mktemp("consumer")
    arguments = ("-m", "sisock", "node", "weather", "--name", "roof", "--option", f"folder={ARCHIVE}")
    with program(router, folder, "-m", "sisock", "hub"), program(router, folder, *arguments) as node:
        poll(lambda: "in the hub's list" in node.output(), 30, "the node is listed")
        yield router.settings


def run(settings, code, timeout_s=30):
    """Run a program; return its exit status, output and error output. One that hangs fails the test."""
    result = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", START + code],
        env=clean_environment() | variables(settings),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


PROGRAMS = {
    "without with": "c = Consumer()\nprint(c.nodes()[0].name)",
    "without a variable": "print(Consumer().nodes()[0].name)",
    "in a with block": "with Consumer() as c: print(c.nodes()[0].name)",
    "closed by hand": "c = Consumer()\nprint(c.nodes()[0].name)\nc.close()\nc.close()",
    "never used": "c = Consumer()\nc.close()\nprint('roof')",
    "two at once": "a, b = Consumer(), Consumer()\na.nodes()\nprint(b.nodes()[0].name)\na.close()\nb.nodes()",
    "one in another": "with Consumer() as a, Consumer() as b: print(a.nodes()[0].name * (a.nodes() == b.nodes()))",
    "one after the other": "for _ in range(3):\n  with Consumer() as c: name = c.nodes()[0].name\nprint(name)",
    "opened again": "c = Consumer()\nwith c: c.nodes()\nwith c: print(c.nodes()[0].name)",
    "cells that make it anew": "for _ in range(20):\n  c = Consumer()\n  name = c.nodes()[0].name\nprint(name)",
    "another thread": (
        "import threading\nc = Consumer()\nt = threading.Thread(target=lambda: print(c.nodes()[0].name))\n"
        "t.start()\nt.join()"
    ),
    "many threads": (
        "from concurrent.futures import ThreadPoolExecutor\nc = Consumer()\n"
        "with ThreadPoolExecutor(8) as pool: names = list(pool.map(lambda _: c.nodes()[0].name, range(40)))\n"
        "print(*set(names))"
    ),
    "beside asyncio": (
        "import asyncio\nasync def main():\n  c = Consumer()\n"
        "  print((await asyncio.to_thread(c.nodes))[0].name, flush=True)\n  c.nodes()\nasyncio.run(main())"
    ),
    "while the reactor runs": (
        "from twisted.internet import reactor, threads\n"
        "def work():\n  print(Consumer().nodes()[0].name)\n"
        "reactor.callWhenRunning(lambda: threads.deferToThread(work).addBoth(lambda _: reactor.stop()))\nreactor.run()"
    ),
    "forked before its use": (
        "import multiprocessing\ndef work(_):\n  with Consumer() as c: return c.nodes()[0].name\n"
        "with multiprocessing.get_context('fork').Pool(3) as pool: print(*set(pool.map(work, range(6))))"
    ),
}


@pytest.mark.parametrize("code", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_programs_get_their_answers_and_end(settings, code):
    """However a program uses a Consumer, it gets its answer, and ends by itself without a trace or a warning."""
    assert run(settings, code) == (0, "roof\n", "")


def test_an_exception_in_the_block_is_the_programs_own(settings):
    """What a program raises inside of the block ends it with that trace alone, and sys.exit with its status."""
    status, output, errors = run(settings, "with Consumer() as c:\n  c.nodes()\n  1 / 0")
    assert (status, output) == (1, "")
    assert errors.strip().endswith("ZeroDivisionError: division by zero")
    assert errors.count("Traceback") == 1
    assert run(settings, "with Consumer() as c:\n  c.nodes()\n  sys.exit(3)") == (3, "", "")
    assert run(settings, "c = Consumer()\nc.nodes()\nsys.exit(3)") == (3, "", "")


@pytest.mark.parametrize("way", ["os.fork", "multiprocessing"])
def test_a_forked_process_is_told_what_to_do(settings, way):
    """A process forked from one that has connected is told so at once, while its parent goes on."""
    ask = (
        "def ask():\n  try: c.nodes()\n  except Exception as e: print(type(e).__name__, e, flush=True)\n  c.close()\n"
    )
    ways = {
        "os.fork": "import os\nif os.fork() == 0:\n  ask()\n  sys.exit(0)\nos.wait()\n",
        "multiprocessing": (
            "import multiprocessing\n"
            "p = multiprocessing.get_context('fork').Process(target=ask)\np.start()\np.join()\n"
        ),
    }
    code = f"c = Consumer()\nc.nodes()\n{ask}{ways[way]}print(c.nodes()[0].name)"
    status, output, errors = run(settings, "import warnings\nwarnings.simplefilter('ignore')\n" + code)
    assert (status, errors) == (0, "")
    told, answer = output.splitlines()
    assert told.startswith("SisockError this process was forked from one")
    assert "spawn" in told
    assert answer == "roof"


def test_in_the_reactors_thread_it_says_what_to_do(settings):
    """Where waiting would stop the loop that brings the answer, the error says so, in place of a hang."""
    code = (
        "from twisted.internet import reactor\n"
        "def work():\n  try: Consumer().nodes()\n  except Exception as e: print(e)\n  reactor.stop()\n"
        "reactor.callWhenRunning(work)\nreactor.run()"
    )
    status, output, errors = run(settings, code)
    assert (status, errors) == (0, "")
    assert "use it in another thread" in output


def test_a_reactor_that_was_stopped_is_told(settings):
    """Twisted's reactor runs once a process: after that, the error says to use another process."""
    code = (
        "from twisted.internet import reactor\nreactor.callWhenRunning(reactor.stop)\nreactor.run()\n"
        "try: Consumer().nodes()\nexcept Exception as e: print(e)"
    )
    status, output, errors = run(settings, code)
    assert (status, errors) == (0, "")
    assert "use sisock in a process of its own" in output


def test_closed_is_closed(settings):
    """Who asks a Consumer that is closed is told to make a new one."""
    with Consumer(settings) as consumer:
        consumer.nodes()
    with pytest.raises(SisockError, match="this Consumer is closed: make a new one"):
        consumer.nodes()
    never_used = Consumer(settings)
    never_used.close()
    with pytest.raises(SisockError, match="this Consumer is closed"):
        never_used.fields("roof")


def test_a_connection_that_nobody_has_any_more_is_closed(settings):
    """A notebook that makes a Consumer in each run of a cell keeps one connection, not one for each run."""
    threads = threading.active_count()
    first = Consumer(settings)
    first.nodes()
    line = first._line
    del first
    poll(lambda: line._session is None, 10, "the connection is closed")
    assert threading.active_count() <= threads + 3


def test_without_a_router_it_says_so_and_tries_again_at_the_next_call(start_router, tmp_path):
    """A Consumer outlives its router: what is asked meanwhile says that it is away, and the next call waits for it."""
    router = start_router()
    consumer = Consumer(router.settings, timeout_s=20.0)
    with program(router, tmp_path, "-m", "sisock", "hub") as hub:
        poll(lambda: "ready" in hub.output(), 30, "the hub is ready")
        assert consumer.nodes() == []
        router.stop()
        router.start()
        poll(lambda: hub.output().count("ready") == 2, 30, "the hub is ready again")
        assert consumer.nodes() == []
    consumer.close()
    away = Consumer(Settings(state=tmp_path, tls_port=free_port(), wamp_secret="s"), timeout_s=0.2)
    with pytest.raises(NodeUnavailable, match="start it with 'sisock router'"):
        away.nodes()
    with pytest.raises(NodeUnavailable, match="start it with 'sisock router'"), away:
        pass


def test_interrupting_a_program_that_waits_ends_it(settings, tmp_path):
    """Ctrl-C while an answer is awaited ends the program at once, with Python's own trace and nothing after it."""
    code = START + "c = Consumer(timeout_s=60)\nprint('asking', flush=True)\nc.nodes()"
    nowhere = settings.replace(tls_port=free_port(), host="localhost", state=tmp_path, wamp_secret="s")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=clean_environment() | variables(nowhere),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "asking\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode in (1, -signal.SIGINT, 130)
    assert errors.strip().endswith("KeyboardInterrupt")


def test_times_may_be_those_of_numpy(settings):
    """Times and strides are numbers of any kind, as arrays have them."""
    with Consumer(settings) as consumer:
        target = f"roof::{min(consumer.fields('roof', np.int64(1), np.float32(0)).fields)}"
        whole = consumer.get(target, 1)
        for kind in (np.int64, np.float64):
            same = consumer.get(target, kind(1), kind(0))
            np.testing.assert_array_equal(same.times[: whole.times.size], whole.times)
            assert (
                consumer.get(target, kind(1), min_stride=kind(3600), reduce="count").values.sum() >= whole.times.size
            )
        with pytest.raises(BadRequest, match="must be a finite number"):
            consumer.get(target, "2013-01-01")


def test_pages_are_the_whole(settings, monkeypatch):
    """What comes in pages is, put together, what comes at once, whatever the length of a page."""
    with Consumer(settings) as consumer:
        target = f"roof::{min(consumer.fields('roof').fields)}"
        whole = consumer.get(target, 1)
        assert whole.times.size > 50
        assert consumer.extent(target) == (whole.times[0], whole.times[-1])
        for length in (2, 7, 1000):
            monkeypatch.setattr("sisock.client.PAGE_SAMPLES", length)
            pages = list(consumer.pages(target, 1))
            assert max(page.times.size for page in pages) <= length
            np.testing.assert_array_equal(np.concatenate([page.times for page in pages]), whole.times)
            np.testing.assert_array_equal(
                np.concatenate([page.values for page in pages if page.times.size]), whole.values
            )
