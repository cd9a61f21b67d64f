"""`neuro config switch-project`."""

from __future__ import annotations

from neuro_cli.command import argument, command
from neuro_cli.exits import Refused
from neuro_cli.root import Root


@command()
@argument("name", required=False, metavar="[NAME]", help="The project.")
def switch_project(root: Root, name: str | None) -> None:  # noqa: ARG001
    """Choose a project, on platforms that have some.

    Here jobs belong to users and clusters alone, so this is refused; it is there for scripts of other versions.

    Examples:

    neuro config switch-project NAME
    """
    raise Refused("There are no projects here to switch to: jobs belong to users and clusters (neuro config show)")
