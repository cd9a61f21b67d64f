"""`neuro platform token create`."""

from __future__ import annotations

from neuro_cli.command import argument, command, option
from neuro_cli.embedded import data_option, hand_over, json_option
from neuro_cli.root import Root


@command()
@argument("user", metavar="USER", help="In whose name the token acts.")
@argument("name", metavar="NAME", help="What it is for, in a word.")
@option("--expires", metavar="TIME", help="How long it is good, such as 12h or 90d.  [default: 365d]")
@json_option
@data_option
def create(_: Root, user: str, name: str, expires: str | None, as_json: bool, data: str | None) -> None:
    """Make a token and print it, once.

    Examples:

    # For a CI system
    neuro platform token create alice ci --expires 90d
    """
    hand_over(
        "token",
        "create",
        *([f"--expires={expires}"] if expires is not None else []),
        names=[user, name],
        data=data,
        as_json=as_json,
    )
