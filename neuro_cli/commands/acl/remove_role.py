"""`neuro acl remove-role`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.root import Root


@command()
@argument("role_name", type=params.GIVEN, help="As neuro acl list-roles shows it.")
async def remove_role(root: Root, role_name: str) -> None:
    """Remove a role, and with it what it allowed.

    Examples:

    neuro acl remove-role alice/team
    """
    async with root.client() as client:
        await client.users.remove(role_name)
        root.say(f"Removed the role {role_name}")
