"""`neuro job ls`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from neuro_cli import params
from neuro_cli.command import command, option
from neuro_cli.options import cluster_option, full_uri_option, output_options, quiet_option, refused
from neuro_cli.output import Output
from neuro_cli.root import Root

if TYPE_CHECKING:
    from neuro_cli.render.columns import Spec
    from neuro_sdk import JobDescription, JobStatus

_STATUSES = ["pending", "suspended", "running", "succeeded", "failed", "cancelled", "all"]


@command()
@option(
    "-s", "--status", "statuses", multiple=True, type=click.Choice(_STATUSES), metavar="STATUS",
    help=f"Only jobs in this state: {', '.join(_STATUSES)}. Repeatable.",
)  # fmt: skip
@option("-a", "--all", "all_", is_flag=True, help="Jobs in any state, the finished ones too.")
@option(
    "-o", "--owner", "owners", multiple=True, type=params.GIVEN, metavar="USER",
    help="Only jobs of this user; ME is you. Repeatable.",
)  # fmt: skip
@option("-n", "--name", type=params.GIVEN, metavar="NAME", help="Only jobs of exactly this name.")
@option(
    "-t", "--tag", "tags", multiple=True, type=params.GIVEN, metavar="TAG",
    help="Only jobs with this tag. Repeatable: with all of them.",
)  # fmt: skip
@option("-d", "--description", type=params.GIVEN, metavar="TEXT", help="Only jobs of exactly this description.")
@option(
    "--since", type=params.MOMENT, metavar="WHEN", help="Only jobs made since then: a date, or an age such as 1d2h."
)
@option("--until", type=params.MOMENT, metavar="WHEN", help="Only jobs made until then.")
@option("--distinct", is_flag=True, help="Only the first job of each name.")
@option("--recent-first/--recent-last", default=False, help="Newest first, or last, as is usual.")
@option("--format", "format_", metavar="COLUMNS", help="Which columns to show; neuro help ps-format says more.")
@full_uri_option
@output_options
@cluster_option
@option(
    "-w", "--wide", is_flag=True, hidden=True, expose_value=False, help="Accepted; nothing is cut in a pipe anyway."
)
@quiet_option
@option("--all-orgs", "--all-projects", is_flag=True, hidden=True, expose_value=False, help="Accepted: there are none.")
@refused("--org", multiple=True, why="this platform has no organisations")
@refused("-p", "--project", multiple=True, why="this platform has no projects")
async def ls(
    root: Root,
    *,
    statuses: tuple[str, ...],
    all_: bool,
    owners: tuple[str, ...],
    name: str | None,
    tags: tuple[str, ...],
    description: str | None,
    since: datetime | None,
    until: datetime | None,
    distinct: bool,
    recent_first: bool,
    format_: str | None,
    full_uri: bool,
) -> None:
    """List jobs.

    Those that have not finished, unless -a or -s says otherwise; oldest first.

    Examples:

    neuro ps
    # What failed since yesterday
    neuro ps -s failed --since 1d
    # Ids of my jobs with a tag
    neuro -q ps -o ME -t sweep
    # For a program
    neuro ps -a --json
    """
    if root.verbosity < 0 and root.output is Output.TABLE:
        root.output = Output.NAME
    specs = None if format_ is None else _columns(format_, "--format")
    async with root.client() as client:
        from neuro_cli.render.jobs import job_columns

        if specs is None:
            specs = _default_columns(await client.config.get_user_config())
        columns = job_columns(specs, root.style(client, full_uris=full_uri))
        async with client.jobs.list(
            statuses=_wanted(statuses, all_),
            name=name or "",
            tags=tags,
            owners=[client.username if owner == "ME" else owner for owner in owners],
            since=since,
            until=until,
            reverse=recent_first,
        ) as found:
            jobs: AsyncIterator[JobDescription] = found
            if description is not None:
                jobs = (job async for job in jobs if (job.description or "") == description)
            if distinct:
                jobs = _distinct(jobs)
            await root.show_all(jobs, columns, name=lambda job: job.id)


def _wanted(statuses: tuple[str, ...], everything: bool) -> set[JobStatus]:
    from neuro_sdk import JobStatus

    if everything or "all" in statuses:
        return set()
    return {JobStatus(status) for status in statuses} or JobStatus.active_items()


async def _distinct(jobs: AsyncIterator[JobDescription]) -> AsyncIterator[JobDescription]:
    seen = set()
    async for job in jobs:
        if job.name is None or job.name not in seen:
            seen.add(job.name)
            yield job


def _default_columns(settings: Mapping[str, Any]) -> list[Spec]:
    from neuro_cli.render.columns import PS_FORMAT

    return _columns(settings.get("job", {}).get("ps-format", PS_FORMAT), "job.ps-format in the user configuration")


def _columns(text: str, where: str) -> list[Spec]:
    from neuro_cli.render.columns import FormatError, parse
    from neuro_cli.render.jobs import IDS

    try:
        return parse(text, IDS)
    except FormatError as exc:
        raise click.UsageError(f"Invalid value for {where}: {exc}") from exc
