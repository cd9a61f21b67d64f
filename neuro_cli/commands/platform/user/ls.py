"""`neuro platform user ls`."""

from __future__ import annotations

from neuro_cli.command import command
from neuro_cli.embedded import data_option, hand_over, json_option
from neuro_cli.root import Root


@command()
@json_option
@data_option
def ls(_: Root, as_json: bool, data: str | None) -> None:
    """List the users.

    Examples:

    neuro platform user ls
    """
    hand_over("user", "ls", data=data, as_json=as_json)
