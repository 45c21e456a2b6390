"""The configuration that the router gives to Crossbar."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path

import pytest

from sisock.core.wire.info import uri
from sisock.settings import Settings
from sisock.wamp.certificate import CertificateFiles
from sisock.wamp.crossbar_config import AUTHENTICATOR, AUTHORIZER, AUTHORIZER_CLASS, crossbar_configuration

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Crossbar imports libraries that use what is deprecated
    from crossbar.common import checkconfig
    from crossbar.personality import Personality
    from crossbar.router.role import RouterRoleStaticAuth

FILES = CertificateFiles(Path("/state/server_cert.pem"), Path("/state/server_key.pem"))


def rendered(**changes):
    """Return what Crossbar would read from the file."""
    return json.loads(json.dumps(crossbar_configuration(Settings(**changes), FILES)))


def transports(**changes):
    """Return the transports by name."""
    return {entry["id"]: entry for entry in rendered(**changes)["workers"][0]["transports"]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"legacy": True},
        {"ocs_port": 0},
        {"listen": "0.0.0.0", "tls_port": 443, "realm": "observatory"},
        {"listen": "::1"},
    ],
)
def test_crossbar_takes_it(changes):
    """Crossbar's own check finds no fault with the configuration, whatever the settings."""
    checkconfig.check_config(Personality, rendered(**changes))


def test_chain():
    """The certificates that signed the router's are sent to clients too."""
    files = CertificateFiles(FILES.certificate, FILES.key, (Path("/state/server_chain_1.pem"),))
    configuration = json.loads(json.dumps(crossbar_configuration(Settings(), files)))
    checkconfig.check_config(Personality, configuration)
    tls = configuration["workers"][0]["transports"][-1]["endpoint"]["tls"]
    assert tls["chain_certificates"] == ["/state/server_chain_1.pem"]


def test_addresses():
    """Both ports listen on the address of the settings, the loopback unless told otherwise; the secure one is last."""
    assert list(transports()) == ["ocs", "local", "tls"]
    for address in ("127.0.0.1", "0.0.0.0"):
        ports = transports(listen=address, tls_port=1, ocs_port=2)
        assert {name: ports[name]["endpoint"]["interface"] for name in ("ocs", "tls")} == dict.fromkeys(
            ("ocs", "tls"), address
        )
        assert (ports["ocs"]["endpoint"]["port"], ports["tls"]["endpoint"]["port"]) == (2, 1)


def test_local_socket():
    """Programs of this machine have a socket in the state directory, with a login; a path too long gets none."""
    local = transports(state=Path("/state"))["local"]
    assert local["endpoint"] == {"type": "unix", "path": "/state/router.sock"}
    assert list(local["paths"]["ws"]["auth"]) == ["wampcra"]
    assert "local" not in transports(state=Path("/" + "x" * 100))


def test_ocs_port():
    """The OCS port serves a websocket and an HTTP caller, both anonymous; 0 means that there is none."""
    paths = transports()["ocs"]["paths"]
    assert set(paths) == {"ws", "call"}
    assert paths["ws"]["auth"] == {"anonymous": {"type": "static", "role": "anonymous"}}
    assert paths["call"] == {"type": "caller", "realm": "test_realm", "role": "anonymous"}
    assert "ocs" not in transports(ocs_port=0)


def test_secure_port():
    """The secure port serves a websocket that knows no anonymous login, and has the certificate."""
    secure = transports()["tls"]
    assert list(secure["paths"]) == ["ws"]
    assert list(secure["paths"]["ws"]["auth"]) == ["wampcra"]
    assert secure["endpoint"]["tls"]["certificate"] == "/state/server_cert.pem"


def test_websocket_options():
    """Every websocket takes messages of 64 MiB, and notices a dead peer within 15 s."""
    for entry in (transports()[name]["paths"]["ws"] for name in ("tls", "ocs")):
        assert entry["options"]["max_message_size"] == entry["options"]["max_frame_size"] == 2**26
        assert entry["options"]["auto_ping_interval"] + entry["options"]["auto_ping_timeout"] == 15_000
        assert entry["serializers"] == ["msgpack", "cbor", "json"]


@pytest.mark.parametrize("name", [AUTHENTICATOR, AUTHORIZER_CLASS])
def test_named_code_exists(name):
    """What the configuration names can be imported by Crossbar."""
    module, _, attribute = name.rpartition(".")
    assert callable(getattr(importlib.import_module(module), attribute))


