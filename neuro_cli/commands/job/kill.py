"""`neuro job kill`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from neuro_cli import exits, params
from neuro_cli.command import argument, command, option
from neuro_cli.options import cluster_option
from neuro_cli.root import Root

if TYPE_CHECKING:
    from neuro_sdk import Client, JobDescription

_UNFINISHED = ["pending", "suspended", "running"]


@command()
@argument("jobs", type=params.JOB, nargs=-1, metavar="[JOB]...", help="Ids, names, or job: URIs.")
@option("--all", "all_", is_flag=True, help="All jobs of yours that have not finished, or of those that match.")
@option(
    "-s", "--status", "statuses", multiple=True, type=click.Choice(_UNFINISHED), metavar="STATUS",
    help=f"All in this state: {', '.join(_UNFINISHED)}. Repeatable.",
)  # fmt: skip
@option(
    "-o", "--owner", "owners", multiple=True, type=params.GIVEN, metavar="USER",
    help="All of this user; ME is you. Repeatable.  [default: ME]",
)  # fmt: skip
@option("-n", "--name", type=params.GIVEN, metavar="NAME", help="All of exactly this name.")
@option(
    "-t", "--tag", "tags", multiple=True, type=params.GIVEN, metavar="TAG",
    help="All with this tag. Repeatable: with all of them.",
)  # fmt: skip
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@cluster_option
def kill(
    root: Root,
    *,
    jobs: tuple[str, ...],
    all_: bool,
    statuses: tuple[str, ...],
    owners: tuple[str, ...],
    name: str | None,
    tags: tuple[str, ...],
    yes: bool,
) -> int:
    """Stop jobs.

    Each is asked to end, then made to. The ids are printed. A job that has ended already is no error. When one of
    several cannot be stopped, the others are, and the exit code is 1.

    With options instead of jobs it is all unfinished ones on the cluster that match all of the options. They are said
    first, and on a terminal you are asked. That there are none is no error.

    Examples:

    neuro kill train
    neuro kill --tag sweep
    # Whatever waits, without a question
    neuro kill --all --status pending --yes
    """
    by_filter = bool(all_ or statuses or owners or name or tags)
    if bool(jobs) == by_filter:
        raise click.UsageError("Name the jobs, or choose them by --all, --tag, --name, --owner or --status; not both")
    if not by_filter:
        return root.run(_kill_named(root, jobs))
    return root.run(_kill_matching(root, yes, statuses=statuses or _UNFINISHED, owners=owners, name=name, tags=tags))


async def _kill_named(root: Root, jobs: Sequence[str]) -> int:
    async with root.client() as client:
        return await _kill_each(root, client, jobs)


async def _kill_matching(root: Root, yes: bool, **filters: Any) -> int:
    async with root.client() as client:
        found = await _matching(client, **filters)
        if not found:
            root.say("No unfinished job matches")
            return exits.OK
        _say_which(root, found)
        if not yes and _can_ask() and not _go_on():
            root.say("None was killed")
            return exits.FAILURE
        return await _kill_each(root, client, [job.id for job in found])


async def _kill_each(root: Root, client: Client, jobs: Sequence[str]) -> int:
    from neuro_sdk import AuthorizationError, IllegalArgumentError, ResourceNotFound

    code = exits.OK
    for job in jobs:
        try:
            job_id = await client.jobs.resolve(job)
            await client.jobs.kill(job_id)
        except (ResourceNotFound, AuthorizationError, IllegalArgumentError) as exc:
            if len(jobs) == 1:
                raise
            root.say_always(f"neuro: {job} was not killed: {exc}")
            code = exits.FAILURE
        else:
            root.print(job_id)
    return code


async def _matching(
    client: Client, *, statuses: Sequence[str], owners: Sequence[str], name: str | None, tags: Sequence[str]
) -> list[JobDescription]:
    """All of them before the first is killed: half a list would be worse than none."""
    from neuro_sdk import JobStatus

    wanted = {JobStatus(status) for status in statuses}
    users = {client.username if owner == "ME" else owner for owner in owners or ("ME",)}
    async with client.jobs.list(statuses=wanted, owners=users, name=name or "", tags=tags) as listed:
        found = [job async for job in listed]
    # looked at again, because there are platforms that know not all of these filters
    return [
        job
        for job in found
        if job.status in wanted and job.owner in users and name in (None, job.name) and set(tags) <= set(job.tags)
    ]


def _say_which(root: Root, jobs: Sequence[JobDescription]) -> None:
    root.say("1 job will be killed:" if len(jobs) == 1 else f"{len(jobs)} jobs will be killed:")
    for job in jobs:
        root.say("  " + "  ".join(filter(None, (job.id, job.name, job.status.value))))


def _go_on() -> bool:
    from neuro_cli.terminal import question

    with question():
        return click.confirm("Go on?", err=True)


def _can_ask() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
