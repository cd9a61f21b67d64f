"""The client without ``await``: each call runs in the portal's loop while the caller waits.

This module is generated from the asynchronous classes by `docs/sync_client.py`: `make docs` writes it.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Self

from yarl import URL

from neuro_sdk._portal import Items, Portal
from neuro_sdk._streams import StdStream as AsyncStdStream
from neuro_sdk.client import Client as AsyncClient
from neuro_sdk.config import Config as AsyncConfig
from neuro_sdk.forward import PortForward
from neuro_sdk.image_progress import AbstractDockerImageProgress
from neuro_sdk.jobs import DryRun as AsyncDryRun
from neuro_sdk.jobs import Jobs as AsyncJobs
from neuro_sdk.parser import Parser
from neuro_sdk.quota import Quota as AsyncQuota
from neuro_sdk.quota import QuotaInfo
from neuro_sdk.users import Users as AsyncUsers
from neuro_sdk.wire.cluster import Cluster, Preset
from neuro_sdk.wire.images import RemoteImage
from neuro_sdk.wire.jobs import (
    Container,
    DiskVolume,
    ExecInspect,
    HTTPPort,
    JobDescription,
    JobOpening,
    JobPriority,
    JobRestartPolicy,
    JobStatus,
    JobTelemetry,
    Message,
    Resources,
    SecretFile,
    Volume,
)
from neuro_sdk.wire.reasons import JobPlan, JobReason
from neuro_sdk.wire.users import Permission, Share


class Client:
    """What ``get()`` gives; close it, or use it as ``with``."""

    def __init__(self, portal: Portal, inner: AsyncClient) -> None:
        self._portal = portal
        self._inner = inner

    @cached_property
    def config(self) -> Config:
        return Config(self._portal, self._inner.config)

    @property
    def username(self) -> str:
        """The same as ``config.username``."""
        return self._inner.username

    @property
    def cluster_name(self) -> str:
        """The same as ``config.cluster_name``."""
        return self._inner.cluster_name

    @property
    def presets(self) -> Mapping[str, Preset]:
        """The same as ``config.presets``."""
        return self._inner.presets

    @property
    def parse(self) -> Parser:
        return self._inner.parse

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self._portal, self._inner.jobs)

    @cached_property
    def users(self) -> Users:
        return Users(self._portal, self._inner.users)

    @cached_property
    def quota(self) -> Quota:
        return Quota(self._portal, self._inner.quota)

    def close(self) -> None:
        """Close the connections; what is loaded stays readable. Twice does no harm."""
        self._portal.call(self._inner.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Config:
    """``client.config``; reading it makes no request, and goes on after ``client.close()``."""

    def __init__(self, portal: Portal, inner: AsyncConfig) -> None:
        self._portal = portal
        self._inner = inner

    @property
    def username(self) -> str:
        """Whose token it is; ``ValueError`` when it does not say so."""
        return self._inner.username

    @property
    def api_url(self) -> URL:
        """The address that was logged in to."""
        return self._inner.api_url

    @property
    def admin_url(self) -> URL:
        return self._inner.admin_url

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """All clusters of the user, in the platform's order."""
        return self._inner.clusters

    @property
    def cluster_name(self) -> str:
        """The current cluster; a project's ``.neuro.toml`` wins. Looked up anew each time, and not checked."""
        return self._inner.cluster_name

    @property
    def presets(self) -> Mapping[str, Preset]:
        """The presets of the current cluster; the first is the default."""
        return self._inner.presets

    @property
    def registry_url(self) -> URL:
        return self._inner.registry_url

    @property
    def storage_url(self) -> URL:
        return self._inner.storage_url

    @property
    def blob_storage_url(self) -> URL:
        return self._inner.blob_storage_url

    @property
    def monitoring_url(self) -> URL:
        return self._inner.monitoring_url

    @property
    def secrets_url(self) -> URL:
        return self._inner.secrets_url

    @property
    def disk_api_url(self) -> URL:
        return self._inner.disk_api_url

    def get_cluster(self, cluster_name: str) -> Cluster:
        """A cluster by name; :class:`ConfigError` (a ``RuntimeError``) when the user has no such cluster."""
        return self._inner.get_cluster(cluster_name)

    def token(self) -> str:
        """A bearer token that is good now; a new one is asked for when it has expired.

        Of all the processes that find the same token expired one asks, the others take what it got.
        """
        return self._portal.call(self._inner.token())

    def is_ours(self, url: URL) -> bool:
        """Whether the URL is of the platform that was logged in to: the API, or a service of one of the clusters."""
        return self._inner.is_ours(url)

    def fetch(self) -> None:
        """Ask the platform for the clusters again; refused, with nothing changed, when the current one is gone."""
        self._portal.call(self._inner.fetch())

    def switch_cluster(self, name: str) -> None:
        """Make another cluster the current one, here and for later clients; makes no request."""
        self._portal.call(self._inner.switch_cluster(name))

    def use_cluster(self, name: str) -> None:
        """Work on another cluster for as long as this client lives; a project's file does not stop that."""
        self._inner.use_cluster(name)

    def check_server(self) -> None:
        """After an update of the SDK: make sure that the stored login still describes the server."""
        self._portal.call(self._inner.check_server())

    def get_user_config(self) -> Mapping[str, Any]:
        """What ``user.toml`` and the project's ``.neuro.toml`` say, read anew."""
        return self._portal.call(self._inner.get_user_config())


