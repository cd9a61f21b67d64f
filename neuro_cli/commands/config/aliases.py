"""`neuro config aliases`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import click

from neuro_cli.command import command
from neuro_cli.options import output_options
from neuro_cli.root import Root


@command()
@output_options
async def aliases(root: Root) -> None:
    """List the commands that you have made.

    They are in the files user.toml and .neuro.toml; neuro help aliases says how to write them. This needs no login.

    Examples:

    neuro config aliases
    """
    from neuro_cli import aliases as own
    from neuro_cli.render.config import AliasDocument, alias_columns

    tables = own.read(root, click.get_current_context())

    async def documents() -> AsyncIterator[AliasDocument]:
        for name, table in tables.items():
            alias = own.parse(name, table)
            yield {
                "name": name,
                "kind": "external" if alias.is_external else "internal",
                "runs": alias.runs,
                "help": alias.help,
                "used": not own.is_hidden(name),
            }

    await root.show_all(documents(), alias_columns(), name=lambda alias: alias["name"])
