"""`neuro job why`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.options import cluster_option, output_options
from neuro_cli.root import Root


@command()
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@output_options
@cluster_option
async def why(root: Root, job: str) -> None:
    """Say why a job waits or how it ended.

    What is short and who has it, its place in the queue, when a pause is over; of a job that ended what ended it: its
    own exit code, a signal, want of memory, a limit, somebody. And what would change that.

    Examples:

    neuro job why train
    # For a program: .kind is one word
    neuro job why train --json
    """
    async with root.client() as client:
        from neuro_cli.render.reasons import reason_card

        reason = await client.jobs.why(await client.jobs.resolve(job))
        root.show(reason, lambda it: reason_card(it, root.style(client)), name=reason.kind)
