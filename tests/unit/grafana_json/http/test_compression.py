import gzip

import pytest

from grafana_json.http.compression import FEWEST_BYTES, accepts_gzip, compress, is_loopback, pays


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("deflate, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("br;q=1.0, *;q=0.1", True),
        ("gzip;q=1.0, identity;q=0.5", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("gzip;q=x", False),
        ("gzip;q=0.2, identity", False),
        ("gzipped", False),
        (";;;,,=;q=", False),
    ],
)
def test_what_a_client_takes(accepted, wanted):
    """A client gets gzip when it says that it takes it, and does not like the plain reply better."""
    assert accepts_gzip(accepted) is wanted


@pytest.mark.parametrize(
    ("peer", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        (None, True),
        ("", True),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("fe80::1%eth0", False),
        ("2001:db8::1", False),
    ],
)
def test_which_clients_are_here(peer, here):
    """The loopback's addresses are this machine, in either version, and so is what has no address."""
    assert is_loopback(peer) is here


def test_when_it_pays():
    """Only long replies to other machines are compressed, where asked for."""
    assert pays(FEWEST_BYTES, "192.0.2.7", "gzip")
    assert not pays(FEWEST_BYTES - 1, "192.0.2.7", "gzip")
    assert not pays(FEWEST_BYTES, "127.0.0.1", "gzip")
    assert not pays(FEWEST_BYTES, "192.0.2.7", "gzip;q=0")


@pytest.mark.parametrize("body", [b"", b"[]", bytes(range(256)) * 1000])
def test_what_is_compressed_comes_back(body):
    """A compressed reply is gzip of the same bytes."""
    assert gzip.decompress(compress(body)) == body
