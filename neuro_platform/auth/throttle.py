"""Slows down who guesses passwords: after five wrong ones, each further one doubles the wait."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from neuro_sdk.errors import AuthenticationError

FREE: Final = 5  # wrong tries before the first wait
FIRST_WAIT: Final = 10.0  # seconds
LONGEST_WAIT: Final = 900.0
FORGET_AFTER: Final = 3600.0  # without a further wrong try
_MOST: Final = 10_000  # names and addresses remembered


class TooManyTries(AuthenticationError):
    """Too many wrong passwords; says when to try again."""

    status: ClassVar[int] = 429

    def __init__(self, seconds: float) -> None:
        self.retry_after = math.ceil(seconds)
        super().__init__(f"Too many wrong passwords. Try again in {_words(self.retry_after)}")


@dataclass
class _Record:
    tries: int = 0
    last: float = 0.0
    not_before: float = 0.0


class Throttle:
    """Counts wrong tries by user name and by address, in memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._records: dict[tuple[str, str], _Record] = {}

    def enter(self, name: str, address: str) -> None:
        """Count a try as a wrong one before it is checked, or raise :class:`TooManyTries`.

        Counting first is what keeps a hundred guesses sent at once from all being looked at.
        """
        now = self._clock()
        records = [self._record(key, now) for key in _keys(name, address)]
        wait = max(record.not_before for record in records) - now
        if wait > 0:
            raise TooManyTries(wait)
        for record in records:
            record.tries += 1
            record.last = now
            if record.tries >= FREE:
                record.not_before = now + min(FIRST_WAIT * 2.0 ** min(record.tries - FREE, 30), LONGEST_WAIT)

    def passed(self, name: str, address: str) -> None:
        """The password was right: forget the name's wrong tries, and take this one off the address.

        The address keeps its others, or one good account would buy any number of guesses at the rest.
        """
        by_name, by_address = _keys(name, address)
        self._records.pop(by_name, None)
        if (record := self._records.get(by_address)) is not None:
            record.tries -= 1
            record.not_before = 0.0

    def _record(self, key: tuple[str, str], now: float) -> _Record:
        record = self._records.pop(key, None)  # put back at the end: the dict is in the order of use
        if record is None or now - record.last > FORGET_AFTER:
            record = _Record()
        while len(self._records) >= _MOST:
            del self._records[next(iter(self._records))]
        self._records[key] = record
        return record


def _keys(name: str, address: str) -> Iterable[tuple[str, str]]:
    return ("name", name[:64]), ("address", _network(address))


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    # one customer gets a whole /64 of IPv6: it counts as one address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)


def _words(seconds: int) -> str:
    if seconds <= 90:
        return f"{seconds} second{'s' if seconds != 1 else ''}"
    return f"{math.ceil(seconds / 60)} minutes"
