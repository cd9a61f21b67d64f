"""`neuro config get-clusters`."""

from __future__ import annotations

from neuro_cli.command import command
from neuro_cli.options import output_options
from neuro_cli.root import Root


@command()
@output_options
async def get_clusters(root: Root) -> None:
    """Ask the platform for its clusters, and list them.

    Examples:

    neuro config get-clusters
    """
    from neuro_cli.render.config import cluster_columns, cluster_rows

    async with root.client() as client:
        await client.config.fetch()
        await root.show_all(cluster_rows(client.config), cluster_columns(), name=lambda row: row["name"])
