"""`neuro config login-with-token`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.root import Root

if TYPE_CHECKING:
    from yarl import URL


@command()
@argument("token", help="The token; - reads it from standard input, where nobody else can see it.")
@argument("url", type=params.URL, required=False, help="The platform's address, such as http://127.0.0.1:8080/api/v1.")
async def login_with_token(root: Root, token: str, url: URL | None) -> None:
    """Log in with a token that you already have.

    Examples:

    neuro config login-with-token - https://neuro.example.org/api/v1 < token.txt
    """
    from neuro_cli import logins

    await logins.log_in_with_token(root, token, url)
