"""Times as the tables have them: whole microseconds since the epoch, in columns that end in ``_us``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(time: datetime) -> int:
    """For a column."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def time_of(microseconds: int) -> datetime:
    """From a column, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)
