"""`neuro platform user rm`."""

from __future__ import annotations

from neuro_cli.command import argument, command
from neuro_cli.embedded import data_option, hand_over
from neuro_cli.root import Root


@command()
@argument("name", metavar="USER", help="Whom to remove.")
@data_option
def rm(_: Root, name: str, data: str | None) -> None:
    """Remove a user.

    Logins and tokens of the user end at once, and their jobs are stopped.

    Examples:

    neuro platform user rm alice
    """
    hand_over("user", "rm", names=[name], data=data)
