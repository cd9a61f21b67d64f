"""`neuro job bump-life-span`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.options import output_options
from neuro_cli.root import Root

if TYPE_CHECKING:
    from neuro_cli.render._style import Style
    from neuro_sdk import JobDescription


@command()
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@argument("timedelta", type=params.DURATION, help="How much longer: 1d2h3m4s, in whole minutes, rounded up.")
@output_options
def bump_life_span(root: Root, job: str, timedelta: float) -> None:
    """Let a job run longer.

    The time is added to what it may run in all. A job without a limit gains one: it may then run for that time.

    Examples:

    neuro job bump-life-span train 2h30m
    """
    if not timedelta:
        raise click.BadParameter("that is no time at all", param_hint="'TIMEDELTA'")
    root.run(_bump(root, job, -(-timedelta // 60) * 60))


async def _bump(root: Root, job: str, seconds: float) -> None:
    async with root.client() as client:
        job_id = await client.jobs.resolve(job)
        await client.jobs.bump_life_span(job_id, seconds)
        found = await client.jobs.status(job_id)
        root.show(found, lambda it: _sentence(it, root.style(client)), name=found.id)


def _sentence(job: JobDescription, style: Style) -> str:
    from datetime import timedelta

    from neuro_cli.render._style import duration

    name = job.name or job.id
    limit = f"{name} may run for {duration(job.life_span or 0)} in all"
    began = job.history.started_at
    if began is None or job.history.restarts:  # between runs the clock stands still
        return limit
    try:
        return f"{limit}, until {style.time(began + timedelta(seconds=job.life_span or 0))}"
    except OverflowError:  # beyond the last date that there is
        return limit
