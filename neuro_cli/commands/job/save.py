"""`neuro job save`."""

from __future__ import annotations

from neuro_cli import params
from neuro_cli.command import argument, command
from neuro_cli.options import output_options
from neuro_cli.root import Root


@command()
@argument("job", type=params.JOB, help="The job's id, its name, or a job: URI.")
@argument("image", type=params.IMAGE, help="The image to make, such as image:trained:v1.")
@output_options
async def save(root: Root, job: str, image: str) -> None:
    """Save a running job's container as an image.

    The image goes to the platform's registry, and its address is printed. It needs a cluster that runs containers.

    Examples:

    neuro save train image:trained:v1
    """
    from neuro_cli.render.images import SaveProgress

    async with root.client() as client:
        target = client.parse.remote_image(image)
        job_id = await client.jobs.resolve(job)
        await client.jobs.save(job_id, target, progress=SaveProgress(root.detail))
        root.show({"job": job_id, "image": str(target)}, lambda saved: saved["image"], name=str(target))
