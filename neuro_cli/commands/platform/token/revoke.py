"""`neuro platform token revoke`."""

from __future__ import annotations

from neuro_cli.command import argument, command
from neuro_cli.embedded import data_option, hand_over
from neuro_cli.root import Root


@command(context_settings={"ignore_unknown_options": True})  # an id may begin with a hyphen
@argument("token_id", metavar="ID", help="The id that neuro platform token ls shows.")
@data_option
def revoke(_: Root, token_id: str, data: str | None) -> None:
    """Make a token worthless.

    Examples:

    neuro platform token revoke o3_2qGgpQOS
    """
    hand_over("token", "revoke", names=[token_id], data=data)
