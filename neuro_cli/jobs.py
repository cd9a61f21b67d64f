"""What `run`, `attach`, `exec` and `logs` have in common: being there while a program runs, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from neuro_cli import exits
from neuro_cli.interrupts import ask
from neuro_cli.pipes import has_input
from neuro_cli.root import Root
from neuro_cli.session import Input, Outcome, Session
from neuro_cli.terminal import all_terminals, joins_terminal

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from neuro_sdk import Client, JobDescription, StdStream

_PLAIN_REASONS = frozenset({"", "Error", "Completed"})  # of an end that the exit code says all about
_TOLD = frozenset({126, 127})  # of a program that could not be started; the output says why


async def attached(root: Root, client: Client, job: JobDescription, *, is_new: bool) -> int:
    """Stay with a job until it ends or the user leaves; returns what to exit with.

    A new job is ours: all its output is shown, and its input ends where ours does.
    """
    from neuro_sdk import AuthorizationError, NotAPlatform, ServerNotAvailable

    tty, takes_input = job.container.tty, job.container.tty or job.container.stdin
    if takes_input and has_input():
        stdin = Input.PASSED
    else:
        stdin = Input.ENDED if is_new and takes_input else Input.LEFT
        if is_new and has_input():
            root.warn("this platform gives programs no input unless they have a terminal (-t); yours is not passed on")
    started = asyncio.Event()
    if not job.status.is_pending:
        started.set()
    waiting = asyncio.create_task(_tell_start(root, client, job, started))
    try:
        async with contextlib.AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(_attach(client, job, stdin=takes_input, logs=is_new))
            except AuthorizationError:
                if not takes_input:
                    raise
                root.warn(f"{job.id} is shared with you to look at only: your input is not passed on")
                stdin, tty = Input.LEFT, False
                stream = await stack.enter_async_context(_attach(client, job, stdin=False, logs=is_new))
            session = Session(
                stream,
                tty=tty and joins_terminal(),
                stdin=stdin,
                warn=root.warn,
                started=started,
                interrupted=lambda: ask(root, job.id),
            )
            root.on_resumed = session.redraw
            outcome = await session.run()
    except BrokenPipeError:
        await _tell_alone(root, client, job)
        raise
    except (NotAPlatform, ServerNotAvailable):
        if is_new:
            name = job.name or job.id
            root.warn(f"{job.id} was started: neuro logs {name} shows its output, neuro kill {name} ends it")
        raise
    finally:
        waiting.cancel()
    match outcome:
        case Outcome.KILLED:
            await client.jobs.kill(job.id)
            root.say(f"Killed {job.id}")
            return exits.INTERRUPTED
        case Outcome.DETACHED:
            root.say(f"{job.id} runs on: neuro attach {job.name or job.id} comes back, neuro kill ends it")
            return exits.OK
    if stream.exit_code == 0 and root.verbosity <= 0:
        return exits.OK
    return ended(root, await client.jobs.status(job.id), stream.exit_code)


def _attach(client: Client, job: JobDescription, *, stdin: bool, logs: bool) -> AbstractAsyncContextManager[StdStream]:
    return client.jobs.attach(job.id, stdin=stdin, stdout=True, stderr=True, logs=logs)


async def run_beside(root: Root, client: Client, job_id: str, cmd: tuple[str, ...], *, tty: bool | None) -> int:
    """Run a second command in a job and stay with it; returns its exit code."""
    if tty is None:
        tty = all_terminals()
    exec_id = await client.jobs.exec_create(job_id, cmd[0] if len(cmd) == 1 else cmd, tty=tty)
    async with client.jobs.exec_start(job_id, exec_id) as stream:
        session = Session(stream, tty=tty and joins_terminal(), warn=root.warn)
        root.on_resumed = session.redraw
        outcome = await session.run()
    if outcome is Outcome.DETACHED:
        root.say(f"The command in {job_id} runs on")
        return exits.OK
    if stream.exit_code is None:
        root.warn(f"the command in {job_id} ended without an exit code")
        return exits.PLATFORM_FAILED
    return stream.exit_code


async def wait_start(root: Root, client: Client, job: JobDescription) -> JobDescription:
    """Wait until a job runs or has ended; says why it does not."""
    told = ""
    pause = 0.05
    while job.status.is_pending:
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 1.0)
        job = await client.jobs.status(job.id)
        told = _tell(root, job, told)
    return job


@contextlib.asynccontextmanager
async def waiting_told(root: Root, client: Client, job_id: str, *, follow: bool) -> AsyncIterator[None]:
    """Say to somebody who reads along, while the block waits for a job's output, that and why it does not start."""
    if not (root.is_watched and follow):
        yield
        return
    telling = asyncio.create_task(_tell_waiting(root, client, job_id))
    try:
        yield
    finally:
        telling.cancel()


async def _tell_waiting(root: Root, client: Client, job_id: str) -> None:
    from neuro_sdk import NeuroError

    with contextlib.suppress(NeuroError, OSError):  # the stream itself will say
        await asyncio.sleep(1.0)
        await _tell_start(root, client, await client.jobs.status(job_id), asyncio.Event())


def ended(root: Root, job: JobDescription, code: int | None = None) -> int:
    """What to exit with after a job's end; says what the code alone does not."""
    if code is None:
        code = job.history.exit_code
    say_ending(root, job)
    return exits.PLATFORM_FAILED if code is None else code


def say_ending(root: Root, job: JobDescription, *, told: bool = True) -> None:
    """One line about an end that was not just the program's own; ``told``: the job's output was shown."""
    history = job.history
    plain = history.reason in _PLAIN_REASONS
    plain = plain or (told and history.reason == "ContainerCannotRun" and history.exit_code in _TOLD)
    plain = plain and history.exit_code is not None and job.status != "cancelled"
    if job.status == "succeeded" or not job.status.is_finished or (plain and root.verbosity <= 0):
        return
    about = ": ".join(filter(None, (history.reason, history.description)))
    code = "" if history.exit_code is None else f" with exit code {history.exit_code}"
    root.warn(f"{job.id} {'was cancelled' if job.status == 'cancelled' else job.status.value}{code}"
              + (f" ({about})" if about else ""))  # fmt: skip


async def _tell_start(root: Root, client: Client, job: JobDescription, started: asyncio.Event) -> None:
    """Watch a job that is attached to already, for the words and for the moment when it starts."""
    from neuro_sdk import ClientError, ServerNotAvailable

    told = ""
    while not started.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await started.wait()
                return
        with contextlib.suppress(ClientError, ServerNotAvailable, OSError):  # the stream itself will say
            job = await client.jobs.status(job.id)
        if not job.status.is_pending:
            started.set()
        told = _tell(root, job, told)


async def _tell_alone(root: Root, client: Client, job: JobDescription) -> None:
    """Nobody reads the output any more (`neuro run … | head`): say so of a job that goes on without that."""
    from neuro_sdk import NeuroError

    with contextlib.suppress(NeuroError, OSError):
        for pause in (0.0, 0.1, 0.3):  # a program that has written all it had ends about now
            await asyncio.sleep(pause)
            if (await client.jobs.status(job.id)).status.is_finished:
                return
    name = job.name or job.id
    root.warn(f"{job.id} runs on without a reader: neuro logs {name} shows its output, neuro kill {name} ends it")


def _tell(root: Root, job: JobDescription, told: str) -> str:
    if job.status.is_pending:
        why = job.history.description or job.history.reason
        if why and why != told:
            root.detail(f"{job.id} is {job.status.value}: {why}")
            return why
    return told
