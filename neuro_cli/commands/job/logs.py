"""`neuro job logs`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from neuro_cli import params
from neuro_cli.command import argument, command, option
from neuro_cli.root import Root

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from neuro_cli.pipes import Sink


@command()
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@option(
    "-f", "--follow/--no-follow", default=True, help="Go on until the job ends, as is usual; or stop at what is there."
)
@option("--tail", type=params.COUNT, metavar="N", help="Begin with the last N lines.")
@option("--head", type=params.COUNT, metavar="N", help="End after N lines.")
@option(
    "--since",
    type=params.MOMENT,
    metavar="WHEN",
    help="Begin with what was written then: a date, or an age such as 1d2h.",
)
@option("--until", type=params.MOMENT, metavar="WHEN", help="End with what was written then.")
@option("--timestamps", is_flag=True, help="Put before each line when it was written, to half a second.")
async def logs(
    root: Root,
    *,
    job: str,
    follow: bool,
    tail: int | None,
    head: int | None,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    timestamps: bool,
) -> None:
    """Print what a job wrote.

    From its beginning, as it wrote it; then what it goes on to write, until it ends. Ages are counted back by the
    platform's clock. A connection that breaks is taken up where it broke.

    Examples:

    neuro logs train
    # Only the end of what is there by now
    neuro logs --no-follow --tail 20 train
    # What it wrote in an hour of yesterday, with times
    neuro logs --timestamps --since 2026-01-30T14:00 --until 2026-01-30T15:00 train
    # What it writes from now on
    neuro logs --tail 0 train
    """
    from neuro_cli.jobs import say_ending, waiting_told
    from neuro_cli.pipes import Sink

    async with root.client() as client:
        job_id = job if client.jobs.logs_by_name(job) else await client.jobs.resolve(job)
        output = client.jobs.logs(
            job_id, follow=follow, tail=tail, head=head, since=since, until=until, timestamps=timestamps
        )
        out = Sink(1)
        async with output, waiting_told(root, client, job_id, follow=follow):
            anything = await out.while_read(_copy(output, out))
        if root.is_watched:
            found = await client.jobs.status(job_id)
            if not anything:
                root.say(_why_nothing(found.status.value, part=(tail, head, since, until) != (None,) * 4))
            say_ending(root, found)


async def _copy(output: AsyncIterator[bytes], out: Sink) -> bool:
    """Write all of it; whether there was any."""
    anything = False
    async for chunk in output:
        await out.write(chunk)
        anything = True
    return anything


def _why_nothing(status: str, *, part: bool) -> str:
    if status in ("pending", "suspended"):
        return f"It is {status} and has written nothing yet"
    if part:
        return "It has written nothing in that part"
    return "It has written nothing" + (" yet" if status == "running" else "")
