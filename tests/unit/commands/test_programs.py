"""Other people's Python files: what is seen in them, what is found in them, and what their servers are made with."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from autobahn.twisted.wamp import ApplicationRunner
from autobahn.wamp.types import Challenge, ComponentConfig
from twisted.internet import reactor

import sisock
from sisock.commands.guests import Sessions, maker
from sisock.commands.programs import MAIN, ProgramFile, execute, find_servers, runners_replaced
from sisock.core.errors import ConfigurationError
from sisock.wamp.connection import RECONNECTS

CONFIG = ComponentConfig("r", {"authid": "roof", "secret": "s", RECONNECTS: True})


class Server(sisock.base.DataNodeServer):
    """Has a name."""

    name = "roof"


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """What a file that runs leaves in the process is taken away after the test."""
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "argv", sys.argv.copy())


def written(tmp_path, text):
    (tmp_path / "file.py").write_text(text)
    return ProgramFile.read(tmp_path / "file.py")


@pytest.mark.parametrize(
    ("text", "block", "contract"),
    [
        ('if __name__ == "__main__":\n    pass\n', True, False),
        ("if '__main__' == __name__:\n    pass\n", True, False),
        ('if __name__ != "main":\n    pass\n', False, False),
        ("class A:\n    def catalogue(self): pass\n    def read(self): pass\n", False, True),
        ("class A:\n    def read(self): pass\n", False, False),
    ],
)
def test_what_is_seen_without_running_a_file(tmp_path, text, block, contract):
    """A block for ``__main__`` and a class of the contract are seen in the text."""
    source = written(tmp_path, text)
    assert (source.has_block, source.has_contract_node) == (block, contract)


@pytest.mark.parametrize(
    ("text", "reads"),
    [("import sys\nsys.argv\n", True), ("from sys import argv\n", True), ("import argparse\n", True), ("1\n", False)],
)
def test_a_file_that_reads_its_command_line_is_known(tmp_path, text, reads):
    """Whoever forgot its arguments is told where they go."""
    assert written(tmp_path, text).reads_arguments is reads


def test_text_that_is_no_python_is_told(tmp_path):
    """A mistake in a file is told with its line before anything runs."""
    with pytest.raises(ConfigurationError, match=r"file\.py cannot be run: line 2: SyntaxError"):
        written(tmp_path, "a = 1\nb = (\n")


def test_what_ends_a_file_early_is_told(tmp_path):
    """An error is told with its line in the file, a missing variable by its name, an end by itself as one."""
    for text, told in (
        ("a = 1\nb = 1 / 0\n", "line 2: ZeroDivisionError: division by zero"),
        ("import os\nos.environ['NO_SUCH']\n", "line 2: the environment variable NO_SUCH is not set"),
        ("import sys\nsys.exit()\n", "it ended by itself"),
        ("import sys\nsys.exit('no')\n", "it ended by itself (no)"),
    ):
        assert execute(written(tmp_path, text), "file")[1] == told


def test_program_has_its_own_arguments(tmp_path):
    """A file that is run as the program has its path and arguments in ``sys.argv``, and is ``__main__``."""
    module, problem = execute(written(tmp_path, "import sys\nseen = sys.argv, __name__\n"), MAIN, ("-x", "1"))
    assert problem is None
    assert module.seen == ([str(tmp_path / "file.py"), "-x", "1"], MAIN)


def test_runners_are_ours_meanwhile_only():
    """What a runner is given reaches us, and afterwards the runners are as they were."""
    before, calls = ApplicationRunner.run, []
    with runners_replaced(lambda *arguments: calls.append(arguments)):
        ApplicationRunner("ws://127.0.0.1:1", "r", extra={"a": 1}).run(Server, start_reactor=False)
    assert calls == [(Server, {"a": 1}, False)]
    assert ApplicationRunner.run is before


def module_of(**entries):
    module = ModuleType("file")
    for name, value in entries.items():
        setattr(module, name, value)
    return module


def made(called, /, *bases, **entries):
    return type(called, bases or (sisock.base.DataNodeServer,), {"__module__": "file"} | entries)


def test_the_one_server_of_a_file_is_found():
    """A file's own server is found beside imported ones and beside a parent without a name; else one is demanded."""
    parent = made("Parent")
    child = made("Child", parent, name="child")
    assert find_servers(module_of(Parent=parent, Child=child, Other=Server), "", "file.py") is child
    assert find_servers(module_of(Again=child, Child=child), "", "file.py") is child
    assert find_servers(module_of(Server=Server, Base=sisock.base.DataNodeServer), "", "file.py") is Server
    with pytest.raises(ConfigurationError, match=r"has Child, Twin: name it as file\.py:Class"):
        find_servers(module_of(Child=child, Twin=made("Twin", name="twin")), "", "file.py")
    with pytest.raises(ConfigurationError, match="has none"):
        find_servers(module_of(), "", "file.py")


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lambda config: {"config": config}, {"config": CONFIG}),
        (lambda config=None, depth=3: {"config": config, "depth": depth}, {"config": CONFIG, "depth": 1}),
        (
            lambda cfg, name, depth: {"cfg": cfg, "name": name, "depth": depth},
            {"cfg": CONFIG, "name": "n", "depth": 1},
        ),
        (lambda name, depth=0: {"name": name, "depth": depth}, {"name": "n", "depth": 1}),
        (lambda *rest, **more: {"rest": rest} | more, {"rest": (CONFIG,), "depth": 1}),
        (lambda component_config, /: {"first": component_config}, {"first": CONFIG}),
    ],
)
def test_server_is_made_with_what_its_constructor_takes(function, given):
    """The configuration goes where it is wanted, under whatever name, and so does the node's name."""
    options = {"depth": given["depth"]} if "depth" in given else {}
    assert maker(function, "x", "n", options)(CONFIG) == given


