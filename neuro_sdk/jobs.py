"""Jobs: start, look, stop. What flows out of them and into them while they run is in ``attach``."""

from __future__ import annotations

import asyncio
import builtins
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from yarl import URL

from neuro_sdk._core import Core, lines
from neuro_sdk._listing import Listing
from neuro_sdk._logs import moment
from neuro_sdk._orders import Orders, minutes
from neuro_sdk._patience import BROKEN, SILENCE, Patience
from neuro_sdk._private import NoPublicConstructor
from neuro_sdk.attach import Streams, segment
from neuro_sdk.config import Config
from neuro_sdk.errors import IllegalArgumentError, NDJSONError, NotSupportedError, ResourceNotFound, StreamLost
from neuro_sdk.parser import Parser
from neuro_sdk.wire.codec import ImageReader, Model, decode, load
from neuro_sdk.wire.frames import LOGS_FEATURE
from neuro_sdk.wire.images import RemoteImage
from neuro_sdk.wire.jobs import (
    AGES_FEATURE,
    BROWSE_FEATURE,
    WAIT_FEATURE,
    JobDescription,
    JobOpening,
    JobStatus,
    job_from_plain,
    read_job,
)
from neuro_sdk.wire.names import is_job_id, is_utf8
from neuro_sdk.wire.reasons import DRY_RUN_FEATURE, WHY_FEATURE, JobPlan, JobReason
from neuro_sdk.wire.streams import SavedContainer, SaveOrder

_WAIT: Final = 60  # seconds of one question
_POLL: Final = 1.0  # seconds between two, where the platform answers at once

if TYPE_CHECKING:
    from neuro_sdk.image_progress import AbstractDockerImageProgress


class _Tags(Model, frozen=True):
    tags: Sequence[str]


class _Listed(Model, frozen=True):
    jobs: Sequence[dict[str, Any]]


class DryRun(Orders[JobPlan], metaclass=NoPublicConstructor):
    """``client.jobs.dry_run``: what a platform would do with a submission; nothing is started or stored."""

    async def _submit(self, document: Mapping[str, Any], *, from_preset: bool) -> JobPlan:
        if DRY_RUN_FEATURE not in self._core.features:
            raise NotSupportedError("This platform cannot say beforehand what it would do with a job")
        url = self._config.api_url / "jobs/dry-run"
        return await self._core.call(
            "POST",
            url.with_query("from_preset") if from_preset else url,
            json=document,
            into=JobPlan,
            repeat=True,
        )


