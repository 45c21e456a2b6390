"""Secrets that the programs of one deployment log in with: one JSON file, readable by its owner only.

It is an object of names and secrets. A name alone is that of a data node, or of a program of ours; a consumer of one's
own has ``consumer:`` before it, which no name of another kind can have.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sisock.core.errors import ConfigurationError
from sisock.core.wire.info import NODE_NAME
from sisock.settings import Settings

FILE_NAME = "credentials.json"
HUB = "sisock.hub"
CONSUMER = "sisock.consumer"
LEGACY = "server"
# What stands before the name of a consumer that is not a program of ours.
OWN_CONSUMER = "consumer:"


class Credentials:
    """The secrets of this deployment by authid, kept in a file that several processes may share.

    Parameters
    ----------
    path
        The JSON file; it and its directory are made, for their owner only, with the first secret.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def secret(self, name: str, *, create: bool = False) -> str | None:
        """Return the secret of an authid, or None if it has none; with `create` it gets one.

        Raises
        ------
        ConfigurationError
            When the file cannot be read, understood or written, or `name` can be no authid.
        """
        entries = self._read()
        if name in entries or not create:
            return entries.get(name)
        if name not in {HUB, CONSUMER} and not NODE_NAME.fullmatch(name):
            raise ConfigurationError(f"'{name}' cannot log in: a name has 1 to 64 of the characters A-Z a-z 0-9 _ -")
        return self._make(name, but_not=OWN_CONSUMER + name, who="a consumer")

    def consumer_secret(self, name: str, *, create: bool = False) -> str | None:
        """Return the secret of a consumer of one's own, or None if there is no such one; with `create` it is made.

        Raises
        ------
        ConfigurationError
            As :meth:`secret`; and when the name has another meaning already.
        """
        entries = self._read()
        if OWN_CONSUMER + name in entries or not create:
            return entries.get(OWN_CONSUMER + name)
        if not NODE_NAME.fullmatch(name) or name == LEGACY:
            raise ConfigurationError(
                f"'{name}' cannot be a consumer: a name has 1 to 64 of the characters A-Z a-z 0-9 _ -, and is not "
                f"'{LEGACY}'"
            )
        return self._make(OWN_CONSUMER + name, but_not=name, who="a data node")

    def is_of_a_router(self) -> bool:
        """Tell whether a router of ours has made its secrets here."""
        return HUB in self._read()

    def _make(self, key: str, *, but_not: str, who: str) -> str:
        """Make the secret of an entry, unless its name is in use by somebody of the other kind."""
        with self._locked():
            entries = self._read()
            # Read again under the lock: another process may have made an entry meanwhile.
            if but_not in entries:
                raise ConfigurationError(
                    f"'{key.removeprefix(OWN_CONSUMER)}' logs in as {who} already: choose another name, or remove "
                    f"'{but_not}' from {self.path}"
                )
            if key not in entries:
                entries[key] = secrets.token_urlsafe(32)
                self._write(entries)
        return entries[key]

    def _read(self) -> dict[str, str]:
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigurationError(f"the credentials in {self.path} cannot be read: {error.strerror}") from None
        except ValueError:
            raise _damaged(self.path) from None
        if not isinstance(entries, dict) or not all(isinstance(value, str) and value for value in entries.values()):
            raise _damaged(self.path)
        return entries

    def _write(self, entries: dict[str, str]) -> None:
        """Replace the file at once, so that no reader ever sees half of it."""
        # Made for its owner only, mode 0600.
        descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".credentials-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(entries, file, indent=2, sort_keys=True)
                file.write("\n")
                file.flush()
                # On disk before it takes the name: after a power cut an empty file would lock everybody out.
                os.fsync(file.fileno())
            Path(temporary).replace(self.path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing; the lock is a file of its own because the data file is replaced."""
        try:
            make_private_directory(self.path.parent)
            lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise ConfigurationError(f"the credentials in {self.path} cannot be written: {error.strerror}") from None


def server_login(settings: Settings) -> tuple[str, str]:
    """Return the name and the secret that data node servers log in with; the secret is empty where there is none.

    The secret is what the settings give, or else what a router on this machine keeps for that name.
    """
    name = settings.wamp_user or LEGACY
    kept = Credentials(settings.state / FILE_NAME)
    return name, settings.wamp_secret or kept.secret(name) or kept.consumer_secret(name) or ""


def make_private_directory(path: Path) -> None:
    """Make a directory that only its owner can enter; one that exists is left as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _damaged(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is damaged: it must be a JSON object of names and secrets; restore it, or remove it and restart "
        "router and nodes to get new secrets"
    )
