"""`neuro job tags`."""

from __future__ import annotations

from neuro_cli.command import command
from neuro_cli.options import output_options
from neuro_cli.output import Output
from neuro_cli.root import Root


@command()
@output_options
async def tags(root: Root) -> None:
    """List the tags of your jobs.

    Examples:

    neuro job tags
    """
    async with root.client() as client:
        found = await client.jobs.tags()
        if root.output in (Output.TABLE, Output.NAME):
            for tag in found:
                root.print(tag)
        else:
            root.show(found, "\n".join, name="")
