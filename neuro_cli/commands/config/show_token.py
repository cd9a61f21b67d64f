"""`neuro config show-token`."""

from __future__ import annotations

from neuro_cli.command import command
from neuro_cli.root import Root


@command()
async def show_token(root: Root) -> None:
    """Print the token that requests carry.

    It is renewed first when it has expired. Whoever has it can do what you can do, until `neuro logout` ends it; for
    scripts, `neuro platform token create` makes one of its own.

    Examples:

    curl -H "Authorization: Bearer $(neuro config show-token)" http://127.0.0.1:8080/api/v1/jobs
    """
    async with root.client() as client:
        root.print(await client.config.token())
