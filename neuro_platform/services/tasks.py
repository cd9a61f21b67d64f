"""From a stored job to what an engine is asked to run."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Final

from yarl import URL

from neuro_platform.auth.service import Auth, User
from neuro_platform.engines.base import Capacity, Files, Task
from neuro_platform.services.rules import PASSED_CONFIG, argv_of
from neuro_platform.store.jobs import Record
from neuro_sdk.wire.jobs import JobDescription

GPUS: Final = "CUDA_VISIBLE_DEVICES"
CONFIG_FOLDER: Final = "NEUROMATION_CONFIG"


def task_of(record: Record, *, folder: Path, capacity: Capacity | None, passed_config: str | None) -> Task:
    """The present attempt of a job as a task; the same for the same attempt, whenever it is made."""
    job = record.job
    env = {**job.container.env, **_platform_env(job)}
    if passed_config is not None:
        env[PASSED_CONFIG] = passed_config
        env.setdefault(CONFIG_FOLDER, str(Files(folder).login))
    if capacity is not None and capacity.gpu:
        env[GPUS] = ",".join(str(gpu) for gpu in record.gpus)  # none given: none seen
    return Task(
        id=task_id(record),
        argv=argv_of(job.container),
        env=env,
        folder=folder,
        working_dir=job.container.working_dir,
        tty=job.container.tty,
        stdin=job.container.stdin,
        cpu=job.container.resources.cpu,
        memory_mb=job.container.resources.memory_mb,
        gpus=record.gpus,
    )


def task_id(record: Record) -> str:
    """What engines call the present attempt."""
    return f"{record.job.id}.{record.attempt}"


def files_of(jobs_folder: Path, record: Record) -> Files | None:
    """What the present attempt leaves; of the last one between two, ``None`` before the first."""
    return Files(attempt_folder(jobs_folder, record)) if record.attempt else None


def attempt_folder(jobs_folder: Path, record: Record) -> Path:
    """Where the present attempt leaves its output."""
    return jobs_folder / record.job.id / str(record.attempt)


class JobLogins:
    """The logins of jobs that are to talk to the platform themselves (API v1, chapter 4.9)."""

    def __init__(self, auth: Auth, api: URL) -> None:
        self._auth = auth
        self._api = api

    async def give(self, job: JobDescription) -> str:
        """What the job finds in its environment; asked for again, one that is as good."""
        token = await self._auth.job_token(User(job.owner), job.id)
        document = {"token": token, "cluster": job.cluster_name, "url": str(self._api)}
        return base64.b64encode(json.dumps(document).encode()).decode()

    async def take_back(self, job: JobDescription) -> None:
        """End the job's login; twice is fine."""
        await self._auth.end_job_token(job.id)


def _platform_env(job: JobDescription) -> dict[str, str]:
    http = job.container.http
    env = {
        "NEURO_JOB_ID": job.id,
        "NEURO_JOB_NAME": job.name or "",
        "NEURO_JOB_OWNER": job.owner,
        "NEURO_JOB_CLUSTER": job.cluster_name,
        "NEURO_JOB_INTERNAL_HOSTNAME": job.internal_hostname or "",
        "NEURO_JOB_INTERNAL_HOSTNAME_NAMED": job.internal_hostname_named or "",
        "NEURO_JOB_HTTP_PORT": str(http.port) if http else "",
        "NEURO_JOB_HTTP_AUTH": "True" if http and http.requires_auth else "",
    }
    if job.preset_name:
        env["NEURO_JOB_PRESET"] = job.preset_name
    return env
