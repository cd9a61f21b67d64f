"""How the making and moving of images goes, told step by step to whoever wants to show it (sdk-reference 12.3)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from neuro_sdk.wire.codec import Model
from neuro_sdk.wire.image_names import LocalImage
from neuro_sdk.wire.images import RemoteImage


class ImageProgressPull(Model, frozen=True):
    """An image begins to come here."""

    src: RemoteImage
    dst: LocalImage


class ImageProgressPush(Model, frozen=True):
    """An image begins to go there."""

    src: LocalImage
    dst: RemoteImage


class ImageProgressStep(Model, frozen=True):
    """News of a layer; ``current`` and ``total`` are bytes."""

    message: str
    layer_id: str
    status: str
    current: float | None = None
    total: float | None = None


class ImageProgressSave(Model, frozen=True):
    """A job's container is going to be an image."""

    job: str
    dst: RemoteImage


class ImageCommitStarted(Model, frozen=True):
    """The platform has begun to make the image."""

    job_id: str
    target_image: RemoteImage


class ImageCommitFinished(Model, frozen=True):
    """The image is made; next it goes to the registry."""

    job_id: str


class AbstractDockerImageProgress(ABC):
    """What to do with the news: one ``pull`` or ``push`` first, then a ``step`` for each message about a layer."""

    @abstractmethod
    def pull(self, data: ImageProgressPull) -> None:
        """An image begins to come here."""

    @abstractmethod
    def push(self, data: ImageProgressPush) -> None:
        """An image begins to go there."""

    @abstractmethod
    def step(self, data: ImageProgressStep) -> None:
        """News of a layer."""

    def save(self, data: ImageProgressSave) -> None:  # noqa: B027 - programs of before this was there lack it
        """A job's container is going to be an image."""

    def commit_started(self, data: ImageCommitStarted) -> None:  # noqa: B027
        """The platform has begun to make the image."""

    def commit_finished(self, data: ImageCommitFinished) -> None:  # noqa: B027
        """The image is made; next it goes to the registry."""
