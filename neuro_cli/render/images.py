"""How the making of an image goes, in lines."""

from __future__ import annotations

from collections.abc import Callable

from neuro_cli.render._style import plain
from neuro_sdk import (
    AbstractDockerImageProgress,
    ImageCommitFinished,
    ImageCommitStarted,
    ImageProgressPull,
    ImageProgressPush,
    ImageProgressSave,
    ImageProgressStep,
)


class SaveProgress(AbstractDockerImageProgress):
    """A line for each event; of a layer only when it comes to something new, not for every megabyte."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._layers: dict[str, str] = {}

    def save(self, data: ImageProgressSave) -> None:
        self._say(f"Saving {data.job} as {data.dst}")

    def commit_started(self, data: ImageCommitStarted) -> None:
        self._say(f"Making the image {data.target_image}")

    def commit_finished(self, data: ImageCommitFinished) -> None:
        self._say(f"The image of {data.job_id} is made")

    def push(self, data: ImageProgressPush) -> None:
        self._say(f"Pushing to {data.dst}")

    def pull(self, data: ImageProgressPull) -> None:
        self._say(f"Pulling {data.src}")

    def step(self, data: ImageProgressStep) -> None:
        if self._layers.get(data.layer_id) != data.status:
            self._layers[data.layer_id] = data.status
            self._say(plain(f"{data.layer_id}: {data.status}"))
