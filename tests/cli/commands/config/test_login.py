"""`neuro login`, `logout` and their longer names."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from neuro_sdk._store import Store
from tests.cli.conftest import Neuro
from tests.cli.screen import Screen
from tests.conftest import Platform


@pytest.fixture
async def screen(stranger: Neuro) -> AsyncIterator[Screen]:
    screen = Screen(stranger)
    yield screen
    screen.close()


@pytest.mark.parametrize("words", [["login", "--token", "-"], ["config", "login-with-token", "-"]])
async def test_token_from_standard_input(platform: Platform, stranger: Neuro, words: list[str]) -> None:
    done = await stranger(*words, str(platform.url), input=platform.token.encode() + b"\n")

    assert (done.code, done.out) == (0, b"")
    assert f"as {platform.user.name}" in done.err
    assert platform.token not in done.err
    assert stat.S_IMODE((stranger.config / "db").stat().st_mode) == 0o600
    assert (await stranger.json("config", "show", "--json"))["username"] == platform.user.name


async def test_token_on_the_command_line_works_with_a_warning(platform: Platform, stranger: Neuro) -> None:
    done = await stranger("config", "login-with-token", platform.token, str(platform.url))

    assert done.code == 0
    assert "can be seen by others" in done.err


async def test_token_at_a_prompt_is_not_shown(platform: Platform, stranger: Neuro, screen: Screen) -> None:
    await screen.run("login", "--token", "-", str(platform.url))
    await screen.wait_for(b"Token: ")

    screen.type(platform.token.encode() + b"\n")

    assert await screen.ended() == 0
    assert platform.token.encode() not in screen.seen


async def test_a_refused_token(platform: Platform, stranger: Neuro) -> None:
    done = await stranger("login", "--token", "-", str(platform.url), input=b"a.b.c\n")

    assert done.code == 77
    assert not (stranger.config / "db").exists()


async def test_a_new_login_takes_the_place_of_the_old(platform: Platform, neuro: Neuro) -> None:
    token = await platform.add_user("bob")
    (neuro.config / "user.toml").write_text('[job]\nlife-span = "2h"\n')

    await neuro.ok("login", "--token", "-", str(platform.url), input=token.encode())

    assert (await neuro.json("config", "show", "--json"))["username"] == "bob"
    assert sorted(file.name for file in neuro.config.iterdir()) == ["db", "user.toml"]


async def test_a_login_that_fails_leaves_the_old_one(platform: Platform, neuro: Neuro) -> None:
    before = (neuro.config / "db").read_bytes()

    refused = await neuro("login", "--token", "-", str(platform.url), input=b"a.b.c")
    unknown = await neuro("login", "--token", "-", "http://no-such-host.invalid/api/v1", input=b"a.b.c")

    assert (refused.code, unknown.code) == (77, 74)
    assert (neuro.config / "db").read_bytes() == before
    assert [file.name for file in neuro.config.iterdir()] == ["db"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
async def test_a_login_that_is_ended_leaves_nothing(platform: Platform, neuro: Neuro, number: signal.Signals) -> None:
    old, other = neuro.config / ".login-old", neuro.config / ".login-of-another-process"
    other.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    waiting = await neuro.start("login", "--headless", str(platform.url))
    assert waiting.stderr is not None
    await asyncio.wait_for(waiting.stderr.readuntil(b"Then paste"), 30)

    waiting.send_signal(number)
    await waiting.communicate()

    assert waiting.returncode == -number
    assert sorted(file.name for file in neuro.config.iterdir()) == [other.name, "db"]


WITHOUT_BROWSER = {
    "over SSH": ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22", "DISPLAY": ":0"}, "SSH"),
    "in an SSH terminal": ({"SSH_TTY": "/dev/pts/1", "DISPLAY": ":0"}, "SSH"),
    "without a display": ({}, "no display"),
}


@pytest.mark.parametrize(("env", "why"), WITHOUT_BROWSER.values(), ids=WITHOUT_BROWSER)
async def test_without_a_browser_it_says_so_and_asks_for_the_code(
    platform: Platform, stranger: Neuro, env: dict[str, str], why: str
) -> None:
    done = await stranger("login", str(platform.url), env=env, input=b"wrong code\n")

    assert done.code == 77
    assert why in done.err
    assert re.search(r"http://\S+/authorize\?\S+", done.err)
    assert not (stranger.config / "db").exists()


async def test_headless_by_name(platform: Platform, stranger: Neuro) -> None:
    for words in (["login", "--headless"], ["config", "login-headless"]):
        done = await stranger(*words, str(platform.url), env={"BROWSER": "false"}, input=b"wrong\n")

        assert done.code == 77
        assert "paste the code" in done.err


async def test_no_code_at_all(platform: Platform, stranger: Neuro) -> None:
    done = await stranger("login", "--headless", str(platform.url), stdin=asyncio.subprocess.DEVNULL)

    assert done.code == 77
    assert "the page shows: \nneuro: " in done.err


async def test_browser_of_the_user_is_opened_and_waited_for(
    platform: Platform, stranger: Neuro, tmp_path: Path
) -> None:
    seen, opened, browser = tmp_path / "seen", tmp_path / "open", tmp_path / "browser"
    opened.touch()
    browser.write_text(
        "#!/bin/sh\nexec >/dev/null 2>&1\n"
        f'echo "$1" > {seen}.new && mv {seen}.new {seen}\nwhile [ -e {opened} ]; do sleep 0.1; done\n'
    )
    browser.chmod(0o700)
    waiting = await stranger.start("login", str(platform.url), env={"BROWSER": str(browser), "SSH_TTY": "/dev/pts/0"})

    async with asyncio.timeout(30):
        while not seen.exists():
            await asyncio.sleep(0.05)
    waiting.send_signal(signal.SIGINT)
    _, said = await waiting.communicate()
    opened.unlink()

    assert waiting.returncode == 130
    assert seen.read_text().strip() in said.decode()
    assert b"Waiting" in said
    assert not (stranger.config / "db").exists()


async def test_logout(neuro: Neuro) -> None:
    assert "Logged out" in (await neuro("logout")).err
    assert (await neuro("ps")).code == 77
    again = await neuro("config", "logout")

    assert (again.code, again.sentence) == (0, "You were not logged in")


async def test_waiting_for_another_process_is_said(neuro: Neuro) -> None:
    async with Store(neuro.config).locked():
        leaving = await neuro.start("logout")
        assert leaving.stderr is not None
        said = await asyncio.wait_for(leaving.stderr.readline(), 30)
    await leaving.communicate()

    assert said.startswith(b"neuro: waiting for another process that holds the login in ")
    assert leaving.returncode == 0


async def test_authorities_of_a_file(platform: Platform, stranger: Neuro, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    words = ["login", "--token", "-", "--ca-file", str(tmp_path / "ca.pem"), "https://127.0.0.1:9/api/v1"]

    done = await stranger(*words, input=platform.token.encode())

    assert done.code in (70, 74, 77)
    assert "ca.pem" in done.sentence