def decision(role, action, uri, *, legacy):
    """Return Crossbar's own decision about a role with static permissions."""
    roles = {entry["name"]: entry for entry in rendered(legacy=legacy)["workers"][0]["realms"][0]["roles"]}
    if role not in roles:
        return {"allow": False}
    return RouterRoleStaticAuth(None, role, roles[role]["permissions"]).authorize(None, uri, action, {})


ALWAYS = [
    ("hub", "register", uri("data_node.add")),
    ("hub", "register", uri("data_node.subtract")),
    ("hub", "register", uri("consumer.get_data_node")),
    ("hub", "publish", uri("consumer.data_node_added")),
    ("hub", "publish", uri("consumer.data_node_subtracted")),
    ("hub", "subscribe", "wamp.session.on_leave"),
    ("hub", "call", "wamp.session.list"),
    ("consumer", "call", uri("consumer.weather.get_data")),
    ("consumer", "call", uri("consumer.get_data_node")),
    ("consumer", "subscribe", uri("consumer.data_node_added")),
    ("anonymous", "register", "observatory.fridge.start"),
    ("anonymous", "call", "observatory.fridge.start"),
    ("anonymous", "publish", "observatory.fridge.feeds.temperatures"),
    ("anonymous", "subscribe", "observatory."),
]
WITH_LEGACY = [
    (role, action, uri(suffix))
    for role in ("legacy", "anonymous")
    for action, suffix in [
        ("register", "consumer.weather.get_data"),
        ("call", "consumer.weather.get_data"),
        ("call", "consumer.get_data_node"),
        ("call", "data_node.add"),
        ("call", "data_node.subtract"),
        ("subscribe", "consumer.data_node_added"),
    ]
]
NEVER = [
    ("hub", "register", uri("consumer.weather.get_data")),
    ("hub", "call", uri("consumer.weather.get_data")),
    ("hub", "register", uri("data_node.")),
    ("hub", "call", "wamp.session.kill"),
    ("consumer", "register", uri("consumer.weather.get_data")),
    ("consumer", "publish", uri("consumer.weather.samples")),
    ("consumer", "call", uri("data_node.add")),
    ("consumer", "call", uri("router.authorize")),
    ("consumer", "call", "wamp.session.list"),
    ("consumer", "subscribe", ""),
    ("anonymous", "register", uri("data_node.add")),
    ("anonymous", "register", uri("router.authorize")),
    ("anonymous", "call", uri("router.authorize")),
    ("anonymous", "call", "wamp.session.list"),
    ("anonymous", "register", ""),
    ("anonymous", "register", "org"),
    ("anonymous", "subscribe", ""),
    ("anonymous", "subscribe", ".."),
    ("anonymous", "subscribe", "observatory"),
    ("legacy", "register", uri("data_node.add")),
    ("legacy", "register", uri("router.authorize")),
]


@pytest.mark.parametrize(("role", "action", "uri"), ALWAYS)
@pytest.mark.parametrize("legacy", [False, True])
def test_allowed(role, action, uri, legacy):
    """A role may do its work, and those whom it talks to learn who it is."""
    given = decision(role, action, uri, legacy=legacy)
    assert given["allow"]
    assert given.get("disclose", action in {"register", "subscribe"})


@pytest.mark.parametrize(("role", "action", "uri"), WITH_LEGACY)
def test_legacy(role, action, uri):
    """Only the legacy switch lets unnamed programs be data nodes and consumers."""
    assert decision(role, action, uri, legacy=True)["allow"]
    assert not decision(role, action, uri, legacy=False)["allow"]


@pytest.mark.parametrize(("role", "action", "uri"), NEVER)
@pytest.mark.parametrize("legacy", [False, True])
def test_refused(role, action, uri, legacy):
    """A role may do nothing but its work."""
    assert not decision(role, action, uri, legacy=legacy)["allow"]


def test_nodes_are_decided_one_by_one():
    """What a data node may do is asked of sisock, because it depends on the node's name."""
    roles = {entry["name"]: entry for entry in rendered()["workers"][0]["realms"][0]["roles"]}
    assert roles["node"] == {"name": "node", "authorizer": AUTHORIZER}
