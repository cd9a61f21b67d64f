"""How a platform saves a job as an image: lines of JSON, the first two of a fixed form (API v1, chapter 6.9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from neuro_sdk.errors import DockerError, IllegalArgumentError
from neuro_sdk.image_progress import (
    AbstractDockerImageProgress,
    ImageCommitFinished,
    ImageCommitStarted,
    ImageProgressPush,
    ImageProgressSave,
    ImageProgressStep,
)
from neuro_sdk.wire.codec import ImageReader, load
from neuro_sdk.wire.image_names import LocalImage
from neuro_sdk.wire.images import RemoteImage

_WRONG = 400  # what is not said as it should be
_SAID = 900  # what went wrong on the other side


class Silent(AbstractDockerImageProgress):
    """Nobody wants to know."""

    def pull(self, data: object) -> None: ...

    def push(self, data: object) -> None: ...

    def step(self, data: object) -> None: ...


async def follow(
    lines: AsyncIterator[bytes],
    job: str,
    image: RemoteImage,
    *,
    images: ImageReader,
    progress: AbstractDockerImageProgress,
) -> None:
    """Tell ``progress`` what the lines say; DockerError when they say an error, or break off, or make no sense."""
    progress.save(ImageProgressSave(job, image))
    started = _expect(await _next(lines), "CommitStarted")
    details = started.get("details")
    reference = details.get("image") if isinstance(details, dict) else None
    if not isinstance(reference, str):
        raise DockerError(_WRONG, "Missing required details: 'image'")
    progress.commit_started(ImageCommitStarted(job, images(reference)))
    _expect(await _next(lines), "CommitFinished")
    progress.commit_finished(ImageCommitFinished(job))
    progress.push(ImageProgressPush(LocalImage(f"{image.owner}/{image.name}", image.tag), image))
    async for line in lines:
        if line.strip() and (step := _step(_read(line), image.tag)) is not None:
            progress.step(step)


async def _next(lines: AsyncIterator[bytes]) -> dict[str, Any]:
    async for line in lines:
        if line.strip():
            return _read(line)
    raise DockerError(_WRONG, "The platform broke off before the image was made")


def _read(line: bytes) -> dict[str, Any]:
    try:
        document = load(line)
    except IllegalArgumentError as exc:
        raise DockerError(_WRONG, f"The platform says what is not JSON: {line[:80]!r}") from exc
    if not isinstance(document, dict):
        raise DockerError(_WRONG, f"The platform says what is no object: {line[:80]!r}")
    if "error" in document:
        details = document.get("errorDetail")
        said = details.get("message") if isinstance(details, dict) else None
        raise DockerError(_SAID, str(said or document["error"]))
    return document


def _expect(document: dict[str, Any], status: str) -> dict[str, Any]:
    if "status" not in document:
        raise DockerError(_WRONG, 'Missing required field: "status"')
    if document["status"] != status:
        raise DockerError(_WRONG, f"Invalid commit status: '{document['status']}', expecting: '{status}'")
    return document


def _step(document: dict[str, Any], tag: str | None) -> ImageProgressStep | None:
    layer = document.get("id")
    if layer is None or layer == tag:
        return None
    status, drawn, details = document.get("status"), document.get("progress"), document.get("progressDetail")
    if status is None:
        raise DockerError(_WRONG, 'Missing required field: "status"')
    numbers = details if isinstance(details, dict) else {}
    message = f"{layer}: {status}" + (f" {drawn}" if drawn else "")
    return ImageProgressStep(message, str(layer), str(status), numbers.get("current"), numbers.get("total"))
