"""`neuro completion patch`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from neuro_cli.command import argument, command
from neuro_cli.root import Root

BEGIN = "# >>> neuro completion >>>"
END = "# <<< neuro completion <<<"


@command()
@argument("shell", type=click.Choice(["bash", "zsh", "fish"]), help="Which shell: bash, zsh or fish.")
def patch(root: Root, shell: str) -> None:
    """Add the completion of neuro to the shell's profile.

    The code is put between two marks; doing it again replaces what stands there, nothing else of the file changes.

    Examples:

    neuro completion patch zsh
    """
    from neuro_cli.complete import CODE

    profile = _profile(shell)
    old = profile.read_text() if profile.exists() else ""
    new = patched(old, CODE[shell])
    if new != old:
        profile.parent.mkdir(parents=True, exist_ok=True)
        # Written in place, not replaced: the profile may be a link into a folder of dot files.
        profile.write_text(new)
    root.say(f"{profile} completes neuro; open a new shell to use it")


def patched(profile: str, code: str) -> str:
    """The profile with the code between the marks, at the end when there are none yet."""
    block = f"{BEGIN}\n{code}{END}\n"
    head, begin, rest = profile.partition(BEGIN + "\n")
    _, end, tail = rest.partition(END + "\n")
    if begin and end:
        return head + block + tail
    if profile and not profile.endswith("\n"):
        profile += "\n"
    return profile + block


def _profile(shell: str) -> Path:
    match shell:
        case "bash":
            return Path.home() / ".bashrc"
        case "zsh":
            return Path(os.environ.get("ZDOTDIR") or Path.home()) / ".zshrc"
        case _:
            config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
            return Path(config) / "fish" / "config.fish"
