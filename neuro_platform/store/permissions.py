"""Who may do what with what is not his: grants on URIs, and the roles that hold some of them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, String, and_, delete, exists, func, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from neuro_platform.store.database import Database
from neuro_platform.store.schema import grants, jobs, roles, users
from neuro_platform.store.times import microseconds
from neuro_sdk.errors import Conflict, ResourceNotFound
from neuro_sdk.wire.names import is_utf8
from neuro_sdk.wire.users import Action

_ROLE: Final = "role://"


@dataclass(frozen=True)
class Grant:
    """A permission that somebody was given."""

    grantee: str
    uri: str
    action: Action
    owner: str | None
    granted_by: str


class PermissionStore:
    """All grants and roles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exists(self, name: str) -> bool:
        """Whether there is a user or a role of that name."""
        async with self._database.read() as conn:
            return await _exists(conn, name)

    async def subjects(self, name: str) -> list[str]:
        """Whose grants count for this user or role: its own, and those of all roles that it owns or has been given.

        A role may have been given others in turn; what has been given on a role is good for the roles below it.
        """
        found = select(literal(name).label("name")).cte("subjects", recursive=True)
        given = func.substr(grants.c.uri, len(_ROLE) + 1, type_=String)
        covered = or_(roles.c.name == given, _below(roles.c.name, given))
        held = and_(grants.c.grantee == found.c.name, _below(grants.c.uri, _ROLE.removesuffix("/")))
        found = found.union(
            select(roles.c.name).where(roles.c.owner == name),
            select(roles.c.name).select_from(found.join(grants, held).join(roles, covered)),
        )
        async with self._database.read() as conn:
            return list((await conn.execute(select(found.c.name))).scalars())

    async def highest(self, subjects: Sequence[str], uris: Iterable[str]) -> Action | None:
        """The most that any of these grants allows."""
        query = select(grants.c.action).where(grants.c.grantee.in_(subjects), grants.c.uri.in_(set(uris))).distinct()
        async with self._database.read() as conn:
            actions = [Action(text) for text in (await conn.execute(query)).scalars()]
        return max(actions, key=list(Action).index, default=None)

    async def owners(self, subjects: Sequence[str], scheme: str) -> list[str | None]:
        """Whose things of that kind the grants are about; ``None`` when some are about more than one user's."""
        query = select(grants.c.owner).where(grants.c.grantee.in_(subjects), _below(grants.c.uri, f"{scheme}:/"))
        async with self._database.read() as conn:
            return list((await conn.execute(query.distinct())).scalars())

    async def held(self, subjects: Sequence[str]) -> list[Grant]:
        """All grants of these users and roles."""
        return await self._select(grants.c.grantee.in_(subjects))

    async def given(self, user: str) -> list[Grant]:
        """What others may do with what is the user's, and what the user has given away of other things."""
        return await self._select(or_(grants.c.owner == user, grants.c.granted_by == user), grants.c.grantee != user)

    async def given_on(self, uri: str) -> list[Grant]:
        """What has been given of this and of all below it."""
        return await self._select(_at_or_below(grants.c.uri, uri))

    async def find(self, grantee: str, uri: str) -> Grant | None:
        """The grant on exactly this."""
        found = await self._select(grants.c.grantee == grantee, grants.c.uri == uri)
        return found[0] if found else None

    async def add(self, wanted: Sequence[Grant], now: datetime) -> list[Grant]:
        """Store all of them, or none when there is no such user or role; what allows more already stays as it is."""
        after = []
        async with self._database.write() as conn:
            for grant in wanted:
                if not await _exists(conn, grant.grantee):
                    raise ResourceNotFound(f"No user or role named {grant.grantee!r}")
                which = (grants.c.grantee == grant.grantee, grants.c.uri == grant.uri)
                row = (await conn.execute(select(grants).where(*which))).one_or_none()
                if row is None:
                    await conn.execute(insert(grants).values(**_values(grant), created_us=microseconds(now)))
                elif (before := _grant(row)).action.includes(grant.action):
                    after.append(before)
                    continue
                else:
                    await conn.execute(update(grants).where(*which).values(**_values(grant)))
                after.append(grant)
        return after

    async def remove(self, grantee: str, uri: str) -> bool:
        """Take back the grant on exactly this; False when there was none."""
        which = (grants.c.grantee == grantee, grants.c.uri == uri)
        async with self._database.write() as conn:
            return bool((await conn.execute(delete(grants).where(*which))).rowcount)

    async def add_role(self, name: str, owner: str, now: datetime) -> None:
        """Store a new role; Conflict when there is one of the name, ResourceNotFound without its owner."""
        async with self._database.write() as conn:
            if not await _exists(conn, owner):
                raise ResourceNotFound(f"No user named {owner!r}")
            if await _exists(conn, name):
                raise Conflict(f"There is a role {name!r} already")
            await conn.execute(insert(roles).values(name=name, owner=owner, created_us=microseconds(now)))

    async def remove_role(self, name: str) -> bool:
        """Remove a role with what it was given, and take it from those who have it; False when there was none."""
        async with self._database.write() as conn:
            await conn.execute(delete(grants).where(or_(grants.c.grantee == name, grants.c.uri == _ROLE + name)))
            return bool((await conn.execute(delete(roles).where(roles.c.name == name))).rowcount)

    async def is_role(self, name: str) -> bool:
        """Whether there is a role of that name."""
        async with self._database.read() as conn:
            return (await conn.execute(select(roles.c.name).where(roles.c.name == name))).one_or_none() is not None

    async def roles_below(self, name: str) -> list[str]:
        """The roles whose names begin with this name and a slash, in order."""
        query = select(roles.c.name).where(_below(roles.c.name, name)).order_by(roles.c.name)
        async with self._database.read() as conn:
            return list((await conn.execute(query)).scalars())

    async def _select(self, *conditions: ColumnElement[bool]) -> list[Grant]:
        query = select(grants).where(*conditions).order_by(grants.c.uri, grants.c.grantee)
        async with self._database.read() as conn:
            return [_grant(row) for row in await conn.execute(query)]


