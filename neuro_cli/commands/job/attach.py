"""`neuro job attach`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.options import refused
from neuro_cli.root import Root


@command()
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@refused("--port-forward", multiple=True, why="ports of jobs cannot be forwarded with this version")
async def attach(root: Root, job: str) -> int:
    """Connect to a running job's program.

    Its output appears from now on (neuro logs has all of it), and the exit code is the program's. With a terminal,
    Ctrl-P Ctrl-Q leaves; without, Ctrl-C asks whether to kill the job, to leave it, or to go on.

    Examples:

    neuro attach train
    """
    from neuro_cli.jobs import attached, ended

    async with root.client() as client:
        found = await client.jobs.status(await client.jobs.resolve(job))
        if found.status.is_finished:
            root.warn(f"{found.id} has ended; neuro logs {job} shows its output")
            return ended(root, found)
        return await attached(root, client, found, is_new=False)
