"""Sharing: who may do what with your jobs, and with those of others; roles hold such permissions together."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from yarl import URL

from neuro_sdk._core import Core
from neuro_sdk._private import NoPublicConstructor
from neuro_sdk._transport import Params, place
from neuro_sdk.attach import segment
from neuro_sdk.config import Config
from neuro_sdk.errors import ClientError, IllegalArgumentError
from neuro_sdk.wire.codec import decode
from neuro_sdk.wire.users import Permission, Share, Shared, Subroles

_NO_NAME = "neither the name of a user nor that of a role, such as alice or alice/team"


class Users(metaclass=NoPublicConstructor):
    """``client.users``.

    A permission is an action on a full URI such as ``job://CLUSTER/USER/NAME``, and is good for all below it.
    Wherever a user is asked for, a role will do, as ``alice/team``; a name with a colon is a ``ValueError``.
    """

    def __init__(self, core: Core, config: Config) -> None:
        self._core = core
        self._config = config

    async def get_acl(self, user: str, scheme: str | None = None, *, uri: URL | None = None) -> Sequence[Permission]:
        """What a user may do, by roles too; at most within a URI, or with a kind of thing such as ``job``.

        Of somebody else a platform may show only some of it. Raises ResourceNotFound for an unknown user.
        """
        url = self._user(user) / "permissions"
        return await self._core.call("GET", url, params=_within(scheme, uri), into=list[Permission])

    async def get_shares(self, user: str, scheme: str | None = None, *, uri: URL | None = None) -> Sequence[Share]:
        """What a user has given to others; arguments and errors as of :meth:`get_acl`."""
        url = self._user(user) / "permissions" / "shared"
        found = await self._core.call("GET", url, params=_within(scheme, uri), into=list[Shared])
        return [item.share for item in found]

    async def share(self, user: str, permission: Permission) -> Permission:
        """Give a user a permission; what the user has on that URI then, which may be more than was asked for.

        Raises ResourceNotFound for a user or a thing that is not there or that you may not see, AuthorizationError for
        one that you may see and not share.
        """
        url = self._user(user) / "permissions"
        body = await self._ask("POST", url, HTTPStatus.CREATED, json=[permission], repeat=True)
        granted = decode(body, list[Permission]) if body else []  # what a platform of 2020 answers
        return granted[0] if granted else permission

    async def revoke(self, user: str, uri: URL) -> None:
        """Take back what the user was given on exactly this URI; that there is nothing is an IllegalArgumentError."""
        await self._ask("DELETE", self._user(user) / "permissions", HTTPStatus.NO_CONTENT, params={"uri": str(uri)})

    async def add(self, role_name: str) -> None:
        """Make a role; its name begins with that of its owner, as ``alice/team``."""
        _check(role_name)
        await self._ask("POST", self._config.api_url / "users", HTTPStatus.CREATED, json={"name": role_name})

    async def remove(self, role_name: str) -> None:
        """Remove a role, and with it what it allowed to those who had it."""
        await self._ask("DELETE", self._user(role_name), HTTPStatus.NO_CONTENT)

    async def get_subroles(self, user: str) -> Sequence[str]:
        """The roles below a user or a role, that is, whose names begin with that name and a slash."""
        return (await self._core.call("GET", self._user(user) / "subroles", into=Subroles)).subroles

    async def _ask(
        self,
        method: str,
        url: URL,
        expected: HTTPStatus,
        *,
        params: Params | None = None,
        json: object = None,
        repeat: bool = False,
    ) -> bytes:
        """Ask for a change; only the documented status says that it was made."""
        async with self._core.open(method, url, params=params, json=json, repeat=repeat) as response:
            if response.status != expected:
                raise ClientError(
                    f"{place(url)} answered {response.status}, not {expected.value}: was anything changed?"
                )
            return await response.read()

    def _user(self, name: str) -> URL:
        _check(name)
        return self._config.api_url / "users" / segment(name.replace("/", ":"), _NO_NAME)


def _check(name: str) -> None:
    if ":" in name or not name:
        raise IllegalArgumentError(f"{name!r} is {_NO_NAME}")


def _within(scheme: str | None, uri: URL | None) -> Params | None:
    if scheme is not None and uri is not None:
        raise IllegalArgumentError("Give either a scheme or a URI, not both")
    if scheme is not None:
        return {"uri": f"{scheme}:"}
    return None if uri is None else {"uri": str(uri)}
