"""`neuro acl add-role`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.root import Root


@command()
@argument("role_name", type=params.GIVEN, help="Your name, a slash, a word: alice/team.")
async def add_role(root: Root, role_name: str) -> None:
    """Make a role.

    Whatever is shared with a role, all may use who have read permission on it.

    Examples:

    neuro acl add-role alice/team
    neuro share role://alice/team bob read
    neuro share job: alice/team read
    """
    async with root.client() as client:
        await client.users.add(role_name)
        root.say(f"Made the role {role_name}: neuro share role://{role_name} USER read lets somebody in")
