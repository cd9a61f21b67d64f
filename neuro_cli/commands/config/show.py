"""`neuro config show`."""

from __future__ import annotations

from neuro_cli.command import command
from neuro_cli.options import output_options, refused
from neuro_cli.root import Root


@command()
@output_options
@refused("--energy", is_flag=True, why="this platform has no energy schedules")
async def show(root: Root) -> None:
    """Show who you are, where, and what the cluster offers.

    Examples:

    neuro config show
    neuro config show --json
    """
    from neuro_cli.render.config import login_card, login_document

    async with root.client() as client:
        document = login_document(client.config)
    root.show(document, lambda shown: login_card(shown, root.style()), name=document["cluster_name"])
