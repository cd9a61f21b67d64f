"""`neuro platform user passwd`."""

from __future__ import annotations

from neuro_cli.command import argument, command
from neuro_cli.embedded import data_option, hand_over
from neuro_cli.root import Root


@command()
@argument("name", metavar="USER", help="Whose password.")
@data_option
def passwd(_: Root, name: str, data: str | None) -> None:
    """Give a user a new password.

    It is asked for, or read from standard input.

    Examples:

    neuro platform user passwd alice
    """
    hand_over("user", "passwd", names=[name], data=data)
