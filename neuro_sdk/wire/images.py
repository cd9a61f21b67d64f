"""Image references: ours (``image:``), other registries', and how Docker writes both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

HOST: Final = "host"
INVALID_IMAGE_NAME: Final = "INVALID-IMAGE-NAME"


class RemoteImage:
    """An image that a platform can start: in its own registry, in another one, or ``host``.

    Immutable, equal by value. With ``owner`` and ``cluster_name`` it is in the platform's registry, and then
    ``registry`` is required; without a registry neither may be given (``ValueError``).
    """

    __slots__ = ("cluster_name", "name", "owner", "registry", "tag")

    name: str
    tag: str | None
    owner: str | None
    registry: str | None
    cluster_name: str | None

    def __init__(
        self,
        name: str,
        tag: str | None = None,
        owner: str | None = None,
        registry: str | None = None,
        cluster_name: str | None = None,
    ) -> None:
        if registry is None and (owner is not None or cluster_name is not None):
            raise ValueError("required registry")
        if owner is not None and cluster_name is None:
            raise ValueError("required cluster name")
        if cluster_name is not None and owner is None:
            raise ValueError("required owner")
        for slot, value in zip(
            ("name", "tag", "owner", "registry", "cluster_name"),
            (name, tag, owner, registry, cluster_name),
            strict=True,
        ):
            object.__setattr__(self, slot, value)

    @classmethod
    def new_neuro_image(
        cls, name: str, registry: str, *, owner: str, cluster_name: str, tag: str | None = None
    ) -> RemoteImage:
        """An image in a platform's own registry."""
        return cls(name, tag, owner, registry, cluster_name)

    @classmethod
    def new_external_image(cls, name: str, registry: str | None = None, *, tag: str | None = None) -> RemoteImage:
        """An image from anywhere else, such as ``ubuntu:24.04``."""
        return cls(name, tag, None, registry, None)

    @classmethod
    def from_docker(cls, reference: str, registries: Mapping[str, str] | None = None) -> RemoteImage:
        """Read a Docker reference; ``registries`` maps each known registry (host, port) to its cluster.

        Never fails: an unreadable reference becomes an image named ``INVALID-IMAGE-NAME``, so that one odd job
        does not break a listing.
        """
        for registry, cluster_name in (registries or {}).items():
            if reference.startswith(registry + "/"):
                owner, _, rest = reference.removeprefix(registry + "/").partition("/")
                name, tag = _split_tag(rest)
                if not owner or not name:
                    return cls(INVALID_IMAGE_NAME)
                return cls(name, tag, owner, registry, cluster_name)
        authority, rest = _split_port_registry(reference)
        name, tag = _split_tag(rest)
        if not name or name.startswith("-") or ":" in name or tag == "" or any(c.isspace() for c in reference):
            return cls(INVALID_IMAGE_NAME)
        return cls(name, tag, None, authority, None)

    def with_tag(self, tag: str) -> RemoteImage:
        """The same image with another tag."""
        return RemoteImage(self.name, tag, self.owner, self.registry, self.cluster_name)

    def as_docker_url(self, with_scheme: bool = False) -> str:
        """How Docker writes it: ``registry/owner/name:tag``, ``name:tag``; not percent-encoded."""
        parts = [part for part in (self.registry, self.owner) if part is not None]
        scheme = "https://" if with_scheme and self.owner is not None else ""
        return scheme + "/".join([*parts, self._name_tag()])

    def _name_tag(self) -> str:
        return self.name if self.tag is None else f"{self.name}:{self.tag}"

    def __str__(self) -> str:
        if self.owner is None:
            return self.as_docker_url()
        tag = "" if self.tag is None else ":" + quote(self.tag, safe="")
        return f"image://{self.cluster_name}/{self.owner}/{quote(self.name)}{tag}"

    def __rich__(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{slot}={getattr(self, slot)!r}" for slot in _FIELDS)
        return f"RemoteImage({shown})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RemoteImage):
            return NotImplemented
        return _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash(_values(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteImage, _values(self)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"RemoteImage is immutable; cannot set {name!r}")


_FIELDS = ("name", "tag", "owner", "registry", "cluster_name")


def _values(image: RemoteImage) -> tuple[str | None, ...]:
    return tuple(getattr(image, slot) for slot in _FIELDS)


def _split_tag(text: str) -> tuple[str, str | None]:
    head, sep, tail = text.rpartition(":")
    return (head, tail) if sep and "/" not in tail else (text, None)


def _split_port_registry(reference: str) -> tuple[str | None, str]:
    """A registry is told from a folder by its port; ``gcr.io/x`` stays part of the name."""
    head, sep, rest = reference.partition("/")
    host, colon, port = head.partition(":")
    return (head, rest) if sep and host and colon and port.isdigit() else (None, reference)


def registries_of(clusters: Iterable[Any]) -> dict[str, str]:
    """Registry authority (host, explicit port) to cluster name, for :meth:`RemoteImage.from_docker`."""
    return {
        url.host + (f":{url.explicit_port}" if url.explicit_port else ""): cluster.name
        for cluster in clusters
        if (url := cluster.registry_url).host
    }
