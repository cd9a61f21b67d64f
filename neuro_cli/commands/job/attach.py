"""`neuro job attach`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.forwards import Ports
from neuro_cli.options import port_forward_option
from neuro_cli.root import Root


@command()
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@port_forward_option
async def attach(root: Root, job: str, ports: tuple[Ports, ...]) -> int:
    """Connect to a running job's program.

    Its output appears from now on (neuro logs has all of it), and the exit code is the program's. With a terminal,
    Ctrl-P Ctrl-Q leaves; without, Ctrl-C asks whether to kill the job, to leave it, or to go on.

    Examples:

    neuro attach train

    # With its web page at http://localhost:8080 meanwhile
    neuro attach --port-forward 8080:80 train
    """
    from neuro_cli import forwards
    from neuro_cli.jobs import attached, ended

    forwards.check(ports)
    async with root.client() as client:
        found = await client.jobs.status(await client.jobs.resolve(job))
        if found.status.is_finished:
            root.warn(f"{found.id} has ended; neuro logs {job} shows its output")
            return ended(root, found)
        async with forwards.forwarding(root, client, ports) as opened:
            opened.lead_to(found)
            opened.tell(found)
            return await attached(root, client, found, is_new=False)
