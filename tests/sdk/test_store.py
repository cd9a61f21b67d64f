"""The login on disk: private, whole, and for everything that can be wrong with it a sentence of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import neuro_sdk
from neuro_sdk import ConfigError, Factory
from neuro_sdk._store import Store
from neuro_sdk.wire.codec import replace
from tests.sdk.foreign import Foreign, token_of


@pytest.fixture
async def db(foreign: Foreign, folder: Path) -> Path:
    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    return folder / "db"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_only_the_owner_may_look(db: Path) -> None:
    assert (mode_of(db.parent), mode_of(db)) == (0o700, 0o600)


async def test_modes_do_not_depend_on_the_umask(foreign: Foreign, folder: Path) -> None:
    before = os.umask(0o277)
    try:
        folder.mkdir(mode=0o755)
        await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)
    finally:
        os.umask(before)

    assert (mode_of(folder), mode_of(folder / "db")) == (0o700, 0o600)


def test_nothing_but_the_login_is_left_in_the_folder(db: Path) -> None:
    assert names_in(db.parent) == ["db"]


def test_what_was_saved_is_loaded(db: Path) -> None:
    store = Store(db.parent)
    login = store.load()

    store.save(login)

    assert store.load() == login
    assert list(login.server.clusters[0].presets) == ["small"]


def test_the_cluster_that_was_switched_to_is_kept(db: Path) -> None:
    async def switch() -> str:
        async with neuro_sdk.get(path=db.parent) as client:
            await client.config.switch_cluster("another")
        async with neuro_sdk.get(path=db.parent) as client:
            return client.cluster_name

    assert asyncio.run(switch()) == "another"


def upstream(db: Path) -> None:
    db.unlink()
    with sqlite3.connect(db) as connection:
        connection.execute("CREATE TABLE main (token TEXT)")
    connection.close()
    db.chmod(0o600)


def folder_instead(db: Path) -> None:
    db.unlink()
    db.mkdir()


def file_instead_of_the_folder(db: Path) -> None:
    db.unlink()
    db.parent.rmdir()
    db.parent.write_text("")


def of_another_format(db: Path) -> None:
    db.write_text(json.dumps({**json.loads(db.read_text()), "format": 99}))


def without_a_member(db: Path) -> None:
    document = json.loads(db.read_text())
    del document["token"]
    db.write_text(json.dumps(document))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "a database of upstream": (upstream, "Malformed config: .*another client.*NEUROMATION_CONFIG"),
    "truncated": (lambda db: db.write_bytes(db.read_bytes()[:100]), "Malformed config: .*damaged. Log out and in"),
    "empty": (lambda db: db.write_bytes(b""), "Malformed config: .*damaged"),
    "not even text": (lambda db: db.write_bytes(b"\xff\xfe\x00"), "Malformed config: .*damaged"),
    "another format": (of_another_format, "Malformed config: .*format 99, this version knows 1"),
    "a member is missing": (without_a_member, "Malformed config: .*damaged"),
    "a folder instead of db": (folder_instead, "not a regular file"),
    "a file instead of the folder": (file_instead_of_the_folder, "is not a directory: remove it"),
    "db may be read by others": (lambda db: db.chmod(0o644), "permission 644 instead of 600.*run chmod 600"),
    "the folder may be read by others": (lambda db: db.parent.chmod(0o755), "permission 755 instead of 700"),
    "the folder may not be read": (lambda db: db.parent.chmod(0o000), "permission 000 instead of 700"),
    "db is gone": (lambda db: db.unlink(), "Not logged in: .*not exists. Log in first"),
}


@pytest.mark.parametrize(("harm", "sentence"), WRONG.values(), ids=WRONG)
async def test_a_login_that_cannot_be_used_says_why(db: Path, harm: Callable[[Path], object], sentence: str) -> None:
    harm(db)

    with pytest.raises(ConfigError, match=sentence):
        await Factory(db.parent).get()

    if db.parent.is_dir():
        db.parent.chmod(0o700)


@pytest.mark.parametrize("harm", [upstream, of_another_format, file_instead_of_the_folder], ids=lambda f: f.__name__)
async def test_logout_removes_what_cannot_be_used(db: Path, harm: Callable[[Path], object]) -> None:
    harm(db)

    await Factory(db.parent).logout()

    assert not db.parent.exists()


async def test_logout_leaves_what_the_user_wrote(db: Path) -> None:
    (db.parent / "user.toml").write_text("")

    await Factory(db.parent).logout()
    await Factory(db.parent).logout()

    assert names_in(db.parent) == ["user.toml"]


async def test_logging_in_twice_is_refused_before_any_request(db: Path, foreign: Foreign) -> None:
    foreign.seen.clear()

    with pytest.raises(ConfigError, match="already exists"):
        await neuro_sdk.login_with_token("x", url=foreign.url, path=db.parent)

    assert foreign.seen == []


async def test_a_folder_of_others_is_not_closed_to_them(foreign: Foreign, folder: Path) -> None:
    folder.mkdir(mode=0o755)
    (folder / "thesis.tex").write_text("")

    with pytest.raises(ConfigError, match="has other files and permission 755"):
        await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    assert mode_of(folder) == 0o755
    assert foreign.seen == []


async def test_a_folder_with_user_settings_is_made_private(foreign: Foreign, folder: Path) -> None:
    folder.mkdir(mode=0o755)
    (folder / "user.toml").write_text("")

    await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=folder)

    assert mode_of(folder) == 0o700


async def test_a_login_that_cannot_be_saved_says_so(foreign: Foreign, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match=r"Cannot save the login in .*: Not a directory"):
        await neuro_sdk.login_with_token(token_of("user"), url=foreign.url, path=tmp_path / "file" / "nmrc")


def test_a_draft_that_a_killed_process_left_does_no_harm(db: Path) -> None:
    (db.parent / "db.new").write_bytes(b"half")
    store = Store(db.parent)

    store.save(replace(store.load(), cluster_name="another"))

    assert store.load().cluster_name == "another"
    assert names_in(db.parent) == ["db"]


def test_a_login_that_was_saved_outlives_a_power_failure(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, flushed, fsync = Store(db.parent), [], os.fsync

    def note(fd: int) -> None:
        fsync(fd)
        flushed.append((stat.S_ISDIR(os.fstat(fd).st_mode), names_in(db.parent)))

    monkeypatch.setattr(os, "fsync", note)
    store.save(store.load())

    assert flushed == [(False, ["db", "db.new"]), (True, ["db"])]


async def test_one_writer_waits_for_the_other(db: Path) -> None:
    store, order = Store(db.parent), []

    async def write(name: str) -> None:
        async with store.locked():
            order.append(f"{name} in")
            await asyncio.sleep(0)
            order.append(f"{name} out")

    await asyncio.gather(write("a"), write("b"))

    assert order in (["a in", "a out", "b in", "b out"], ["b in", "b out", "a in", "a out"])


async def test_waiting_for_a_lock_has_an_end(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro_sdk._store.LOCK_DEADLINE", 0.05)
    store = Store(db.parent)

    async with store.locked():
        with pytest.raises(ConfigError, match="Another process has held the login"):
            async with Store(db.parent).locked():
                pass
