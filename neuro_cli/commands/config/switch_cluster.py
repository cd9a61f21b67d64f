"""`neuro config switch-cluster`."""

from __future__ import annotations

import click

from neuro_cli.command import argument, command
from neuro_cli.root import Root, check_cluster


@command()
@argument("cluster_name", required=False, help="The cluster; asked for when it is missing.")
async def switch_cluster(root: Root, cluster_name: str | None) -> None:
    """Choose the cluster that commands work on.

    Examples:

    neuro config switch-cluster default
    """
    import sys

    from neuro_cli.terminal import question

    async with root.client() as client:
        if cluster_name is None:
            if sys.stdin is None or not sys.stdin.isatty():
                raise click.UsageError("Name the cluster: there is no terminal to ask on")
            root.say_always(f"Clusters: {', '.join(client.config.clusters)}")
            with question():
                cluster_name = click.prompt(
                    "Switch to",
                    default=client.cluster_name,
                    type=click.Choice(list(client.config.clusters)),
                    show_choices=False,
                    err=True,
                )
        check_cluster(client, cluster_name)
        await client.config.switch_cluster(cluster_name)
        root.say(f"Commands work on cluster {cluster_name} now")
