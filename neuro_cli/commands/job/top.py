"""`neuro job top`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from neuro_cli import params
from neuro_cli.command import argument, command, option
from neuro_cli.options import cluster_option, full_uri_option, output_options
from neuro_cli.output import Output
from neuro_cli.root import Root
from neuro_cli.selection import Filters, filter_options, own_columns, read_columns
from neuro_cli.terminal import can_draw

if TYPE_CHECKING:
    from neuro_cli.render._style import Style
    from neuro_cli.render.columns import Spec
    from neuro_cli.render.top import Order, Use
    from neuro_cli.watching import Uses
    from neuro_sdk import Client, JobDescription

_SORTS = {"c": "cpu", "m": "memory", "g": "gpu", "G": "gpu_memory", "n": "name"}  # by key


@command()
@argument("jobs", type=params.JOB, nargs=-1, metavar="[JOB]...", help="Ids, names, or job: URIs; none: yours that run.")
@filter_options
@option(
    "--sort", type=params.Fields("top"), default="cpu", show_default=True, metavar="FIELDS",
    help="By what to sort, largest or first first: fields with commas between; - before one turns it round.",
)  # fmt: skip
@option(
    "--format", "format_", type=params.Fields("top"), metavar="COLUMNS",
    help="Which columns to show; neuro help top-format says more.",
)  # fmt: skip
@option(
    "--timeout", type=params.SECONDS_OR_NEVER, default=0.0, metavar="SECONDS", help="Leave after so long; 0 is never."
)
@full_uri_option
@output_options
@cluster_option
async def top(
    root: Root,
    *,
    jobs: tuple[str, ...],
    sort: str,
    format_: str | None,
    timeout: float,  # noqa: ASYNC109 - the user's
    full_uri: bool,
    **filters: Any,
) -> None:
    """Show what running jobs use: CPU, memory, GPUs.

    Of all processes of a job together, about once a second. On a terminal it is a live page; q leaves. Elsewhere, and
    with --json, it is a line for each measurement. With JOBs named it ends with the last of them.

    Examples:

    neuro top
    neuro top train --sort=-memory
    # For a program; memory is in MiB
    neuro top train --json | jq .cpu
    # The whole minute as lines
    neuro top --timeout 60 --format "name cpu memory" | tee usage.txt
    """
    if jobs and any(filters.values()):
        raise click.UsageError("Name jobs, or choose them by -o -n -t -d -p --org --since --until: not both")
    import asyncio

    from neuro_cli.render.columns import TOP_FORMAT, FormatError
    from neuro_cli.render.top import TOP_IDS, read_sort

    specs = None if format_ is None else read_columns(format_, TOP_IDS, "--format")
    try:
        orders = read_sort(sort)
    except FormatError as exc:
        raise click.UsageError(f"Invalid value for --sort: {exc}") from exc
    if root.verbosity < 0 and root.output is Output.TABLE:
        root.output = Output.NAME
    async with root.client() as client:
        if specs is None:
            specs = own_columns(await client.config.get_user_config(), "top-format", TOP_FORMAT, TOP_IDS)
        named = await _named(root, client, jobs)
        follow = _Following(root, client, named, Filters(**filters))
        style = root.style(client, full_uris=full_uri)
        deadline = asyncio.timeout(timeout or None)
        try:
            async with deadline:
                if root.output is Output.TABLE and can_draw():
                    await _show_live(follow, specs, orders, style)
                else:
                    await _show_lines(follow, specs, style, times=format_ is None)
        except TimeoutError:
            if not deadline.expired():
                raise


async def _named(root: Root, client: Client, jobs: Sequence[str]) -> list[JobDescription]:
    from neuro_sdk import IllegalArgumentError

    found = {}
    for job in jobs:
        description = await client.jobs.status(await client.jobs.resolve(job))
        if not description.status.is_finished:
            found[description.id] = description
        elif len(jobs) == 1:
            raise IllegalArgumentError(f"{job} has ended and uses nothing: neuro status {job} shows how it ended")
        else:
            root.warn(f"{job} has ended and uses nothing")
    if jobs and not found:
        raise IllegalArgumentError("None of these jobs runs")
    return list(found.values())


class _Following:
    """Which jobs are followed: those that were named, to their ends, or for ever those that run."""

    def __init__(self, root: Root, client: Client, named: Sequence[JobDescription], only: Filters) -> None:
        self.root = root
        self.client = client
        self.named = named
        self._only = only if only.owners else replace(only, owners=(client.username,))

    def uses(self, changed: Callable[[Use | None], None]) -> Uses:
        from neuro_cli.watching import Uses

        return Uses(self.client, changed, keep=bool(self.named))

    async def run(self, uses: Uses, listed: Callable[[int], None] = lambda _: None) -> None:
        """Follow them; ``listed`` is told how many there are whenever they were listed."""
        from neuro_cli.watching import again_and_again, together
        from neuro_sdk import JobStatus

        async def ask() -> list[JobDescription]:
            return [job async for job in self._only.jobs(self.client, {JobStatus.RUNNING})]

        async def look() -> None:
            async for found in again_and_again(self.root, ask):
                for job in found:
                    uses.watch(job)
                listed(len(found))

        try:
            for job in self.named:
                uses.watch(job)
            await (uses.over() if self.named else together(look(), uses.failure()))
        finally:
            await uses.close()


async def _show_live(follow: _Following, specs: Sequence[Spec], orders: Sequence[Order], style: Style) -> None:
    from neuro_cli.live import Live
    from neuro_cli.render.picture import Picture
    from neuro_cli.render.top import Order, top_page

    present = list(orders)

    def picture(width: int) -> Picture:
        return top_page(list(uses), specs, style, orders=present, width=width, where=follow.client.cluster_name)

    def press(key: str) -> None:
        if key in _SORTS:
            present[:] = [Order(_SORTS[key])]
        elif key == "r":
            present[0] = present[0]._replace(reverse=not present[0].reverse)

    live = Live(follow.root, picture, press)
    uses = follow.uses(lambda _: live.refresh())
    await live.run(follow.run(uses, lambda _: live.refresh()))


async def _show_lines(follow: _Following, specs: Sequence[Spec], style: Style, *, times: bool) -> None:
    from neuro_cli.render.top import document, line_columns

    lines = follow.root.lines(line_columns(specs, style, times=times), name=lambda use: use.job.id)
    named: set[str] = set()
    told = False

    def show(use: Use | None) -> None:
        if use is None or (follow.root.output is Output.NAME and use.job.id in named):
            return
        named.add(use.job.id)
        lines.add([use], documents=[document(use)])

    def listed(count: int) -> None:
        nonlocal told
        if not (count or named or told):
            told = True
            follow.root.say("No job of yours runs; waiting for one")

    await follow.run(follow.uses(show), listed)
