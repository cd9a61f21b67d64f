"""Ports of this machine that lead to ports of a job: what `port-forward`, `run` and `attach` have in common."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from neuro_cli.root import Root

if TYPE_CHECKING:
    from neuro_sdk import Client, JobDescription, PortForward


class Ports(NamedTuple):
    """What the user asked for: 0 as the local port is any that is free."""

    local: int
    remote: int


def check(ports: Sequence[Ports]) -> None:
    """A local port can lead to one place only."""
    chosen = [pair.local for pair in ports if pair.local]
    for port in chosen:
        if chosen.count(port) > 1:
            raise click.UsageError(
                f"Local port {port} is asked for twice: give each its own, or none (:PORT) for a free one"
            )


class Forwards:
    """The open ports of a command."""

    def __init__(self, root: Root, opened: Sequence[PortForward]) -> None:
        self.opened = opened
        self._root = root

    def lead_to(self, job: JobDescription) -> None:
        """Have new connections go to this job."""
        for forward in self.opened:
            forward.job = job.id

    def tell(self, job: JobDescription) -> None:
        """Say which ports lead where, beside the output of a program."""
        from neuro_cli.render.ports import forward_lines

        if self.opened:
            self._root.say(forward_lines(self.mapping(job)))

    def mapping(self, job: JobDescription) -> list[dict[str, object]]:
        """The ports as data."""
        return [
            {"job": job.name or job.id, "job_id": job.id, "local_port": one.local_port, "job_port": one.job_port}
            for one in self.opened
        ]


@contextlib.asynccontextmanager
async def forwarding(root: Root, client: Client, ports: Sequence[Ports]) -> AsyncIterator[Forwards]:
    """Open the local ports; they lead nowhere yet. A dropped connection is a line on standard error."""
    async with contextlib.AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(client.jobs.port_forward(None, pair.local, pair.remote, on_drop=root.warn))
            for pair in ports
        ]
        yield Forwards(root, opened)
