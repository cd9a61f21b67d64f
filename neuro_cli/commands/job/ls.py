"""`neuro job ls`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from neuro_cli import params
from neuro_cli.command import command, option
from neuro_cli.options import cluster_option, full_uri_option, output_options, quiet_option
from neuro_cli.output import Output
from neuro_cli.root import Root, closing
from neuro_cli.selection import Filters, filter_options, own_columns, read_columns
from neuro_cli.terminal import can_draw

if TYPE_CHECKING:
    from neuro_cli.render.table import Column
    from neuro_sdk import Client, JobDescription, JobStatus

    Jobs = Callable[[], AsyncIterator[JobDescription]]

_STATUSES = ["pending", "suspended", "running", "succeeded", "failed", "cancelled", "all"]


@command()
@option(
    "-s", "--status", "statuses", multiple=True, type=click.Choice(_STATUSES), metavar="STATUS",
    help=f"Only jobs in this state: {', '.join(_STATUSES)}. Repeatable.",
)  # fmt: skip
@option("-a", "--all", "all_", is_flag=True, help="Jobs in any state, the finished ones too.")
@filter_options
@option("--distinct", is_flag=True, help="Only the first job of each name.")
@option("--recent-first/--recent-last", default=False, help="Newest first, or last, as is usual.")
@option(
    "--format", "format_", type=params.Fields("ps"), metavar="COLUMNS",
    help="Which columns to show; neuro help ps-format says more.",
)  # fmt: skip
@option(
    "--watch", is_flag=False, flag_value="2", type=params.SECONDS, metavar="[SECONDS]",
    help="Go on and show what changes, live on a terminal, asking so often.  [default: 2]",
)  # fmt: skip
@full_uri_option
@output_options
@cluster_option
@option(
    "-w", "--wide", is_flag=True, hidden=True, expose_value=False, help="Accepted; nothing is cut in a pipe anyway."
)
@quiet_option
@option("--all-orgs", "--all-projects", is_flag=True, hidden=True, expose_value=False, help="Accepted: there is one.")
async def ls(
    root: Root,
    *,
    statuses: tuple[str, ...],
    all_: bool,
    distinct: bool,
    recent_first: bool,
    format_: str | None,
    watch: float | None,
    full_uri: bool,
    **filters: Any,
) -> None:
    """List jobs.

    Those that have not finished, unless -a or -s says otherwise; oldest first.

    Examples:

    neuro ps
    # What failed since yesterday
    neuro ps -s failed --since 1d
    # Ids of my jobs with a tag
    neuro -q ps -o ME -t sweep
    # For a program
    neuro ps -a --json
    # Live, until q is pressed; in a pipe a line for each change
    neuro ps --watch
    """
    if root.verbosity < 0 and root.output is Output.TABLE:
        root.output = Output.NAME
    from neuro_cli.render.columns import PS_FORMAT
    from neuro_cli.render.jobs import IDS, job_columns

    specs = None if format_ is None else read_columns(format_, IDS, "--format")
    only = Filters(**filters)
    async with root.client() as client:
        if specs is None:
            specs = own_columns(await client.config.get_user_config(), "ps-format", PS_FORMAT, IDS)
        columns = job_columns(specs, root.style(client, full_uris=full_uri))

        def jobs() -> AsyncIterator[JobDescription]:
            found = only.jobs(client, _wanted(statuses, all_), recent_first=recent_first)
            return _distinct(found) if distinct else found

        if watch is None:
            await root.show_all(jobs(), columns, name=lambda job: job.id)
        elif root.output is Output.TABLE and can_draw():
            await _show_live(root, jobs, columns, watch, client.cluster_name)
        else:
            await _show_changes(root, client, jobs, columns, watch, times=format_ is None)


async def _show_live(root: Root, jobs: Jobs, columns: Sequence[Column], pause: float, where: str) -> None:
    from neuro_cli.live import Live
    from neuro_cli.render.jobs import list_page
    from neuro_cli.watching import again_and_again

    shown: list[JobDescription] = []
    style = root.style()
    live = Live(root, lambda width: list_page(shown, columns, style, width=width, where=where))

    async def ask() -> list[JobDescription]:
        return [job async for job in jobs()]

    async def work() -> None:
        nonlocal shown
        async for found in again_and_again(root, ask, pause):
            shown = found
            live.refresh()

    await live.run(work())


async def _show_changes(
    root: Root, client: Client, jobs: Jobs, columns: Sequence[Column], pause: float, *, times: bool
) -> None:
    """Those that there are, then a line for each that is new, has changed, or is not among them any more."""
    from neuro_cli.render.jobs import change_columns
    from neuro_cli.watching import again_and_again
    from neuro_sdk import ResourceNotFound

    lines = root.lines(change_columns(columns, root.style(client), times=times), name=lambda job: job.id)
    seen: dict[str, JobDescription] = {}

    async def ask() -> list[JobDescription]:
        found = {job.id: job async for job in jobs()}
        changed = [job for job in found.values() if job.id not in seen or seen[job.id].history != job.history]
        for job_id in seen.keys() - found.keys():
            try:
                changed.append(await client.jobs.status(job_id))
            except ResourceNotFound:  # so nothing can be said of it
                continue
        seen.clear()
        seen.update(found)
        return changed

    async for changed in again_and_again(root, ask, pause):
        lines.add(changed)


def _wanted(statuses: tuple[str, ...], everything: bool) -> set[JobStatus]:
    from neuro_sdk import JobStatus

    if everything or "all" in statuses:
        return set()
    return {JobStatus(status) for status in statuses} or JobStatus.active_items()


async def _distinct(jobs: AsyncIterator[JobDescription]) -> AsyncIterator[JobDescription]:
    seen = set()
    async with closing(jobs):
        async for job in jobs:
            if job.name is None or job.name not in seen:
                seen.add(job.name)
                yield job
