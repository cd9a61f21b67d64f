"""`neuro platform user add`."""

from __future__ import annotations

from neuro_cli.command import argument, command
from neuro_cli.embedded import data_option, hand_over
from neuro_cli.root import Root


@command()
@argument("name", metavar="USER", help="The name to log in with.")
@data_option
def add(_: Root, name: str, data: str | None) -> None:
    """Add a user who logs in with a password.

    The password is asked for, or read from standard input. The platform may run or not.

    Examples:

    neuro platform user add alice
    """
    hand_over("user", "add", names=[name], data=data)