async def forget_user(conn: AsyncConnection, name: str) -> None:
    """Remove within a transaction all that the user and his roles were given, and what others were given of his.

    Whoever gets the name later begins with nothing, and shares nothing.
    """
    theirs = or_(grants.c.grantee == name, _below(grants.c.grantee, name), grants.c.owner == name)
    await conn.execute(delete(grants).where(theirs))
    await conn.execute(delete(roles).where(roles.c.owner == name))


def may_read(subjects: Sequence[str]) -> ColumnElement[bool]:
    """Whether any of these has been given a job: for queries over the table of jobs."""
    tree = literal("job://") + jobs.c.cluster
    user = tree + "/" + jobs.c.owner
    uris = (tree, user, user + "/" + jobs.c.id, user + "/" + jobs.c.name)
    return exists().where(grants.c.grantee.in_(subjects), grants.c.uri.in_(uris))


async def _exists(conn: AsyncConnection, name: str) -> bool:
    if "\0" in name or not is_utf8(name):  # which not every database would even compare
        return False
    query = select(users.c.name).where(users.c.name == name)
    role = select(roles.c.name).where(roles.c.name == name)
    return (await conn.execute(query.union_all(role))).first() is not None


def _below(column: ColumnElement[str], name: ColumnElement[str] | str) -> ColumnElement[bool]:
    """Whether the text begins with the name and a slash; the character after the slash is the digit 0."""
    return and_(column > name + "/", column < name + "0")


def _at_or_below(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    return or_(column == name, _below(column, name))


def _grant(row: Row[Any]) -> Grant:
    return Grant(row.grantee, row.uri, Action(row.action), row.owner, row.granted_by)


def _values(grant: Grant) -> dict[str, Any]:
    return {
        "grantee": grant.grantee,
        "uri": grant.uri,
        "action": str(grant.action),
        "owner": grant.owner,
        "granted_by": grant.granted_by,
    }
