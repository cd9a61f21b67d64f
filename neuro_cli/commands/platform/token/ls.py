"""`neuro platform token ls`."""

from __future__ import annotations

from neuro_cli.command import argument, command
from neuro_cli.embedded import data_option, hand_over, json_option
from neuro_cli.root import Root


@command()
@argument("user", metavar="[USER]", required=False, help="Whose tokens; without it everybody's.")
@json_option
@data_option
def ls(_: Root, user: str | None, as_json: bool, data: str | None) -> None:
    """List tokens, without their secrets.

    Examples:

    neuro platform token ls alice
    """
    hand_over("token", "ls", names=[user] if user else [], data=data, as_json=as_json)
