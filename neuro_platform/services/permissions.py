"""Who may do what: the owner of a thing everything, others what they were given of it or of what it lies in.

Read is to see a thing, write to change it and to talk to it, manage to share it; each includes those before it. Of a
thing that a user may not even read, nothing is said, not even that it is there: that is ResourceNotFound. Where it may
be read but not more, AuthorizationError says which permission is missing (API v1, chapters 1.3 and 8).

The names of users and roles are no secret: they are what one shares with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from yarl import URL

from neuro_platform.services.clusters import Clusters
from neuro_platform.store.jobs import JobStore
from neuro_platform.store.permissions import Grant, PermissionStore
from neuro_sdk.errors import (
    AuthorizationError,
    IllegalArgumentError,
    NeuroError,
    NotSupportedError,
    ResourceNotFound,
)
from neuro_sdk.wire.names import JOB_NAME, ROLE_NAME, is_job_id
from neuro_sdk.wire.uris import CLUSTER_SCHEMES, Resource
from neuro_sdk.wire.users import Action, Permission, Shared

if TYPE_CHECKING:
    from neuro_platform.auth.service import User
    from neuro_sdk.wire.jobs import JobDescription

SHARED_SCHEMES: Final = ("job", "role")  # what there is to share on this platform; grants know no difference

_MOST_AT_ONCE: Final = 1000  # permissions in one request


@dataclass(frozen=True)
class Use:
    """What somebody was allowed to do with a thing of somebody else."""

    user: User
    action: Action
    names: Sequence[Resource]


_noted: ContextVar[list[Use] | None] = ContextVar("uses", default=None)


@contextmanager
def noted() -> Iterator[Sequence[Use]]:
    """Note all that is allowed within the block, so that it can be asked again whether it still is."""
    uses: list[Use] = []
    token = _noted.set(uses)
    try:
        yield uses
    finally:
        _noted.reset(token)


@dataclass(frozen=True)
class Reach:
    """How far a user's right to read goes, for listings."""

    subjects: Sequence[str]  # the user first
    owners: Sequence[str] | None  # of whom there may be something to see, the user first; ``None``: of anybody


