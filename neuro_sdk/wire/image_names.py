"""How people write images, and what that means (SDK reference, chapters 12.4 and 12.5)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from neuro_sdk.errors import ConfigError, IllegalArgumentError
from neuro_sdk.wire.codec import Model
from neuro_sdk.wire.images import HOST, RemoteImage
from neuro_sdk.wire.uris import normalize_uri

DEFAULT_TAG: Final = "latest"


class TagOption(enum.Enum):
    """What to make of the tag of one of our images."""

    ALLOW = enum.auto()  # may be there, or not
    DENY = enum.auto()  # must not be there
    DEFAULT = enum.auto()  # ``latest`` when it is not there


class Tag(Model, frozen=True):
    """A tag of an image in the platform's registry; the size in bytes."""

    name: str
    size: int | None = None


class LocalImage(Model, frozen=True):
    """An image of the container runtime on this machine."""

    name: str
    tag: str | None = None

    def __str__(self) -> str:
        return self.name if self.tag is None else f"{self.name}:{self.tag}"

    def __rich__(self) -> str:
        return str(self)


def parse_local_image(text: str) -> LocalImage:
    """Read ``name[:tag]``; without a tag it is ``latest``."""
    try:
        if text.startswith("image:"):
            raise IllegalArgumentError("scheme 'image:' is not allowed for local images")
        name, tag = _name_and_tag(text)
    except IllegalArgumentError as exc:
        raise IllegalArgumentError(f"Invalid local image {text!r}: {exc}") from exc
    return LocalImage(name, tag or DEFAULT_TAG)


def parse_remote_image(
    text: str,
    *,
    user: str,
    cluster: str,
    registries: Mapping[str, str],
    tag_option: TagOption = TagOption.DEFAULT,
) -> RemoteImage:
    """Read an ``image:`` URI, a Docker reference or ``host``; ``registries`` maps each cluster to its registry.

    Where clusters share a registry, a Docker reference is taken to mean the current cluster.
    """
    try:
        if text.startswith("image:"):
            return _from_uri(text, user, cluster, registries, tag_option)
        for name in sorted(registries, key=lambda name: name != cluster):
            if (registry := registries[name]) and text.startswith(registry + "/"):
                owner, _, rest = text.removeprefix(registry + "/").partition("/")
                return _ours(rest, owner, registry, name, tag_option)
        return _external(text)
    except IllegalArgumentError as exc:
        raise IllegalArgumentError(f"Invalid remote image {text!r}: {exc}") from exc


def _from_uri(text: str, user: str, cluster: str, registries: Mapping[str, str], tag_option: TagOption) -> RemoteImage:
    if text == f"image:{DEFAULT_TAG}":
        raise IllegalArgumentError("ambiguous value, a name or a tag? Write image:NAME:TAG")
    url = normalize_uri(text, user=user, cluster=cluster, schemes=("image",))
    owner, _, rest = url.raw_path.lstrip("/").partition("/")
    wanted = url.host or cluster
    registry = registries.get(wanted)
    if registry is None:
        raise ConfigError(f"Invalid remote image {text!r}: cluster {wanted!r} is not available")
    return _ours(rest, owner, registry, wanted, tag_option, is_quoted=True)


def _ours(
    rest: str, owner: str, registry: str, cluster: str, tag_option: TagOption, *, is_quoted: bool = False
) -> RemoteImage:
    if not owner or not rest.strip("/") or rest.endswith("/"):
        raise IllegalArgumentError("no image name specified")
    name, tag = _name_and_tag(rest)
    if is_quoted:
        owner, name, tag = unquote(owner), unquote(name), None if tag is None else unquote(tag)
    if tag is not None and tag_option is TagOption.DENY:
        raise IllegalArgumentError("tag is not allowed")
    if tag is None and tag_option is TagOption.DEFAULT:
        tag = DEFAULT_TAG
    return RemoteImage.new_neuro_image(name, registry, owner=owner, cluster_name=cluster, tag=tag)


def _external(text: str) -> RemoteImage:
    if text == HOST:  # not an image at all: the machine itself
        return RemoteImage.new_external_image(HOST)
    registry = None
    head, slash, rest = text.partition("/")
    host, colon, port = head.partition(":")
    if slash and host and colon and port.isdecimal():
        registry, text = head, rest
    name, tag = _name_and_tag(text)
    return RemoteImage.new_external_image(name, registry, tag=tag or DEFAULT_TAG)


def _name_and_tag(text: str) -> tuple[str, str | None]:
    if not text:
        raise IllegalArgumentError("empty string")
    if text.startswith("-"):
        raise IllegalArgumentError("cannot start with dash")
    if any(char.isspace() for char in text):
        raise IllegalArgumentError("blanks are not allowed")
    name, colon, tag = text.partition(":")
    if not name or name.endswith("/"):
        raise IllegalArgumentError("no image name specified")
    if not colon:
        return name, None
    if not tag:
        raise IllegalArgumentError("empty tag")
    if ":" in tag:
        raise IllegalArgumentError("too many tags")
    if "/" in tag:
        raise IllegalArgumentError("invalid tag")
    return name, tag
