"""Why a job waits or how it ended, and what a submission would come to: additions of ours to the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from neuro_sdk.wire.codec import Model
from neuro_sdk.wire.jobs import Container, JobOrder, JobPriority, JobStatus

WHY_FEATURE: Final = "why-1"  # this server has ``GET jobs/{job}/why``
DRY_RUN_FEATURE: Final = "dry-run-1"  # this server has ``POST jobs/dry-run``


class Holder(Model, frozen=True):
    """Who has some of what is short."""

    amount: float
    jobs: int = 1
    job_id: str | None = None  # none: jobs that whoever asks may not see, all together
    name: str | None = None
    owner: str | None = None
    ends_by: datetime | None = None  # when its life span is over, unless that is changed


class Shortage(Model, frozen=True):
    """Something of which too little is free: ``cpu``, ``memory_mb``, ``gpu`` or ``seat``, and who has it."""

    resource: str
    wanted: float
    free: float
    total: float
    holders: Sequence[Holder] = ()  # who has most first


class JobReason(Model, frozen=True):
    """Why a job is as it is.

    ``kind`` is a word for programs. Of a job that waits: ``seat``, ``resources``, ``turn``, ``back-off``, ``starting``,
    ``start-failed``, ``disk-full``, ``engine-queue``, ``no-engine``, ``next``. Of one that runs: ``running``,
    ``stopping``. Of one that ended: ``succeeded``, ``error``, ``signal``, ``out-of-memory``, ``life-span``,
    ``schedule-timeout``, ``stopped``, ``cannot-run``, ``lost``.
    """

    status: JobStatus
    kind: str
    summary: str  # in a sentence
    id: str = ""  # none of a job that is not there
    name: str | None = None
    advice: Sequence[str] = ()  # what would change it, each a sentence
    details: str = ""  # the platform's own words: of a job that failed the end of its log, too
    priority: JobPriority = JobPriority.NORMAL
    position: int | None = None  # in the queue; 1 is next
    queue_length: int | None = None
    shortages: Sequence[Shortage] = ()
    starts_by: datetime | None = None  # at the latest, when all that is in the way has a life span
    until: datetime | None = None  # when a pause is over
    gives_up_at: datetime | None = None  # when its schedule time-out is over
    ends_by: datetime | None = None  # when its life span is over
    exit_code: int | None = None
    signal: int | None = None  # that ended the program


class JobPlan(Model, frozen=True):
    """What a submission would come to, by the rules that a real one has; nothing is stored."""

    cluster_name: str
    engine: str
    argv: Sequence[str]  # entry point and command
    order: JobOrder
    container: Container  # with the resources that it would get
    starts_now: bool
    reason: JobReason  # why it would wait, if so
