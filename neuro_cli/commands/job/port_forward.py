"""`neuro job port-forward`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from neuro_cli import exits, params
from neuro_cli.command import argument, command, option
from neuro_cli.forwards import Forwards, Ports
from neuro_cli.options import output_options
from neuro_cli.root import Root

if TYPE_CHECKING:
    from neuro_sdk import Client, JobDescription

_LOOK = 1.0  # seconds between two looks at the job


def _no_keys(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        ctx.ensure_object(Root).warn("--no-key-check does nothing any more: there are no keys")


@command()
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@argument(
    "ports",
    nargs=-1,
    required=True,
    type=params.PORTS,
    metavar="LOCAL:REMOTE...",
    help="A port of this machine and the job's that it leads to; :REMOTE takes one that is free.",
)
@output_options
@option("--no-key-check", is_flag=True, hidden=True, expose_value=False, callback=_no_keys, help="Deprecated.")
async def port_forward(root: Root, job: str, ports: tuple[Ports, ...]) -> int:
    """Lead ports of this machine to ports of a job.

    Whoever connects to a local port (of localhost only) is connected to the job, any number at a time, until Ctrl-C.
    Connections survive a lost network and a platform that starts again. A pending job is waited for. One that was given
    by its name is found again when it has ended and another one of that name runs.

    Examples:

    # A notebook of the job at http://localhost:8888
    neuro port-forward train 8888:8888

    # Two ports, of which one is taken where it is free
    neuro port-forward train 6006:6006 :8080

    # The port in a script
    neuro port-forward --output name train :8080
    """
    from neuro_cli import forwards
    from neuro_cli.jobs import wait_start
    from neuro_cli.render.ports import forward_lines

    forwards.check(ports)
    async with root.client() as client:
        found = await client.jobs.status(await client.jobs.resolve(job))
        by_name = found.name is not None and not job.endswith(found.id)
        async with forwards.forwarding(root, client, ports) as opened:
            with _until_signalled():
                if found.status.is_pending:
                    root.say(f"{found.id} is {found.status.value}, waiting for it to start")
                found = await wait_start(root, client, found)
                _must_run(found)
                opened.lead_to(found)
                local = "\n".join(str(one.local_port) for one in opened.opened)
                root.show(opened.mapping(found), forward_lines, name=local)
                await _stay(root, client, found, opened, by_name=by_name)
    return exits.OK


async def _stay(root: Root, client: Client, job: JobDescription, opened: Forwards, *, by_name: bool) -> None:
    """Until the job has ended for good."""
    while True:
        ended = await _end(client, job)
        how = f"{job.id} has ended ({ended.status.value})" if ended is not None else f"{job.id} is gone"
        if not by_name:
            root.warn(f"{how}: nothing is forwarded any more")
            return
        root.warn(f"{how}, waiting for another job named {job.name}")
        job = await _next(client, job)
        opened.lead_to(job)
        root.warn(f"{job.name} is now {job.id}")


async def _end(client: Client, job: JobDescription) -> JobDescription | None:
    """The job when it has ended; ``None`` when it is not there any more."""
    import asyncio

    from neuro_sdk import ResourceNotFound

    while True:
        await asyncio.sleep(_LOOK)
        with _patience():
            try:
                job = await client.jobs.status(job.id)
            except ResourceNotFound:
                return None
            if job.status.is_finished:
                return job


async def _next(client: Client, before: JobDescription) -> JobDescription:
    """A job of the same name and owner that runs."""
    import asyncio

    from neuro_sdk import ResourceNotFound

    name = f"job://{before.cluster_name}/{before.owner}/{before.name}"
    while True:
        with _patience(), contextlib.suppress(ResourceNotFound):
            job = await client.jobs.status(await client.jobs.resolve(name))
            if job.id != before.id and job.status.is_running:
                return job
        await asyncio.sleep(_LOOK)


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """A platform that cannot be reached now can be later, and connections say by themselves when they are lost."""
    from neuro_sdk import AuthError, ClientError, ServerNotAvailable

    try:
        yield
    except AuthError:
        raise
    except (ClientError, ServerNotAvailable, OSError):
        pass


def _must_run(job: JobDescription) -> None:
    from neuro_sdk import ResourceNotFound

    if job.status.is_finished:
        raise ResourceNotFound(f"{job.id} has ended ({job.status.value}): there is nothing to connect to")


@contextlib.contextmanager
def _until_signalled() -> Iterator[None]:
    """Leave in good order on SIGTERM and SIGHUP, so that the job learns that its connections are over."""
    import asyncio
    import signal

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    came: list[int] = []

    def leave(number: int) -> None:
        came.append(number)
        if task is not None:
            task.cancel()

    numbers = (signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, leave, number)
    try:
        yield
    except asyncio.CancelledError:
        if not came:
            raise
        if task is not None:
            task.uncancel()
        raise click.exceptions.Exit(128 + came[0]) from None
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
