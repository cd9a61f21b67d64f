"""`neuro platform`: every verb reaches the platform's own command, options and all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from neuro_cli import embedded
from neuro_cli.main import run
from tests.cli.conftest import Neuro

SAME = {
    "up --host 127.0.0.1 --port 8090 --foreground --data D": "up --host=127.0.0.1 --port 8090 --foreground --data=D",
    "up --json": "up --json",
    "down": "down",
    "status --json --data D": "status --data=D --json",
    "logs -f": "logs --follow",
    "user add alice": "user add -- alice",
    "user ls --json": "user ls --json",
    "user rm alice --data D": "user rm --data=D -- alice",
    "user passwd alice": "user passwd -- alice",
    "token create alice ci --expires 90d --json": "token create --expires=90d --json -- alice ci",
    "token create alice ci --expires -1d": "token create --expires=-1d -- alice ci",
    "token ls": "token ls",
    "token ls alice": "token ls -- alice",
    "token revoke -abc": "token revoke -- -abc",
}


@pytest.mark.parametrize(("words", "handed"), SAME.items())
def test_handed_over(words: str, handed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(embedded.os, "execv", lambda path, argv: seen.append(argv))

    assert run(["platform", *words.split()]) == 0

    assert seen[0][1:3] == ["-m", "neuro_platform"]
    assert seen[0][3:] == handed.split()


async def test_from_nothing_to_a_user_with_a_token(stranger: Neuro) -> None:
    done = await stranger("platform", "status", "--json")
    assert (done.code, json.loads(done.out)["running"]) == (3, False)

    await stranger.ok("platform", "user", "add", "alice", input=b"correct horse battery\n")
    created = await stranger.json("platform", "token", "create", "alice", "ci", "--json")

    assert "alice" in (await stranger.ok("platform", "user", "ls")).split()
    assert [token["id"] for token in await stranger.json("platform", "token", "ls", "--json")] == [created["id"]]
    await stranger.ok("platform", "token", "revoke", created["id"])
    assert await stranger.json("platform", "token", "ls", "--json") == []


async def test_a_local_login_that_fails_is_a_sentence(stranger: Neuro) -> None:
    folder = Path(stranger.env["NEURO_PLATFORM_DATA"])
    folder.write_text("in the way")

    done = await stranger("login", "--local")

    assert done.code == 74
    assert done.err.startswith(f"neuro: Cannot use the data folder {folder}"), done


async def test_local_login_starts_it(stranger: Neuro) -> None:
    try:
        done = await stranger("login", "--local")
        assert (done.code, done.out) == (0, b""), done

        again = await stranger("login", "--local")
        assert again.code == 0
        status = await stranger.json("platform", "status", "--json")
        assert (await stranger.json("config", "show", "--json"))["api_url"] == status["url"]
        os.kill(status["pid"], 0)
    finally:
        assert (await stranger("platform", "down")).code == 0