def test_what_a_constructor_needs_is_told():
    """The error says what to add for each parameter that nothing gives."""
    with pytest.raises(ConfigurationError, match=r"needs 'name', 'feed': add --name NAME --option feed=…"):
        maker(lambda config, name, feed, size=3: None, "x", None, {})
    with pytest.raises(ConfigurationError, match=r"does not take 'dept'; it takes 'depth'"):
        maker(lambda config, depth: None, "x", "n", {"dept": 1})
    with pytest.raises(ConfigurationError, match=r"does not take 'dept'; it takes no options"):
        maker(lambda config: None, "x", "n", {"dept": 1})


def test_first_server_is_the_one_of_the_first_connection():
    """A server is made once for its name and the first connection, and anew for each that follows."""
    servers = []

    def make(config):
        servers.append(Server(config))
        return servers[-1]

    sessions = Sessions(make, "x")
    assert sessions.name == "roof"
    assert sessions(CONFIG) is servers[0]
    assert sessions(CONFIG) is servers[1]
    assert isinstance(servers[1], Server)


def test_server_that_exists_has_all_connections():
    """An instance gets each connection, under the name and the login that it is given."""
    server = Server(ComponentConfig("elsewhere", {"depth": 1, "feed": "f"}))
    sessions = Sessions(server, "x", "cellar", extra={"depth": 2})
    assert sessions(CONFIG) is sessions(CONFIG) is server
    assert (server.name, server.config.realm) == ("cellar", "r")
    assert server.config.extra == {"depth": 2, "feed": "f"} | CONFIG.extra


def test_login_is_ours_whatever_the_server_says():
    """A server that wants to join anonymously, or as somebody else, joins under the node's name with its secret."""

    class Anonymous(Server):
        def onConnect(self):
            self.join("other", ["anonymous"])

        def onChallenge(self, challenge):
            raise AssertionError("it is not asked")

    sent = []
    server = Sessions(Anonymous, "x")(CONFIG)
    server._transport = type("Transport", (), {"send": lambda self, message: sent.append(message)})()
    server.onConnect()
    (hello,) = sent
    assert (hello.realm, hello.authmethods, hello.authid) == ("r", ["wampcra"], "roof")
    assert server.onChallenge(Challenge("wampcra", {"challenge": "c"}))


def test_server_does_not_stop_the_process_and_its_end_is_told():
    """``reactor.stop`` in ``onDisconnect`` is passed over; a session that was online is told of, another is not."""
    calls, lost = [], []

    class Stopping(Server):
        def onJoin(self, details):
            calls.append("join")

        def onDisconnect(self):
            reactor.stop()
            calls.append("disconnect")

    sessions = Sessions(Stopping, "x", lost=lost.append)
    sessions(CONFIG).onClose(wasClean=True)
    assert (calls, lost) == (["disconnect"], [])
    server = sessions(CONFIG)
    server.onJoin(None)
    server.onClose(wasClean=True)
    assert (calls[1:], lost) == (["join", "disconnect"], ["transport lost"])
    assert "stop" not in vars(reactor)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda config: object(), "is no DataNodeServer, but object"),
        (lambda config: 1 / 0, "cannot be made: ZeroDivisionError"),
        (sisock.base.DataNodeServer, "has no name: add --name NAME"),
        (made("Odd", name="a b"), "'a b' cannot be a node's name"),
    ],
)
def test_server_that_cannot_be_is_told(make, told):
    """What is no server, cannot be made, or has no name that can log in, is told before anything runs."""
    with pytest.raises(ConfigurationError, match=told):
        Sessions(make, "x")
