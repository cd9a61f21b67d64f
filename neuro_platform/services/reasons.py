"""Why a job waits, how it ended, and what would change that, in plain words; pure: what is known in, sentences out."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from neuro_platform.services.admission import Queue, amount, plain
from neuro_platform.services.outcome import CANNOT_RUN
from neuro_platform.states import run_time
from neuro_platform.store.jobs import Phase, Record
from neuro_sdk.wire.codec import replace
from neuro_sdk.wire.jobs import JobDescription, JobStatus, Resources
from neuro_sdk.wire.reasons import Holder, JobReason, Shortage

_MOST_HOLDERS: Final = 10
_SIGNALS: Final = {
    signal.SIGHUP: "its terminal was hung up",
    signal.SIGINT: "it was interrupted",
    signal.SIGQUIT: "it was told to quit",
    signal.SIGILL: "it ran into an instruction that the CPU does not know",
    signal.SIGABRT: "it gave up by itself",
    signal.SIGBUS: "it touched memory that is not there, as of a file that became shorter",
    signal.SIGFPE: "it divided by zero or the like",
    signal.SIGKILL: "it was forced to end",
    signal.SIGSEGV: "it touched memory that is not its own",
    signal.SIGPIPE: "it wrote to somebody who had gone",
    signal.SIGTERM: "it was asked to end",
    signal.SIGXCPU: "it used up its CPU time",
    signal.SIGXFSZ: "it wrote a file larger than it may",
}


@dataclass(frozen=True, kw_only=True)
class Known:
    """What there is to know about a job besides the job."""

    queue: Queue | None  # of its cluster; none when that has no engine any more
    seats: int | None
    now: datetime
    exit_record: Mapping[str, object]  # of its last run; empty when there is none
    disk_is_full: bool
    sees: Callable[[JobDescription], bool]  # whether who asks may know of another job


def why(record: Record, known: Known) -> JobReason:
    """Why the job is as it is."""
    job = record.job
    reason = _ended(job, known) if job.status.is_finished else _unfinished(record, known)
    ends_by = None if job.status.is_finished else _ends_by(job, known.now)
    return replace(reason, id=job.id, name=job.name, priority=job.priority, ends_by=ends_by)


def would(record: Record, known: Known) -> JobReason:
    """Why a job that is not there would wait, if it would; the queue is as if it were there."""
    return replace(_in_queue(record, known), priority=record.job.priority)


def starts_now(reason: JobReason) -> bool:
    """Whether nothing is in the way of a job that is to start."""
    return reason.kind in ("next", "engine-queue")


# Not ended


def _unfinished(record: Record, known: Known) -> JobReason:
    job = record.job
    words = job.summary.description
    if record.stop is not None:
        said = record.stop.description
        return JobReason(job.status, "stopping", f"It is being stopped: {_low(said)}.", details=said)
    if known.queue is None:
        return JobReason(
            job.status,
            "no-engine",
            f"The cluster {job.cluster_name!r} is not among the engines of this platform any more: nobody looks after"
            " the job.",
            advice=["The operator can put the engine back into the settings and start the platform anew."],
        )
    if record.phase in (Phase.WAITING, Phase.QUEUED):
        return _in_queue(record, known)
    if job.status is JobStatus.RUNNING:
        return JobReason(job.status, "running", "Nothing is in its way.")
    if not words:
        return JobReason(job.status, "starting", "Its turn has come, and it is being started.")
    if known.disk_is_full:
        return JobReason(
            job.status,
            "disk-full",
            "It cannot be started: the platform's disk is full.",
            details=words,
            advice=["Free some space there, or have the operator do it; the job then starts by itself."],
        )
    if record.phase is Phase.STARTED:
        return JobReason(job.status, "engine-queue", "It waits in the queue of the engine.", details=words)
    return JobReason(
        job.status,
        "start-failed",
        "It could not be started yet, and that is tried again and again.",
        details=words,
        advice=[f"'neuro kill {_name(job)}' ends the attempts."],
    )


def _in_queue(record: Record, known: Known) -> JobReason:
    job, queue = record.job, known.queue
    if record.phase is Phase.WAITING or queue is None:
        return _for_seat(job, known)
    gives_up_at = _gives_up_at(record)
    if record.not_before is not None and record.not_before > known.now:
        return JobReason(
            job.status,
            "back-off",
            f"{job.summary.description or 'Its program ended'}.",
            until=record.not_before,
            advice=[f"'neuro logs {_name(job)}' shows what it wrote; 'neuro kill {_name(job)}' ends the restarts."],
        )
    ids = [one.job.id for one in queue.waiting]
    ahead = ids.index(job.id) if job.id in ids else len(ids)
    place = JobReason(job.status, "", "", position=ahead + 1, queue_length=len(ids), gives_up_at=gives_up_at)
    asked = job.container.resources
    if queue.capacity is None:
        return replace(place, kind="engine-queue", summary="It is handed to the engine, which has a queue of its own.")
    short = [replace(one, holders=_holders(one.resource, queue, known)) for one in queue.room.shortages(asked)]
    if ahead:
        return _behind(replace(place, shortages=short), job, queue, known)
    if not short:
        return replace(place, kind="next", summary="Nothing is in its way: it starts now.")
    wanted = " and ".join(f"{amount(one.resource, one.wanted)} ({_free(one)})" for one in short)
    return replace(
        place,
        kind="resources",
        summary=f"It is next, and waits for {wanted}.",
        shortages=short,
        starts_by=_starts_by(short),
        advice=_advice_on(short, asked, queue, job),
    )


def _behind(place: JobReason, job: JobDescription, queue: Queue, known: Known) -> JobReason:
    ahead = (place.position or 1) - 1
    before = f"{ahead} {'job is' if ahead == 1 else 'jobs are'} ahead of it"
    if place.shortages:
        wanted = " and ".join(amount(one.resource, one.wanted) for one in place.shortages)
        kind, summary = "resources", f"It waits for {wanted}, and {before}."
    else:
        kind = "turn"
        summary = f"There would be room for it, but {before}: who asks for little does not overtake who came before."
    ours = [one.job for one in queue.waiting[:ahead] if known.sees(one.job)]
    advice = [f"'neuro kill {_name(one)}' takes it out of the way." for one in ours[:3]]
    if job.priority != "high":
        advice.append("Started again with a higher --priority, it would go before those of a lower one.")
    return replace(place, kind=kind, summary=summary, advice=advice)


def _for_seat(job: JobDescription, known: Known) -> JobReason:
    seated = known.queue.seated.get(job.owner, 0) if known.queue is not None else 0
    held = _unfinished_of(job.owner, known.queue)
    holders = [_holder(one, 1, known) for one in held[:_MOST_HOLDERS]]
    total = known.seats or 0
    return JobReason(
        job.status,
        "seat",
        f"It waits for a seat: one user may have {total} unfinished jobs on this cluster, and {job.owner} has"
        f" {seated}.",
        shortages=[Shortage("seat", 1, max(0, total - seated), total, holders)],
        gives_up_at=_timeout_of(job),
        advice=[f"'neuro kill {_name(one.job)}' frees a seat." for one in held[:3] if known.sees(one.job)],
    )


def _unfinished_of(owner: str, queue: Queue | None) -> list[Record]:
    return [] if queue is None else [one for one in (*queue.active, *queue.waiting) if one.job.owner == owner]


# Who has what


def _holders(resource: str, queue: Queue, known: Known) -> list[Holder]:
    amounts = [(one, _amount_of(one.job.container.resources, resource)) for one in queue.active]
    amounts = sorted([pair for pair in amounts if pair[1]], key=lambda pair: -pair[1])
    seen = [_holder(one, number, known) for one, number in amounts if known.sees(one.job)]
    unseen = [number for one, number in amounts if not known.sees(one.job)]
    more = seen[_MOST_HOLDERS:]
    found = seen[:_MOST_HOLDERS]
    if unseen or more:
        found.append(Holder(sum(unseen) + sum(one.amount for one in more), jobs=len(unseen) + len(more)))
    return found


def _holder(record: Record, number: float, known: Known) -> Holder:
    job = record.job
    if not known.sees(job):
        return Holder(number)
    return Holder(number, job_id=job.id, name=job.name, owner=job.owner, ends_by=_ends_by(job, known.now))


def _amount_of(resources: Resources, resource: str) -> float:
    return {"cpu": resources.cpu, "memory_mb": resources.memory_mb, "gpu": resources.gpu or 0}[resource]


def _starts_by(shortages: Sequence[Shortage]) -> datetime | None:
    """When enough is free at the latest; none when that depends on a job without a limit or of somebody else."""
    times = []
    for short in shortages:
        free = short.free
        for holder in sorted(
            (one for one in short.holders if one.ends_by), key=lambda one: one.ends_by or datetime.max
        ):
            free += holder.amount
            if free >= short.wanted - 1e-9:
                times.append(holder.ends_by)
                break
        else:
            return None
    return max((time for time in times if time is not None), default=None)


def _advice_on(shortages: Sequence[Shortage], asked: Resources, queue: Queue, job: JobDescription) -> list[str]:
    advice = [
        f"'neuro kill {holder.name or holder.job_id}' frees {amount(short.resource, holder.amount)}."
        for short in shortages
        for holder in short.holders[:3]
        if holder.job_id is not None
    ]
    free = queue.room.free()
    least = {"cpu": 0.1, "memory_mb": 16, "gpu": 0}
    if free is not None and all(one.free >= least[one.resource] for one in shortages):
        cpu, memory_mb = min(asked.cpu, free.cpu), min(asked.memory_mb, free.memory_mb)
        gpu = f" --gpu {min(asked.gpu, free.gpu)}" if asked.gpu else ""
        advice.append(f"With --cpu {plain(cpu)} --memory {memory_mb}M{gpu}, {_name(job, 'it')} could start now.")
    return advice


# Times


def _ends_by(job: JobDescription, now: datetime) -> datetime | None:
    if job.status is not JobStatus.RUNNING or job.life_span is None:
        return None
    return _later(now, job.life_span - run_time(job, now).total_seconds())


def _gives_up_at(record: Record) -> datetime | None:
    return None if record.attempt else _timeout_of(record.job)


def _timeout_of(job: JobDescription) -> datetime | None:
    began = job.summary.created_at
    return None if began is None or job.schedule_timeout is None else _later(began, job.schedule_timeout)


def _later(time: datetime, seconds: float) -> datetime | None:
    try:
        return time + timedelta(seconds=seconds)
    except OverflowError:  # later than the last date that there is
        return None


# Ended


def _ended(job: JobDescription, known: Known) -> JobReason:
    history, name = job.history, _name(job)
    number = known.exit_record.get("signal")
    number = number if isinstance(number, int) else None
    said = known.exit_record.get("description")
    reason = JobReason(
        job.status,
        "error",
        "",
        exit_code=history.exit_code,
        signal=number,
        details=history.description or str(said or ""),
    )
    again = f"'neuro job generate-run-command {name}' prints the line that starts it again"
    look = f"'neuro logs {name}' shows what it wrote."
    match history.reason:
        case _ if job.status is JobStatus.SUCCEEDED:
            return replace(reason, kind="succeeded", summary="Its program ended by itself, with exit code 0.")
        case "UserRequested":
            return replace(
                reason, kind="stopped", summary=f"{history.description or 'Stopped on request'}.", advice=[f"{again}."]
            )
        case "LifeSpanEnded":
            return replace(
                reason,
                kind="life-span",
                summary=f"{history.description}, and the platform stopped it.",
                advice=[f"{again}: give it a longer --life-span, or 'neuro job bump-life-span' while it runs."],
            )
        case "Collected":
            return replace(
                reason,
                kind="schedule-timeout",
                summary=f"{history.description}.",
                advice=["Ask for less, or let it wait longer with --schedule-timeout."],
            )
        case "OOMKilled":
            more = 2 * job.container.resources.memory_mb
            return replace(
                reason,
                kind="out-of-memory",
                summary=f"Its program was killed for want of memory; it had asked for {_memory(job)}.",
                advice=[f"{again}: ask for more with --memory, such as {more}M, or have the program use less.", look],
            )
        case reason_ if reason_ == CANNOT_RUN:
            return replace(
                reason,
                kind="cannot-run",
                summary="Its program could not be started.",
                advice=["Check the command, its path, and -w, the folder to start in."],
            )
        case "NotFound":
            return replace(
                reason,
                kind="lost",
                summary="The engine lost it: nobody knows how its program ended.",
                advice=["With --restart on-failure, such a job is started again by itself.", look],
            )
    if number is not None:
        return replace(reason, kind="signal", summary=f"Its program was ended by {_signal(number)}.", advice=[look])
    code = history.exit_code
    if code is None:
        return replace(reason, summary="It ended without an exit code.", advice=[look])
    summary = f"Its program ended by itself, with exit code {code}."
    if code > 128 and (words := _signal(code - 128)):
        summary += f" A shell says that of a program of its own that was ended by {words}."
    return replace(reason, summary=summary, advice=[look])


def _signal(number: int) -> str:
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    words = f": {_SIGNALS[known]}" if known in _SIGNALS else ""
    return f"signal {number} ({known.name}){words}"


# Words


def _free(short: Shortage) -> str:
    return f"{plain(short.free)} of {plain(short.total)} {'is' if short.free == 1 else 'are'} free"


def _memory(job: JobDescription) -> str:
    return amount("memory_mb", job.container.resources.memory_mb)


def _name(job: JobDescription, nobody: str = "") -> str:
    return job.name or job.id or nobody


def _low(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
