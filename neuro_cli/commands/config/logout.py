"""`neuro config logout`."""

from __future__ import annotations

from neuro_cli.command import command
from neuro_cli.root import Root


@command()
async def logout(root: Root) -> None:
    """Forget the login.

    The platform is asked to honour the login no longer. Logging out twice is no error.

    Examples:

    neuro logout
    """
    from neuro_cli import logins

    await logins.log_out(root)
