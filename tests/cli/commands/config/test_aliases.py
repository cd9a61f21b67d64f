"""`neuro config aliases`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Neuro

TOML = """
[alias.mine]
cmd = "ps --all"
[alias.du]
exec = "du"
help = "Sizes."
[alias.run]
exec = "true"
"""


@pytest.fixture
def aliases(stranger: Neuro) -> Neuro:
    stranger.config.mkdir(mode=0o700)
    (stranger.config / "user.toml").write_text(TOML)
    return stranger


async def test_a_table_without_a_login(aliases: Neuro) -> None:
    rows = [line.split(maxsplit=2) for line in (await aliases.ok("config", "aliases")).splitlines()]

    assert rows[1][:2] == ["mine", "internal"]
    assert rows[2][:2] == ["du", "external"]
    assert "neuro has a command of that name" in " ".join(rows[3])


async def test_as_data(aliases: Neuro) -> None:
    assert (await aliases.json("config", "aliases", "--json"))[1] == {
        "name": "du", "kind": "external", "runs": "du", "help": "Sizes.", "used": True,
    }  # fmt: skip


async def test_none_and_a_broken_one(stranger: Neuro) -> None:
    assert await stranger.json("config", "aliases", "--json") == []

    stranger.config.mkdir(mode=0o700)
    (stranger.config / "user.toml").write_text("[alias.x]\n")
    done = await stranger("config", "aliases")

    assert done.code == 70
    assert "The alias 'x' cannot be used" in done.sentence