class Jobs:
    """``client.jobs``."""

    def __init__(self, portal: Portal, inner: AsyncJobs) -> None:
        self._portal = portal
        self._inner = inner

    def start(
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
    ) -> JobDescription:
        """Start a job with the resources of a preset; return at once, most often while it is still pending.

        ``command`` is one line, split as a shell splits words, or the words, which then arrive as they are. Times are
        in seconds, the life span is sent as whole minutes. URIs may be relative. ``stdin`` keeps standard input open
        for ``attach``, with servers that know it. ``resources`` are asked for in place of the preset's, which is not
        sent then. Raises IllegalArgumentError for what the platform refuses (API v1, chapter 5.2).
        """
        return self._portal.call(
            self._inner.start(
                image=image,
                preset_name=preset_name,
                entrypoint=entrypoint,
                command=command,
                working_dir=working_dir,
                http=http,
                env=env,
                volumes=volumes,
                secret_env=secret_env,
                secret_files=secret_files,
                disk_volumes=disk_volumes,
                tty=tty,
                shm=shm,
                name=name,
                tags=tags,
                description=description,
                pass_config=pass_config,
                wait_for_jobs_quota=wait_for_jobs_quota,
                schedule_timeout=schedule_timeout,
                restart_policy=restart_policy,
                life_span=life_span,
                privileged=privileged,
                stdin=stdin,
                priority=priority,
                resources=resources,
                org_name=org_name,
                project_name=project_name,
            )
        )

    def run(
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
    ) -> JobDescription:
        """The older form of :meth:`start`, with a container and its resources instead of a preset.

        ``is_preemptible`` is what 20.12 called ``scheduler_enabled``.
        """
        return self._portal.call(
            self._inner.run(
                container,
                name=name,
                tags=tags,
                description=description,
                scheduler_enabled=scheduler_enabled,
                pass_config=pass_config,
                wait_for_jobs_quota=wait_for_jobs_quota,
                schedule_timeout=schedule_timeout,
                restart_policy=restart_policy,
                life_span=life_span,
                is_preemptible=is_preemptible,
                stdin=stdin,
                priority=priority,
            )
        )

    def status(self, id: str) -> JobDescription:
        """The job as it is now."""
        return self._portal.call(self._inner.status(id))

    def monitor(self, id: str) -> Items[bytes]:
        """What the job has written and goes on to write, to its end: raw bytes, cut at no particular place."""
        return self._portal.iterate(self._inner.monitor(id))

    def logs(
        self,
        id: str,
        *,
        offset: int = 0,
        follow: bool = True,
        tail: int | None = None,
        head: int | None = None,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        timestamps: bool = False,
    ) -> Items[bytes]:
        """Like :meth:`monitor`, from a byte on; without ``follow`` only what there is now.

        ``tail`` begins with the last so many lines, ``since`` with the first line of that time or later; what begins
        latest counts. It ends after ``head`` lines, and after what was written up to ``until``. Times without a zone
        are local; ages are counted back by the platform's clock. ``timestamps`` puts before each line when it was
        begun: RFC 3339, UTC, and a blank; at most half a second late.

        Raises :class:`~neuro_sdk.errors.StreamLost` when the log broke off and could not be had again: an end without
        an error is the end. NotSupportedError when the platform cannot give a part, IllegalArgumentError for one that
        makes no sense.
        """
        return self._portal.iterate(
            self._inner.logs(
                id, offset=offset, follow=follow, tail=tail, head=head, since=since, until=until, timestamps=timestamps
            )
        )

    def top(self, id: str) -> Items[JobTelemetry]:
        """What the job uses, about once a second while it runs; ends when it is finished (API v1, chapter 6.3).

        A pending job may be asked about: nothing comes until it runs. A broken connection is made anew, and what was
        used meanwhile is not told; :class:`~neuro_sdk.errors.StreamLost` when that could not be done. ``ValueError``
        for a job that is not there, and for one that is finished already.
        """
        return self._portal.iterate(self._inner.top(id))

    def attach(
        self, id: str, *, stdin: bool = False, stdout: bool = False, stderr: bool = False, logs: bool = False
    ) -> AbstractContextManager[StdStream]:
        """Connect to the job's standard streams; with ``logs`` its output from the beginning, else from now on.

        A pending job may be attached to: its output comes when it has started. Leaving the block lets go of the job,
        which runs on. After the end ``exit_code`` of the stream is the job's.
        """
        return self._portal.enter_as(
            self._inner.attach(id, stdin=stdin, stdout=stdout, stderr=stderr, logs=logs), StdStream
        )

    def exec_create(self, id: str, cmd: str | Sequence[str], *, tty: bool = False) -> str:
        """Prepare a command beside the job's program; its id is for :meth:`exec_start`.

        ``cmd`` is one line, split as a shell splits words, or the words.
        """
        return self._portal.call(self._inner.exec_create(id, cmd, tty=tty))

    def exec(
        self,
        id: str,
        cmd: str | Sequence[str],
        *,
        tty: bool = False,
        stdin: bool = False,
        stdout: bool = False,
        stderr: bool = False,
    ) -> AbstractContextManager[StdStream]:
        """:meth:`exec_create` and :meth:`exec_start` in one, as from 21.8 on.

        Without ``stdin`` the command finds its input at its end; output that was not asked for is left out. With a
        terminal everything is ``stdout``.
        """
        return self._portal.enter_as(
            self._inner.exec(id, cmd, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr), StdStream
        )

    def exec_start(self, id: str, exec_id: str) -> AbstractContextManager[StdStream]:
        """Start the prepared command and connect to its standard streams."""
        return self._portal.enter_as(self._inner.exec_start(id, exec_id), StdStream)

    def exec_resize(self, id: str, exec_id: str, *, w: int, h: int) -> None:
        """Tell a command's terminal its size, in characters."""
        self._portal.call(self._inner.exec_resize(id, exec_id, w=w, h=h))

    def exec_inspect(self, id: str, exec_id: str) -> ExecInspect:
        """How a command is doing."""
        return self._portal.call(self._inner.exec_inspect(id, exec_id))

    def resize(self, id: str, *, w: int, h: int) -> None:
        """Tell the job's terminal its size, in characters."""
        self._portal.call(self._inner.resize(id, w=w, h=h))

    def port_forward(
        self,
        id: str | None,
        local_port: int,
        job_port: int,
        *,
        no_key_check: bool = False,
        on_drop: Callable[[str], None] | None = None,
    ) -> AbstractContextManager[PortForward]:
        """Lead connections to a local port to a port of the job, any number at a time (API v1, chapter 6.8).

        It listens on ``localhost`` only; 0 takes a port that is free, and ``local_port`` of the result says which. A
        local port that is taken raises OSError. What goes wrong with a connection is never raised: it closes that one
        alone, and is logged, or told to ``on_drop`` in a sentence. The job may be named later (:class:`PortForward`).
        """
        return self._portal.enter(
            self._inner.port_forward(id, local_port, job_port, no_key_check=no_key_check, on_drop=on_drop)
        )

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
    ) -> Items[JobDescription]:
        """Jobs of the current cluster or another one, oldest first; without a filter all that the user may see.

        ``since`` and ``until`` are inclusive and about creation; without a time zone they are local times, and a
        timedelta is so long ago, by the platform's clock where it can (feature ``ages-1``). ``tags`` must all be there.
        Jobs arrive one by one, however many there are. Raises AuthorizationError for an organisation or a project that
        our platform does not have.
        """
        return self._portal.iterate(
            self._inner.list(
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
        )

    def why(self, id: str) -> JobReason:
        """Why a job waits, or how it ended, and what would change that.

        Raises NotSupportedError where the platform does not say (feature ``why-1``).
        """
        return self._portal.call(self._inner.why(id))

    @cached_property
    def dry_run(self) -> DryRun:
        """The same ``start`` and ``run``, which only say what would come of it."""
        return DryRun(self._portal, self._inner.dry_run)

    def wait(self, id: str, *, statuses: Iterable[JobStatus] = (), timeout: float | None = None) -> JobDescription:
        """The job as soon as it has one of the statuses, or is finished; see which in the answer.

        Goes on when the connection breaks and when the platform is started again. Raises TimeoutError when it took
        more than ``timeout`` seconds (0: look once), and StreamLost when the platform stayed away.
        """
        return self._portal.call(self._inner.wait(id, statuses=statuses, timeout=timeout))

    def tags(self) -> builtins.list[str]:
        """All tags of the user's jobs."""
        return self._portal.call(self._inner.tags())

    def kill(self, id: str) -> None:
        """Ask the job to stop. Killing a finished job is not an error."""
        self._portal.call(self._inner.kill(id))

    def bump_life_span(self, id: str, additional_life_span: float) -> None:
        """Let the job run for so many seconds more, sent as whole minutes."""
        self._portal.call(self._inner.bump_life_span(id, additional_life_span))

    def save(self, id: str, image: RemoteImage, *, progress: AbstractDockerImageProgress | None = None) -> None:
        """Make an image of a running job's container, in the platform's own registry (API v1, chapter 6.9).

        Raises :class:`~neuro_sdk.errors.DockerError` when that fails or the platform breaks off, NotSupportedError
        where jobs have no containers.
        """
        self._portal.call(self._inner.save(id, image, progress=progress))

    def send_signal(self, id: str, signal: str | int) -> None:
        """Send a signal to the job's program, by number or by name such as ``SIGKILL``."""
        self._portal.call(self._inner.send_signal(id, signal))

    def browse(self, id: str) -> JobOpening:
        """An address that opens what a job publishes over HTTP, in any browser, without asking for a login.

        It is good once, and for as many seconds as it says; a server that makes no such addresses gives the lasting
        one, where a browser has to log in. The job need not have started. Raises ResourceNotFound for a job that
        publishes nothing, AuthorizationError for one that the user may read but not use.
        """
        return self._portal.call(self._inner.browse(id))

    def get_capacity(self) -> Mapping[str, int]:
        """For each preset, roughly how many more jobs would start at once."""
        return self._portal.call(self._inner.get_capacity())

    def logs_by_name(self, job: str) -> bool:
        """Whether :meth:`logs` takes this name as it is, for the job that :meth:`resolve` would find."""
        return self._inner.logs_by_name(job)

    def resolve(self, job: str) -> str:
        """The id of a job that is given by id, by name or by ``job:`` URI; of several with a name, the newest.

        A name of ours that is not found is returned as it is: the platform may know better, or says that there is none.
        One of another user or cluster raises ResourceNotFound, for the name alone would be taken for ours.
        """
        return self._portal.call(self._inner.resolve(job))


class Users:
    """``client.users``.

    A permission is an action on a full URI such as ``job://CLUSTER/USER/NAME``, and is good for all below it.
    Wherever a user is asked for, a role will do, as ``alice/team``; a name with a colon is a ``ValueError``.
    """

    def __init__(self, portal: Portal, inner: AsyncUsers) -> None:
        self._portal = portal
        self._inner = inner

    def get_acl(self, user: str, scheme: str | None = None, *, uri: URL | None = None) -> Sequence[Permission]:
        """What a user may do, by roles too; at most within a URI, or with a kind of thing such as ``job``.

        Of somebody else a platform may show only some of it. Raises ResourceNotFound for an unknown user.
        """
        return self._portal.call(self._inner.get_acl(user, scheme, uri=uri))

    def get_shares(self, user: str, scheme: str | None = None, *, uri: URL | None = None) -> Sequence[Share]:
        """What a user has given to others; arguments and errors as of :meth:`get_acl`."""
        return self._portal.call(self._inner.get_shares(user, scheme, uri=uri))

    def share(self, user: str, permission: Permission) -> Permission:
        """Give a user a permission; what the user has on that URI then, which may be more than was asked for.

        Raises ResourceNotFound for a user or a thing that is not there or that you may not see, AuthorizationError for
        one that you may see and not share.
        """
        return self._portal.call(self._inner.share(user, permission))

    def revoke(self, user: str, uri: URL) -> None:
        """Take back what the user was given on exactly this URI; that there is nothing is an IllegalArgumentError."""
        self._portal.call(self._inner.revoke(user, uri))

    def add(self, role_name: str) -> None:
        """Make a role; its name begins with that of its owner, as ``alice/team``."""
        self._portal.call(self._inner.add(role_name))

    def remove(self, role_name: str) -> None:
        """Remove a role, and with it what it allowed to those who had it."""
        self._portal.call(self._inner.remove(role_name))

    def get_subroles(self, user: str) -> Sequence[str]:
        """The roles below a user or a role, that is, whose names begin with that name and a slash."""
        return self._portal.call(self._inner.get_subroles(user))


class Quota:
    """``client.quota``; ``client._quota`` in the SDKs of 20.12 and 21.x."""

    def __init__(self, portal: Portal, inner: AsyncQuota) -> None:
        self._portal = portal
        self._inner = inner

    def get(self, user: str | None = None) -> dict[str, QuotaInfo]:
        """By cluster, of the user (default: oneself). One may not be allowed to know that of others."""
        return self._portal.call(self._inner.get(user))


class StdStream:
    """The standard streams of a program that runs elsewhere."""

    def __init__(self, portal: Portal, inner: AsyncStdStream) -> None:
        self._portal = portal
        self._inner = inner

    @property
    def exit_code(self) -> int | None:
        return self._inner.exit_code

    def read_out(self) -> Message | None:
        """The next chunk of output; ``None`` at the end, and after closing.

        Raises :class:`~neuro_sdk.errors.StreamLost` when the connection broke for good: ``None`` is an end for sure.
        """
        return self._portal.call(self._inner.read_out())

    def write_in(self, data: bytes) -> None:
        """Send input; waits while the program does not take it. Ignored after the end."""
        self._portal.call(self._inner.write_in(data))

    def write_eof(self) -> None:
        """Say that there is no more input; what follows is ignored."""
        self._portal.call(self._inner.write_eof())

    def resize(self, *, w: int, h: int) -> None:
        """Tell the program's terminal its size, in characters."""
        self._portal.call(self._inner.resize(w=w, h=h))

    def close(self) -> None:
        """Let go of the program."""
        self._portal.call(self._inner.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class DryRun:
    """``client.jobs.dry_run``: what a platform would do with a submission; nothing is started or stored."""

    def __init__(self, portal: Portal, inner: AsyncDryRun) -> None:
        self._portal = portal
        self._inner = inner

    def start(
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
    ) -> JobPlan:
        """Start a job with the resources of a preset; return at once, most often while it is still pending.

        ``command`` is one line, split as a shell splits words, or the words, which then arrive as they are. Times are
        in seconds, the life span is sent as whole minutes. URIs may be relative. ``stdin`` keeps standard input open
        for ``attach``, with servers that know it. ``resources`` are asked for in place of the preset's, which is not
        sent then. Raises IllegalArgumentError for what the platform refuses (API v1, chapter 5.2).
        """
        return self._portal.call(
            self._inner.start(
                image=image,
                preset_name=preset_name,
                entrypoint=entrypoint,
                command=command,
                working_dir=working_dir,
                http=http,
                env=env,
                volumes=volumes,
                secret_env=secret_env,
                secret_files=secret_files,
                disk_volumes=disk_volumes,
                tty=tty,
                shm=shm,
                name=name,
                tags=tags,
                description=description,
                pass_config=pass_config,
                wait_for_jobs_quota=wait_for_jobs_quota,
                schedule_timeout=schedule_timeout,
                restart_policy=restart_policy,
                life_span=life_span,
                privileged=privileged,
                stdin=stdin,
                priority=priority,
                resources=resources,
                org_name=org_name,
                project_name=project_name,
            )
        )

    def run(
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
    ) -> JobPlan:
        """The older form of :meth:`start`, with a container and its resources instead of a preset.

        ``is_preemptible`` is what 20.12 called ``scheduler_enabled``.
        """
        return self._portal.call(
            self._inner.run(
                container,
                name=name,
                tags=tags,
                description=description,
                scheduler_enabled=scheduler_enabled,
                pass_config=pass_config,
                wait_for_jobs_quota=wait_for_jobs_quota,
                schedule_timeout=schedule_timeout,
                restart_policy=restart_policy,
                life_span=life_span,
                is_preemptible=is_preemptible,
                stdin=stdin,
                priority=priority,
            )
        )
