"""`neuro platform up`."""

from __future__ import annotations

import click

from neuro_cli.command import command, option
from neuro_cli.embedded import data_option, hand_over, json_option
from neuro_cli.root import Root


@command()
@option("--host", metavar="ADDRESS", help="The address to listen on.  [default: 127.0.0.1]")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="The port.  [default: the last one, at first 8080 or a free one]",
)
@option("--foreground", is_flag=True, help="Serve in this process until it is stopped: for systemd and containers.")
@json_option
@data_option
def up(_: Root, host: str | None, port: int | None, foreground: bool, as_json: bool, data: str | None) -> None:
    """Start the platform; do nothing if it runs already.

    Returns when it answers. It listens on this machine only, unless --host says otherwise, and its jobs run as you.

    Examples:

    neuro platform up
    # On a port and a data folder of your choice
    neuro platform up --port 8090 --data ~/compute
    """
    hand_over(
        "up",
        *([f"--host={host}"] if host else []),
        *(["--port", str(port)] if port is not None else []),
        *(["--foreground"] if foreground else []),
        data=data,
        as_json=as_json,
    )
