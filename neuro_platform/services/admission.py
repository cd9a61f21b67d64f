"""Who may start now: by priority, then first come, first served, as CPU, memory and GPUs of the machine allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from neuro_platform.engines.base import Capacity
from neuro_platform.states import pending_since
from neuro_platform.store.jobs import Phase, Record
from neuro_sdk.wire.jobs import JobDescription, JobPriority, Resources
from neuro_sdk.wire.reasons import Shortage

PROMOTION: Final = timedelta(hours=12)  # who has waited so long goes as if of the next higher priority

_HIGHEST: Final = 2  # rank of a high priority; 0 is that of a low one
_UNITS: Final = {"cpu": ("CPU", "CPUs"), "memory_mb": ("MB of memory",) * 2, "gpu": ("GPU", "GPUs")}
_NEAR: Final = 20  # places in the queue of which more is said


def why_seatless(seats: int | None) -> str:
    """Why a job is not even in the queue, in a sentence."""
    return f"Waiting for a seat: one user may have {seats} unfinished jobs here"


def in_order(queue: Iterable[Record], now: datetime) -> list[Record]:
    """Who is first: by priority, in each as they came.

    Waiting makes up for a low priority, so whatever comes after a job, its turn comes.
    """
    records = list(queue)
    if all(record.job.priority is JobPriority.NORMAL for record in records):
        return records
    return sorted(records, key=lambda record: -_rank(record.job, now))


@dataclass(frozen=True)
class Share:
    """What one job has been given."""

    resources: Resources
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class Queue:
    """Who has what on an engine and who waits for it, at one moment."""

    capacity: Capacity | None
    active: Sequence[Record]  # those that have their share
    waiting: Sequence[Record]  # those that could start, in the order in which they may
    seated: Mapping[str, int]  # by user, the jobs that do not wait for a seat

    @classmethod
    def of(cls, records: Iterable[Record], cluster: str, capacity: Capacity | None, now: datetime) -> Queue:
        """The queue of a cluster, from all unfinished jobs as they are stored."""
        here = [one for one in records if one.job.cluster_name == cluster and not one.job.status.is_finished]
        could = [
            one
            for one in here
            if one.phase is Phase.QUEUED and one.stop is None and (one.not_before is None or one.not_before <= now)
        ]
        return cls(
            capacity,
            active=[one for one in here if one.phase in (Phase.STARTING, Phase.STARTED)],
            waiting=in_order(could, now),
            seated=Counter(one.job.owner for one in here if one.phase is not Phase.WAITING),
        )

    @property
    def room(self) -> Room:
        """What is free."""
        return Room(self.capacity, [Share(one.job.container.resources, one.gpus) for one in self.active])


class Room:
    """What is free on an engine; without a capacity there is always room, its own queue decides."""

    def __init__(self, capacity: Capacity | None, given: Iterable[Share] = ()) -> None:
        self._capacity = capacity
        self._milli_cpu = round(capacity.cpu * 1000) if capacity else 0
        self._memory_mb = capacity.memory_mb if capacity else 0
        self._gpus = list(range(capacity.gpu)) if capacity else []
        for share in given:
            self._take(share)

    def give(self, resources: Resources) -> Share | None:
        """A share of what is free, or ``None`` when it does not fit now."""
        if self._capacity is None:
            return Share(resources)
        wanted = resources.gpu or 0
        if self.lacking(resources) or wanted > len(self._gpus):
            return None
        share = Share(resources, tuple(self._gpus[:wanted]))
        self._take(share)
        return share

    def shortages(self, resources: Resources) -> list[Shortage]:
        """What there is too little of; without who has it."""
        if self._capacity is None:
            return []
        milli, total = max(0, self._milli_cpu), self._capacity
        amounts = [
            ("cpu", resources.cpu, milli / 1000, total.cpu, round(resources.cpu * 1000) > self._milli_cpu),
            ("memory_mb", resources.memory_mb, max(0, self._memory_mb), total.memory_mb,
             resources.memory_mb > self._memory_mb),
            ("gpu", resources.gpu or 0, len(self._gpus), total.gpu, (resources.gpu or 0) > len(self._gpus)),
        ]  # fmt: skip
        return [Shortage(name, wanted, free, all_) for name, wanted, free, all_, short in amounts if short]

    def lacking(self, resources: Resources) -> list[str]:
        """What there is too little of, in words: what is wanted and what is free."""
        return [
            f"{amount(short.resource, short.wanted)} ({plain(short.free)} of {plain(short.total)} free)"
            for short in self.shortages(resources)
        ]

    def free(self) -> Capacity | None:
        """What is left."""
        if self._capacity is None:
            return None
        return Capacity(
            cpu=max(0, self._milli_cpu) / 1000,
            memory_mb=max(0, self._memory_mb),
            gpu=len(self._gpus),
            gpu_model=self._capacity.gpu_model,
        )

    def _take(self, share: Share) -> None:
        self._milli_cpu -= round(share.resources.cpu * 1000)
        self._memory_mb -= share.resources.memory_mb
        self._gpus = [gpu for gpu in self._gpus if gpu not in share.gpus]


def amount(resource: str, number: float) -> str:
    """So much of something, in words."""
    return f"{plain(number)} {_UNITS[resource][number != 1]}"


def plain(number: float) -> str:
    """A number as people write it."""
    return str(int(number)) if number == int(number) else f"{number:g}"


def why_waiting(room: Room, resources: Resources, ahead: int) -> str:
    """Why a job does not start yet, in a sentence."""
    lacking = room.lacking(resources)
    queue = f"{_about(ahead)} ahead" if ahead else ""
    if lacking and ahead <= _NEAR:
        return f"Waiting for {' and '.join(lacking)}{'; ' + queue if queue else ''}"
    return f"Waiting for its turn: {queue}" if queue else "About to start"


def _rank(job: JobDescription, now: datetime) -> int:
    rank = 1 if job.priority is JobPriority.NORMAL else 0 if job.priority is JobPriority.LOW else _HIGHEST
    made = job.summary.created_at
    if rank == _HIGHEST or made is None or now - made < PROMOTION:  # of thousands in a queue most are none to look into
        return rank
    return min(_HIGHEST, rank + max(0, (now - pending_since(job)) // PROMOTION))


def _about(ahead: int) -> str:
    if ahead == 1:
        return "1 job is"
    if ahead <= _NEAR:
        return f"{ahead} jobs are"
    step = 10 ** (len(str(ahead)) - 1)
    return f"at least {ahead // step * step} jobs are"  # changes seldom, so there is little to store


def too_much(capacity: Capacity | None, resources: Resources) -> list[str]:
    """What no waiting will ever bring, in words."""
    if capacity is None:
        return []
    found = []
    if round(resources.cpu * 1000) > round(capacity.cpu * 1000):
        found.append(f"{resources.cpu:g} CPUs of {capacity.cpu:g}")
    if resources.memory_mb > capacity.memory_mb:
        found.append(f"{resources.memory_mb} MB of memory of {capacity.memory_mb}")
    if (resources.gpu or 0) > capacity.gpu:
        found.append(f"{resources.gpu} GPUs of {capacity.gpu}")
    return found
