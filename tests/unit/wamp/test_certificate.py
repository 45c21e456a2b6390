"""The router's certificate, and how clients trust it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl as standard_ssl
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto
from twisted.internet import ssl
from twisted.internet._sslverify import OpenSSLCertificateAuthorities
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory

from sisock.core.errors import ConfigurationError
from sisock.settings import Settings
from sisock.wamp.certificate import CertificateFiles, certificate_names, client_options, provide, self_signed

# Twisted hands certificates to pyOpenSSL the old way
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL X509 objects:DeprecationWarning")

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def settings(tmp_path):
    """Settings with a state directory of their own."""
    return Settings(state=tmp_path)


def loaded(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_made_once(settings):
    """The certificate is made at the first start, said so, and kept."""
    first = provide(settings)
    assert "made" in first.notice
    content = first.certificate.read_bytes()
    second = provide(settings)
    assert (second.notice, second.certificate.read_bytes()) == ("", content)
    assert (first.certificate.name, first.key.name) == ("server_cert.pem", "server_key.pem")


def test_private_key(settings):
    """Only the owner can read the private key."""
    assert stat.S_IMODE(provide(settings).key.stat().st_mode) == 0o600


def test_names(settings):
    """The certificate is valid for this machine's names and all that the settings name, each once."""
    settings = settings.replace(host="daq.example", certificate_names="10.0.0.7, lab.example,localhost")
    names = loaded(provide(settings).certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = names.get_values_for_type(x509.DNSName)
    assert {"localhost", "daq.example", "lab.example"} <= set(hosts)
    assert len(hosts) == len(set(hosts))
    addresses = [ipaddress.ip_address(text) for text in ("127.0.0.1", "::1", "10.0.0.7")]
    assert names.get_values_for_type(x509.IPAddress) == addresses
    assert len(certificate_names(settings)) == len(names)


def test_impossible_name(settings):
    """A name that no certificate can hold is reported with the variables to change."""
    with pytest.raises(ConfigurationError, match="SISOCK_CERTIFICATE_NAMES"):
        provide(settings.replace(certificate_names="jalapeño"))


def test_ten_years(settings):
    """The certificate is valid now and for ten years, and can sign no other."""
    certificate = loaded(provide(settings).certificate)
    assert certificate.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc > NOW + dt.timedelta(days=3650)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_expired(settings):
    """A certificate that has expired is made anew, and people are told."""
    files = provide(settings)
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    old = self_signed(key, ["localhost"], NOW - dt.timedelta(days=4000))
    files.certificate.write_bytes(old.public_bytes(serialization.Encoding.PEM))
    assert "expired" in provide(settings).notice
    assert loaded(files.certificate).not_valid_after_utc > NOW


def test_lost_key(settings):
    """A certificate without its key is of no use, so both are made anew."""
    files = provide(settings)
    files.key.unlink()
    assert "made" in provide(settings).notice
    assert files.key.exists()


def test_named_without_key(settings):
    """A named certificate needs a named key."""
    with pytest.raises(ConfigurationError, match="SISOCK_CERTIFICATE_KEY"):
        provide(settings.replace(certificate=str(provide(settings).certificate)))


def named(settings, certificate, key):
    return settings.replace(certificate=str(certificate), certificate_key=str(key))


def provide_elsewhere(settings, folder):
    """Return the certificate of another router."""
    folder.mkdir()
    return provide(settings.replace(state=folder))


def test_named_faults(settings, tmp_path):
    """Files that are missing, no certificate, no key, or no pair are reported with their names."""
    files = provide(settings)
    other = provide_elsewhere(settings, tmp_path / "other")
    missing, text = tmp_path / "missing.pem", tmp_path / "text.pem"
    text.write_text("no certificate")
    for certificate, key, reason in [
        (missing, files.key, "there is no certificate .*missing.pem"),
        (text, files.key, "text.pem is no certificate"),
        (tmp_path, files.key, "cannot be read"),
        (files.certificate, missing, "missing.pem cannot be read"),
        (files.certificate, text, "text.pem is no private key"),
        (files.certificate, other.key, "does not belong to"),
    ]:
        with pytest.raises(ConfigurationError, match=reason):
            provide(named(settings, certificate, key))


class Authority:
    """A certificate authority for the tests."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self.key.public_key(), "authority", is_authority=True)

    def sign(self, key, name):
        return self._sign(key.public_key(), name, is_authority=False)

    def _sign(self, public_key, name, *, is_authority):
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        start = NOW - dt.timedelta(days=1)
        builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(start).not_valid_after(start + dt.timedelta(days=30))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def written(path, *objects):
    """Write certificates, or one private key, as PEM."""
    parts = [
        entry.public_bytes(serialization.Encoding.PEM)
        if isinstance(entry, x509.Certificate)
        else entry.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        for entry in objects
    ]
    path.write_bytes(b"".join(parts))
    return path


@pytest.fixture
def signed(settings, tmp_path):
    """Settings that name a certificate for daq.example that an authority signed, with the authority in the file."""
    authority, key = Authority(), ec.generate_private_key(ec.SECP256R1())
    certificate = authority.sign(key, "daq.example")
    path = written(tmp_path / "signed.pem", certificate, authority.certificate)
    settings = settings.replace(host="daq.example")
    return named(settings, path, written(tmp_path / "signed_key.pem", key))


def test_chain(signed):
    """The certificates after the first in the named file become files of their own, for Crossbar."""
    files = provide(signed)
    assert [loaded(path).subject.rfc4514_string() for path in files.chain] == ["CN=authority"]


def trusts(options, files, folder):
    """Tell whether a Twisted client with these options accepts a server with these files; no socket is needed."""
    context = standard_ssl.SSLContext(standard_ssl.PROTOCOL_TLS_SERVER)
    joined = folder / "joined.pem"
    joined.write_bytes(b"".join(path.read_bytes() for path in (files.certificate, *files.chain)))
    context.load_cert_chain(joined, files.key)
    to_server, to_client = standard_ssl.MemoryBIO(), standard_ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    factory = TLSMemoryBIOFactory(options, True, Factory.forProtocol(Protocol), Clock())
    client, transport = factory.buildProtocol(None), StringTransport()
    client.makeConnection(transport)
    while transport.value():
        to_server.write(transport.value())
        transport.clear()
        try:
            server.do_handshake()
        except standard_ssl.SSLWantReadError:
            client.dataReceived(to_client.read())
        except standard_ssl.SSLError:
            return False
        else:
            return True
    return False


def test_trusted(settings, tmp_path):
    """Our clients trust the certificate that the router made, whatever name they reach the router by."""
    files = provide(settings)
    assert trusts(client_options(settings.replace(host="by.another.name")), files, tmp_path)


def test_trusted_by_old_clients(settings, tmp_path):
    """Clients that take the certificate as their one authority, as those of the original do, trust it."""
    files = provide(settings)
    certificate = crypto.load_certificate(crypto.FILETYPE_PEM, files.certificate.read_text())
    options = ssl.CertificateOptions(trustRoot=OpenSSLCertificateAuthorities([certificate]))
    assert trusts(options, files, tmp_path)


def test_impostor(settings, tmp_path):
    """Another certificate, for the same names, is not trusted."""
    provide(settings)
    impostor = provide_elsewhere(settings, tmp_path / "impostor")
    assert not trusts(client_options(settings), impostor, tmp_path)


def test_authority(signed, tmp_path):
    """A certificate from an authority in the named file is trusted for its own host name only."""
    files = provide(signed)
    assert trusts(client_options(signed), files, tmp_path)
    assert not trusts(client_options(signed.replace(host="other.example")), files, tmp_path)


def test_certificate_in_place_of_the_routers(settings, tmp_path):
    """One that names no host and could sign others is trusted by itself, by any host name; what it signs is not."""
    authority, key = Authority(), ec.generate_private_key(ec.SECP256R1())
    written(tmp_path / "server_cert.pem", authority.certificate)
    of_itself = CertificateFiles(tmp_path / "server_cert.pem", written(tmp_path / "server_key.pem", authority.key))
    signed = CertificateFiles(
        written(tmp_path / "signed.pem", authority.sign(key, "daq.example")),
        written(tmp_path / "signed_key.pem", key),
        (tmp_path / "server_cert.pem",),
    )
    options = client_options(settings.replace(host="daq.example"))
    assert trusts(options, of_itself, tmp_path)
    assert not trusts(options, signed, tmp_path)


def test_platform(signed, tmp_path):
    """With a signed certificate and no authority in the file, the platform's authorities decide."""
    alone = written(tmp_path / "alone.pem", loaded(tmp_path / "signed.pem"))
    assert not trusts(client_options(signed.replace(certificate=str(alone))), provide(signed), tmp_path)


def test_no_certificate(settings):
    """A client without the certificate is told where to get it."""
    with pytest.raises(ConfigurationError, match="start the router once, or copy"):
        client_options(settings)
