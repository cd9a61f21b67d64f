"""`run --share`: a job is not started for nothing, and nothing is left half shared without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from neuro_cli.root import Root

if TYPE_CHECKING:
    from neuro_sdk import Client, JobDescription


async def check_sharers(client: Client, users: Sequence[str]) -> None:
    """Before the job starts: raise for a user or a role that is not there."""
    from neuro_sdk import AuthorizationError, ResourceNotFound

    for user in dict.fromkeys(users):
        if user == client.username:
            raise click.UsageError(f"--share {user}: that is you, and the job will be yours")
        try:
            await client.users.get_acl(user, "job")
        except AuthorizationError:  # a platform that does not tell; it will when the job is shared
            continue
        except ResourceNotFound as exc:
            raise ResourceNotFound(f"{exc}; nothing was started") from exc


async def share_job(root: Root, client: Client, job: JobDescription, users: Sequence[str]) -> bool:
    """Share a job that has just been started; it runs on when that fails, and the user is told what is missing."""
    from neuro_sdk import Action, NeuroError, Permission

    shared = True
    for user in dict.fromkeys(users):
        try:
            await client.users.share(user, Permission(job.uri, Action.WRITE))
        except (NeuroError, OSError) as exc:
            shared = False
            root.say_always(
                f"neuro: {job.id} was started, but not shared with {user}: {exc}\n"
                f"neuro: neuro share job:{job.id} {user} write tries again; neuro kill {job.id} ends it"
            )
    return shared
