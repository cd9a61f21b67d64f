"""`neuro job logs`."""

from __future__ import annotations

import contextlib

from neuro_cli import params
from neuro_cli.command import argument, command, option
from neuro_cli.options import refused
from neuro_cli.root import Root


@command()
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@option(
    "-f", "--follow/--no-follow", default=True, help="Go on until the job ends, as is usual; or stop at what is there."
)
@refused("--since", why="this platform keeps no times with the output of jobs")
@refused("--timestamps", is_flag=True, why="this platform keeps no times with the output of jobs")
async def logs(root: Root, job: str, follow: bool) -> None:
    """Print what a job wrote.

    From its beginning, as it wrote it; then what it goes on to write, until it ends.

    Examples:

    neuro logs train
    # Only what is there by now
    neuro logs --no-follow train | tail -n 20
    """
    from neuro_cli.jobs import say_ending
    from neuro_cli.pipes import Sink

    async with root.client() as client:
        job_id = await client.jobs.resolve(job)
        out = Sink(1)
        async with contextlib.aclosing(client.jobs.logs(job_id, follow=follow)) as chunks:
            async for chunk in chunks:
                await out.write(chunk)
        if follow and root.is_watched:
            say_ending(root, await client.jobs.status(job_id))
