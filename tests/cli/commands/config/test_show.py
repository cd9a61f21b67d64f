"""`neuro config`: what it shows and chooses."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.cli.conftest import Neuro, check_picture
from tests.cli.screen import Screen
from tests.conftest import Platform


async def test_show(platform: Platform, neuro: Neuro) -> None:
    shown = await neuro.json("config", "show", "--json")

    assert (shown["api_url"], shown["username"], shown["cluster_name"], shown["clusters"]) == (
        str(platform.url), platform.user.name, "local", ["local"],
    )  # fmt: skip
    assert next(iter(shown["presets"])) == "cpu-small"
    assert yaml.safe_load(await neuro.ok("config", "show", "--output", "yaml")) == shown


async def test_show_as_a_card(platform: Platform, neuro: Neuro) -> None:
    card = await neuro.ok("config", "show")

    check_picture("config-show", re.sub(r":\d+/", ":PORT/", card).replace(platform.user.name, "USER"))


async def test_token(platform: Platform, neuro: Neuro) -> None:
    assert await neuro.ok("config", "show-token") == platform.token + "\n"


async def test_clusters(neuro: Neuro) -> None:
    head, row = (await neuro.ok("config", "get-clusters")).splitlines()

    assert head.split() == ["NAME", "CURRENT", "PRESETS"]
    assert row.split()[:2] == ["local", "yes"]
    assert (await neuro.json("config", "get-clusters", "--json"))[0]["name"] == "local"
    assert await neuro.ok("config", "get-clusters", "--output", "name") == "local\n"


async def test_switch_cluster(neuro: Neuro) -> None:
    assert (await neuro("config", "switch-cluster", "local")).code == 0
    done = await neuro("config", "switch-cluster", "nowhere")

    assert done.code == 72
    assert "nowhere" in done.sentence


async def test_switch_cluster_asks(neuro: Neuro) -> None:
    screen = Screen(neuro)
    try:
        await screen.run("config", "switch-cluster")
        await screen.wait_for(b"Switch to [local]: ")
        screen.type(b"\n")

        assert await screen.ended() == 0
    finally:
        screen.close()


async def test_switch_cluster_without_anybody_to_ask(neuro: Neuro) -> None:
    done = await neuro("config", "switch-cluster")

    assert done.code == 2
    assert "no terminal" in done.sentence


@pytest.mark.parametrize("words", [["config", "show"], ["config", "show-token"], ["config", "get-clusters"]])
async def test_not_logged_in(stranger: Neuro, words: list[str]) -> None:
    assert (await stranger(*words)).code == 77
