"""Showing a person what a job publishes: in a browser of this machine, or by an address for any other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from neuro_cli.root import Root

if TYPE_CHECKING:
    from neuro_sdk import Client, JobDescription, JobOpening


async def opening_of(root: Root, client: Client, job: JobDescription) -> JobOpening:
    """An address that opens what a job publishes, once it runs; ResourceNotFound when it publishes nothing."""
    from neuro_cli.jobs import wait_start
    from neuro_sdk import ResourceNotFound

    if not job.http_url:
        raise ResourceNotFound(f"{job.id} publishes no port: start it with neuro run --http PORT")
    job = await wait_start(root, client, job)
    if job.status.is_finished:
        raise ResourceNotFound(f"{job.id} has ended ({job.status}): nothing answers at {job.http_url} any more")
    return await client.jobs.browse(job.id)


async def show_page(root: Root, job: JobDescription, opening: JobOpening, *, on_stdout: bool) -> None:
    """Open the address in a browser; where there is none say it, for a browser elsewhere."""
    import webbrowser

    from neuro_cli.logins import no_browser

    reason = no_browser()
    if reason is None:
        root.detail(f"Opening {job.http_url} in your browser ...")
        if await asyncio.to_thread(webbrowser.open, str(opening.url)):
            return
        reason = "none was found"
    lasting = ""
    if opening.expires_in is not None:
        lasting = f". It is good once, within {opening.expires_in / 60:.0f} minutes; {job.http_url} asks for a login"
    root.say_always(f"No browser can be opened here ({reason}): open this address in any other{lasting}")
    if on_stdout:
        root.print(str(opening.url))
    else:
        root.say_always(f"\n    {opening.url}\n")
