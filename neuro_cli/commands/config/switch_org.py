"""`neuro config switch-org`."""

from __future__ import annotations

from neuro_cli.command import argument, command
from neuro_cli.exits import Refused
from neuro_cli.root import Root


@command()
@argument("name", required=False, metavar="[NAME]", help="The organisation.")
def switch_org(root: Root, name: str | None) -> None:  # noqa: ARG001
    """Choose an organisation, on platforms that have some.

    Here jobs belong to users and clusters alone, so this is refused; it is there for scripts of other versions.

    Examples:

    neuro config switch-org NAME
    """
    raise Refused("There are no organisations here to switch to: jobs belong to users and clusters (neuro config show)")
