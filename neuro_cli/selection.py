"""What `ps` and `top` have in common: which jobs, and in which columns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from neuro_cli import params
from neuro_cli.root import closing

if TYPE_CHECKING:
    from neuro_cli.render.columns import Spec
    from neuro_sdk import Client, JobDescription, JobStatus


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which jobs the user asked for, whatever state they are in."""

    owners: tuple[str, ...] = ()
    name: str | None = None
    tags: tuple[str, ...] = ()
    description: str | None = None
    since: datetime | timedelta | None = None
    until: datetime | timedelta | None = None
    orgs: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()

    def jobs(
        self, client: Client, statuses: set[JobStatus], *, recent_first: bool = False
    ) -> AsyncIterator[JobDescription]:
        """Those jobs, as the platform lists them."""
        found = client.jobs.list(
            statuses=statuses,
            name=self.name or "",
            tags=self.tags,
            owners=[client.username if owner == "ME" else owner for owner in self.owners],
            since=self.since,
            until=self.until,
            reverse=recent_first,
            org_names=self.orgs,
            project_names=self.projects,
        )
        if self.description is None:
            return found
        return _described(found, self.description)


async def _described(jobs: AsyncIterator[JobDescription], text: str) -> AsyncIterator[JobDescription]:
    async with closing(jobs):
        async for job in jobs:
            if (job.description or "") == text:
                yield job


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``-o -n -t -d -p --org --since --until``: what :class:`Filters` is made of."""
    for decorate in reversed((
        click.option("-o", "--owner", "owners", multiple=True, type=params.GIVEN, metavar="USER",
                     help="Only jobs of this user; ME is you. Repeatable."),
        click.option("-n", "--name", type=params.GIVEN, metavar="NAME", help="Only jobs of exactly this name."),
        click.option("-t", "--tag", "tags", multiple=True, type=params.GIVEN, metavar="TAG",
                     help="Only jobs with this tag. Repeatable: with all of them."),
        click.option("-d", "--description", type=params.GIVEN, metavar="TEXT",
                     help="Only jobs of exactly this description."),
        click.option("--since", type=params.MOMENT, metavar="WHEN",
                     help="Only jobs made since then: a date, or an age such as 1d2h."),
        click.option("--until", type=params.MOMENT, metavar="WHEN", help="Only jobs made until then."),
        click.option("--org", "orgs", multiple=True, type=params.GIVEN, metavar="NAME",
                     help="Only jobs of this organisation, where there are some. Repeatable."),
        click.option("-p", "--project", "projects", multiple=True, type=params.GIVEN, metavar="NAME",
                     help="Only jobs of this project; yours has your name. Repeatable."),
    )):  # fmt: skip
        function = decorate(function)
    return function


def read_columns(text: str, known: Sequence[str], where: str) -> list[Spec]:
    """What the user wrote in the column language; a usage error that names ``where``, when it is none."""
    from neuro_cli.render.columns import FormatError, parse

    try:
        return parse(text, known)
    except FormatError as exc:
        raise click.UsageError(f"Invalid value for {where}: {exc}") from exc


def own_columns(settings: Mapping[str, Any], key: str, default: str, known: Sequence[str]) -> list[Spec]:
    """The columns of the user configuration, or the usual ones."""
    return read_columns(settings.get("job", {}).get(key, default), known, f"job.{key} in the user configuration")
