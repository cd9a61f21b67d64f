"""`neuro acl grant`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.options import output_options
from neuro_cli.root import Root

if TYPE_CHECKING:
    import yarl

    from neuro_sdk import Client


@command()
@argument("uri", type=params.URI, help="What to share: job:NAME, job:ID, job: for all your jobs, role://YOU/ROLE.")
@argument("user", type=params.GIVEN, help="With whom: a user, or a role.")
@argument(
    "permission",
    type=click.Choice(["read", "write", "manage"]),
    metavar="PERMISSION",
    help="read to look, write to change and talk to it, manage to share it on.",
)
@output_options
async def grant(root: Root, uri: str, user: str, permission: str) -> None:
    """Share a job, all jobs, or a role with somebody.

    A job's name stands for all jobs of that name, later ones too; its id for that one job. Whoever has more already
    keeps it. neuro help sharing says more.

    Examples:

    # Let bob watch, and read the logs
    neuro share job:train bob read
    # Let a whole role work with all my jobs
    neuro share job: alice/team write
    # Let carol into that role
    neuro share role://alice/team carol read
    """
    from neuro_cli.render.acl import grant_line, grant_row
    from neuro_sdk import Action, Permission, Share

    async with root.client() as client:
        wanted = Permission(client.parse.uri(uri), Action(permission))
        granted = await client.users.share(user, wanted)
        style = root.style(client)
        if granted.action is not wanted.action:
            root.warn(f"{user} had more already: neuro acl revoke {style.uri(wanted.uri)} {user} takes it back first")
        root.show(grant_row(Share(user, granted)), lambda row: grant_line(row, style), name=str(granted.uri))
        await _warn_of_none(root, client, wanted.uri)


async def _warn_of_none(root: Root, client: Client, uri: yarl.URL) -> None:
    """A name may be shared before there is a job that has it, but more often it was mistyped."""
    owner, _, name = uri.path.strip("/").partition("/")
    if uri.scheme != "job" or uri.host != client.cluster_name or not name or name.startswith("job-"):
        return
    if not await client.jobs.list(name=name, owners=(owner,), limit=1):
        root.warn(f"there is no job {name!r} yet; the first one of that name will be shared")
