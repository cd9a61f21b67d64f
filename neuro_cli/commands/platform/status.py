"""`neuro platform status`."""

from __future__ import annotations

from neuro_cli.command import command
from neuro_cli.embedded import data_option, hand_over, json_option
from neuro_cli.root import Root


@command()
@json_option
@data_option
def status(_: Root, as_json: bool, data: str | None) -> None:
    """Say whether the platform runs, and where.

    Exits with 3 when it does not run.

    Examples:

    neuro platform status --json
    """
    hand_over("status", data=data, as_json=as_json)
