"""`neuro completion generate`."""

from __future__ import annotations

import click

from neuro_cli.command import argument, command
from neuro_cli.root import Root


@command()
@argument("shell", type=click.Choice(["bash", "zsh", "fish"]), help="Which shell: bash, zsh or fish.")
def generate(root: Root, shell: str) -> None:
    """Print the code that a shell needs to complete neuro.

    Completing never asks the platform.

    Examples:

    # In this shell, for now
    eval "$(neuro completion generate bash)"

    # In fish, for good
    neuro completion generate fish > ~/.config/fish/completions/neuro.fish
    """
    from neuro_cli.complete import CODE

    root.write(CODE[shell].encode())
