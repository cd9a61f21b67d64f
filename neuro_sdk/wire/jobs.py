"""Jobs: what is asked for, what was seen, how both look in JSON (API v1, chapters 5 and 6)."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from yarl import URL

from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire.codec import ImageReader, Model, convert, field, fields, load, replace, to_plain
from neuro_sdk.wire.images import RemoteImage

_MIB = 1 << 20

STDIN_FEATURE = "stdin-1"  # this server knows ``container.stdin``
ARGV_FEATURE = "argv-1"  # this server knows ``container.argv``
BROWSE_FEATURE = "browse-1"  # this server knows ``POST {api}/jobs/{id}/open``
AGES_FEATURE = "ages-1"  # this server takes ages for ``since`` and ``until`` of a listing
WAIT_FEATURE = "wait-1"  # this server answers a question about a job when there is something to tell


class JobStatus(enum.StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    SUSPENDED = "suspended"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"  # what this SDK makes of a status that it has never heard of

    @property
    def is_pending(self) -> bool:
        """Accepted, not running now."""
        return self in (JobStatus.PENDING, JobStatus.SUSPENDED)

    @property
    def is_running(self) -> bool:
        return self is JobStatus.RUNNING

    @property
    def is_finished(self) -> bool:
        """Ended for good; a finished status never changes."""
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)

    @classmethod
    def items(cls) -> set[JobStatus]:
        """All statuses that a job can be in."""
        return set(cls) - {cls.UNKNOWN}

    @classmethod
    def active_items(cls) -> set[JobStatus]:
        return {item for item in cls.items() if not item.is_finished}

    @classmethod
    def finished_items(cls) -> set[JobStatus]:
        return {item for item in cls.items() if item.is_finished}

    @classmethod
    def _missing_(cls, value: object) -> JobStatus:  # noqa: ARG003
        return cls.UNKNOWN

    def __repr__(self) -> str:
        return f"<JobStatus.{self.name}: {self.value!r}>"


class JobRestartPolicy(enum.StrEnum):
    """What to do when the program ends by itself."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"

    def __repr__(self) -> str:
        return repr(self.value)


class JobPriority(enum.StrEnum):
    """Who goes first when there is not enough for all."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    def __repr__(self) -> str:
        return repr(self.value)


class Resources(Model, frozen=True):
    """What the scheduler must provide: memory in MiB, CPUs with fractions, whole GPUs."""

    memory_mb: int
    cpu: float
    gpu: int | None = None
    gpu_model: str | None = None
    shm: bool = True  # a large /dev/shm
    tpu_type: str | None = None
    tpu_software_version: str | None = None


class HTTPPort(Model, frozen=True, omit_defaults=False):
    """A port of the job that is published over HTTP."""

    port: int
    requires_auth: bool = True  # a platform login is needed to reach it


class Volume(Model, frozen=True, omit_defaults=False):
    """A folder of the platform's storage, mounted at an absolute path."""

    storage_uri: URL = field(name="src_storage_uri")
    container_path: str = field(name="dst_path")
    read_only: bool = False


class SecretFile(Model, frozen=True, omit_defaults=False):
    """A secret, written to a file at an absolute path."""

    secret_uri: URL = field(name="src_secret_uri")
    container_path: str = field(name="dst_path")


class DiskVolume(Model, frozen=True, omit_defaults=False):
    """A disk, by id or name, mounted at an absolute path."""

    disk_uri: URL = field(name="src_disk_uri")
    container_path: str = field(name="dst_path")
    read_only: bool = False


class Container(Model, frozen=True):
    """What to run and in which surroundings; ``None`` leaves it to the image."""

    image: RemoteImage
    resources: Resources
    entrypoint: str | None = None  # one line, split as a shell splits words
    command: str | None = None  # likewise
    working_dir: str | None = None
    http: HTTPPort | None = None
    env: Mapping[str, str] = {}
    volumes: Sequence[Volume] = ()
    secret_env: Mapping[str, URL] = {}
    secret_files: Sequence[SecretFile] = field(name="secret_volumes", default=())
    disk_volumes: Sequence[DiskVolume] = ()
    tty: bool = False
    stdin: bool = False  # ours: keep standard input open for a client, and tell standard error from output
    argv: Sequence[str] | None = None  # ours: the words of the command, exact; ``command`` is these, quoted

    def command_words(self) -> list[str]:
        """The words of the command: as they were given, else the line split as a POSIX shell would.

        Raises :class:`~neuro_sdk.errors.IllegalArgumentError` for a line with a quote that is not closed.
        """
        return list(self.argv) if self.argv else split_words("command", self.command)


