"""Passwords: hashed with argon2id, in a thread, so that the server goes on answering meanwhile."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Final

from neuro_sdk.errors import IllegalArgumentError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST: Final = 6
LONGEST: Final = 1024

# One check takes 64 MiB and a few cores for a moment: a crowd at the door must wait in line, not in memory.
_AT_A_TIME: Final = 2


class Passwords:
    """Makes and checks password hashes, a few at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_A_TIME)

    async def hash(self, password: str) -> str:
        """The hash to store; a password of unfit length is refused with a sentence."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise IllegalArgumentError(
                f"A password has {SHORTEST} to {LONGEST} characters; this one has {len(password)}"
            )
        async with self._turn:
            return await asyncio.to_thread(_hash, password)

    async def check(self, stored: str | None, password: str) -> bool:
        """Whether the password fits; takes as long for a user that does not exist (``stored`` is None)."""
        if len(password) > LONGEST:
            return False
        async with self._turn:
            return await asyncio.to_thread(_check, stored, password)


@functools.cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # here: a platform with local logins only never needs it

    return PasswordHasher()


@functools.cache
def _nobody() -> str:
    return _hasher().hash("nobody's password")


def _hash(password: str) -> str:
    return _hasher().hash(password)


def _check(stored: str | None, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    nobody = _nobody()  # made in either case, so that the first check of all tells nothing by its time
    try:
        return _hasher().verify(stored or nobody, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
