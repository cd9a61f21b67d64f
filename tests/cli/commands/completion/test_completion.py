"""`neuro completion`: the code on standard output, and in the profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuro_cli.commands.completion.patch import BEGIN, END, patched
from neuro_cli.complete import CODE
from neuro_cli.main import run

PROFILES = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}


@pytest.mark.parametrize("shell", CODE)
def test_generate(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "generate", shell]) == 0
    assert capfd.readouterr().out == CODE[shell]


@pytest.mark.parametrize(("shell", "name"), PROFILES.items())
def test_patch_makes_the_profile_and_twice_is_once(
    shell: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZDOTDIR", raising=False)

    assert run(["completion", "patch", shell]) == 0
    once = (tmp_path / name).read_text()
    assert run(["completion", "patch", shell]) == 0

    assert once == f"{BEGIN}\n{CODE[shell]}{END}\n"
    assert (tmp_path / name).read_text() == once


def test_the_rest_of_the_profile_stays() -> None:
    assert patched("alias a=b", "new\n") == f"alias a=b\n{BEGIN}\nnew\n{END}\n"
    assert patched(f"x\n{BEGIN}\nold\n{END}\ny\n", "new\n") == f"x\n{BEGIN}\nnew\n{END}\ny\n"


def test_an_unknown_shell(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "generate", "csh"]) == 2
    assert "'csh' is not one of" in capfd.readouterr().err
