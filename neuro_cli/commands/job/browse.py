"""`neuro job browse`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.options import output_options
from neuro_cli.output import Output
from neuro_cli.root import Root


@command()
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@output_options
async def browse(root: Root, job: str) -> None:
    """Open what a job publishes over HTTP in your browser.

    The browser is let in as you, without asking for a password. Where no browser can be opened, the address is printed:
    it is good once and for some minutes, in any browser that can reach the platform. A pending job is waited for.

    Examples:

    neuro run --detach -n notes --http 8888 host -- jupyter lab --port 8888
    neuro job browse notes

    # The address alone
    neuro job browse notes --output name
    """
    from neuro_cli.browsing import opening_of, show_page

    async with root.client() as client:
        found = await client.jobs.status(await client.jobs.resolve(job))
        opening = await opening_of(root, client, found)
        if root.output is Output.TABLE:
            await show_page(root, found, opening, on_stdout=True)
        else:
            root.show(opening, lambda it: str(it.url), name=str(opening.url))
