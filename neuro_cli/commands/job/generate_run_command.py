"""`neuro job generate-run-command`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.exits import Refused
from neuro_cli.options import cluster_option, output_options
from neuro_cli.root import Root


@command()
@argument("job", type=params.JOB, help="Id, name or job: URI.")
@output_options
@cluster_option
async def generate_run_command(root: Root, job: str) -> None:
    """Print the line that starts a job again.

    With all its options, quoted for a shell, on one line. Its name is there too: while that job has not finished,
    another of the same name cannot start.

    Examples:

    # See it, then run it
    neuro job generate-run-command train
    eval "$(neuro job generate-run-command train)"
    # Its words as JSON
    neuro job generate-run-command train --json
    """
    async with root.client() as client:
        from neuro_cli.render.run_line import NotSayable, run_words, shell_line

        found = await client.jobs.status(await client.jobs.resolve(job))
        there = client.config.clusters.get(found.cluster_name)
        try:
            words = run_words(found, there.presets if there else {}, cluster_name=client.cluster_name)
        except NotSayable as exc:
            raise Refused(f"No neuro run line can say of {found.id} {exc}") from exc
        root.show(words, shell_line, name=shell_line(words))
