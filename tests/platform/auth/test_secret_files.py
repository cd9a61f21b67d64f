"""Secrets on disk: private from the first byte, made once."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neuro_platform.auth.secret_files import secret
from neuro_sdk.errors import PlatformError


def test_a_secret_is_32_random_bytes_that_only_the_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.key"

    text = secret(path)

    assert len(text) == 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert secret(path) == text
    assert [p.name for p in path.parent.iterdir()] == ["a.key"]


def test_many_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(secret, [tmp_path / "a.key"] * 64))

    assert len(secrets) == 1


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    secret(path)
    path.chmod(0o640)

    with pytest.raises(PlatformError, match="chmod 600"):
        secret(path)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 43])
def test_a_damaged_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.key"
    path.touch(0o600)
    path.write_bytes(content)

    with pytest.raises(PlatformError, match="damaged"):
        secret(path)
