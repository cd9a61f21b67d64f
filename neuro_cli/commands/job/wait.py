"""`neuro job wait`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuro_cli import exits, params
from neuro_cli.command import argument, command, option
from neuro_cli.options import output_options
from neuro_cli.output import Output
from neuro_cli.root import Root

if TYPE_CHECKING:
    from neuro_sdk import JobDescription

_FINISHED = "finished"
_STATUSES = ["pending", "suspended", "running", "succeeded", "failed", "cancelled", _FINISHED]


@command()
@argument("jobs", type=params.JOB, nargs=-1, required=True, metavar="JOB...", help="Ids, names, or job: URIs.")
@option(
    "--for",
    "statuses",
    multiple=True,
    type=click.Choice(_STATUSES),
    metavar="STATUS",
    help=f"What to wait for: {', '.join(_STATUSES)}. Repeatable: any of them.  [default: finished]",
)
@option("--timeout", type=params.DURATION, metavar="TIMEDELTA", help="Give up after 1d2h3m4s; 0 looks once.")
@option("--exit-code", is_flag=True, help="Exit with the code of the job, of several with the first that is not 0.")
@output_options
async def wait(
    root: Root,
    *,
    jobs: tuple[str, ...],
    statuses: tuple[str, ...],
    timeout: float | None,  # noqa: ASYNC109
    exit_code: bool,
) -> int:
    """Wait until jobs have ended, or have another status.

    All of them, when there are several. Exits 0 when that is so, 1 when a job ended otherwise, 124 after the timeout;
    jobs go on all the same. Restarts of the platform do not matter.

    Examples:

    neuro job wait train
    # As if it had been there all the time
    neuro job wait --exit-code train
    # Until somebody can look in
    neuro job wait --for running --timeout 10m train && neuro exec train -- nvidia-smi
    """
    import asyncio

    from neuro_sdk import JobStatus

    wanted = {JobStatus(status) for status in statuses if status != _FINISHED}
    if not statuses or _FINISHED in statuses:
        wanted |= JobStatus.finished_items()
    async with root.client() as client:
        ids = [await client.jobs.resolve(job) for job in jobs]
        found = await asyncio.gather(
            *[client.jobs.wait(job_id, statuses=wanted, timeout=timeout) for job_id in ids], return_exceptions=True
        )
    seen: list[JobDescription] = []
    code = exits.OK
    for name, job in zip(jobs, found, strict=True):
        if isinstance(job, TimeoutError):
            root.say_always(f"neuro: {job if len(jobs) == 1 else f'{name}: {job}'}")
            code = exits.TIMED_OUT
        elif isinstance(job, BaseException):
            raise job
        else:
            seen.append(job)
            if job.status in wanted:
                root.detail(f"{name} is {job.status.value}")
            else:
                root.say_always(f"neuro: {name} has ended: {job.status.value}")
                code = code or exits.FAILURE
    if root.output is not Output.TABLE:
        _show(root, seen, single=len(jobs) == 1)
    if code == exits.OK and exit_code:
        return next(filter(None, map(_own_code, seen)), exits.OK)
    return code


def _own_code(job: JobDescription) -> int:
    if not job.status.is_finished:
        return exits.OK
    return exits.PLATFORM_FAILED if job.history.exit_code is None else job.history.exit_code


def _show(root: Root, jobs: list[JobDescription], *, single: bool) -> None:
    from neuro_cli.output import document

    if root.output is Output.NAME:
        root.print("\n".join(job.id for job in jobs))
    elif jobs:
        root.print(document(jobs[0] if single else jobs, root.output))
