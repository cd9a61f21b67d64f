"""`neuro acl revoke`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.root import Root


@command()
@argument("uri", type=params.URI, help="What is shared, exactly as neuro acl ls --shared shows it.")
@argument("user", type=params.GIVEN, help="The user or role from whom to take it.")
async def revoke(root: Root, uri: str, user: str) -> None:
    """Stop sharing with somebody.

    What the user has by another way stays: by a role, or on all your jobs. You may also give up what others have shared
    with you.

    Examples:

    neuro acl revoke job:train bob
    # Put carol out of a role
    neuro acl revoke role://alice/team carol
    """
    async with root.client() as client:
        full = client.parse.uri(uri)
        await client.users.revoke(user, full)
        root.say(f"Took back what {user} was given on {root.style(client).uri(full)}")