class JobStatusItem(Model, frozen=True):
    """One step in the life of a job."""

    status: JobStatus
    transition_time: datetime
    reason: str = ""
    description: str = ""
    exit_code: int | None = None


class JobStatusHistory(Model, frozen=True):
    """Where a job is now, and when it got there; times are aware."""

    status: JobStatus
    reason: str = ""  # a short code such as ``Scheduling``
    description: str = ""  # a sentence
    restarts: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    transitions: Sequence[JobStatusItem] = ()  # oldest first; of very many the first and the last
    unlisted_run_seconds: float = 0.0  # ours: how long the job ran in steps that are not among them any more

    @property
    def changed_at(self) -> datetime:
        """When the present status began."""
        if self.status is JobStatus.PENDING:
            time = self.created_at
        elif self.status in (JobStatus.RUNNING, JobStatus.SUSPENDED):
            time = self.started_at
        elif self.status.is_finished:
            time = self.finished_at
        else:
            time = None
        if time is not None:
            return time
        return self.transitions[-1].transition_time


class JobDescription(Model, frozen=True, omit_defaults=True):
    """A job as the platform knows it."""

    id: str
    owner: str
    cluster_name: str
    status: JobStatus
    container: Container
    scheduler_enabled: bool
    pass_config: bool
    uri: URL
    summary: JobStatusHistory = field(name="history")  # as sent, without the steps; see ``history``
    statuses: Sequence[JobStatusItem] = ()  # as sent
    name: str | None = None
    tags: Sequence[str] = ()
    description: str | None = None
    plain_http_url: URL = field(name="http_url", default=URL())  # as sent; see ``http_url``
    http_url_named: URL = URL()
    internal_hostname: str | None = None
    internal_hostname_named: str | None = None
    restart_policy: JobRestartPolicy = JobRestartPolicy.NEVER
    max_run_time_minutes: int | None = None  # as sent; see ``life_span``
    schedule_timeout: float | None = None  # seconds
    preset_name: str | None = None
    preemptible_node: bool = False
    privileged: bool = False
    priority: JobPriority = JobPriority.NORMAL
    wait_for_jobs_quota: bool = False  # ours: whether it may wait until its user may run one more job
    price_credits_per_hour: Decimal = Decimal(0)  # of its preset, when it was submitted

    @property
    def history(self) -> JobStatusHistory:
        """Times, exit code and reasons, with every step."""
        return replace(self.summary, transitions=self.statuses)

    @property
    def http_url(self) -> URL:
        """Where the published port is reached; empty when none is."""
        return self.http_url_named or self.plain_http_url

    @property
    def life_span(self) -> float | None:
        """Run-time limit in seconds; ``None`` for no limit."""
        return None if self.max_run_time_minutes is None else self.max_run_time_minutes * 60.0

    @property
    def is_preemptible(self) -> bool:
        """What 20.12 called ``scheduler_enabled``."""
        return self.scheduler_enabled

    @property
    def is_preemptible_node_required(self) -> bool:
        """What 20.12 called ``preemptible_node``."""
        return self.preemptible_node


class JobTelemetry(Model, frozen=True):
    """What a job uses at one moment: CPUs, MiB of memory, percent of the GPUs' time, their memory."""

    cpu: float
    memory: float
    timestamp: float  # seconds since the epoch
    gpu_duty_cycle: int | None = None
    gpu_memory: float | None = None


class ExecInspect(Model, frozen=True, omit_defaults=False):
    """A command run inside a job, as the platform sees it."""

    id: str
    running: bool
    job_id: str
    tty: bool
    entrypoint: str
    command: str
    exit_code: int | None = None


class Message(Model, frozen=True):
    """A chunk of output: ``fileno`` is 1 for standard output, 2 for standard error."""

    fileno: int
    data: bytes


class JobOpening(Model, frozen=True):
    """An address that opens what a job publishes; ours."""

    url: URL
    expires_in: float | None = None  # seconds, and then it is good once; None for one that is good for ever


class JobOrder(Model, frozen=True):
    """The body of ``POST {api}/jobs?from_preset`` but for the container's members, which travel flat beside these."""

    cluster_name: str | None = None
    preset_name: str | None = None
    name: str | None = None
    tags: Sequence[str] = ()
    description: str | None = None
    pass_config: bool | None = None
    wait_for_jobs_quota: bool = False
    schedule_timeout: float | None = None
    restart_policy: JobRestartPolicy = JobRestartPolicy.NEVER
    max_run_time_minutes: int | None = None
    privileged: bool = False
    scheduler_enabled: bool | None = None
    priority: JobPriority = JobPriority.NORMAL
    org_name: str | None = None
    project_name: str | None = None


