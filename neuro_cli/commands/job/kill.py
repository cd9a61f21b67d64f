"""`neuro job kill`."""

from __future__ import annotations

from neuro_cli import exits, params
from neuro_cli.command import argument, command
from neuro_cli.root import Root


@command()
@argument("jobs", type=params.JOB, nargs=-1, required=True, metavar="JOB...", help="Ids, names, or job: URIs.")
async def kill(root: Root, jobs: tuple[str, ...]) -> int:
    """Stop jobs.

    Each is asked to end, then made to. The ids are printed. A job that has ended already is no error. When one of
    several cannot be stopped, the others are, and the exit code is 1.

    Examples:

    neuro kill train
    neuro kill $(neuro -q ps -t sweep)
    """
    from neuro_sdk import AuthorizationError, IllegalArgumentError, ResourceNotFound

    code = exits.OK
    async with root.client() as client:
        for job in jobs:
            try:
                job_id = await client.jobs.resolve(job)
                await client.jobs.kill(job_id)
            except (ResourceNotFound, AuthorizationError, IllegalArgumentError) as exc:
                if len(jobs) == 1:
                    raise
                root.say_always(f"neuro: {job} was not killed: {exc}")
                code = exits.FAILURE
            else:
                root.print(job_id)
    return code
