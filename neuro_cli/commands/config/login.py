"""`neuro config login`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuro_cli import params
from neuro_cli.command import argument, command, option
from neuro_cli.root import Root

if TYPE_CHECKING:
    from yarl import URL


@command()
@argument("url", type=params.URL, required=False, help="The platform's address, such as http://127.0.0.1:8080/api/v1.")
@option("--local", is_flag=True, help="The platform of this machine; it is started when it does not run.")
@option("--headless", is_flag=True, help="Show an address, take the code that its page shows: no browser needed here.")
@option("--token", metavar="TOKEN", help="Log in with this token; - reads it from standard input.")
@option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="Trust these authorities for this platform.")
async def login(
    root: Root, url: URL | None, local: bool, headless: bool, token: str | None, ca_file: str | None
) -> None:
    """Log in to a platform.

    A browser opens on the platform's login page. Over SSH, or without a display, the address of the page is shown
    instead, and you paste the code that the page gives you. When you are logged in already, the new login takes the
    place of the old one as soon as it succeeds.

    Examples:

    # This machine: no account, no password
    neuro login --local

    # A platform elsewhere
    neuro login https://neuro.example.org/api/v1

    # In a script
    echo "$TOKEN" | neuro login --token - https://neuro.example.org/api/v1
    """
    from pathlib import Path

    from neuro_cli import logins

    if sum((local, headless, token is not None)) > 1:
        raise click.UsageError("--local, --headless and --token are three different ways: choose one")
    if local and url is not None:
        raise click.UsageError("--local needs no address: it is the platform of this machine")
    if ca_file is not None:
        root.ca_file = Path(ca_file)
    if local:
        await logins.log_in_locally(root)
    elif token is not None:
        await logins.log_in_with_token(root, token, url)
    else:
        await logins.log_in(root, url, headless=headless)