def telemetry_document(seen: JobTelemetry) -> dict[str, Any]:
    """A message of ``top`` (chapter 6.3) for all generations: MiB for the older, bytes for the newer."""
    document: dict[str, Any] = to_plain(seen)
    document["memory_bytes"] = round(seen.memory * _MIB)
    if seen.gpu_memory is not None:
        document["gpu_memory_bytes"] = round(seen.gpu_memory * _MIB)
    return document


def read_telemetry(data: bytes | str) -> JobTelemetry:
    """Read a message of ``top`` of any generation."""
    document = load(data)
    if isinstance(document, dict):
        for name in ("memory", "gpu_memory"):
            size = document.get(f"{name}_bytes")
            if document.get(name) is None and isinstance(size, int | float):
                document[name] = size / _MIB
    return convert(document, JobTelemetry)


_CONTAINER_KEYS = {f.encode_name for f in fields(Container)}


def split_order(document: object) -> tuple[JobOrder, dict[str, Any]]:
    """Read a submission, flat or nested, into the order and the container's members as plain JSON.

    The members are plain because with a preset the resources are not known yet; fill them in and hand the result to
    :func:`read_container`. Raises :class:`~neuro_sdk.errors.IllegalArgumentError` naming the JSON path that is wrong.
    """
    order = convert(document, JobOrder)
    flat = convert(document, dict[str, Any])
    nested = flat.get("container")
    if nested is not None:
        return order, convert(nested, dict[str, Any])
    return order, {key: value for key, value in flat.items() if key in _CONTAINER_KEYS}


def split_words(what: str, line: str | None) -> list[str]:
    """Split a line of words as a POSIX shell would; ``what`` names it in the error."""
    try:
        return shlex.split(line or "")
    except ValueError as exc:
        raise IllegalArgumentError(f"The {what} cannot be split into words: {str(exc).lower()}") from exc


def read_container(members: Mapping[str, Any], *, images: ImageReader = RemoteImage.from_docker) -> Container:
    """Read a container as submitted: a mount without ``read_only`` is read-only, a port without a rule is open."""
    return convert(_completed_container(members), Container, images=images)


def read_job(data: bytes | str, *, images: ImageReader = RemoteImage.from_docker) -> JobDescription:
    """Read a job document of any generation."""
    return job_from_plain(load(data), images=images)


def job_from_plain(document: object, *, images: ImageReader = RemoteImage.from_docker) -> JobDescription:
    """Like :func:`read_job`, from JSON that is already parsed."""
    document = _without_nulls(document)
    if isinstance(document, dict):
        document.setdefault("scheduler_enabled", document.get("is_preemptible", False))
        document.setdefault("pass_config", False)
        if isinstance(history := document.get("history"), dict):
            history.setdefault("status", document.get("status", "unknown"))
        if isinstance(container := document.get("container"), dict):
            document["container"] = _completed_container(container)
        for item in document.get("statuses", ()):
            if isinstance(item, dict):
                item.setdefault("status", "unknown")
    return convert(document, JobDescription, images=images)


def _completed_container(members: Mapping[str, Any]) -> dict[str, Any]:
    """Put in what an absent member means on the wire, where that is not what it means in Python."""
    container = dict(members)
    for key in ("volumes", "disk_volumes"):
        if isinstance(container.get(key), list):
            container[key] = [{"read_only": True, **v} if isinstance(v, dict) else v for v in container[key]]
    if isinstance(container.get("http"), dict):
        container["http"] = {"port": -1, "requires_auth": False, **container["http"]}
    resources = container.get("resources")
    if isinstance(resources, dict):
        resources = dict(resources)
        if "memory_mb" not in resources and isinstance(resources.get("memory"), int):
            resources["memory_mb"] = resources["memory"] >> 20
        if "gpu" not in resources and isinstance(resources.get("nvidia_gpu"), int):
            resources["gpu"] = resources["nvidia_gpu"]
        if isinstance(tpu := resources.get("tpu"), dict):
            resources["tpu_type"], resources["tpu_software_version"] = tpu.get("type"), tpu.get("software_version")
        container["resources"] = resources
    return container


def _without_nulls(value: object) -> Any:  # Any: JSON has no narrower type
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value
