"""The router's certificate: found or made for the router, trusted by its clients."""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto
from twisted.internet import ssl

from sisock.core.errors import ConfigurationError
from sisock.settings import Settings

# The original's name, which servers written for it look for.
CERTIFICATE_NAME = "server_cert.pem"
KEY_NAME = "server_key.pem"
# Ten years: each new one has to be carried to all machines that have a copy.
VALIDITY = dt.timedelta(days=3652)
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclasses.dataclass(frozen=True)
class CertificateFiles:
    """PEM files of a server, absolute paths: certificate, private key, and the certificates that signed it.

    ``notice`` is what people should know, such as that a certificate was made.
    """

    certificate: Path
    key: Path
    chain: tuple[Path, ...] = ()
    notice: str = ""


def provide(settings: Settings) -> CertificateFiles:
    """Return the router's certificate: the one that the settings name, else one in the state directory.

    That one is self-signed, and made when it is missing or has expired.

    Raises
    ------
    ConfigurationError
        When a file is missing, unreadable or no certificate, or key and certificate don't belong together.
    """
    if settings.certificate:
        return _find_named(settings)
    certificate, key = settings.state.resolve() / CERTIFICATE_NAME, settings.state.resolve() / KEY_NAME
    if not certificate.exists() or not key.exists():
        return _make(settings, certificate, key, "made")
    if _load(certificate)[0].not_valid_after_utc <= dt.datetime.now(dt.UTC):
        return _make(settings, certificate, key, "had expired and was made anew; give it to clients elsewhere")
    _check_key(certificate, key)
    return CertificateFiles(certificate, key)


def client_options(settings: Settings) -> Any:
    """Return how a client checks the router's certificate: Twisted's connection creator or CertificateOptions.

    The self-signed certificate that the router makes is trusted by itself, whatever host name leads to it; so is
    another one in its place, such as that of a router of 2019, which names no host and could sign others: these are
    not trusted. When the settings name a file with authorities, those are trusted, else the platform's; the host name
    is then checked.

    Raises
    ------
    ConfigurationError
        When the certificate is missing or unreadable.
    """
    path = Path(settings.certificate) if settings.certificate else settings.state / CERTIFICATE_NAME
    certificates = _load(path)
    roots = [_for_twisted(certificate) for certificate in certificates if certificate.issuer == certificate.subject]
    if not roots:
        return ssl.optionsForClientTLS(settings.host)
    trust_root = ssl.trustRootFromCertificates(roots)
    if len(certificates) == 1 and not _is_authority(certificates[0]):
        return ssl.CertificateOptions(trustRoot=trust_root)
    if len(certificates) == 1 and not settings.certificate:
        return _only(certificates[0], trust_root)
    return ssl.optionsForClientTLS(settings.host, trustRoot=trust_root)


def _only(certificate: x509.Certificate, trust_root: Any) -> Any:
    """Return options that trust one certificate, and none that it has signed."""

    def verify(_connection: Any, shown: Any, _error: int, depth: int, ok: int) -> bool:
        return bool(ok) and (depth > 0 or shown.to_cryptography() == certificate)

    options = ssl.CertificateOptions(trustRoot=trust_root)
    options.getContext().set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    return options


def certificate_names(settings: Settings) -> list[str]:
    """Return the host names and addresses that the made certificate is valid for, without repetition."""
    further = (name.strip() for name in settings.certificate_names.split(","))
    return list(dict.fromkeys(name for name in (*LOCAL_NAMES, socket.gethostname(), settings.host, *further) if name))


def _find_named(settings: Settings) -> CertificateFiles:
    if not settings.certificate_key:
        raise ConfigurationError("SISOCK_CERTIFICATE is set, so SISOCK_CERTIFICATE_KEY must name its private key")
    certificate, key = Path(settings.certificate).resolve(), Path(settings.certificate_key).resolve()
    chain = _load(certificate)[1:]
    _check_key(certificate, key)
    # Crossbar takes each certificate of a chain from a file of its own.
    paths = [settings.state.resolve() / f"server_chain_{number}.pem" for number, _ in enumerate(chain, start=1)]
    for path, entry in zip(paths, chain, strict=True):
        _write(path, _pem(entry))
    return CertificateFiles(certificate, key, tuple(paths))


def _make(settings: Settings, certificate: Path, key: Path, what: str) -> CertificateFiles:
    private_key = ec.generate_private_key(ec.SECP256R1())
    # The key first: ended in between, the next start finds the certificate missing or expired still, and makes both.
    _write(
        key,
        private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    _write(certificate, _pem(self_signed(private_key, certificate_names(settings))))
    return CertificateFiles(certificate, key, notice=f"the router's certificate {certificate} {what}")


def self_signed(
    private_key: ec.EllipticCurvePrivateKey,
    names: Iterable[str],
    start: dt.datetime | None = None,
) -> x509.Certificate:
    """Return a certificate for these names, valid from `start` (now) for ten years; it can sign no other."""
    # clocks of other machines may be late by a day
    start = start or dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sisock router")])
    builder = x509.CertificateBuilder(subject, subject, private_key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + VALIDITY)
    for extension, critical in (
        (x509.SubjectAlternativeName([_general_name(name) for name in names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(private_key, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError:
        raise ConfigurationError(
            f"'{name}' can be no host name in a certificate: change SISOCK_CERTIFICATE_NAMES or CROSSBAR_HOST"
        ) from None


def _load(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no certificate {path}: start the router once, or copy the router's {CERTIFICATE_NAME} here and "
            "name it in SISOCK_CERTIFICATE"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"the certificate {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(f"{path} is no certificate in PEM format; SISOCK_CERTIFICATE names another") from None


def _check_key(certificate: Path, key: Path) -> None:
    try:
        private_key = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except OSError as error:
        raise ConfigurationError(f"the certificate's key {key} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ConfigurationError(f"{key} is no private key in PEM format without a password") from None
    if private_key.public_key() != _load(certificate)[0].public_key():
        raise ConfigurationError(
            f"the key {key} does not belong to the certificate {certificate}: SISOCK_CERTIFICATE and "
            "SISOCK_CERTIFICATE_KEY must name a pair; if they are unset, remove both files and new ones are made"
        )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _for_twisted(certificate: x509.Certificate) -> Any:
    return ssl.Certificate(crypto.X509.from_cryptography(certificate))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes) -> None:
    """Write a file for its owner only, whatever mode it had."""
    # Anew, because an old file would keep its mode.
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
