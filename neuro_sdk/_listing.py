"""What listing and streaming calls return: one object for ``async for`` and ``async with``, lists for ``await`` too."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Flow(AsyncIterator[T], Generic[T]):
    """Items as they come: nothing is asked before the first.

    ``async with`` closes the connection also when the loop is left early.
    """

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return await self._items.__anext__()

    async def aclose(self) -> None:
        await self._items.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class Listing(Flow[T]):
    """A :class:`Flow` that comes to an end by itself: ``await`` gives all of it as a list."""

    def __await__(self) -> Generator[None, None, list[T]]:
        return self._all().__await__()

    async def _all(self) -> list[T]:
        return [item async for item in self._items]
