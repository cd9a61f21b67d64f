"""Small files that hold a secret of the platform: made once, mode 0600, never half written."""

from __future__ import annotations

import base64
import os
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from neuro_sdk.errors import PlatformError

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43,128}")


def secret(path: Path) -> str:
    """The secret in the file: 32 random bytes in base64url, made when there is none yet.

    Two processes that start at the same moment agree on one secret. A file that others can read is refused.
    """
    with suppress(FileNotFoundError):
        return _read(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make(path)
    return _read(path)


def _read(path: Path) -> str:
    with path.open("r", encoding="ascii", errors="replace") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise PlatformError(
                f"{path} must belong to you and be readable by nobody else: run `chmod 600 {path}` if nobody else can "
                "have read it, remove it otherwise (a new one is made, and everybody logs in again)"
            )
        text = file.read().strip()
    if not _SECRET.fullmatch(text):
        raise PlatformError(f"{path} is damaged: remove it (a new one is made, and everybody logs in again)")
    return text


def _make(path: Path) -> None:
    text = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=")
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600 from the start
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # a link, unlike a rename, never replaces what another process just made
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