class Permissions:
    """All that has to do with who may do what; every service asks here before it does anything for a user."""

    def __init__(
        self, store: PermissionStore, jobs: JobStore, clusters: Clusters, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._clusters = clusters
        self._now = clock

    async def action_on(self, user: User, *names: Resource) -> Action | None:
        """The most that the user may do with a thing; ``None`` when the user may not know of it.

        A thing that has several names is given by all of them.
        """
        if any(name.owner == user.name for name in names):
            return Action.MANAGE
        uris = {uri for name in names for uri in name.covering}
        return await self._store.highest(await self._store.subjects(user.name), uris)

    async def require(self, user: User, action: Action, *names: Resource, unknown: NeuroError) -> None:
        """Return if the user may do this; raise ``unknown`` if not even see it, and else AuthorizationError."""
        has = await self.action_on(user, *names)
        if has is None:
            raise unknown
        if not has.includes(action):
            uri = str(names[0])
            raise AuthorizationError(
                f"This takes the permission {action} on {uri}, and you have {has}: 'neuro share {uri} {user.name}"
                f" {action}' by its owner gives it to you",
                missing=[{"uri": uri, "action": str(action)}],
            )
        uses = _noted.get()
        if uses is not None and all(name.owner != user.name for name in names):
            uses.append(Use(user, action, names))

    async def still_allow(self, use: Use) -> bool:
        """Whether what was allowed would be allowed again."""
        has = await self.action_on(use.user, *use.names)
        return has is not None and has.includes(use.action)

    async def reach(self, user: User, scheme: str) -> Reach:
        """Whose things of a kind the user may see, as far as can be said without looking at each."""
        subjects = await self._store.subjects(user.name)
        subjects = [user.name, *(name for name in subjects if name != user.name)]
        owners = await self._store.owners(subjects, scheme)
        if None in owners:
            return Reach(subjects, None)
        return Reach(subjects, [user.name, *(name for name in owners if name is not None and name != user.name)])

    async def of(self, user: User, subject: str, within: str | None = None) -> list[Permission]:
        """What a user or a role may do, also by its roles; ``within`` a URI or a scheme.

        Of others only what is about things that the asking user manages.
        """
        await self._known(subject)
        held = await self._store.held(await self._store.subjects(subject))
        found = dict.fromkeys(self._own(user), Action.MANAGE) if subject == user.name else {}
        for grant in await self._visible(user, subject, held):
            before = found.get(grant.uri)
            found[grant.uri] = grant.action if before is None or grant.action.includes(before) else before
        matches = _filter(within)
        return [Permission(URL(uri), found[uri]) for uri in sorted(found) if matches(uri)]

    async def shared(self, user: User, subject: str, within: str | None = None) -> list[Shared]:
        """What a user or a role has given to others, as far as :meth:`of` would show it."""
        await self._known(subject)
        if await self._store.is_role(subject):
            given = await self._store.given_on(str(_role(subject)))
        else:
            given = await self._store.given(subject)
        matches = _filter(within)
        return [
            Shared(grant.grantee, URL(grant.uri), grant.action)
            for grant in await self._visible(user, subject, given)
            if matches(grant.uri)
        ]

    async def grant(self, user: User, grantee: str, wanted: Sequence[tuple[str, Action]]) -> list[Permission]:
        """Give all of these or none; what the grantee has then, which may be more than was asked for."""
        if not 0 < len(wanted) <= _MOST_AT_ONCE:
            raise IllegalArgumentError(f"Give a list of 1 to {_MOST_AT_ONCE} permissions")
        await self._known(grantee)
        grants = []
        for text, action in wanted:
            resource = self._shareable(text)
            await self._require_manage(user, resource)
            if _is_job_id(resource) and await self._job(resource) is None:
                raise ResourceNotFound(f"No job {resource}: 'neuro ps --all' lists yours")
            if resource.owner == grantee:
                raise IllegalArgumentError(f"{resource} is {grantee}'s own: there is nothing to give")
            if resource == _role(grantee):
                raise IllegalArgumentError(f"The role {grantee!r} cannot be given to itself")
            grants.append(Grant(grantee, str(resource), action, resource.owner, user.name))
        return [Permission(URL(grant.uri), grant.action) for grant in await self._store.add(grants, self._now())]

    async def revoke(self, user: User, grantee: str, text: str) -> None:
        """Take back what was given on exactly this URI; everybody may give up what was given to them."""
        await self._known(grantee)
        resource = Resource.parse(text)
        if grantee != user.name:
            await self._require_manage(user, resource)
        if not await self._store.remove(grantee, str(resource)):
            wider = await self._wider(grantee, resource)
            raise IllegalArgumentError(f"{grantee} was given nothing on {resource}{wider}")

    async def add_role(self, user: User, name: str) -> None:
        """Make a role; it belongs to the user whose name it begins with."""
        if "/" not in name:
            raise IllegalArgumentError(
                f"The name of a role begins with its owner's: {name!r} could be called {user.name}/{name}"
            )
        role = _role(ROLE_NAME.check(name))
        if not (await self.action_on(user, role) or Action.READ).includes(Action.MANAGE):
            raise AuthorizationError(
                f"Your roles begin with your name, as {user.name}/{name.partition('/')[2]} does",
                missing=[{"uri": str(role), "action": str(Action.MANAGE)}],
            )
        await self._store.add_role(name, role.host, self._now())

    async def remove_role(self, user: User, name: str) -> None:
        """Remove a role, and with it what it allowed to those who had it."""
        if not await self._store.is_role(name):
            if await self._store.exists(name):
                raise IllegalArgumentError(f"{name!r} is a user and no role: the platform's operator removes users")
            raise ResourceNotFound(f"No role named {name!r}: 'neuro acl list-roles' lists yours")
        await self._require_manage(user, _role(name))
        await self._store.remove_role(name)

    async def roles(self, user: User, subject: str) -> list[str]:
        """The roles below a user or a role, as far as the asking user may see them."""
        await self._known(subject)
        found = await self._store.roles_below(subject)
        return [name for name in found if await self.action_on(user, _role(name)) is not None]

    async def _known(self, subject: str) -> None:
        if not await self._store.exists(subject):
            raise ResourceNotFound(f"No user or role named {subject!r}")

    async def _require_manage(self, user: User, resource: Resource) -> None:
        job = await self._job(resource)
        names = [resource] if job is None else names_of(job)
        await self.require(
            user, Action.MANAGE, *names, unknown=ResourceNotFound(f"There is no {resource} that you could share")
        )

    async def _job(self, resource: Resource) -> JobDescription | None:
        """The job whose id the URI has, if it is there."""
        if not _is_job_id(resource):
            return None
        record = await self._jobs.by_id(resource.path[1])
        return record.job if record is not None and names_of(record.job)[0] == resource else None

    async def _visible(self, user: User, subject: str, found: Iterable[Grant]) -> list[Grant]:
        """Those grants of a subject, or by one, that the user may know of."""
        if subject == user.name or (
            await self._store.is_role(subject) and await self.action_on(user, _role(subject)) is not None
        ):
            return list(found)
        held = await self._store.held(await self._store.subjects(user.name))
        managed = {grant.uri for grant in held if grant.action is Action.MANAGE}
        return [
            grant
            for grant in found
            if grant.owner == user.name or not managed.isdisjoint(Resource.parse(grant.uri).covering)
        ]

    def _own(self, user: User) -> list[str]:
        """What the user may do everything with, without having been given it."""
        trees = [Resource("job", cluster, (user.name,)) for cluster in self._clusters.names]
        return [str(tree) for tree in (*trees, _role(user.name))]

    def _shareable(self, text: str) -> Resource:
        """What a URI names, if it can be shared here."""
        resource = Resource.parse(text)
        scheme, host, path = resource
        if scheme not in SHARED_SCHEMES:
            there = " and ".join(f"{name}:" for name in SHARED_SCHEMES)
            known = scheme in CLUSTER_SCHEMES
            raise NotSupportedError(
                f"{text!r} cannot be shared: this platform has {'no ' if known else 'nothing called '}{scheme}: yet;"
                f" it shares {there}"
            )
        if scheme == "role":
            if path:
                ROLE_NAME.check("/".join((host, *path)))
            return resource
        if host not in self._clusters.names:
            raise ResourceNotFound(f"No cluster {host!r}; there is {', '.join(self._clusters.names)}")
        if len(path) > 2:
            raise IllegalArgumentError(f"{text!r} names no job: write job://CLUSTER/USER/NAME")
        if len(path) == 2 and not _is_job_id(resource):
            JOB_NAME.check(path[1])
        return resource

    async def _wider(self, grantee: str, resource: Resource) -> str:
        """Where a permission comes from that cannot be taken back by this URI."""
        for uri in reversed(resource.covering[:-1]):
            grant = await self._store.find(grantee, uri)
            if grant is not None:
                return f"; what {grantee} has is {grant.action} on {uri}"
        return ""


def names_of(job: JobDescription) -> list[Resource]:
    """The URIs by which a job can be shared: by its id, and by its name, which is shared by all jobs of that name."""
    names = [job.id] if job.name is None else [job.id, job.name]
    return [Resource("job", job.cluster_name, (job.owner, name)) for name in names]


def _is_job_id(resource: Resource) -> bool:
    return resource.scheme == "job" and len(resource.path) == 2 and is_job_id(resource.path[1])


def _role(name: str) -> Resource:
    user, *path = name.split("/")
    return Resource("role", user, tuple(path))


def _filter(within: str | None) -> Callable[[str], bool]:
    """Which URIs are meant by one of them, or by a scheme as ``job``, ``job:`` or ``job://``."""
    if not within:
        return lambda _: True
    scheme = within.removesuffix("//").removesuffix(":").lower()
    if scheme.isalpha():
        return lambda uri: uri.startswith(f"{scheme}://")
    resource = Resource.parse(within)
    return lambda uri: resource.covers(Resource.parse(uri))
