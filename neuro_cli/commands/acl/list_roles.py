"""`neuro acl list-roles`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import command, option
from neuro_cli.options import output_options
from neuro_cli.root import Root


@command()
@option("-u", "user", type=params.GIVEN, metavar="USER", help="Of this user, or below this role.")
@output_options
async def list_roles(root: Root, user: str | None) -> None:
    """List roles.

    Yours, or those of another user that were shared with you.

    Examples:

    neuro acl list-roles
    neuro acl list-roles -u bob
    """
    from neuro_cli.render.acl import role_columns, role_rows

    async with root.client() as client:
        roles = await client.users.get_subroles(user or client.username)
        await root.show_all(role_rows(roles), role_columns(), name=lambda row: row["name"])
