"""What listing calls return: one object for ``await``, ``async for`` and ``async with``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Listing(AsyncIterator[T], Generic[T]):
    """Items as they come: nothing is asked before the first.

    ``await`` gives all of them as a list; ``async with`` closes the connection also when the loop is left early.
    """

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self._items = items

    def __await__(self) -> Generator[None, None, list[T]]:
        return self._all().__await__()

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

    async def _all(self) -> list[T]:
        return [item async for item in self._items]
