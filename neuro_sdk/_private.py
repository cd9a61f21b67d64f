"""Classes that only the SDK itself makes instances of."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class NoPublicConstructor(type):
    """The metaclass of the parts of a client: calling such a class is a ``TypeError``, the SDK uses ``_create``."""

    def __call__(cls, *args: object, **kwargs: object) -> NoReturn:  # noqa: ARG002
        raise TypeError(f"{cls.__module__}.{cls.__qualname__} has no public constructor")

    def _create(cls: type[T], *args: Any, **kwargs: Any) -> T:  # Any: whatever the constructor takes
        made: T = type.__call__(cls, *args, **kwargs)
        return made
