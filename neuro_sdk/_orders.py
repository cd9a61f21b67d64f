"""Asking for jobs: from the words of a program to the document that a platform takes."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from yarl import URL

from neuro_sdk._core import Core
from neuro_sdk.config import Config
from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.parser import Parser
from neuro_sdk.wire.codec import replace, to_plain
from neuro_sdk.wire.images import RemoteImage
from neuro_sdk.wire.jobs import (
    ARGV_FEATURE,
    STDIN_FEATURE,
    Container,
    DiskVolume,
    HTTPPort,
    JobOrder,
    JobPriority,
    JobRestartPolicy,
    Resources,
    SecretFile,
    Volume,
)

T = TypeVar("T")


class Orders(Generic[T]):
    """What one asks for when one asks for a job; ``T`` is what comes of it."""

    def __init__(self, core: Core, config: Config, parse: Parser) -> None:
        self._core = core
        self._config = config
        self._parse = parse

    async def start(
        self,
        *,
        image: RemoteImage,
        preset_name: str,
        entrypoint: str | None = None,
        command: str | Sequence[str] | None = None,
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
        priority: JobPriority = JobPriority.NORMAL,
        resources: Resources | None = None,
        org_name: str | None = None,
        project_name: str | None = None,
    ) -> T:
        """Start a job with the resources of a preset; return at once, most often while it is still pending.

        ``command`` is one line, split as a shell splits words, or the words, which then arrive as they are. Times are
        in seconds, the life span is sent as whole minutes. URIs may be relative. ``stdin`` keeps standard input open
        for ``attach``, with servers that know it. ``resources`` are asked for in place of the preset's, which is not
        sent then. Raises IllegalArgumentError for what the platform refuses (API v1, chapter 5.2).
        """
        line = command if isinstance(command, str) or command is None else None
        container = Container(
            image=image,
            resources=resources or Resources(memory_mb=0, cpu=0),  # the preset's
            entrypoint=entrypoint,
            command=line,
            argv=None if line is not None else command,
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
            preset_name=preset_name if resources is None else None,
            name=name or None,
            tags=tuple(tags),
            description=description or None,
            pass_config=pass_config,
            wait_for_jobs_quota=wait_for_jobs_quota,
            schedule_timeout=schedule_timeout or None,
            restart_policy=restart_policy,
            max_run_time_minutes=minutes(life_span),
            privileged=privileged,
            priority=priority,
            org_name=org_name,
            project_name=project_name,
            scheduler_enabled=None if resources is None else False,
        )
        document, members = to_plain(order), self._members(container)
        if resources is not None:
            members["resources"] = _resources(replace(resources, shm=shm))
            return await self._submit({**document, "container": members}, from_preset=False)
        if shm:
            members["resources"] = {"shm": True}
        return await self._submit({**document, **members}, from_preset=True)

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
        priority: JobPriority = JobPriority.NORMAL,
    ) -> T:
        """The older form of :meth:`start`, with a container and its resources instead of a preset.

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
            max_run_time_minutes=minutes(life_span),
            priority=priority,
        )
        members = self._members(replace(container, stdin=container.stdin or stdin))
        members["resources"] = _resources(container.resources)
        return await self._submit({**to_plain(order), "container": members}, from_preset=False)

    @abstractmethod
    async def _submit(self, document: Mapping[str, Any], *, from_preset: bool) -> T:
        """Send the document."""

    def _members(self, container: Container) -> dict[str, Any]:
        """The container as it is sent, without its resources: full URIs, nothing that is not set."""
        uri = self._parse.uri
        argv = tuple(container.argv or ())
        knows_words = ARGV_FEATURE in self._core.features
        sent = replace(
            container,
            entrypoint=container.entrypoint or None,
            command=(shlex.join(argv) if argv and not knows_words else container.command) or None,
            argv=(argv or None) if knows_words else None,
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


def minutes(seconds: float | None) -> int | None:
    """Whole minutes, as times are sent."""
    return None if seconds is None else int(seconds // 60)
