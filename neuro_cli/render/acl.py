"""Permissions and roles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

import yarl

from neuro_cli.render._style import Style
from neuro_cli.render.table import Column

if TYPE_CHECKING:
    from neuro_sdk import Permission, Share

Row = Mapping[str, str]  # as the platform's API has it

_DOES = {"read": "read", "write": "read and write", "manage": "read, write and share"}


def grant_row(share: Share) -> Row:
    """A permission that somebody was given."""
    return {"user": share.user, "uri": str(share.permission.uri), "action": share.permission.action.value}


def grant_line(row: Row, style: Style) -> str:
    """The same in words."""
    return f"{row['user']} may {_DOES[row['action']]} {style.uri(yarl.URL(row['uri']))}"


async def permission_rows(permissions: Sequence[Permission]) -> AsyncIterator[Row]:
    """What somebody may do."""
    for permission in permissions:
        yield {"uri": str(permission.uri), "action": permission.action.value}


async def share_rows(shares: Sequence[Share]) -> AsyncIterator[Row]:
    """What was given to others."""
    for share in shares:
        yield grant_row(share)


async def role_rows(roles: Sequence[str]) -> AsyncIterator[Row]:
    """Roles by name."""
    for name in roles:
        yield {"name": name}


def permission_columns(style: Style) -> list[Column]:
    """The columns of what somebody may do."""
    return [
        Column("URI", lambda row: [style.uri(yarl.URL(row["uri"]))]),
        Column("PERMISSION", lambda row: [row["action"]]),
    ]


def share_columns(style: Style) -> list[Column]:
    """The columns of what was given to others."""
    return [*permission_columns(style), Column("USER", lambda row: [row["user"]])]


def role_columns() -> list[Column]:
    """The columns of a list of roles."""
    return [Column("ROLE", lambda row: [row["name"]])]
