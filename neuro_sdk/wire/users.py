"""Who may do what: actions, permissions, shares (API v1, chapter 8)."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from yarl import URL

from neuro_sdk.wire.codec import Model


class Action(enum.StrEnum):
    """What one may do; each includes those before it."""

    READ = "read"
    WRITE = "write"
    MANAGE = "manage"

    def includes(self, other: Action) -> bool:
        """Whether who may do this may also do the other. (``<`` would compare the words by alphabet.)"""
        order = list(Action)
        return order.index(self) >= order.index(other)

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


class Shared(Model, frozen=True):
    """A :class:`Share` as it is sent."""

    user: str
    uri: URL
    action: Action

    @property
    def share(self) -> Share:
        return Share(self.user, Permission(self.uri, self.action))


class Subroles(Model, frozen=True, omit_defaults=False):
    """The answer of ``GET {api}/users/{user}/subroles``."""

    subroles: Sequence[str]
