"""What ``python -m neuro_platform`` exits with: codes of the table in `neuro_cli/exits.py`, which explains them."""

from __future__ import annotations

from typing import Final

from neuro_sdk.errors import IllegalArgumentError, PlatformError, ResourceNotFound, ServerNotAvailable

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_RUNNING: Final = 3
REFUSED: Final = 65
NOT_INSTALLED: Final = 70
NOT_FOUND: Final = 72
NO_IO: Final = 74
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141


class Unusable(PlatformError):
    """The file system does not let the platform read or write what it must: a full disk, a folder of somebody else."""


def exit_code(exc: BaseException) -> int:
    """What a verb that failed with this exits with."""
    match exc:
        case Unusable() | OSError() | ServerNotAvailable():  # the latter is how a database says that the disk is full
            return NO_IO
        case IllegalArgumentError():
            return REFUSED
        case ResourceNotFound():
            return NOT_FOUND
        case _:
            return FAILED
