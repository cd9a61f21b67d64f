"""Models to JSON and back; the only module that knows which JSON library we use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec
from yarl import URL

from neuro_sdk.errors import IllegalArgumentError
from neuro_sdk.wire.images import RemoteImage

T = TypeVar("T")

_TOO_DEEP = "Not a valid document: it is nested too deeply"

field = msgspec.field
fields = msgspec.structs.fields
replace = msgspec.structs.replace


class Model(msgspec.Struct, frozen=True, omit_defaults=True):
    """The base of what travels: frozen, compared by value, unset members left out of the JSON."""


ImageReader = Callable[[str], RemoteImage]


def encode(value: object) -> bytes:
    """Write a model, or anything made of models and plain values, as compact JSON; all text must be UTF-8."""
    try:
        return msgspec.json.encode(value, enc_hook=_to_plain)
    except UnicodeEncodeError as exc:
        raise IllegalArgumentError(f"Only UTF-8 can be sent to the platform, and {exc.object[:80]!r} is not") from exc


def to_plain(value: object) -> Any:  # Any: JSON has no narrower type
    """Turn a model into dicts, lists and scalars."""
    return msgspec.to_builtins(value, enc_hook=_to_plain)


def load(data: bytes | str) -> Any:  # Any: JSON has no narrower type
    """Read JSON into dicts, lists and scalars; raise :class:`IllegalArgumentError` when it is not JSON."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as exc:
        raise IllegalArgumentError(f"Not valid JSON: {exc}") from exc
    except RecursionError:
        raise IllegalArgumentError(_TOO_DEEP) from None


def decode(data: bytes | str, into: type[T], *, images: ImageReader = RemoteImage.from_docker) -> T:
    """Read JSON straight into ``into``; raise :class:`IllegalArgumentError` naming the JSON path that is wrong."""
    try:
        return msgspec.json.decode(data, type=into, dec_hook=_Hook(images))
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise IllegalArgumentError(f"Not a valid document: {exc}") from exc
    except RecursionError:
        raise IllegalArgumentError(_TOO_DEEP) from None


def convert(value: object, into: type[T], *, images: ImageReader = RemoteImage.from_docker) -> T:
    """Like :func:`decode`, from what :func:`load` returned."""
    try:
        return msgspec.convert(value, type=into, dec_hook=_Hook(images))
    except msgspec.ValidationError as exc:
        raise IllegalArgumentError(f"Not a valid document: {exc}") from exc


class _Hook:
    """Reads the types JSON has no form for; an image needs to know the registries, hence the state."""

    def __init__(self, images: ImageReader) -> None:
        self._images = images

    def __call__(self, kind: type[T], value: object) -> T:
        if kind is URL and isinstance(value, str):
            return cast(T, URL(value))
        if kind is RemoteImage and isinstance(value, str):
            return cast(T, self._images(value))
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")  # msgspec adds the path


def _to_plain(value: object) -> object:
    if isinstance(value, URL):
        return str(value)
    if isinstance(value, RemoteImage):
        return value.as_docker_url()
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")
