"""`neuro job exec`."""

from __future__ import annotations

import click

from neuro_cli import params
from neuro_cli.command import argument, command, option
from neuro_cli.root import Root


@command(context_settings={"allow_interspersed_args": False})
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@argument(
    "cmd", nargs=-1, required=True, metavar="CMD...", help="The command; one word alone is split as a shell would."
)
@option("-t/-T", "--tty/--no-tty", default=None, help="With a terminal, or without.  [default: with, when all is one]")
@option(
    "--timeout", type=params.SECONDS_OR_NEVER, default=0.0, metavar="SECONDS", help="Give up after so long; 0 is never."
)
@option("--no-key-check", is_flag=True, hidden=True, expose_value=False, help="Accepted; there are no keys.")
async def exec_(root: Root, job: str, cmd: tuple[str, ...], tty: bool | None, timeout: float) -> int:  # noqa: ASYNC109
    """Run one more command inside a running job.

    The exit code is the command's. Without a terminal, standard input goes to the command up to its end, and its
    output comes back as bytes. With one, Ctrl-P Ctrl-Q leaves the command alone.

    Examples:

    # A shell in the job
    neuro exec -t train -- bash

    # One command; options of exec stand before the job
    neuro exec train -- nvidia-smi -L

    # Data in, data out
    tar cz data | neuro exec train -- tar xz
    """
    import asyncio

    from neuro_cli.jobs import run_beside

    cmd = params.command_words(cmd)
    if params.command_of(cmd) is None:  # an unbalanced quote, too, is found here, not far away
        raise click.UsageError("Missing argument 'CMD...'")
    patience = asyncio.timeout(timeout or None)
    try:
        async with patience, root.client() as client:
            return await run_beside(root, client, await client.jobs.resolve(job), cmd, tty=tty)
    except TimeoutError as exc:
        if patience.expired():
            raise TimeoutError(f"Gave up after {timeout:g} s; a command that had started runs on") from exc
        raise
