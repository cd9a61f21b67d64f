"""`neuro config show-quota`."""

from __future__ import annotations

from neuro_cli.command import argument, command
from neuro_cli.options import cluster_option, output_options
from neuro_cli.root import Root


@command()
@argument("user", required=False, help="Whose; yours when it is missing. Few may see that of others.")
@cluster_option
@output_options
async def show_quota(root: Root, user: str | None) -> None:
    """Show how long your jobs have run, and may run.

    Jobs with a GPU are counted apart. Jobs that run now are counted up to now.

    Examples:

    neuro config show-quota
    neuro config show-quota --json
    """
    from neuro_cli.render.config import quota_card, quota_document
    from neuro_sdk import ResourceNotFound

    async with root.client() as client:
        quotas = await client.quota.get(user)
        name = client.cluster_name
        if name not in quotas:
            raise ResourceNotFound(
                f"The platform tells of no quota on cluster {name!r}; it tells of {', '.join(quotas) or 'none'}"
            )
        document = quota_document(user or client.username, quotas[name])
    root.show(document, lambda shown: quota_card(shown, root.style()), name=name)
