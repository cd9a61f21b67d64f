"""Who may do what: actions, permissions, shares (API v1, chapter 8)."""

from __future__ import annotations

import enum

from yarl import URL

from neuro_sdk.wire.codec import Model


class Action(enum.StrEnum):
    """What one may do; each includes those before it."""

    READ = "read"
    WRITE = "write"
    MANAGE = "manage"

    def __repr__(self) -> str:
        return f"<Action.{self.name}: {self.value!r}>"


class Permission(Model, frozen=True):
    """An action on everything under a URI."""

    uri: URL
    action: Action


class Share(Model, frozen=True):
    """A permission that somebody was given."""

    user: str
    permission: Permission
