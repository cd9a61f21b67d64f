"""Jobs: start, look, stop. What flows out of them and into them while they run is in ``attach``."""

from __future__ import annotations

import builtins
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from yarl import URL

from neuro_sdk._core import Core, lines
from neuro_sdk._listing import Listing
from neuro_sdk._private import NoPublicConstructor
from neuro_sdk.attach import Streams, segment
from neuro_sdk.config import Config
from neuro_sdk.errors import IllegalArgumentError, NDJSONError, ResourceNotFound
from neuro_sdk.parser import Parser
from neuro_sdk.wire.codec import ImageReader, Model, decode, load, replace, to_plain
from neuro_sdk.wire.images import RemoteImage
from neuro_sdk.wire.jobs import (
    STDIN_FEATURE,
    Container,
    DiskVolume,
    HTTPPort,
    JobDescription,
    JobOrder,
    JobRestartPolicy,
    JobStatus,
    Resources,
    SecretFile,
    Volume,
    job_from_plain,
    read_job,
)
from neuro_sdk.wire.names import is_job_id, is_utf8


class _Tags(Model, frozen=True):
    tags: Sequence[str]


class _Listed(Model, frozen=True):
    jobs: Sequence[dict[str, Any]]


class Jobs(Streams, metaclass=NoPublicConstructor):
    """``client.jobs``."""

    def __init__(self, core: Core, config: Config, parse: Parser) -> None:
        super().__init__(core, config)
        self._config = config
        self._parse = parse

    async def start(
        self,
        *,
        image: RemoteImage,
        preset_name: str,
        entrypoint: str | None = None,
        command: str | None = None,
        working_dir: str | None = None,
        http: HTTPPort | None = None,
        env: Mapping[str, str] | None = None,
        volumes: Sequence[Volume] = (),
        secret_env: Mapping[str, URL] | None = None,
        secret_files: Sequence[SecretFile] = (),
        disk_volumes: Sequence[DiskVolume] = (),
        tty: bool = False,
        shm: bool = False,
        name: str | None = None,
        tags: Sequence[str] = (),
        description: str | None = None,
        pass_config: bool = False,
        wait_for_jobs_quota: bool = False,
        schedule_timeout: float | None = None,
        restart_policy: JobRestartPolicy = JobRestartPolicy.NEVER,
        life_span: float | None = None,
        privileged: bool = False,
        stdin: bool = False,
    ) -> JobDescription:
        """Start a job with the resources of a preset; return at once, most often while it is still pending.

        Times are in seconds, sent as whole minutes. URIs may be relative. ``stdin`` keeps standard input open for
        ``attach``, with servers that know it.
        """
        container = Container(
            image=image,
            resources=Resources(memory_mb=0, cpu=0),  # the preset's
            entrypoint=entrypoint,
            command=command,
            working_dir=working_dir,
            http=http,
            env=env or {},
            volumes=volumes,
            secret_env=secret_env or {},
            secret_files=secret_files,
            disk_volumes=disk_volumes,
            tty=tty,
            stdin=stdin,
        )
        order = JobOrder(
            cluster_name=self._config.cluster_name,
            preset_name=preset_name,
            name=name or None,
            tags=tuple(tags),
            description=description or None,
            pass_config=pass_config,
            wait_for_jobs_quota=wait_for_jobs_quota,
            schedule_timeout=schedule_timeout or None,
            restart_policy=restart_policy,
            max_run_time_minutes=_minutes(life_span),
            privileged=privileged,
        )
        document = {**to_plain(order), **self._members(container)}
        if shm:
            document["resources"] = {"shm": True}
        return await self._submit(self._api("jobs").with_query("from_preset"), document)

    async def run(
        self,
        container: Container,
        *,
        name: str | None = None,
        tags: Sequence[str] = (),
        description: str | None = None,
        scheduler_enabled: bool = False,
        pass_config: bool = False,
        wait_for_jobs_quota: bool = False,
        schedule_timeout: float | None = None,
        restart_policy: JobRestartPolicy = JobRestartPolicy.NEVER,
        life_span: float | None = None,
        is_preemptible: bool | None = None,
        stdin: bool = False,
    ) -> JobDescription:
        """The older form of :meth:`start`, with resources instead of a preset.

        ``is_preemptible`` is what 20.12 called ``scheduler_enabled``.
        """
        order = JobOrder(
            cluster_name=self._config.cluster_name,
            name=name or None,
            tags=tuple(tags),
            description=description or None,
            scheduler_enabled=scheduler_enabled if is_preemptible is None else is_preemptible,
            pass_config=pass_config,
            wait_for_jobs_quota=wait_for_jobs_quota,
            schedule_timeout=schedule_timeout or None,
            restart_policy=restart_policy,
            max_run_time_minutes=_minutes(life_span),
        )
        members = self._members(replace(container, stdin=container.stdin or stdin))
        members["resources"] = _resources(container.resources)
        return await self._submit(self._api("jobs"), {**to_plain(order), "container": members})

    def list(
        self,
        *,
        statuses: Iterable[JobStatus] = (),
        name: str | None = None,
        tags: Iterable[str] = (),
        owners: Iterable[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Listing[JobDescription]:
        """Jobs of the current cluster, oldest first; without a filter all that the user may see.

        ``since`` and ``until`` are inclusive and about creation; without a time zone they are local times. ``tags``
        must all be there. Jobs arrive one by one, however many there are.
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
        )

    async def status(self, id: str) -> JobDescription:  # noqa: A002
        """The job as it is now."""
        return read_job(await self._core.call("GET", self._job(id)), images=self._parse.image_reader())

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
            json={"additional_max_run_time_minutes": _minutes(additional_life_span)},
        )

    async def send_signal(self, id: str, signal: str | int) -> None:  # noqa: A002
        """Send a signal to the job's program, by number or by name such as ``SIGKILL``."""
        url = self._config.monitoring_url / segment(id) / "kill"
        await self._core.call("POST", url, params={"signal": str(signal)})

    async def get_capacity(self) -> Mapping[str, int]:
        """For each preset, roughly how many more jobs would start at once."""
        return await self._core.call("GET", self._config.monitoring_url / "capacity", into=dict[str, int])

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
        since: datetime | None = None,
        until: datetime | None = None,
        reverse: bool = False,
        limit: int | None = None,
        cluster_name: str | None = None,
    ) -> Listing[JobDescription]:
        params = [
            *(("status", status.value) for status in statuses),
            *(("owner", owner) for owner in owners),
            *(("tag", tag) for tag in tags),
        ]
        if name:
            params.append(("name", name))
        params += [(key, _iso(time)) for key, time in (("since", since), ("until", until)) if time is not None]
        if reverse:
            params.append(("reverse", "1"))
        if limit is not None:
            params.append(("limit", str(limit)))
        return Listing(self._listed(params, cluster_name))

    async def _listed(
        self, params: Sequence[tuple[str, str]], cluster_name: str | None
    ) -> AsyncGenerator[JobDescription, None]:
        images = self._parse.image_reader()
        params = [*params, ("cluster_name", cluster_name or self._config.cluster_name)]
        headers = {"Accept": "application/x-ndjson"}
        async with self._core.open("GET", self._api("jobs"), params=params, headers=headers, repeat=True) as response:
            if not response.content_type.startswith("application/x-ndjson"):
                for document in decode(await response.read(), _Listed).jobs:
                    yield job_from_plain(document, images=images)
                return
            async for line in lines(response):
                if line.strip():
                    yield _listed_job(line, images)

    async def _submit(self, url: URL, document: Mapping[str, Any]) -> JobDescription:
        answer = await self._core.call(
            "POST",
            url,
            json=document,
            headers={"Idempotency-Key": uuid.uuid4().hex},
            repeat=bool(self._core.features),  # only servers of ours know the key, others would start a second job
        )
        return read_job(answer, images=self._parse.image_reader())

    def _members(self, container: Container) -> dict[str, Any]:
        """The container as it is sent, without its resources: full URIs, nothing that is not set."""
        uri = self._parse.uri
        sent = replace(
            container,
            entrypoint=container.entrypoint or None,
            command=container.command or None,
            working_dir=container.working_dir or None,
            volumes=tuple(replace(v, storage_uri=uri(v.storage_uri, "storage")) for v in container.volumes),
            secret_env={name: uri(secret, "secret") for name, secret in container.secret_env.items()},
            secret_files=tuple(replace(s, secret_uri=uri(s.secret_uri, "secret")) for s in container.secret_files),
            disk_volumes=tuple(replace(d, disk_uri=uri(d.disk_uri, "disk")) for d in container.disk_volumes),
            stdin=container.stdin and STDIN_FEATURE in self._core.features,
        )
        members: dict[str, Any] = to_plain(sent)
        del members["resources"]
        return members

    def _api(self, path: str) -> URL:
        return self._config.api_url / path

    def _job(self, job: str) -> URL:
        return self._api("jobs") / segment(job)


def _listed_job(line: bytes, images: ImageReader) -> JobDescription:
    document = load(line)
    if isinstance(document, dict) and "error" in document:
        raise NDJSONError(str(document["error"]))
    return job_from_plain(document, images=images)


def _resources(resources: Resources) -> dict[str, Any]:
    sent: dict[str, Any] = {"memory_mb": resources.memory_mb, "cpu": resources.cpu, "shm": resources.shm}
    if resources.gpu:
        sent["gpu"] = resources.gpu
        if resources.gpu_model:
            sent["gpu_model"] = resources.gpu_model
    if resources.tpu_type:
        if not resources.tpu_software_version:
            raise IllegalArgumentError("tpu_type needs tpu_software_version")
        sent["tpu"] = {"type": resources.tpu_type, "software_version": resources.tpu_software_version}
    return sent


def _minutes(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds // 60)


def _iso(time: datetime) -> str:
    """Without a zone it is local time, sent as UTC; with one it is sent as it is."""
    return (time if time.tzinfo is not None else time.astimezone()).isoformat()
