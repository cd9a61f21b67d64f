"""`neuro platform down`."""

from __future__ import annotations

from neuro_cli.command import command
from neuro_cli.embedded import data_option, hand_over
from neuro_cli.root import Root


@command()
@data_option
def down(_: Root, data: str | None) -> None:
    """Stop the platform; its jobs run on.

    They are found again when it is started the next time.

    Examples:

    neuro platform down
    """
    hand_over("down", data=data)
