"""`neuro config login-headless`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.root import Root

if TYPE_CHECKING:
    from yarl import URL


@command()
@argument("url", type=params.URL, required=False, help="The platform's address, such as http://127.0.0.1:8080/api/v1.")
async def login_headless(root: Root, url: URL | None) -> None:
    """Log in where there is no browser: over SSH, in a container.

    An address is shown; open it anywhere, log in there, and paste the code that the page shows.

    Examples:

    neuro config login-headless https://neuro.example.org/api/v1
    """
    from neuro_cli import logins

    await logins.log_in(root, url, headless=True)
