"""`neuro config fetch`."""

from __future__ import annotations

from neuro_cli.command import command
from neuro_cli.root import Root


@command()
async def fetch(root: Root) -> None:
    """Ask the platform again for its clusters and presets.

    A login remembers them; after a change of the platform this brings it up to date without logging in anew.

    Examples:

    neuro config fetch
    """
    async with root.client() as client:
        await client.config.fetch()
        root.say(f"{client.config.api_url} has the clusters {', '.join(client.config.clusters)}")
