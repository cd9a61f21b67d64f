"""Publishing a port of a job over HTTP: under which names, to whom, and where it is at this moment."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from yarl import URL

from neuro_platform.engines.base import Handle, Reachable
from neuro_platform.services.clusters import Clusters
from neuro_platform.services.permissions import Permissions, names_of
from neuro_platform.store.jobs import JobStore, Phase, Record
from neuro_sdk.errors import NotSupportedError, ResourceNotFound, ServerNotAvailable
from neuro_sdk.wire.codec import replace
from neuro_sdk.wire.jobs import JobDescription
from neuro_sdk.wire.names import is_job_id
from neuro_sdk.wire.users import Action

if TYPE_CHECKING:
    from neuro_platform.auth.service import User

_LABEL: Final = re.compile(r"[a-z0-9](-{0,2}[a-z0-9])*")
_LONGEST: Final = 63  # characters of a part of a host's name
_SEPARATOR: Final = "--"  # neither a job's name nor a user's has two hyphens in a row


class NotStarted(ServerNotAvailable):
    """The job waits for its turn, or is about to be started again."""

    status = 503


class NotListening(ServerNotAvailable):
    """The job runs, but nothing of it answers at its port."""

    status = 502


@dataclass(frozen=True)
class Site:
    """A job that publishes a port."""

    job: JobDescription
    handle: Handle | None  # while it runs


class Addresses:
    """The names at which jobs publish their ports, each a host below one name: every job is an origin of its own."""

    def __init__(self, base: URL | None) -> None:
        """``base`` has the scheme, the name and the port; without one, nothing can be published."""
        self._base = base

    @property
    def base(self) -> URL:
        """What all addresses have in common; NotSupportedError where there is nothing."""
        if self._base is None:
            raise NotSupportedError(
                "This platform cannot publish ports of jobs: it has no name for them. Leave that out, or have its"
                " operator set jobs_url in platform.toml"
            )
        return self._base

    def label(self, host: str) -> str | None:
        """The part of a host's name that says which job; None for a name that no job can have."""
        if self._base is None:
            return None
        label, dot, rest = host.partition(".")
        fits = dot and rest == self._base.host and len(label) <= _LONGEST and _LABEL.fullmatch(label)
        return label if fits else None

    def url(self, label: str) -> URL:
        """The address of a job."""
        return self.base.with_host(f"{label}.{self.base.host}")

    def given(self, job: JobDescription) -> JobDescription:
        """The job with the addresses at which its port is published; NotSupportedError where that cannot be."""
        if job.container.http is None:
            return job
        named = self.url(f"{job.name}{_SEPARATOR}{job.owner}") if job.name else URL()
        return replace(job, plain_http_url=self.url(job.id), http_url_named=named)


class Publishing:
    """What the proxy in front of published ports has to know."""

    def __init__(self, store: JobStore, clusters: Clusters, permissions: Permissions, addresses: Addresses) -> None:
        self.addresses = addresses
        self._permissions = permissions
        self._store = store
        self._clusters = clusters
        self._found: dict[str, Site] = {}  # by label; a page asks for many things at once
        self._changes = 0
        store.subscribe(self._changed)

    async def open(self) -> None:
        """See to it that jobs that run tell their present addresses: the platform may have got another port."""
        for record in await self._store.unfinished():
            if record.job.container.http is not None:
                await self._store.change(record.job.id, self._readdressed)

    async def find(self, label: str) -> Site | None:
        """The job that is published under this label, whoever asks: by its id, or the newest of a name and owner.

        To whom it may not be shown it must look like none: ask :meth:`admit`, for what is behind a login.
        """
        if (found := self._found.get(label)) is not None:
            return found
        name, separator, owner = label.partition(_SEPARATOR)
        changes = self._changes
        if separator:
            record = await self._store.get(owner, name)
        else:
            record = await self._store.by_id(label) if is_job_id(label) else None
        if record is None or record.job.container.http is None:
            return None
        site = Site(record.job, record.handle if record.phase is Phase.STARTED else None)
        if changes == self._changes:  # else this may be old already
            self._found[label] = site
        return site

    async def admit(self, user: User, site: Site | None) -> Site:
        """The site, if the user may use what is behind a login there: to do so is to talk to the job.

        AuthorizationError says which permission is missing, ResourceNotFound that there is nothing the user may see.
        """
        unknown = ResourceNotFound("No job publishes a port at this address, or it is not shared with you")
        if site is None:
            raise unknown
        await self._permissions.require(user, Action.WRITE, *names_of(site.job), unknown=unknown)
        return site

    async def reach(self, site: Site) -> tuple[str, int]:
        """Where the job's port is; NotStarted, NotListening, or ResourceNotFound when the job has ended."""
        job, http = site.job, site.job.container.http
        if job.status.is_finished:
            raise ResourceNotFound(f"The job has ended ({job.status}): start it anew to use it")
        if job.status.is_pending or site.handle is None or http is None:
            raise NotStarted(f"The job has not started yet ({job.summary.reason or job.status})")
        engine = self._clusters.engine(job.cluster_name)
        if engine is None or not isinstance(engine, Reachable):
            raise NotListening(f"The cluster {job.cluster_name!r} cannot publish ports any more")
        try:
            return await engine.reach(site.handle, http.port)
        except ResourceNotFound as exc:
            # everybody may read this where no login is asked for, and it says at which other ports the job listens
            said = str(exc) if http.requires_auth else f"Nothing of the job answers at port {http.port}"
            raise NotListening(f"{said}. It may still be getting ready") from exc

    def _changed(self, _: Record) -> None:
        """Any job may be the newest of its name now, or have ended."""
        self._changes += 1
        self._found.clear()

    def _readdressed(self, record: Record) -> Record:
        try:
            return dataclasses.replace(record, job=self.addresses.given(record.job))
        except NotSupportedError:
            none = replace(record.job, plain_http_url=URL(), http_url_named=URL())
            return dataclasses.replace(record, job=none)
