"""`neuro platform logs`."""

from __future__ import annotations

from neuro_cli.command import command, option
from neuro_cli.embedded import data_option, hand_over
from neuro_cli.root import Root


@command()
@option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@data_option
def logs(_: Root, follow: bool, data: str | None) -> None:
    """Print the platform's own log.

    The output of jobs is not in it; that is neuro logs.

    Examples:

    neuro platform logs -f
    """
    hand_over("logs", *(["--follow"] if follow else []), data=data)