class Jobs(Streams, Orders[JobDescription], metaclass=NoPublicConstructor):
    """``client.jobs``."""

    def __init__(self, core: Core, config: Config, parse: Parser) -> None:
        Streams.__init__(self, core, config)
        Orders.__init__(self, core, config, parse)

    def list(
        self,
        *,
        statuses: Iterable[JobStatus] = (),
        name: str | None = None,
        tags: Iterable[str] = (),
        owners: Iterable[str] = (),
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        reverse: bool = False,
        limit: int | None = None,
        cluster_name: str | None = None,
        org_names: Iterable[str] = (),
        project_names: Iterable[str] = (),
    ) -> Listing[JobDescription]:
        """Jobs of the current cluster or another one, oldest first; without a filter all that the user may see.

        ``since`` and ``until`` are inclusive and about creation; without a time zone they are local times, and a
        timedelta is so long ago, by the platform's clock where it can (feature ``ages-1``). ``tags`` must all be there.
        Jobs arrive one by one, however many there are. Raises AuthorizationError for an organisation or a project that
        our platform does not have.
        """
        return self._list(
            statuses=statuses,
            name=name,
            tags=tags,
            owners=owners,
            since=since,
            until=until,
            reverse=reverse,
            limit=limit,
            cluster_name=cluster_name,
            org_names=org_names,
            project_names=project_names,
        )

    async def status(self, id: str) -> JobDescription:  # noqa: A002
        """The job as it is now."""
        return read_job(await self._core.call("GET", self._job(id)), images=self._parse.image_reader())

    async def why(self, id: str) -> JobReason:  # noqa: A002
        """Why a job waits, or how it ended, and what would change that.

        Raises NotSupportedError where the platform does not say (feature ``why-1``).
        """
        if WHY_FEATURE not in self._core.features:
            raise NotSupportedError(
                "This platform does not say why its jobs wait; 'neuro status' shows what it does say"
            )
        return await self._core.call("GET", self._job(id) / "why", into=JobReason)

    @cached_property
    def dry_run(self) -> DryRun:
        """The same ``start`` and ``run``, which only say what would come of it."""
        return DryRun._create(self._core, self._config, self._parse)

    async def wait(
        self,
        id: str,  # noqa: A002
        *,
        statuses: Iterable[JobStatus] = (),
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> JobDescription:
        """The job as soon as it has one of the statuses, or is finished; see which in the answer.

        Goes on when the connection breaks and when the platform is started again. Raises TimeoutError when it took
        more than ``timeout`` seconds (0: look once), and StreamLost when the platform stayed away.
        """
        wanted = {*JobStatus.finished_items(), *statuses}
        job = await self.status(id)
        patience = Patience(self._core, "the platform")
        patience.heard()
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        try:
            async with asyncio.timeout_at(deadline):
                while job.status not in wanted:
                    try:
                        job = await self._status_later(id, wanted, patience)
                    except BROKEN as exc:
                        await patience.wait(exc)
        except TimeoutError as exc:
            raise TimeoutError(f"{id} is still {job.status.value} after {timeout:g} s") from exc
        return job

    async def tags(self) -> builtins.list[str]:
        """All tags of the user's jobs."""
        return builtins.list((await self._core.call("GET", self._api("tags"), into=_Tags)).tags)

    async def kill(self, id: str) -> None:  # noqa: A002
        """Ask the job to stop. Killing a finished job is not an error."""
        await self._core.call("DELETE", self._job(id), repeat=True)

    async def bump_life_span(self, id: str, additional_life_span: float) -> None:  # noqa: A002
        """Let the job run for so many seconds more, sent as whole minutes."""
        await self._core.call(
            "PUT",
            self._job(id) / "max_run_time_minutes",
            json={"additional_max_run_time_minutes": minutes(additional_life_span)},
        )

    async def save(
        self,
        id: str,  # noqa: A002
        image: RemoteImage,
        *,
        progress: AbstractDockerImageProgress | None = None,
    ) -> None:
        """Make an image of a running job's container, in the platform's own registry (API v1, chapter 6.9).

        Raises :class:`~neuro_sdk.errors.DockerError` when that fails or the platform breaks off, NotSupportedError
        where jobs have no containers.
        """
        from neuro_sdk._saving import Silent, follow  # seldom needed

        if image.owner is None:
            raise IllegalArgumentError(f"Image {str(image)!r} must be in the neuro registry")
        url = self._config.monitoring_url / segment(id) / "save"
        order = SaveOrder(SavedContainer(image.as_docker_url()))
        headers = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity"}
        async with self._core.open("POST", url, json=order, headers=headers, timeout=self._core.patient) as response:
            try:
                images = self._parse.image_reader()
                await follow(lines(response), id, image, images=images, progress=progress or Silent())
            except BROKEN as exc:
                raise StreamLost(f"How the saving of {id} went is not known: {exc}") from exc

    async def send_signal(self, id: str, signal: str | int) -> None:  # noqa: A002
        """Send a signal to the job's program, by number or by name such as ``SIGKILL``."""
        url = self._config.monitoring_url / segment(id) / "kill"
        await self._core.call("POST", url, params={"signal": str(signal)})

    async def browse(self, id: str) -> JobOpening:  # noqa: A002
        """An address that opens what a job publishes over HTTP, in any browser, without asking for a login.

        It is good once, and for as many seconds as it says; a server that makes no such addresses gives the lasting
        one, where a browser has to log in. The job need not have started. Raises ResourceNotFound for a job that
        publishes nothing, AuthorizationError for one that the user may read but not use.
        """
        if BROWSE_FEATURE in self._core.features:
            return await self._core.call("POST", self._job(id) / "open", into=JobOpening, repeat=True)
        job = await self.status(id)
        if not job.http_url:
            raise ResourceNotFound(f"{job.id} publishes no port")
        return JobOpening(url=job.http_url)

    async def get_capacity(self) -> Mapping[str, int]:
        """For each preset, roughly how many more jobs would start at once."""
        return await self._core.call("GET", self._config.monitoring_url / "capacity", into=dict[str, int])

    def logs_by_name(self, job: str) -> bool:
        """Whether :meth:`logs` takes this name as it is, for the job that :meth:`resolve` would find."""
        is_name = is_utf8(job) and not is_job_id(job) and not job.startswith("job:")
        return is_name and LOGS_FEATURE in self._core.features and len(self._config.clusters) == 1

    async def resolve(self, job: str) -> str:
        """The id of a job that is given by id, by name or by ``job:`` URI; of several with a name, the newest.

        A name of ours that is not found is returned as it is: the platform may know better, or says that there is none.
        One of another user or cluster raises ResourceNotFound, for the name alone would be taken for ours.
        """
        if is_job_id(job):
            return job
        if not is_utf8(job):
            raise IllegalArgumentError(f"{job!r} is neither the id nor the name of a job")
        name, owner, cluster = job, self._config.username, self._config.cluster_name
        if job.startswith("job:"):
            url = self._parse.uri(job, "job")
            owner, _, name = url.path.lstrip("/").partition("/")
            cluster = url.host or cluster
            if not name or "/" in name:
                raise IllegalArgumentError(f"{job!r} names no job: write job://CLUSTER/USER/NAME, or the name alone")
            if is_job_id(name):
                return name
        found = self._list(name=segment(name), owners=(owner,), reverse=True, limit=1, cluster_name=cluster)
        job_id = None
        async with found:
            async for description in found:  # to the end, so that the connection can be used again
                if job_id is not None:
                    break  # of a platform that knows no limit
                if description.name == name:  # a platform may know no such filter, and the wrong job may be killed
                    job_id = description.id
        if job_id is not None:
            return job_id
        if (owner, cluster) != (self._config.username, self._config.cluster_name):
            raise ResourceNotFound(f"No job {name!r} of {owner} on the cluster {cluster}")
        return name

    def _list(
        self,
        *,
        statuses: Iterable[JobStatus] = (),
        name: str | None = None,
        tags: Iterable[str] = (),
        owners: Iterable[str] = (),
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        reverse: bool = False,
        limit: int | None = None,
        cluster_name: str | None = None,
        org_names: Iterable[str] = (),
        project_names: Iterable[str] = (),
    ) -> Listing[JobDescription]:
        params = [
            *(("status", status.value) for status in statuses),
            *(("owner", owner) for owner in owners),
            *(("tag", tag) for tag in tags),
            *(("org_name", name) for name in org_names),
            *(("project_name", name) for name in project_names),
        ]
        if name:
            params.append(("name", name))
        params += [(key, self._moment(time)) for key, time in (("since", since), ("until", until)) if time is not None]
        if reverse:
            params.append(("reverse", "1"))
        if limit is not None:
            params.append(("limit", str(limit)))
        return Listing(self._listed(params, cluster_name))

    def _moment(self, time: datetime | timedelta) -> str:
        if isinstance(time, timedelta) and AGES_FEATURE not in self._core.features:
            time = datetime.now(UTC) - time
        return moment(time)

    async def _listed(
        self, params: Sequence[tuple[str, str]], cluster_name: str | None
    ) -> AsyncGenerator[JobDescription, None]:
        images = self._parse.image_reader()
        if cluster_name is None:  # of one that is not there, no job would be listed
            cluster_name = self._config.get_cluster(self._config.cluster_name).name
        params = [*params, ("cluster_name", cluster_name)]
        headers = {"Accept": "application/x-ndjson"}
        async with self._core.open("GET", self._api("jobs"), params=params, headers=headers, repeat=True) as response:
            if not response.content_type.startswith("application/x-ndjson"):
                for document in decode(await response.read(), _Listed).jobs:
                    yield job_from_plain(document, images=images)
                return
            async for line in lines(response):
                if line.strip():
                    yield _listed_job(line, images)

    async def _status_later(self, job: str, wanted: Iterable[JobStatus], patience: Patience) -> JobDescription:
        """The job when it has one of the statuses, or as it is after a while."""
        if WAIT_FEATURE not in self._core.features:
            await asyncio.sleep(_POLL)
            found = await self.status(job)
            patience.heard()
            return found
        params = [("wait", str(_WAIT)), *(("for", status.value) for status in wanted)]
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._core.timeout.sock_connect, sock_read=SILENCE)
        async with self._core.open("GET", self._job(job), params=params, timeout=limits) as response:
            patience.heard()
            return read_job(await response.read(), images=self._parse.image_reader())

    async def _submit(self, document: Mapping[str, Any], *, from_preset: bool) -> JobDescription:
        url = self._api("jobs")
        answer = await self._core.call(
            "POST",
            url.with_query("from_preset") if from_preset else url,
            json=document,
            headers={"Idempotency-Key": uuid.uuid4().hex},
            repeat=bool(self._core.features),  # only servers of ours know the key, others would start a second job
        )
        return read_job(answer, images=self._parse.image_reader())

    def _api(self, path: str) -> URL:
        return self._config.api_url / path

    def _job(self, job: str) -> URL:
        return self._api("jobs") / segment(job)


def _listed_job(line: bytes, images: ImageReader) -> JobDescription:
    document = load(line)
    if isinstance(document, dict) and "error" in document:
        raise NDJSONError(str(document["error"]))
    return job_from_plain(document, images=images)
