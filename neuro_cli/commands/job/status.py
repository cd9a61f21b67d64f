"""`neuro job status`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.options import full_uri_option, output_options
from neuro_cli.root import Root


@command()
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@full_uri_option
@output_options
async def status(root: Root, job: str, full_uri: bool) -> None:
    """Show all about one job.

    Examples:

    neuro status train
    neuro status train --json
    """
    from neuro_cli.render.jobs import job_card

    async with root.client() as client:
        shown = await client.jobs.status(await client.jobs.resolve(job))
        root.show(shown, lambda it: job_card(it, root.style(client, full_uris=full_uri)), name=shown.id)
