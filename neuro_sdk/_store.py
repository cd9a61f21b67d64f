"""The login on disk: one small JSON file named ``db`` in a private folder, replaced whole, safe under parallel use."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from yarl import URL

from neuro_sdk._waiting import OnWait, told
from neuro_sdk.errors import ConfigError, IllegalArgumentError
from neuro_sdk.wire.cluster import ServerConfig
from neuro_sdk.wire.codec import Model, decode, encode

FORMAT: Final = 1
LOCK_DEADLINE: Final = 90.0  # seconds; longer than the one who holds the lock may wait for a server
_AGAIN: Final = "Log out and in again (neuro logout; neuro login)"
_OURS: Final = {"db", "db.new", "user.toml", ".neuro.toml"}
_UPSTREAM: Final = ("db-wal", "db-shm", "db-journal")


class Login(Model, frozen=True, kw_only=True):
    """What is remembered of a login."""

    format: int
    version: str  # of the SDK that wrote this
    url: URL
    server: ServerConfig
    cluster_name: str
    token: str
    expires: float  # epoch seconds; from then on a new token is asked for
    refresh_token: str = ""
    local: bool = False  # the embedded platform of this machine, never behind a proxy
    ca_file: str | None = None

    @property
    def is_expired(self) -> bool:
        return self.expires <= time.time()


class _Format(Model, frozen=True):
    format: int


class Store:
    """One login in one folder.

    Readers need no lock: the file is only ever replaced whole. Writers hold a lock on the folder itself, so nothing is
    left behind, and the kernel frees it when its holder dies. Who waits for it long is told so by ``on_wait``.
    """

    def __init__(self, path: Path, *, on_wait: OnWait | None = None) -> None:
        self.path = path
        self.file = path / "db"
        self._on_wait = on_wait

    @property
    def is_present(self) -> bool:
        """Whether there is an entry ``db``, of whatever kind."""
        return os.path.lexists(self.file)

    def load(self) -> Login:
        """Read the login; :class:`ConfigError` says which of the many things is wrong with it."""
        self._check_modes()
        try:
            data = self.file.read_bytes()
        except OSError as exc:
            raise ConfigError(f"Cannot read the login in {self.file}: {exc.strerror}") from exc
        if data.startswith(b"SQLite format 3\0"):
            raise ConfigError(
                f"Malformed config: {self.file} is of another client (neuro-cli, apolo-cli). Keep it and name another "
                "folder by NEUROMATION_CONFIG, or remove it by neuro logout, then log in"
            )
        try:
            written = decode(data, _Format).format
            if written != FORMAT:
                raise ConfigError(
                    f"Malformed config: {self.file} has format {written}, this version knows {FORMAT}. {_AGAIN}"
                )
            return decode(data, Login)
        except IllegalArgumentError as exc:
            raise ConfigError(f"Malformed config: {self.file} is damaged. {_AGAIN}") from exc

    def prepare(self) -> None:
        """Make sure that a login could be saved, or say why not."""
        if self.is_present:
            raise ConfigError(f"Config {self.file} already exists: log out first (neuro logout)")
        if os.path.lexists(self.path):
            if not self.path.is_dir():
                raise ConfigError(f"Config path {self.path} is a file, not a directory: remove it (neuro logout)")
            mode = stat.S_IMODE(self.path.stat().st_mode)
            if mode != 0o700 and self._has_strangers():  # not a folder of ours: do not close it to others
                raise ConfigError(
                    f"Config folder {self.path} has other files and permission {mode:03o} instead of 700: "
                    f"run chmod 700 {self.path}, or name another folder by NEUROMATION_CONFIG"
                )

    async def create(self, login: Login) -> None:
        """Write a first login, in a folder that is made private for it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(self.path.stat().st_mode) != 0o700:
                self.path.chmod(0o700)
        except OSError as exc:
            raise ConfigError(f"Cannot save the login in {self.file}: {exc.strerror}") from exc
        async with self.locked():
            self.save(login)

    def save(self, login: Login) -> None:
        """Write the login, under the lock; a reader sees the old one or the new one, never a part."""
        try:
            self._replace(encode(login))
        except OSError as exc:
            raise ConfigError(f"Cannot save the login in {self.file}: {exc.strerror}") from exc

    def remove(self) -> None:
        """Forget the login; ``user.toml`` and strangers' files stay, an empty folder goes."""
        try:
            if self.path.is_file():  # what ``~/.nmrc`` was until 2019
                self.path.unlink()
                return
            for name in ("db", "db.new", *_UPSTREAM):
                with contextlib.suppress(FileNotFoundError):
                    (self.path / name).unlink()
            if self.path.is_dir() and not any(self.path.iterdir()):
                self.path.rmdir()
        except OSError as exc:
            raise ConfigError(f"Cannot remove the login in {self.path}: {exc.strerror}") from exc

    @contextlib.asynccontextmanager
    async def locked(self, patience: float | None = None) -> AsyncIterator[None]:
        """Be the only writer, among all processes, for the length of the block; wait so many seconds for that."""
        patience = LOCK_DEADLINE if patience is None else patience
        deadline = time.monotonic() + patience
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise ConfigError(f"Cannot open the config folder {self.path}: {exc.strerror}") from exc
        try:
            with told(self._on_wait, f"another process that holds the login in {self.path}, {patience:.0f} s at most"):
                while not _try_lock(folder):
                    if time.monotonic() > deadline:
                        raise ConfigError(
                            f"Another process has held the login in {self.path} for {patience:.0f} seconds: "
                            "look for a neuro command that hangs"
                        )
                    await asyncio.sleep(random.uniform(0.01, 0.05))  # noqa: S311
            yield
        finally:
            os.close(folder)

    def _replace(self, data: bytes) -> None:
        draft = self.path / "db.new"  # one fixed name: what a killed process left is overwritten by the next
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o600)
            file.write(data)
            file.flush()
            os.fsync(fd)
        draft.replace(self.file)
        # Lest a power failure brings the old login back, with a refresh token that is spent. It is saved even where the
        # file system knows no such thing.
        with contextlib.suppress(OSError):
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _check_modes(self) -> None:
        try:
            folder = self.path.stat()
            if not stat.S_ISDIR(folder.st_mode):
                raise ConfigError(f"Config path {self.path} is not a directory: remove it (neuro logout), then log in")
            _check_mode("folder", self.path, folder.st_mode, 0o700)
            file = self.file.stat()
        except FileNotFoundError as exc:
            raise ConfigError(f"Not logged in: {exc.filename} not exists. Log in first (neuro login)") from exc
        except OSError as exc:
            raise ConfigError(f"Cannot read the config folder {self.path}: {exc.strerror}") from exc
        if not stat.S_ISREG(file.st_mode):
            raise ConfigError(f"Config {self.file} is not a regular file: remove it, then log in (neuro login)")
        _check_mode("file", self.file, file.st_mode, 0o600)

    def _has_strangers(self) -> bool:
        try:
            return any(entry.name not in _OURS for entry in self.path.iterdir())
        except OSError as exc:
            raise ConfigError(f"Cannot read the config folder {self.path}: {exc.strerror}") from exc


def _check_mode(kind: str, path: Path, mode: int, wanted: int) -> None:
    if stat.S_IMODE(mode) != wanted:
        raise ConfigError(
            f"Config {kind} {path} has permission {stat.S_IMODE(mode):03o} instead of {wanted:03o}, but it holds your "
            f"login: run chmod {wanted:03o} {path}"
        )


def _try_lock(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Network file systems may not lock folders. Then two processes may refresh at once, which servers with
        # rotation allow for a moment; a lock file would outlive a killed process.
        return True
    return True
