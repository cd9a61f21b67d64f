"""`neuro acl ls`."""

from __future__ import annotations

import click

from neuro_cli import params
from neuro_cli.command import argument, command, option
from neuro_cli.options import full_uri_option, output_options
from neuro_cli.root import Root


@command()
@argument("uri", type=params.URI, required=False, help="Only what lies within: job: for your jobs, job:NAME, …")
@option("-u", "user", type=params.GIVEN, metavar="USER", help="Of this user or role rather than yourself.")
@option("-s", "--scheme", type=params.GIVEN, metavar="KIND", help="Only this kind of thing: job, role, …")
@option("--shared", is_flag=True, help="What was shared with others, rather than what may be done.")
@full_uri_option
@output_options
async def ls(
    root: Root, *, uri: str | None, user: str | None, scheme: str | None, shared: bool, full_uri: bool
) -> None:
    """List permissions.

    What you may do, with your own things and by what others shared with you or your roles; or with --shared what you
    have shared. Of other users you see only what is about things that you manage.

    Examples:

    neuro acl ls
    # Who may do what with my jobs
    neuro acl ls --shared -s job
    # What may bob do with what is mine
    neuro acl ls -u bob
    # Who is in a role
    neuro acl ls --shared role://alice/team
    """
    from neuro_cli.render.acl import permission_columns, permission_rows, share_columns, share_rows

    if uri is not None and scheme is not None:
        raise click.UsageError("Give a URI or --scheme, not both: the URI says the kind already")
    async with root.client() as client:
        style = root.style(client, full_uris=full_uri)
        within = None if uri is None else client.parse.uri(uri)
        kind = None if scheme is None else scheme.rstrip(":/")
        subject = user or client.username
        if shared:
            shares = await client.users.get_shares(subject, kind, uri=within)
            await root.show_all(share_rows(shares), share_columns(style), name=lambda row: row["uri"])
        else:
            acl = await client.users.get_acl(subject, kind, uri=within)
            await root.show_all(permission_rows(acl), permission_columns(style), name=lambda row: row["uri"])
